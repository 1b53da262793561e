"""
What so many uploads a second need: processes, streams, servers, disk, network. Pure.

    python -m bench.scale_model            print the tables of docs/scaling.md
    python -m bench.scale_model --write    write them there

What a thing costs is read from bench/results/*.json, where `SOURCES` says; what it is worth is
computed by `need`. Nothing here was run at 10,000 uploads a second: the page says what is measured,
and what is a product of it.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from decibus.topology import ANALYSES, ANALYZE, AUDIO, PARTITIONS

RESULTS: Final = Path(__file__).parent / "results"
PAGE: Final = Path(__file__).parent.parent / "docs" / "scaling.md"
MB: Final = 1_000_000

BUSY: Final = 0.7
"""How much of anything is planned to be used: queues grow without bound towards 1."""
HEARING: Final = 0.3
"""How much of a gateway's one core may go into hearing of every job there is."""
BACKLOG_S: Final = 2.0
"""For so long a queue takes what comes while nobody works."""
SERVER_CORES: Final = 8
"""Of one nats-server."""
LINK_MB_S: Final = 1250.0
"""Of one nats-server, each way: 10 Gbit/s."""
EVENTS_A_JOB: Final = 3
"""Opened, claimed, finished; a job that takes longer than 1.6 s adds one for each of these."""
REWRITTEN_MB: Final = 4.0
"""
For each job, whose last revision is overwritten; the others have nothing of an upload.

Half of a block of 8 MB, in which it lies anywhere. With encrypted files it is none.
"""
SEAL_REWRITTEN_MB: Final = 2.0
"""For each upload: the key of its audio lies in a block of 4 MB."""
RECORD_MB: Final = 0.005
"""A finished job's record: a measurement has 2 to 5 kB, a transcript of three minutes as much."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """
    What comes in.

    `analyze`, `transcribe` and `transcode` are the shares of uploads that want it; `speech_factor`
    is what a second of audio takes of a core in the speech model, and 0 is the demo model's. With
    `encrypted` files nats-server does not overwrite what is erased, but only lets go of it.
    """

    uploads_per_s: float
    megabytes: float = 5.0
    audio_s: float = 180.0
    analyze: float = 1.0
    transcribe: float = 1.0
    transcode: float = 0.0
    replicas: int = 3
    report_ttl_s: float = 900.0
    speech_factor: float = 0.0
    encrypted: bool = False

    @property
    def jobs(self) -> float:
        """How many an upload is."""
        return self.analyze + self.transcribe + self.transcode


class Line(msgspec.Struct, frozen=True):
    """What something takes of a processor, in ms: for each upload or job, and for each MB of it."""

    fixed: float
    per_mb: float

    @property
    def told(self) -> str:
        """Return it as a table has it."""
        return f"{self.fixed:.2f} ms + {self.per_mb:.2f} ms a MB"

    def s(self, megabytes: float) -> float:
        """Return it in seconds."""
        return (self.fixed + self.per_mb * megabytes) / 1e3


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured; the fields of `SOURCES` say where."""

    gateway: Line
    worker: Line
    broker: Line
    sandbox_ms: float
    analyze_ms_per_s: float
    transcode_ms_per_s: float
    demo_speech_ms_per_s: float
    audio_mb_s: float
    audio_kept_mb_s: float
    queue_per_s: float
    records_per_s: float
    records_kept_per_s: float
    event_us: float


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """
    What it takes. A cell is a release of its own with a NATS of its own; the rest is of all cells.

    `limits`: how many uploads a second one cell takes, by what it would end at.
    """

    cells: int
    limits: Mapping[str, float]
    partitions: int
    streams: int
    gateways: int
    analyzer_cores: int
    transcriber_cores: int
    transcoder_cores: int
    servers: int
    audio_gb: float
    disk_gb: float
    disk_mb_s: float
    network_in_mb_s: float
    network_mb_s: float


