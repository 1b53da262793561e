"""What a child may not do, and what becomes of a file over which it dies."""

import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from decibus.confinement import MIN_MEMORY_BYTES, Limits, landlock_version
from decibus.errors import BadAudio, NotAudio, Refused, Superseded, TooLong, Unavailable
from decibus.messages import AnalyzeOptions, Transcript
from decibus.progress import Progress
from decibus.sandbox import Sandbox, StepFailed, Stream
from tests import steps
from tests.processes import ROOT, family, wait_for

LIMITS = Limits(cpu_s=1, wall_s=30.0, memory_bytes=MIN_MEMORY_BYTES)
HASTY = Limits(wall_s=0.7)
PATIENT = Limits(wall_s=60.0)

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's means are Linux's")
with_landlock = pytest.mark.skipif(landlock_version() < 6, reason="Linux before 6.12")


def a_sandbox(
    step: str = "tests.steps:obey", *, warm: str = "tests.steps:warm", limits: Limits = LIMITS
) -> Sandbox[Transcript]:
    return Sandbox(step, warm=warm, returns=Transcript, limits=limits)


@contextmanager
def started(
    limits: Limits = LIMITS, step: str = "tests.steps:obey"
) -> Iterator[Sandbox[Transcript]]:
    sandbox = a_sandbox(step, limits=limits)
    sandbox.start()
    try:
        yield sandbox
    finally:
        sandbox.close()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox[Transcript]]:
    with started() as running:
        yield running


@pytest.fixture(scope="module")
def hasty() -> Iterator[Sandbox[Transcript]]:
    with started(HASTY) as running:
        yield running


def obeyed(
    sandbox: Sandbox[Transcript], order: str, progress: Callable[[float], None] = lambda _: None
) -> str:
    """Have a child do what the order says; returns what it answers."""
    with tempfile.TemporaryFile() as file:
        file.write(order.encode())
        return sandbox.run(file, AnalyzeOptions(), progress).text


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def children(nursery: int) -> set[int]:
    return family(nursery) - {nursery}


# How a child ends.


def test_each_file_has_a_child_of_its_own(sandbox: Sandbox[Transcript]) -> None:
    first, second = (obeyed(sandbox, "who").split() for _ in range(2))

    assert first[0] != second[0]
    assert first[1] == second[1] != str(os.getpid())


@pytest.mark.parametrize("kind", [NotAudio, BadAudio, TooLong])
def test_a_refusal_in_the_child_is_the_same_refusal_here(
    sandbox: Sandbox[Transcript], kind: type[Refused]
) -> None:
    with pytest.raises(kind, match=r"^the words of it$"):
        obeyed(sandbox, f"refuse {kind.code} the words of it")


def test_a_bug_in_the_child_comes_with_its_traceback(sandbox: Sandbox[Transcript]) -> None:
    with pytest.raises(StepFailed, match=r"(?s)Traceback.*in fail.*ZeroDivisionError: 1770"):
        obeyed(sandbox, "fail 1770")


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (f"end_by {signal.SIGABRT:d}", r"its decoder crashed \(SIGABRT\)"),
        ("crash", r"its decoder crashed \(SIG(SEGV|BUS)\)"),
        ("leave 0", r"its decoder crashed \(status 0\)"),
        ("leave 3", r"its decoder crashed \(status 3\)"),
        ("spin", "it takes more than 1 s of processor time to decode"),
    ],
)
def test_a_file_that_ends_its_child_is_refused(
    sandbox: Sandbox[Transcript], order: str, reason: str
) -> None:
    with pytest.raises(BadAudio, match=f"^{reason}$"):
        obeyed(sandbox, order)

    assert obeyed(sandbox, "count 1") == "1"


def test_a_child_that_somebody_kills_says_nothing_against_its_file(
    sandbox: Sandbox[Transcript],
) -> None:
    with pytest.raises(Unavailable, match="somebody killed the child"):
        obeyed(sandbox, f"end_by {signal.SIGKILL:d}")

    assert obeyed(sandbox, "count 1") == "1"


