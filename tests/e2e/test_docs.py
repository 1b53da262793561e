"""
The documentation is true: its commands run, its tables are the code's, its links lead somewhere.

A line `# prints …` in a shell block of the README quotes a piece of what the block prints.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, get_args

import httpx
import msgspec
import pytest

from decibus import errors, jobs
from decibus.errors import BadRequest, DecibusError, Refused, Unavailable
from decibus.messages import AnalyzeOptions, Fault, Measurement
from decibus.references import load_references
from decibus.settings import WorkerSettings
from decibus.topology import BUCKETS, JOURNALS, LOGS, QUEUES, STORES
from decibus.worker import StepTimeout
from laptop.__main__ import Settings as LaptopSettings
from services.analyzer.settings import Settings as AnalyzerSettings
from services.gateway import guards, problem
from services.gateway.browser import SCRIPTED
from services.gateway.dead import DeadSettings
from services.gateway.report import Report
from services.gateway.settings import Settings as GatewaySettings
from services.gateway.updates import Update
from services.gateway.uploads import Retention
from services.gateway.webhooks import read_schedule, read_secrets, signed
from services.gateway.wishes import read_wishes
from services.recorder.settings import Settings as RecorderSettings
from services.transcoder.settings import Settings as TranscoderSettings
from services.transcriber.settings import Settings as TranscriberSettings
from tests.e2e.conftest import MakeRun
from tests.processes import ROOT, free_port, wait_for
from tests.signals import encode, music, sine

README: Final = (ROOT / "README.md").read_text()
ARCHITECTURE: Final = (ROOT / "docs" / "architecture.md").read_text()
MEASUREMENTS: Final = (ROOT / "docs" / "measurements.md").read_text()
OPERATIONS: Final = (ROOT / "docs" / "operations.md").read_text()
LIVE: Final = (ROOT / "docs" / "live.md").read_text()
PAGE: Final = (ROOT / "docs" / "page.md").read_text()
WEBHOOKS: Final = (ROOT / "docs" / "webhooks.md").read_text()
SECURITY: Final = (ROOT / "docs" / "security.md").read_text()
VERDICT: Final = (ROOT / "decibus" / "verdict.py").read_text()
RULES: Final = re.compile(r'(?:_ok|_note|_warn|say)\(\s*"\w+"')
PAGES: Final = (ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md")))


def section(page: str, heading: str) -> str:
    """Return what stands under a heading, with its subsections."""
    depth, lines, is_fenced = len(heading.partition(" ")[0]), page.splitlines(), False
    start = end = lines.index(heading) + 1
    for line in lines[start:]:
        is_fenced ^= line.startswith("```")
        if not is_fenced and re.match(rf"#{{1,{depth}}} ", line):
            break
        end += 1
    return "\n".join(lines[start:end])


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def rows(text: str) -> list[list[str]]:
    """Return the cells of the tables, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    ruled = [number for number, row in enumerate(cells) if set("".join(row)) <= set("-: ")]
    heads = {each for number in ruled for each in (number, number - 1)}
    return [row for number, row in enumerate(cells) if number not in heads]


def flat(page: str) -> str:
    """Return a page without its line breaks."""
    return " ".join(page.split())


# Commands, against one pipeline.

USE_IT: Final = blocks(section(README, "## Use it"), "sh")
INSPECT: Final = blocks(section(OPERATIONS, "## Seeing it with the `nats` command"), "sh")
RUNBOOKS: Final = blocks(section(OPERATIONS, "## Runbooks"), "sh")


def commands(page: list[str]) -> list[Any]:
    """Return each block as a test's parameter."""
    assert page, "there are none"
    return [
        pytest.param(block, marks=[pytest.mark.natscli] if "nats " in block else [], id=str(number))
        for number, block in enumerate(page)
    ]


