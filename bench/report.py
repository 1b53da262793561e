"""
docs/performance.md and its plots, from what stands in bench/results: `python -m bench.report`.

Nothing is measured here, so that the same results give the same page, byte for byte.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from bench import blobs, dsp, files, flood, health, race, sandbox, transcoder, transcriber
from bench.plot import bars
from tests.processes import ROOT

PAGE: Final = ROOT / "docs" / "performance.md"
PLOTS: Final = ROOT / "docs" / "performance"
T = TypeVar("T")


# Profiles, taken by hand: py-spy of the services, pprof of nats-server.
_WHERE_IT_GOES: Final = """### Where it goes, and what would mend it

What was aimed at had been measured of the parts, before there was a whole. A job of the whole sends nats-server 21 messages (39 before [ADR 39](adr/0039-what-is-known-is-not-asked-again.md)): a chunk and
its seal; a report's row and whose job it shares; the job's record as queued, as running and as done, and what is let go of for it; its task, its delivery and its acknowledgement; a point for the statistics;
seal and chunk read, and erased. Of 200 kB with eight clients at once:

| process | share | of |
| --- | --- | --- |
| nats-server | 24 % | storing messages |
| | 22 % | answering the JetStream API: messages read 6 %, deleted 7 %, chunks purged 8 % |
| | 36 % | system calls and waking up |
| gateway | 52 % | HTTP: uvicorn, Litestar's layers, the form; 21 % taking in the upload |
| | 34 % | bytes and answers between it and nats-server, two thirds of it in the kernel |
| | 5 % | asking |
| worker | 47 % | the job: audio fetched 9 %, records 9 %, the erasing 6 % |
| | 47 % | bytes and answers between it and nats-server |

* **200 kB.** What is left is messages, each two wake-ups and two passes through the kernel. An upload that travelled with its task, encrypted as it is, would save five of them, as long as there is only one task, and
  would need a way back into the store for a task that failed; one record for a report and its first job two.
* **10 MB.** The audio crosses three sockets, is hashed and encrypted once, and is written and read by nats-server; the peer's front writes a file that its worker opens. Where workers run on the machine of the
  gateway a shared directory would do; across machines an object store costs the peer the same. Of 130 ms nats-server takes 46, mostly copying and system calls, the gateway 53, of it 9 for SHA-256, the worker 30.
* **Idle to result.** Two requests of HTTP, and some ten turns between processes that have to be woken, one after the other. The peer has three.

"""


def load(path: Path, kind: type[T]) -> T:
    """Read a result."""
    return msgspec.json.decode(path.read_bytes(), type=kind)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def written() -> dict[Path, str]:
    """Return the page and its plots."""
    raced = load(race.RESULTS, race.Report)
    parts = [
        _head(raced),
        _targets([*_race_targets(raced), *_other_targets()]),
        _race(raced),
        _idle_and_crash(raced),
        _WHERE_IT_GOES,
        _conversion(load(transcoder.RESULTS, transcoder.Report)),
        _files(load(files.RESULTS, files.Report), load(sandbox.RESULTS, sandbox.Report)),
        _meters(load(dsp.RESULTS, dsp.Report)),
        _speech(load(transcriber.RESULTS, transcriber.Report)),
        _store(load(blobs.RESULTS, blobs.Report)),
    ]
    return {PAGE: "\n".join(parts), **_plots(raced)}


def _head(found: race.Report) -> str:
    machine = found.machine
    return f"""# Performance

Written by `make bench-report` from [`bench/results`](../bench/results); `make bench` measures it anew, in turn, and writes this page. Figures of one run are compared
turn by turn, A B A B, and are medians: what the machine does besides meets both. Processor time is user and system of all processes; it is the steadiest figure here.