def need(load: Load, costs: Costs) -> Need:
    """Compute what a load takes, from what one upload does."""
    limits = limits_of_a_cell(load, costs)
    cells = max(1, math.ceil(load.uploads_per_s / min(limits.values())))
    of_a_cell = load.uploads_per_s / cells
    in_mb_s = load.uploads_per_s * load.megabytes
    heard_us = costs.event_us * EVENTS_A_JOB * load.jobs * of_a_cell
    # Each gateway is one core, of which hearing the whole cell's jobs is gone.
    for_uploads = BUSY - heard_us / 1e6
    gateways = cells * max(2, math.ceil(of_a_cell * costs.gateway.s(load.megabytes) / for_uploads))
    sandboxed_s = costs.worker.s(load.megabytes) + costs.sandbox_ms / 1e3

    def cores(share: float, ms_per_s: float) -> int:
        work_s = sandboxed_s + load.audio_s * ms_per_s / 1e3
        return math.ceil(load.uploads_per_s * share * work_s / BUSY)

    # The broker of a replicated stream does the same on each of its servers.
    broker_cores = load.uploads_per_s * costs.broker.s(load.megabytes) * load.replicas / BUSY
    # In from the gateways, out to each worker, and from the leader to the other replicas.
    between_mb_s = in_mb_s * (1 + load.jobs + load.replicas - 1)
    partitions = partitions_for(of_a_cell, costs)
    servers = cells * max(
        load.replicas,
        math.ceil(broker_cores / cells / SERVER_CORES),
        math.ceil(between_mb_s / cells / LINK_MB_S / BUSY),
    )
    audio_gb = in_mb_s * held_s(load, costs) / 1e3
    rewritten_mb = 0.0 if load.encrypted else SEAL_REWRITTEN_MB + REWRITTEN_MB * load.jobs
    records_gb = load.uploads_per_s * load.jobs * RECORD_MB * load.report_ttl_s / 1e3
    return Need(
        cells=cells,
        limits=limits,
        partitions=partitions,
        streams=cells * sum(share > 0 for share in _shares(load)) * partitions,
        gateways=gateways,
        analyzer_cores=cores(load.analyze, costs.analyze_ms_per_s),
        transcriber_cores=cores(load.transcribe, speech_ms_per_s(load, costs)),
        transcoder_cores=cores(load.transcode, costs.transcode_ms_per_s),
        servers=servers,
        audio_gb=audio_gb,
        disk_gb=(audio_gb + records_gb) * load.replicas,
        disk_mb_s=load.uploads_per_s * (load.megabytes + rewritten_mb) * load.replicas,
        network_in_mb_s=in_mb_s,
        network_mb_s=in_mb_s + between_mb_s,
    )


def limits_of_a_cell(load: Load, costs: Costs) -> dict[str, float]:
    """Return how many uploads a second one NATS takes, by what would end first."""
    audio_mb_s = costs.audio_kept_mb_s if load.encrypted else costs.audio_mb_s
    records_per_s = costs.records_kept_per_s if load.encrypted else costs.records_per_s
    return {
        "audio, MB/s": BUSY * audio_mb_s / load.megabytes,
        "audio, room": BUSY * AUDIO.max_bytes / MB / load.megabytes / held_s(load, costs),
        "records, writes": BUSY * records_per_s / load.jobs,
        "records, room": BUSY
        * ANALYSES.max_bytes
        / MB
        / (load.jobs * RECORD_MB * load.report_ttl_s),
        "events": HEARING * 1e6 / (costs.event_us * EVENTS_A_JOB * load.jobs),
        "queues": max(PARTITIONS) * min(BUSY * costs.queue_per_s, ANALYZE.max_msgs / BACKLOG_S),
    }


def partitions_for(uploads_per_s: float, costs: Costs) -> int:
    """Return how many partitions each queue of a cell should have, for its rate and its cap."""
    wanted = max(
        uploads_per_s / (BUSY * costs.queue_per_s), uploads_per_s * BACKLOG_S / ANALYZE.max_msgs
    )
    return next((number for number in PARTITIONS if number >= wanted), max(PARTITIONS))


def held_s(load: Load, costs: Costs) -> float:
    """Return for how long audio is kept: what it waits, and what the longest of its tasks takes."""
    slowest = max(
        (share > 0) * ms_per_s
        for share, ms_per_s in zip(
            _shares(load),
            (costs.analyze_ms_per_s, speech_ms_per_s(load, costs), costs.transcode_ms_per_s),
            strict=True,
        )
    )
    return BACKLOG_S + costs.worker.s(load.megabytes) + load.audio_s * slowest / 1e3