class Pipeline(MakeRun):
    """`make run`, and the folder of a user with two files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "var", http_port=free_port(), nats_port=free_port())
        self.folder = folder
        (folder / ".venv").symlink_to(sys.prefix)  # as in a checkout
        (folder / "take.wav").write_bytes(encode(music(5.0), 48_000, "wav16"))
        (folder / "other.flac").write_bytes(encode(sine(3.0, -20.0), 48_000, "flac"))


@pytest.fixture(scope="module")
def pipeline() -> Iterator[Pipeline]:
    """Start one pipeline for all commands."""
    folder = Path(tempfile.mkdtemp(prefix="decibus-docs-"))
    run = Pipeline(folder)
    try:
        run.until_ready()
        yield run
    finally:
        if run.process.poll() is None:
            run.ctrl_c()
        shutil.rmtree(folder)


def shell(block: str, pipeline: Pipeline, tools: Path | None = None) -> str:
    """Run a block in the user's folder, with the ports of the test, and `make` in the checkout."""
    env = os.environ | {"NATS_URL": f"nats://127.0.0.1:{pipeline.nats_port}"}
    if tools:
        env["PATH"] = f"{tools}{os.pathsep}{env['PATH']}"
    here = block.replace("127.0.0.1:8000", f"127.0.0.1:{pipeline.http_port}")
    script = re.sub(r"\bmake (?=[a-z])", f"make --no-print-directory -C {ROOT} ", here)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=pipeline.folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def promises(block: str) -> list[str]:
    return re.findall(r"^# prints (.+)$", block, re.MULTILINE)


@pytest.mark.parametrize("block", commands(USE_IT))
def test_a_command_of_the_readme_prints_what_it_promises(
    pipeline: Pipeline, block: str, request: pytest.FixtureRequest
) -> None:
    wants_nats = "nats " in block
    tools = request.getfixturevalue("nats_cli").parent if wants_nats else None

    printed = shell(block, pipeline, tools)

    assert promises(block)
    for promise in promises(block):
        assert promise in printed


@pytest.mark.parametrize("block", commands(INSPECT))
def test_a_command_of_the_operations_page_runs(
    pipeline: Pipeline, block: str, nats_cli: Path
) -> None:
    with (pipeline.folder / "take.wav").open("rb") as take:
        httpx.post(f"{pipeline.url}/analyze", files={"file": take}, timeout=60)

    shell(block, pipeline, nats_cli.parent)


@pytest.mark.parametrize("block", commands(RUNBOOKS))
def test_a_command_of_a_runbook_runs(pipeline: Pipeline, block: str) -> None:
    httpx.post(f"{pipeline.url}/analyze", files={"file": b"no audio"}, timeout=60)
    wait_for(lambda: "not_audio" in shell("make dead", pipeline), within_s=10, what="a dead letter")

    printed = shell(block, pipeline)

    assert "not_audio" in printed
    assert "dropped" in printed


# Tables.


def test_the_printed_topology_is_the_real_one() -> None:
    real = subprocess.check_output([sys.executable, "-m", "decibus.topology"], cwd=ROOT, text=True)

    assert blocks(section(ARCHITECTURE, "## Topology"), "text") == [real]


def test_the_room_that_jetstream_needs_is_told() -> None:
    reserved = sum(asset.max_bytes for asset in (*BUCKETS, *STORES, *LOGS, *JOURNALS)) / 2**30
    reserved += sum(store.max_seal_bytes for store in STORES) / 2**30

    assert f"{reserved:.1f} GiB are reserved" in flat(OPERATIONS)
    assert f"reserve {reserved:.1f} GiB" in flat(ARCHITECTURE)


def test_the_timings_of_a_job_are_the_real_ones() -> None:
    told = {
        row[0].strip("`"): row[1] for row in rows(section(ARCHITECTURE, "## The life of a job"))
    }

    for queue in QUEUES.values():
        assert told == {
            "ack_wait": seconds(queue.ack_wait),
            "lease": seconds(queue.lease),
            "heartbeat": seconds(queue.heartbeat),
            "MAX_ATTEMPTS": str(jobs.MAX_ATTEMPTS),
            "max_deliver": str(queue.max_deliver),
        }


def seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():g} s"


def test_every_make_target_that_is_named_exists() -> None:
    targets = re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    pages = "\n".join(page.read_text() for page in PAGES)
    named = re.findall(r"(?:`|\(|^)make ([a-z0-9-]+)", pages, re.MULTILINE)

    assert {"run", "test", "chaos", "dead"} <= set(named)
    assert set(named) <= set(targets)