The race was run on {machine.cores} cores of {machine.processor}, {machine.memory_gb:g} GB, {machine.system}, Python {machine.python}, client and servers on the same machine;
{found.brokers["decibus"]}, {found.brokers.get("peer", "no peer")}, {found.rounds} rounds.
"""


def _cell(found: race.Report, side: str, work: str, size: str, clients: int) -> race.Cell:
    wanted = (side, work, size, clients)
    return next(
        cell for cell in found.cells if (cell.side, cell.work, cell.size, cell.clients) == wanted
    )


class _Target(NamedTuple):
    """What was aimed at, what was found, and whether that will do."""

    what: str
    target: str
    found: str
    holds: bool


def _targets(rows: Iterable[_Target]) -> str:
    told = ((*row[:3], "held" if row.holds else "**missed**") for row in rows)
    return "## What was aimed at\n\n" + table(("", "target", "measured", ""), told)


def _other_targets() -> Iterator[_Target]:
    converted = load(transcoder.RESULTS, transcoder.Report).service
    beside_talks = max(row.p99_ms for row in load(health.RESULTS, health.Report).rows)
    beside_uploads = load(flood.RESULTS, flood.Report).loaded.p99_ms
    for beside, p99_ms in (
        ("four talks that are transcribed", beside_talks),
        ("64 uploads of 10 MB", beside_uploads),
    ):
        what = f"`/healthz` beside {beside}: 99 of 100 answers within"
        yield _Target(what, "20 ms", f"{p99_ms:.1f} ms", p99_ms < 20)
    if converted is not None:
        times, more = converted.times_ffmpeg, converted.eight_at_once
        what = "a conversion through the service: times ffmpeg's processor time"
        yield _Target(what, "at most 1.15", f"{times:.2f}", times <= 1.15)
        what = "eight clients' conversions a second over one's"
        yield _Target(what, "at least 1.8", f"{more:.2f}", more >= 1.8)


def _race_targets(found: race.Report) -> list[_Target]:
    def ours(size: str, clients: int) -> race.Cell:
        return _cell(found, "decibus", "noop", size, clients)

    def ratio(clients: int) -> float:
        peer = _cell(found, "peer", "noop", "200kB", clients)
        return ours("200kB", clients).per_s / peer.per_s

    waits = {(each.side, each.by): each.p50_ms for each in found.idle}
    idle = max(waits["decibus", by] / waits["peer", by] for _, by in waits)
    (crash,) = (each for each in found.crashes if each.side == "decibus")
    small = max(ours("200kB", clients).cpu_ms for clients in race.CLIENTS)
    large = max(ours("10MB", clients).cpu_ms for clients in race.CLIENTS)
    fall = ours("10MB", 8).per_s / ours("10MB", 64).per_s
    done = "never" if crash.all_done_s is None else f"{crash.all_done_s:.1f} s"
    return [
        _Target(
            "200 kB, no work: processor time a job",
            "at most 2.2 ms",
            f"{small:.2f} ms",
            small <= 2.2,
        ),
        *(
            _Target(
                f"ditto, {clients} clients: jobs a second over the peer's",
                "at least 2.5",
                f"{ratio(clients):.2f}",
                ratio(clients) >= 2.5,
            )
            for clients in (8, 64)
        ),
        _Target(
            "10 MB, no work: processor time a job", "at most 25 ms", f"{large:.1f} ms", large <= 25
        ),
        _Target(
            "ditto: 8 clients' jobs a second over 64's", "at most 1.25", f"{fall:.2f}", fall <= 1.25
        ),
        _Target(
            "idle: time to the result over the peer's", "at most 0.5", f"{idle:.2f}", idle <= 0.5
        ),
        _Target(
            f"worker killed at {race.CRASH_JOBS} jobs: unfinished, all done after",
            "0, 10 s",
            f"{crash.unfinished}, {done}",
            crash.unfinished == 0 and (crash.all_done_s or 99) <= 10,
        ),
    ]


def _plots(found: race.Report) -> dict[Path, str]:
    return {
        PLOTS / f"{size}-{what.replace('_', '-')}.svg": bars(
            f"{size}: {title}",
            {
                f"{cells[0].work}, clients: {cells[0].clients}": [
                    getattr(cell, what) for cell in cells
                ]
                for cells in _pairs(found)
                if cells[0].size == size
            },
            ("decibus", "FastAPI + Celery + Redis"),
            digits=digits,
        )
        for size in race.SIZES
        for what, title, digits in (
            ("per_s", "jobs a second (more is better)", 0),
            ("cpu_ms", "processor time a job, ms (less is better)", 1),
        )
    }


def _pairs(found: race.Report) -> Iterator[tuple[race.Cell, race.Cell]]:
    """Yield each load's cells, ours and the peer's."""
    for ours in found.cells:
        if ours.side == "decibus":
            yield ours, _cell(found, "peer", ours.work, ours.size, ours.clients)


def _race(found: race.Report) -> str:
    rows = [
        (
            cells[0].size,
            cells[0].work,
            cells[0].clients,
            *(_pair(cells, *each) for each in _COLUMNS),
        )
        for cells in _pairs(found)
    ]
    head = ("size", "work", "clients", "jobs/s", "p50, ms", "p99, ms", "CPU a job, ms", "peak, MB")
    return f"""## Beside FastAPI, Celery and Redis