def speech_ms_per_s(load: Load, costs: Costs) -> float:
    """Return what a second of audio takes of the transcriber's core."""
    return 1e3 * load.speech_factor or costs.demo_speech_ms_per_s


def _shares(load: Load) -> tuple[float, float, float]:
    return load.analyze, load.transcribe, load.transcode


# Where the costs come from.


class Source(msgspec.Struct, frozen=True):
    """Where a cost is measured: the file, what of it, and how it is read."""

    file: str
    what: str
    read: Callable[[Any], Any]


def _row(report: Any, **wanted: Any) -> Any:
    (row,) = (
        row
        for row in report.get("rows", report.get("cells"))
        if all(row[name] == value for name, value in wanted.items())
    )
    return row


def _line(process: str) -> Callable[[Any], Line]:
    def read(report: Any) -> Line:
        at = {"side": "decibus", "work": "noop", "clients": 8}
        small = _row(report, size="200kB", **at)["cpu_by_name"][process]
        large = _row(report, size="10MB", **at)["cpu_by_name"][process]
        per_mb = (large - small) / 9.8
        return Line(fixed=round(small - 0.2 * per_mb, 3), per_mb=round(per_mb, 3))

    return read


def _most(report: Any, what: str) -> float:
    return float(_row(report, what=what, partitions=1, sync_interval="always")["most"])


def _audio(report: Any, *, erased: bool) -> float:
    (row,) = (
        row
        for row in report["audio"]
        if (row["sync_interval"], row["erased"]) == ("always", erased)
    )
    return float(row["mb_per_s"])


SOURCES: Final = {
    "gateway": Source("race.json", "processor time of the gateway for an upload", _line("gateway")),
    "worker": Source("race.json", "of a worker for a job, without its step", _line("worker")),
    "broker": Source("race.json", "of nats-server for an upload of one task", _line("nats-server")),
    "sandbox_ms": Source(
        "sandbox.json",
        "what the child process adds to a step",
        lambda report: report["inside_cpu_ms"] - report["beside_cpu_ms"],
    ),
    "analyze_ms_per_s": Source(
        "files.json",
        "the analyzer, a second of MP3",
        lambda report: _row(report, kind="mp3")["ours_ms"] / report["seconds"],
    ),
    "transcode_ms_per_s": Source(
        "transcoder.json",
        "the transcoder, a second of audio",
        lambda report: report["ours_cpu_ms"] / report["seconds"],
    ),
    "demo_speech_ms_per_s": Source(
        "transcriber.json",
        "the transcriber with the demo model, a second of speech, on one core",
        lambda report: (
            1e3
            * _row(report, way="ours", files=f"{report['minutes']:g} min")["seconds"]
            / (60 * report["minutes"])
        ),
    ),
    "audio_mb_s": Source(
        "streams.json",
        "MB/s put into one object store, fetched and erased, each message synced to disk",
        lambda report: _audio(report, erased=True),
    ),
    "audio_kept_mb_s": Source(
        "streams.json", "ditto, not erased", lambda report: _audio(report, erased=False)
    ),
    "queue_per_s": Source(
        "streams.json",
        "tasks a second through one stream, ditto",
        lambda report: _most(report, "queue"),
    ),
    "records_per_s": Source(
        "streams.json",
        "jobs a second whose records are in one stream, former revisions erased",
        lambda report: _most(report, "records"),
    ),
    "records_kept_per_s": Source(
        "streams.json",
        "ditto, on a server that encrypts its files",
        lambda report: _most(report, "encrypted"),
    ),
    "event_us": Source(
        "streams.json",
        "an event, in each gateway",
        lambda report: report["event_cpu_us"],
    ),
}


def costs_in(folder: Path = RESULTS) -> Costs:
    """Read what was measured."""
    reports = {
        file: msgspec.json.decode((folder / file).read_bytes())
        for file in {source.file for source in SOURCES.values()}
    }
    return Costs(**{name: source.read(reports[source.file]) for name, source in SOURCES.items()})


# The page.

LOADS: Final = tuple(Load(uploads_per_s=rate) for rate in (1, 100, 10_000))


def tables(costs: Costs, streams: Any) -> Mapping[str, str]:
    """Return the tables of the page by their names; `streams`: what is in streams.json."""
    return {
        "costs": "\n".join(_costs_table(costs)),
        "needs": "\n".join(_needs_table(costs, LOADS)),
        "encrypted": "\n".join(
            _needs_table(costs, [msgspec.structs.replace(load, encrypted=True) for load in LOADS])
        ),
        "limits": "\n".join(_limits_table(costs)),
        "streams": "\n".join(_streams_table(streams)),
    }