def test_every_setting_is_told_with_its_default_and_who_reads_it() -> None:
    told = {
        variable.strip("`"): (set(readers.split(", ")), default.strip("`"))
        for variable, readers, default, _ in rows(section(README, "## Configuration"))
    }
    readers: dict[str, set[str]] = defaultdict(set)
    inherited = {field.name for field in msgspec.structs.fields(WorkerSettings)}

    for reader, settings in (
        ("gateway", GatewaySettings),
        ("workers", WorkerSettings),
        ("analyzer", AnalyzerSettings),
        ("transcriber", TranscriberSettings),
        ("recorder", RecorderSettings),
        ("transcoder", TranscoderSettings),
        ("make run", LaptopSettings),
        ("make dead", DeadSettings),
    ):
        for field in msgspec.structs.fields(settings):
            if reader in {"analyzer", "transcriber", "transcoder"} and field.name in inherited:
                continue
            is_renamed = field.encode_name != field.name
            variable = field.encode_name if is_renamed else field.name.upper()
            readers[variable].add(reader)
            default = told[variable][1]
            if field.default is None:
                assert not default
            elif str(field.default).startswith(str(ROOT)):
                assert ROOT / default == Path(field.default)
            else:
                assert msgspec.convert(default, field.type, strict=False) == field.default

    assert {variable: names for variable, (names, _) in told.items()} == readers


def test_every_number_of_a_measurement_is_told_with_a_test_that_is_there() -> None:
    tables = re.findall(r"^\| field .*(?:\n\|.*)+", MEASUREMENTS, re.MULTILINE)
    table = rows("\n".join(tables))
    told = {name for row in table for name in re.findall(r"`([\w.]+)`", " ".join(row[:2]))}
    tests = {name for row in table for name in re.findall(r"`(\w+/test_\w+\.py)`", row[-1])}

    assert [path for path in paths(Measurement) if told.isdisjoint(named(path))] == []
    assert [name for name in tests if not (ROOT / "tests" / name).exists()] == []
    assert all(re.search(r"`\w+/test_\w+\.py`", row[-1]) for row in table)


def paths(kind: Any) -> list[str]:
    """Return the fields of a Struct and of those in it, as they stand in the report."""
    found = []
    for field in msgspec.structs.fields(kind):
        inner = [each for each in (field.type, *get_args(field.type)) if is_struct(each)]
        found += [f"{field.name}.{path}" for each in inner for path in paths(each)]
        found += [] if inner else [field.name]
    return found


def is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def named(path: str) -> set[str]:
    """Return how a field may be named: by itself, or with, or by, what it is part of."""
    parts = path.split(".")
    return {parts[-1], *(".".join(parts[: n + 1]) for n in range(len(parts)))} - {
        "loudness",
        "peak",
    }


def test_every_option_is_told() -> None:
    told = {row[0].strip("`") for row in rows(section(README, "### Options"))}

    with pytest.raises(BadRequest) as refused:
        read_wishes({"?": ""}, load_references())

    assert told == set(str(refused.value).partition("there are ")[2].split(", "))


def test_every_genre_and_target_is_told() -> None:
    meanings = {row[0].strip("`"): row[3] for row in rows(section(README, "### Options"))}
    references = load_references()

    genres = re.findall(r"`([^`]+)`", meanings["genre"])
    targets = re.findall(r"`([^`]+)`", meanings["target"])

    assert genres == list(references.profiles)
    assert targets == [target.name for target in references.targets]


def test_every_rule_of_a_verdict_is_told() -> None:
    page = (ROOT / "docs" / "measurements.md").read_text()
    (row,) = (row for row in rows(page) if row[0] == "`verdict[]`")
    told = row[1].partition("`level`")[0]

    said = re.findall(r'"(\w+)"[,)]?', "".join(RULES.findall(VERDICT)))

    assert set(re.findall(r"`([\w.<>]+)`", told)) - {"rule"} == {*said, "balance.<band>"}


def test_every_retention_is_told() -> None:
    heading = '## Retention, and what "erased" means'
    (option,) = (row for row in rows(section(README, "### Options")) if row[0] == "`retention`")

    told = [row[0].strip("`") for row in rows(section(ARCHITECTURE, heading))]

    assert told == list(Retention)
    assert re.findall(r"`(\w+)`:", option[3]) == told


def test_every_error_code_is_told_with_its_status() -> None:
    told = {(int(row[0]), row[1].strip("`")) for row in rows(section(README, "### Errors"))}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    raised = {(kind.status, kind.code) for kind in kinds if issubclass(kind, Refused | Unavailable)}
    answered = {
        (answer.status, answer.code)
        for answer in (
            problem.internal(),
            problem.of_status(405, ""),
            problem.of_fault(fault_of_a_job_whose_workers_all_died()),
            problem.of_fault(Fault(code=StepTimeout.code, detail="")),
            problem.of_error(DecibusError()),
        )
    }

    assert told == raised | answered