The same job on both sides: an upload that nobody has sent before, 202 and a token, its result by a long poll. Everything but the measuring itself is real; the worker reads
the file to its end, takes no (`noop`) or 5 ms (`cpu5`) of processor time, and gives back a measurement. [The peer](../bench/peer/README.md) is the common design done well.
Each cell: decibus / peer, and how many times as much.

{table(head, rows)}
![jobs a second, 200 kB](performance/200kB-per-s.svg)
![processor time a job, 200 kB](performance/200kB-cpu-ms.svg)
![jobs a second, 10 MB](performance/10MB-per-s.svg)
![processor time a job, 10 MB](performance/10MB-cpu-ms.svg)

Where our processor time goes, in ms a job:

{_by_process(found)}
{_newest(found)}Not in these figures, on our side: that reports expire, a quarter of an hour later, and the recorder, which the peer has no like of. Redis writes nothing to disk
here; nats-server writes all, and from 2.10 on, as configured, syncs it before it answers.
"""


def _newest(found: race.Report) -> str:
    if not found.newest:
        return ""
    rows = [
        (
            each.side,
            each.size,
            f"{each.per_s:.0f}",
            f"{each.cpu_ms:.1f}",
            f"{each.cpu_by_name['nats-server']:.1f}",
        )
        for each in found.newest
        + [_cell(found, "decibus", each.work, each.size, each.clients) for each in found.newest]
    ]
    named = [(side if side != "decibus" else found.brokers[side], *rest) for side, *rest in rows]
    head = ("server", "size", "jobs/s", "CPU a job, ms", "of it nats-server, ms")
    return f"""The same on the newest nats-server, without work, eight clients. It syncs each message before it answers, and rewrites and syncs the block around each that is overwritten
([ADR 12](adr/0012-erase-by-sequence.md)): here the [key of the audio](adr/0040-audio-is-erased-with-its-key.md). 2.9 writes over it in place:

{table(head, named)}
"""


_COLUMNS: Final = (("per_s", 0), ("p50_ms", 1), ("p99_ms", 1), ("cpu_ms", 2), ("peak_mb", 0))


def _pair(cells: tuple[race.Cell, race.Cell], what: str, digits: int) -> str:
    ours, theirs = (getattr(cell, what) for cell in cells)
    return f"{ours:.{digits}f} / {theirs:.{digits}f} ({ours / theirs:.2f})"


def _by_process(found: race.Report) -> str:
    ours = [cell for cell in found.cells if cell.side == "decibus"]
    names = list(ours[0].cpu_by_name)
    rows = [
        (cell.size, cell.work, cell.clients, *(f"{cell.cpu_by_name[name]:.2f}" for name in names))
        for cell in ours
    ]
    return table(("size", "work", "clients", *names), rows)


def _idle_and_crash(found: race.Report) -> str:
    waits = [
        (each.by, each.side, f"{each.p50_ms:.1f}", f"{each.p99_ms:.1f}") for each in found.idle
    ]
    crashes = [
        (each.side, each.unfinished, "" if each.all_done_s is None else f"{each.all_done_s:.1f}")
        for each in found.crashes
    ]
    return f"""### Idle to result

One upload of 200 kB each {race.EVERY_S:g} s, from its first byte to the result, in ms:

{table(("by", "", "p50", "p99"), waits)}
### A worker killed