def test_a_file_that_takes_too_long_is_refused(hasty: Sandbox[Transcript]) -> None:
    with pytest.raises(BadAudio, match=r"^it takes more than 0.7 s to decode$"):
        obeyed(hasty, "sleep 60")


@on_linux
def test_a_file_that_takes_too_much_memory_is_refused(sandbox: Sandbox[Transcript]) -> None:
    with pytest.raises(BadAudio, match=r"^it takes more than 1024 MiB of memory to decode$"):
        obeyed(sandbox, "hog")


@on_linux
def test_who_ignores_the_limit_of_processor_time_is_killed_a_second_later(
    sandbox: Sandbox[Transcript],
) -> None:
    with pytest.raises(BadAudio, match="more than 1 s of processor time"):
        obeyed(sandbox, "spin_and_ignore")


@pytest.mark.parametrize(
    "said",
    [
        b"\xff" * 64,
        frame(b"{}"),
        frame(b'{"type":"told","fraction":1e9}'),
        frame(b'{"type":"refusal","code":"x","detail":"no"}'),
        frame(b'{"type":"bug","traceback":"' + b"x" * 30_000 + b'"}'),
        frame(b'{"type":"done","result":{"type":"analyze"}}'),
    ],
    ids=["endless", "nothing", "fraction", "code", "traceback", "result"],
)
def test_what_is_no_answer_is_the_files_fault(sandbox: Sandbox[Transcript], said: bytes) -> None:
    with pytest.raises(BadAudio, match=r"crashed|broken"):
        obeyed(sandbox, f"forge {said.hex()}")