def fault_of_a_job_whose_workers_all_died() -> Fault:
    now, lease = datetime.now(UTC), timedelta(seconds=1)
    job = jobs.open_job("key", AnalyzeOptions(), blob="blob", siblings=(), now=now)
    while job.fault is None:
        now += lease
        job = jobs.claim(job, owner="worker", now=now, lease=lease)
    return job.fault


def test_the_example_is_a_report() -> None:
    (example,) = blocks(section(README, "### A report"), "json")
    names = set(msgspec.json.decode(example))

    msgspec.json.decode(example, type=Report)

    assert names == {field.name for field in msgspec.structs.fields(Report)}


def test_every_log_event_is_told() -> None:
    told = {row[0].strip("`") for row in rows(section(OPERATIONS, "## Logs"))}
    sources = [path for name in ("decibus", "services") for path in (ROOT / name).rglob("*.py")]
    call = re.compile(r'\b(?:log\.(?:debug|info|warning|error|exception)|tell)\(\s*"([^"]+)"')

    logged = {event for path in sources for event in call.findall(path.read_text())}

    assert told == logged


def test_every_guard_is_told_in_the_order_in_which_they_act() -> None:
    told = [row[:2] for row in rows(section(ARCHITECTURE, "## Guards"))]

    acting = re.findall(r"^    (\w+) +(\d{3}) ", guards.__doc__ or "", re.MULTILINE)

    assert told == [list(guard) for guard in acting]


def test_every_field_of_a_live_message_is_told() -> None:
    told = {row[0].strip("`") for row in rows(LIVE.partition("The first message")[0])}
    (example,) = blocks(LIVE, "json")

    msgspec.json.decode(example, type=Update)

    assert told == {field.name for field in msgspec.structs.fields(Update)}


def test_the_policy_of_the_page_is_the_real_one() -> None:
    (told,) = re.findall(r"^default-src[^`]+", PAGE, re.MULTILINE)
    elsewhere = " https://api.example.com wss://api.example.com"

    assert read_policy(told.replace(elsewhere, "")) == read_policy(
        SCRIPTED["Content-Security-Policy"]
    )
    assert elsewhere in told


def read_policy(text: str) -> dict[str, str]:
    parts = [part.split(maxsplit=1) for part in text.split(";")]
    return {directive: sources.strip() for directive, sources in parts}


def test_the_receivers_check_of_a_webhook_accepts_ours_and_no_other() -> None:
    (check,) = blocks(WEBHOOKS, "python")
    receiver: dict[str, Any] = {}
    exec(check, receiver)  # noqa: S102 - it is ours
    old, new = "b2xkIHNlY3JldA==", "bmV3IHNlY3JldA=="
    body = b'{"status":"done"}'

    keys = read_secrets(f"whsec_{new} whsec_{old}")
    headers = signed("msg_1", body, keys=keys, now=datetime.now(UTC))

    assert {row[0].strip("`") for row in rows(WEBHOOKS) if row[0].startswith("`")} == set(headers)
    assert receiver["is_genuine"](new, headers, body)
    assert receiver["is_genuine"](old, headers, body)
    assert not receiver["is_genuine"](new, headers, body + b" ")
    assert not receiver["is_genuine"]("b3RoZXI=", headers, body)


@pytest.mark.parametrize("page", [WEBHOOKS, OPERATIONS], ids=["webhooks", "operations"])
def test_the_attempts_of_a_webhook_are_the_real_ones(page: str) -> None:
    waits = [wait.total_seconds() for wait in read_schedule(GatewaySettings().webhook_retries)]
    units = {3600: "h", 60: "min", 1: "s"}
    told = [
        next(f"{wait / size:g} {unit}" for size, unit in units.items() if wait >= size)
        for wait in waits
    ]

    assert f"tried again after {', '.join(told[:-1])} and {told[-1]}" in flat(page)


def test_every_promise_of_the_security_page_names_tests_that_are_there() -> None:
    promises = rows(section(SECURITY, "## Doors"))
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^(?:async )?def (test_\w+)", sources, re.MULTILINE))

    named = [set(re.findall(r"`(test_\w+)`", row[-1])) for row in promises]

    assert all(named), "each has a test"
    assert set().union(*named) - there == set()


# Links.


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())

    for link in links:
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """Return what headings can be linked by, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