{race.CRASH_JOBS} jobs of {race.CRASH_WORK_MS:g} ms; `kill -9` of the worker and its children when {race.CRASH_PART:.0%} are done, started again a second later; how many are
unfinished {race.CRASH_WAIT_S:g} s after that, and else after how many seconds all were done:

{table(("", "unfinished", "all done, s"), crashes)}"""


def _conversion(found: transcoder.Report) -> str:
    rows = [
        (
            "the step, in a warm sandbox",
            found.ours_cpu_ms,
            f"{found.times_ffmpeg:.2f}",
            found.ours_ms,
        )
    ]
    more = ""
    if (service := found.service) is not None:
        rows.append(
            (
                "the service, `POST /transcode`",
                service.cpu_ms,
                f"{service.times_ffmpeg:.2f}",
                service.ms,
            )
        )
        parts = ", ".join(f"{name} {ms:.0f}" for name, ms in service.cpu_by_name.items())
        more = (
            f"\nOf the service's time, in ms: {parts}. Eight clients at once get"
            f" {service.eight_at_once:.2f} times the conversions a second of one."
        )
    head = ("", "CPU, ms", "times ffmpeg's", "on the clock, ms")
    return f"""## A conversion

{found.seconds:g} s of WAV to MP3 at 32 kHz and 320 kb/s, beside `ffmpeg` {found.ffmpeg} doing the same ({found.ffmpeg_cpu_ms:.0f} ms of processor time, its start included). Two
conversions at once in two slots are {found.two_at_once:.2f} times as fast as one after the other.

{table(head, rows)}{more}
"""


def _files(found: files.Report, boxed: sandbox.Report) -> str:
    rows = [
        (row.kind, f"{row.ours_ms:.0f}", f"{row.ffmpeg_ms:.0f}", f"{row.times_ours:.1f}")
        for row in found.rows
    ]
    return f"""## From a file to its measurement

{found.seconds:g} s of stereo music: processor time in ms, ours with every measure, `ffmpeg -af ebur128=peak=true` {found.ffmpeg} beside it.

{table(("", "ours", "ffmpeg", "times ours"), rows)}
A child in the sandbox adds {boxed.inside_cpu_ms - boxed.beside_cpu_ms:.0f} ms to a file; two files at once are {boxed.two_children_speedup:.2f} times as fast in two children,
{boxed.two_threads_speedup:.2f} times in two threads.
"""


def _meters(found: dsp.Report) -> str:
    signals = list(dict.fromkeys(row.signal for row in found.rows if row.signal != "worst"))
    kinds = list(dict.fromkeys(row.what for row in found.rows if row.signal != "worst"))
    by = {(row.signal, row.what): row for row in found.rows}
    rows = [
        (
            what,
            *(
                f"{row.ms:.0f} ({row.times_ours:.1f} ×)" if (row := by.get((signal, what))) else ""
                for signal in signals
            ),
        )
        for what in kinds
    ]
    return f"""## Meters

{found.seconds:g} s of 48 kHz stereo in memory, processor time in ms on one core; in brackets: times ours ([what is compared with what](measurements.md#how-fast)).

{table(("", *signals), rows)}"""


def _speech(found: transcriber.Report) -> str:
    rows = [
        (row.files, row.way, f"{row.seconds:.2f}", f"{row.grown_mb:.0f}", row.words)
        for row in found.rows
    ]
    return f"""## Speech

The model `{found.model}`, two inferences at once: seconds on the clock, by how much memory grew, words heard. `raw` is faster-whisper as its README says.

{table(("", "way", "s", "MB more", "words"), rows)}"""


def _store(found: blobs.Report) -> str:
    rows = [
        (
            f"{row.megabytes} MB",
            *(f"{speed:.0f}" for speed in (row.put, row.nats_py_put, row.get, row.nats_py_get)),
            f"{row.get_ratio:.1f}",
        )
        for row in found.rows
    ]
    head = ("object", "put", "nats-py's put", "fetch", "nats-py's get", "ratio of the gets")
    return f"""## The object store

MB/s, nats-server {found.server}:

{table(head, rows)}"""


if __name__ == "__main__":
    PLOTS.mkdir(exist_ok=True)
    for path, text in written().items():
        path.write_text(text)
        print(f"written: {path.relative_to(ROOT)}")
