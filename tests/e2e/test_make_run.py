"""`make run`: one command starts all of it, serves it, and leaves nothing behind."""

import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from services.gateway.rpc import COMMAND
from tests.e2e.conftest import MakeRun, report
from tests.processes import ROOT, family, free_port, wait_for
from tests.signals import encode, sine
from tests.speech import say, silence, wav

TONE = encode(sine(5.0, -23.0), 48_000, "wav16")
MEASURED = ("audio", "loudness", "peak", "spectrum", "stereo", "dc_offset", "silence", "sha256")


@pytest.fixture
def folder(var: Path) -> Path:
    """A user's folder with a file in it."""
    (var.parent / "take.wav").write_bytes(TONE)
    return var.parent


def shell(command: str, folder: Path) -> Any:
    """Run a command line as a user would, and read the JSON that it prints."""
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, check=True)
    return msgspec.json.decode(done.stdout)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.espeak
def test_curl_gets_a_true_report_and_ctrl_c_leaves_nothing(make_run: MakeRun, folder: Path) -> None:
    spoken = wav(silence(0.5), say("seven three nine"), silence(0.5))
    (folder / "spoken.wav").write_bytes(spoken.read())

    tone = shell(f"curl -sf -F file=@take.wav {make_run.url}/analyze", folder)
    digits = shell(f"curl -sf -F file=@spoken.wav {make_run.url}/analyze", folder)

    assert tone["loudness"]["integrated_lufs"] == pytest.approx(-22.99, abs=0.02)
    assert tone["peak"]["true_peak_dbtp"] == pytest.approx(-23.0, abs=0.1)
    assert tone["transcription"] == ""
    assert digits["transcription"].lower().split() == ["seven", "three", "nine"]
    assert httpx.get(f"{make_run.url}/").status_code == 200
    assert f"curl -F file=@take.wav {make_run.url}/analyze" in make_run.printed

    make_run.ctrl_c()

    assert "Traceback" not in make_run.printed
    assert not is_open(make_run.http_port)
    assert not is_open(make_run.nats_port)


@pytest.mark.natscli
def test_the_printed_nats_command_gives_the_same_measurements(
    make_run: MakeRun, folder: Path, nats_cli: Path
) -> None:
    by_http = shell(f"curl -sf -F file=@take.wav {make_run.url}/analyze", folder)
    command = COMMAND.replace("nats ", f"{nats_cli} -s nats://127.0.0.1:{make_run.nats_port} ", 1)

    by_nats = shell(command, folder)

    assert {name: by_nats[name] for name in MEASURED} == {name: by_http[name] for name in MEASURED}
    assert COMMAND.removeprefix("nats ") in make_run.printed


def test_a_second_run_is_quick_and_still_has_the_reports(make_run: MakeRun, var: Path) -> None:
    files = {"file": ("take.wav", TONE)}
    first = report(httpx.post(f"{make_run.url}/analyze", files=files, timeout=60))
    make_run.ctrl_c()

    start = time.monotonic()
    again = MakeRun(var, http_port=free_port(), nats_port=free_port())
    try:
        again.until_ready()
        took_s = time.monotonic() - start
        kept = report(httpx.get(f"{again.url}/result/{first['token']}"))
    finally:
        again.ctrl_c()

    assert took_s < 10
    assert kept == first


def test_a_transcoder_for_each_job_runs_while_there_is_one_and_no_longer(var: Path) -> None:
    run = MakeRun(var, http_port=free_port(), nats_port=free_port(), TRANSCODER_MODE="job")
    try:
        run.until_ready()

        answers = [
            httpx.post(
                f"{run.url}/transcode",
                files={"file": ("take.wav", encode(sine(seconds, -23.0), 48_000, "wav16"))},
                data={"extension": "flac"},
                timeout=60,
            )
            for seconds in (1.0, 2.0)
        ]

        assert [answer.status_code for answer in answers] == [200, 200]
        assert all(answer.content.startswith(b"fLaC") for answer in answers)
        wait_for(lambda: not transcoders(run), within_s=20, what="all have ended")
        assert run.printed.count('"one_job_ended"') == run.printed.count('"worker_started"') == 2
    finally:
        run.ctrl_c()


def test_with_nats_users_everything_works_and_nobody_else_gets_in(var: Path) -> None:
    ways = {"NATS_SECURE": "true", "TRANSCODER_MODE": "job"}
    run = MakeRun(var, http_port=free_port(), nats_port=free_port(), **ways)
    users = var / "nats" / "users"
    try:
        run.until_ready()

        files = {"file": ("take.wav", TONE)}
        measured = httpx.post(f"{run.url}/analyze", files=files, timeout=60)
        asked = {"extension": "flac"}
        converted = httpx.post(f"{run.url}/transcode", files=files, data=asked, timeout=60)
        smoke = f". {users}/client.env; {sys.executable} {ROOT}/charts/decibus/files/smoke.py"
        by_nats = subprocess.run(["bash", "-c", smoke], cwd=var, check=False, timeout=60)
        with socket.create_connection(("127.0.0.1", run.nats_port), timeout=10) as stranger:
            stranger.sendall(b"CONNECT {}\r\nPING\r\n")
            greeting = b"".join(iter(partial(stranger.recv, 4096), b""))

        assert report(measured)["status"] == "done"
        assert converted.content.startswith(b"fLaC")
        assert by_nats.returncode == 0
        assert b'"tls_required":true' in greeting
        assert b"PONG" not in greeting
        assert "ermissions" not in run.printed
        assert f". {users}/client.env; nats request audio.process" in run.printed
        secret = [users, var / "nats" / "nats-server.conf"]
        assert [path.stat().st_mode & 0o077 for path in secret] == [0, 0]
    finally:
        run.ctrl_c()


def transcoders(run: MakeRun) -> list[int]:
    """Return the processes that convert now."""
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in family(run.process.pid)}
    return [pid for pid, command in commands.items() if b"services.transcoder" in command]