def _costs_table(costs: Costs) -> Iterator[str]:
    yield "| cost | value | measured in |"
    yield "|---|---|---|"
    for name, source in SOURCES.items():
        value = getattr(costs, name)
        told = value.told if isinstance(value, Line) else f"{float(f'{value:.3g}'):,g}"
        link = f"[{source.file}](../bench/results/{source.file})"
        yield f"| `{name}` | {told} | {link}: {source.what} |"


def _needs_table(costs: Costs, loads: Sequence[Load]) -> Iterator[str]:
    needs = [need(load, costs) for load in loads]
    yield "| uploads a second | " + " | ".join(f"{load.uploads_per_s:,g}" for load in loads) + " |"
    yield "|---|" + "---:|" * len(loads)
    rows: dict[str, Callable[[Need], str]] = {
        "cells, each a NATS of its own": lambda n: f"{n.cells:,}",
        "`PARTITIONS` in each": lambda n: f"{n.partitions}",
        "streams of queues": lambda n: f"{n.streams:,}",
        "servers of NATS": lambda n: f"{n.servers:,}",
        "gateways, a core each": lambda n: f"{n.gateways:,}",
        "cores of analyzers": lambda n: f"{n.analyzer_cores:,}",
        "cores of transcribers, demo model": lambda n: f"{n.transcriber_cores:,}",
        "audio at a time, GB": lambda n: f"{n.audio_gb:,.2f}",
        "disk of all servers, GB": lambda n: f"{n.disk_gb:,.1f}",
        "written to all disks, MB/s": lambda n: f"{n.disk_mb_s:,.0f}",
        "network from outside, MB/s": lambda n: f"{n.network_in_mb_s:,.0f}",
        "network in all, MB/s": lambda n: f"{n.network_mb_s:,.0f}",
    }
    for name, tell in rows.items():
        yield f"| {name} | " + " | ".join(map(tell, needs)) + " |"


def _limits_table(costs: Costs) -> Iterator[str]:
    loads = {
        "5 MB, 3 min": LOADS[0],
        "200 kB, 10 s": Load(uploads_per_s=1, megabytes=0.2, audio_s=10.0),
        "5 MB, encrypted": Load(uploads_per_s=1, encrypted=True),
        "200 kB, encrypted, reports for a minute": Load(
            uploads_per_s=1, megabytes=0.2, audio_s=10.0, report_ttl_s=60.0, encrypted=True
        ),
    }
    limits = {name: limits_of_a_cell(load, costs) for name, load in loads.items()}
    yield "| uploads a second | " + " | ".join(loads) + " |"
    yield "|---|" + "---:|" * len(loads)
    for what in next(iter(limits.values())):
        values = (f"{found[what]:,.0f}" for found in limits.values())
        yield f"| {what} | " + " | ".join(values) + " |"


def _streams_table(streams: Any) -> Iterator[str]:
    yield "| what | `sync_interval` | streams | most, 1/s | × one | p50, p99 at half of it, ms |"
    yield "|---|---|---:|---:|---:|---:|"
    for row in streams["rows"]:
        one = _row(streams, what=row["what"], sync_interval=row["sync_interval"], partitions=1)
        half = row["levels"][1]
        yield (
            f"| {row['what']} | {row['sync_interval']} | {row['partitions']} | {row['most']:,.0f}"
            f" | {row['most'] / one['most']:.1f} | {half['p50_ms']:.1f}, {half['p99_ms']:.1f} |"
        )


def with_tables(page: str, made: Mapping[str, str]) -> str:
    """Put each table between its marks."""
    for name, table in made.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = page.partition(start)
        _, _, after = rest.partition(end)
        page = f"{before}{start}\n\n{table}\n\n{end}{after}"
    return page


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/scaling.md")
    streams = msgspec.json.decode((RESULTS / "streams.json").read_bytes())
    made = tables(costs_in(), streams)
    if parser.parse_args().write:
        PAGE.write_text(with_tables(PAGE.read_text(), made))
    else:
        print("\n\n".join(made.values()))