def test_who_says_too_much_is_not_listened_to(
    sandbox: Sandbox[Transcript], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("decibus.sandbox._MAX_BYTES", 10_000)

    with pytest.raises(BadAudio, match=r"^its decoder was broken by it$"):
        obeyed(sandbox, "babble")


# Progress, and those who lose interest.


def test_progress_is_told_while_the_child_works(sandbox: Sandbox[Transcript]) -> None:
    heard: list[float] = []

    obeyed(sandbox, "count 20", heard.append)

    assert heard == sorted(heard)
    assert len(set(heard)) > 5
    assert 0.9 < heard[-1] <= 1.0


def test_a_lost_job_ends_its_child_at_once() -> None:
    progress = Progress()

    with started(PATIENT) as sandbox:
        nursery = int(obeyed(sandbox, "who").split()[1])
        threading.Timer(0.3, progress.stop).start()
        start = time.monotonic()

        with pytest.raises(Superseded):
            obeyed(sandbox, "sleep 60", progress)

        assert time.monotonic() - start < 1.5
        wait_for(lambda: not children(nursery), within_s=5, what="no child")


def test_several_files_are_worked_on_at_once(sandbox: Sandbox[Transcript]) -> None:
    answers: list[str] = []
    naps = [
        threading.Thread(target=lambda: answers.append(obeyed(sandbox, "sleep 0.5")))
        for _ in range(4)
    ]
    start = time.monotonic()

    for nap in naps:
        nap.start()
    for nap in naps:
        nap.join()

    assert answers == ["awake"] * 4
    assert time.monotonic() - start < 1.5


# Streams.


@pytest.fixture(scope="module")
def spring() -> Iterator[Sandbox[Transcript]]:
    with started(HASTY, "tests.steps:pour") as running:
        yield running


@contextmanager
def poured(
    sandbox: Sandbox[Transcript],
    order: str,
    progress: Callable[[float], None] = lambda _: None,
    *,
    max_bytes: int = 1 << 40,
) -> Iterator[Stream[Transcript]]:
    """Have a child stream what the order says."""
    with tempfile.TemporaryFile() as file:
        file.write(order.encode())
        with sandbox.stream(file, AnalyzeOptions(), progress, max_bytes=max_bytes) as stream:
            yield stream


def taken(
    stream: Iterable[bytes], into: list[bytes], then: Callable[[], object] = lambda: None
) -> None:
    """Take all pieces, and do something after each."""
    for piece in stream:
        into.append(piece)
        then()


def test_a_step_can_yield_bytes_before_its_result(spring: Sandbox[Transcript]) -> None:
    told: list[float] = []

    with poured(spring, "three", told.append) as stream:
        pieces = list(stream)

        assert stream.result.text == "poured"
    assert [len(piece) for piece in pieces] == [5, 1 << 20, 5, 1 << 20, 1 << 20, 5]
    assert b"".join(pieces) == b"".join(steps.three(lambda _: None))
    assert max(told) == pytest.approx(2 / 3)


def test_a_step_that_yields_nothing_is_like_any_other(spring: Sandbox[Transcript]) -> None:
    assert obeyed(spring, "emptiness count 1") == "1"


def test_who_is_slow_holds_the_child_up_and_the_clock_too(spring: Sandbox[Transcript]) -> None:
    with poured(spring, "clock") as stream:
        pieces = iter(stream)
        next(pieces)

        time.sleep(2 * HASTY.wall_s)
        woke = time.monotonic()
        made_at = [struct.unpack_from("d", next(pieces))[0] for _ in range(100)]

    assert sum(at < woke for at in made_at) * (1 << 16) <= 1 << 20
    assert made_at == sorted(made_at)


def test_a_file_that_trickles_takes_its_time_all_the_same(spring: Sandbox[Transcript]) -> None:
    pieces: list[bytes] = []

    with (
        poured(spring, "trickle") as stream,
        pytest.raises(BadAudio, match=r"^it takes more than 0.7 s to decode$"),
    ):
        taken(stream, pieces)

    assert pieces


@pytest.mark.parametrize(
    ("order", "kind", "reason"),
    [
        (f"three end_by {signal.SIGABRT:d}", BadAudio, "crashed .SIGABRT"),
        (f"three end_by {signal.SIGKILL:d}", Unavailable, "somebody killed the child"),
        ("three refuse too_long by a mile", TooLong, "by a mile"),
        ("three fail 1770", StepFailed, "ZeroDivisionError: 1770"),
        ("three sleep 60", BadAudio, "more than 0.7 s"),
        ("three forge " + b"\x80\0\0\0".hex(), BadAudio, "broken"),
        ("three forge " + b"\x80\x10\0\1".hex(), BadAudio, "broken"),
        ("three forge " + frame(b'{"type":"done","result":{}}').hex(), BadAudio, "broken"),
    ],
)
def test_what_ends_a_stream_comes_behind_all_of_it(
    spring: Sandbox[Transcript], order: str, kind: type[Exception], reason: str
) -> None:
    pieces: list[bytes] = []

    with poured(spring, order) as stream:
        with pytest.raises(kind, match=reason):
            taken(stream, pieces)
        with pytest.raises(RuntimeError, match="has not ended"):
            print(stream.result)  # noqa: T201 - it is not reached

    assert len(b"".join(pieces)) == (3 << 20) + 15


def test_a_child_that_is_killed_in_its_stream_says_nothing_against_its_file(
    spring: Sandbox[Transcript],
) -> None:
    nursery = int(obeyed(spring, "emptiness who").split()[1])

    def kill() -> None:
        for child in children(nursery):
            os.kill(child, signal.SIGKILL)

    with poured(spring, "clock") as stream, pytest.raises(Unavailable, match="somebody killed"):
        taken(stream, [], kill)


def test_a_flood_is_not_listened_to(spring: Sandbox[Transcript]) -> None:
    pieces: list[bytes] = []

    with (
        poured(spring, "clock", max_bytes=10 << 16) as stream,
        pytest.raises(BadAudio, match=r"^its decoder was broken by it$"),
    ):
        taken(stream, pieces)

    assert len(b"".join(pieces)) == 10 << 16


@on_linux
@pytest.mark.parametrize("how", ["stops", "raises", "is stopped", "never begins"])
def test_nothing_is_left_of_a_stream_whose_reader_goes_away(
    spring: Sandbox[Transcript], how: str
) -> None:
    nursery = int(obeyed(spring, "emptiness who").split()[1])
    wait_for(lambda: not children(nursery), within_s=5, what="no child")
    opened = set(Path("/proc/self/fd").iterdir())
    progress = Progress()

    with suppress(ZeroDivisionError, Superseded), poured(spring, "clock", progress) as stream:
        for number, _ in enumerate(stream if how != "never begins" else ()):
            if number == 10 and how == "stops":
                break
            if number == 10 and how == "raises":
                raise ZeroDivisionError
            if number == 10:
                progress.stop()

    wait_for(lambda: not children(nursery), within_s=5, what="no child")
    assert set(Path("/proc/self/fd").iterdir()) == opened


def test_a_nursery_that_dies_ends_its_streams() -> None:
    with started(PATIENT, "tests.steps:pour") as sandbox:
        nursery = int(obeyed(sandbox, "emptiness who").split()[1])

        with poured(sandbox, "trickle") as stream, pytest.raises(Unavailable, match="the nursery"):
            taken(stream, [], lambda: os.kill(nursery, signal.SIGKILL))

        assert int(obeyed(sandbox, "emptiness who").split()[1]) != nursery


# What a child has, and what it may do.


def test_a_child_has_its_file_and_its_line_and_nothing_else(sandbox: Sandbox[Transcript]) -> None:
    with socket.create_server(("127.0.0.1", 0)), tempfile.TemporaryFile():
        opened = obeyed(sandbox, "descriptors").split()

    assert opened[:3] == ["0", "1", "2"]
    assert len(opened) == 5


def test_a_child_knows_no_secret_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", "nats://user:secret@127.0.0.1")

    with started() as sandbox:
        names = obeyed(sandbox, "environment").split()

    assert "PATH" in names
    assert not {"NATS_URL", "API_KEYS"} & set(names)


@with_landlock
@pytest.mark.parametrize(
    "order", ["open_file /etc/passwd", "write_file /tmp/mine", "run_program /bin/true"]
)
def test_no_file_can_be_opened(sandbox: Sandbox[Transcript], order: str) -> None:
    with pytest.raises(StepFailed, match="PermissionError"):
        obeyed(sandbox, order)


@with_landlock
def test_no_connection_can_be_made(sandbox: Sandbox[Transcript]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as canary:
        with pytest.raises(StepFailed, match="PermissionError"):
            obeyed(sandbox, f"connect {canary.getsockname()[1]}")

        canary.setblocking(False)  # noqa: FBT003
        with pytest.raises(BlockingIOError):
            canary.accept()


@with_landlock
def test_nobody_else_can_be_signalled(sandbox: Sandbox[Transcript]) -> None:
    with pytest.raises(StepFailed, match="PermissionError"):
        obeyed(sandbox, f"signal_process {os.getpid()}")


@on_linux
def test_descriptors_are_few(sandbox: Sandbox[Transcript]) -> None:
    assert int(obeyed(sandbox, "open_many")) < 32


@on_linux
def test_limits_of_the_kernel_are_set(sandbox: Sandbox[Transcript]) -> None:
    limits = dict(line.split("=") for line in obeyed(sandbox, "limits").splitlines())

    assert limits == {
        "RLIMIT_AS": f"({MIN_MEMORY_BYTES}, {MIN_MEMORY_BYTES})",
        "RLIMIT_CORE": "(0, 0)",
        "RLIMIT_CPU": "(1, 2)",
        "RLIMIT_FSIZE": "(0, 0)",
        "RLIMIT_NOFILE": "(32, 32)",
        "RLIMIT_NPROC": "(0, 0)",
        "NoNewPrivs": "1",
    }


@on_linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_who_is_not_root_cannot_fork() -> None:
    nobodys = a_sandbox(warm="tests.steps:become_nobody")

    with closing(nobodys):
        assert obeyed(nobodys, "multiply") == "0 refused"
        assert obeyed(nobodys, "count 1") == "1"


@on_linux
@pytest.mark.skipif(os.geteuid() != 0, reason="nobody else can fork")
def test_a_fork_bomb_of_roots_does_not_outlive_its_file(hasty: Sandbox[Transcript]) -> None:
    nursery = int(obeyed(hasty, "who").split()[1])

    with pytest.raises(BadAudio, match=r"more than 0.7 s"):  # RLIMIT_NPROC does not bind root
        obeyed(hasty, "multiply")

    wait_for(lambda: like(nursery) == [nursery], within_s=5, what="the nursery alone")


def like(nursery: int) -> list[int]:
    """Return the processes with the nursery's command line: itself, its children and theirs."""
    line = Path(f"/proc/{nursery}/cmdline").read_bytes()

    def is_alike(process: Path) -> bool:
        try:
            return process.joinpath("cmdline").read_bytes() == line
        except OSError:
            return False

    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and is_alike(p)]


# Whose fault it is when it is not the file's.


def test_a_nursery_that_dies_is_the_worlds_fault_and_another_takes_its_place() -> None:
    with started(PATIENT) as sandbox:
        nursery = int(obeyed(sandbox, "who").split()[1])
        threading.Timer(0.3, os.kill, (nursery, signal.SIGKILL)).start()

        with pytest.raises(Unavailable):
            obeyed(sandbox, "sleep 60")

        assert int(obeyed(sandbox, "who").split()[1]) != nursery


def test_a_nursery_that_does_not_answer_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decibus.sandbox._SLACK_S", 0.2)
    monkeypatch.setattr("decibus.sandbox._BURIAL_S", 0.2)

    with started(Limits(wall_s=0.5)) as sandbox:
        nursery = int(obeyed(sandbox, "who").split()[1])
        os.kill(nursery, signal.SIGSTOP)

        with pytest.raises(Unavailable):
            obeyed(sandbox, "who")

        assert int(obeyed(sandbox, "who").split()[1]) != nursery


def test_a_nursery_that_cannot_fork_is_the_worlds_fault() -> None:
    sandbox = a_sandbox(warm="tests.steps:forbid_forks")

    with closing(sandbox), pytest.raises(Unavailable, match="cannot fork"):
        obeyed(sandbox, "who")


def test_a_step_that_cannot_be_loaded_is_told_at_the_start() -> None:
    sandbox = a_sandbox("tests.steps:nothing")

    with pytest.raises(Unavailable, match="did not start: exit status 1"):
        sandbox.start()


@pytest.mark.parametrize("moment", ["busy", "idle"])
def test_nothing_outlives_a_worker_that_is_killed(moment: str) -> None:
    nap = "60" if moment == "busy" else "0"
    script = f"""
import tempfile, time
from decibus.confinement import Limits
from decibus.messages import AnalyzeOptions, Transcript
from decibus.sandbox import Sandbox
step, warm = "tests.steps:obey", "tests.steps:warm"
sandbox = Sandbox(step, warm=warm, returns=Transcript, limits=Limits())
for order in ("who", "sleep {nap}"):
    with tempfile.TemporaryFile() as file:
        file.write(order.encode())
        print(sandbox.run(file, AnalyzeOptions(), lambda _: None).text, flush=True)
time.sleep(60)
"""
    worker = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    assert worker.stdout
    first, nursery = map(int, worker.stdout.readline().split())
    if moment == "busy":
        wait_for(lambda: children(nursery) - {first}, within_s=5, what="a child")
    else:
        assert worker.stdout.readline() == b"awake\n"
    all_of_it = family(nursery)

    worker.kill()
    worker.communicate()

    wait_for(lambda: not any(map(family, all_of_it)), within_s=5, what="all are gone")


@on_linux
def test_no_child_outlives_its_nursery() -> None:
    with started(PATIENT) as sandbox:
        first, nursery = map(int, obeyed(sandbox, "who").split())
        sleeper = threading.Thread(target=_endure, args=(sandbox, "sleep 60"))
        sleeper.start()
        wait_for(lambda: children(nursery) - {first}, within_s=5, what="a child")
        born = children(nursery)

        os.kill(nursery, signal.SIGKILL)

        wait_for(lambda: not any(map(family, born)), within_s=5, what="the child is gone")
        sleeper.join()


def _endure(sandbox: Sandbox[Transcript], order: str) -> None:
    with pytest.raises(Unavailable):
        obeyed(sandbox, order)
