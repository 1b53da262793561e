"""The NATS door: the same report, from a plain request and from the `nats` tool."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.aio.msg import Msg

from decibus.topology import AUDIO, PROCESS
from services.gateway.rpc import COMMAND
from tests.conftest import NatsServer
from tests.gateway.conftest import Pipeline, report
from tests.signals import encode, sine

TONE = encode(sine(3.0, -23.0), 48_000, "flac")
MEASURED = ("audio", "loudness", "peak", "spectrum", "stereo", "dc_offset", "silence", "sha256")


async def ask(pipeline: Pipeline, body: bytes, headers: Mapping[str, str] | None = None) -> Msg:
    connection = pipeline.broker.connection
    return await connection.request(PROCESS, body, timeout=30, headers=dict(headers or {}))


def decoded(message: Msg) -> Any:
    return msgspec.json.decode(message.data)


async def test_a_request_gets_the_same_report_as_http(pipeline: Pipeline) -> None:
    async with pipeline.workers():
        by_nats = decoded(await ask(pipeline, TONE, {"Genre": "pop", "Filename": "take.wav"}))
        by_http = report(await pipeline.analyze(TONE, genre="pop"))

    assert by_nats["status"] == "done"
    assert by_nats["loudness"]["integrated_lufs"] == pytest.approx(-22.99, abs=0.02)
    assert set(by_nats) == set(by_http)
    assert {name: by_nats[name] for name in MEASURED} == {name: by_http[name] for name in MEASURED}
    assert (by_nats["genre"], by_nats["filename"]) == ("pop", "take.wav")


async def test_requests_are_answered_side_by_side(pipeline: Pipeline) -> None:
    files = [encode(sine(1.0, level), 48_000, "wav16") for level in (-10.0, -20.0, -30.0)]
    only = {"Tasks": "loudness"}
    waiting = [asyncio.ensure_future(ask(pipeline, each, only)) for each in files]
    while await pipeline.messages("JOBS_ANALYZE") < len(files):  # noqa: ASYNC110
        await asyncio.sleep(0.01)

    async with pipeline.workers():
        reports = [decoded(each) for each in await asyncio.gather(*waiting)]

    levels = [each["loudness"]["integrated_lufs"] for each in reports]
    assert levels == pytest.approx([-9.99, -19.99, -29.99], abs=0.02)


async def test_an_object_of_the_store_is_taken_in(pipeline: Pipeline) -> None:
    js = pipeline.broker.connection.jetstream()
    await (await js.object_store(AUDIO.name)).put("mine.flac", TONE)

    async with pipeline.workers():
        answer = decoded(await ask(pipeline, b'{"object": "mine.flac"}'))
        missing = await ask(pipeline, b'{"object": "../../etc/passwd"}')

    assert answer["loudness"]["integrated_lufs"] == pytest.approx(-22.99, abs=0.02)
    assert answer["filename"] == "mine.flac"
    assert decoded(missing)["code"] == "not_found"


@pytest.mark.parametrize(
    ("body", "headers", "status", "code", "told"),
    [
        (b"no audio at all", {}, 415, "not_audio", ""),
        (b"", {}, 422, "bad_audio", COMMAND),
        (b"30", {}, 400, "bad_request", COMMAND),
        (b"30\n", {}, 400, "bad_request", COMMAND),
        (TONE, {"Tasks": "louder"}, 400, "bad_request", "louder"),
        (b"\0" * 2_000_001, {}, 413, "too_large", ""),
    ],
    ids=["text", "empty", "30", "30 and newline", "bad option", "too large"],
)
async def test_what_is_wrong_is_told_in_headers_and_body(  # noqa: PLR0913, PLR0917 - a table
    pipeline: Pipeline, body: bytes, headers: dict[str, str], status: int, code: str, told: str
) -> None:
    async with pipeline.workers():
        refused = await ask(pipeline, body, headers)

    problem = decoded(refused)
    assert refused.headers
    assert refused.headers["Nats-Service-Error-Code"] == str(status)
    assert refused.headers["Nats-Service-Error"] == problem["title"]
    assert (problem["status"], problem["code"]) == (status, code)
    assert told in problem["detail"]


async def test_a_wait_that_runs_out_answers_with_the_token(pipeline: Pipeline) -> None:
    waiting = decoded(await ask(pipeline, TONE, {"Wait": "0.1"}))

    assert waiting["status"] == "queued"
    later = await pipeline.http.get(f"/result/{waiting['token']}")
    assert report(later)["sha256"] == waiting["sha256"]


async def test_a_slow_request_does_not_hold_up_a_refusal(pipeline: Pipeline) -> None:
    slow = asyncio.ensure_future(ask(pipeline, TONE, {"Wait": "5"}))
    await asyncio.sleep(0.05)

    start = time.monotonic()
    await ask(pipeline, b"30")

    assert time.monotonic() - start < 1
    assert not slow.done()
    async with pipeline.workers():
        assert decoded(await slow)["status"] == "done"


async def nats(cli: Path, server: NatsServer, *arguments: str, stdin: bytes = b"") -> bytes:
    process = await asyncio.create_subprocess_exec(
        cli,
        "--server",
        server.url,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate(stdin)
    return printed


@pytest.mark.natscli
async def test_the_documented_command_prints_the_report(
    pipeline: Pipeline, nats_server: NatsServer, nats_cli: Path
) -> None:
    tool, *arguments = COMMAND.partition(" <")[0].split()
    assert tool == "nats"

    async with pipeline.workers():
        printed = await nats(nats_cli, nats_server, *arguments, stdin=TONE)

    loudness = msgspec.json.decode(printed)["loudness"]
    assert loudness["integrated_lufs"] == pytest.approx(-22.99, abs=0.02)


@pytest.mark.natscli
async def test_the_command_with_wait_is_answered_with_the_right_one(
    pipeline: Pipeline, nats_server: NatsServer, nats_cli: Path
) -> None:
    arguments = ("request", "audio.process", "--wait", "30", "--raw")

    printed = await nats(nats_cli, nats_server, *arguments, stdin=TONE)

    assert COMMAND in msgspec.json.decode(printed)["detail"]
    assert pipeline.broker.is_connected


@pytest.mark.natscli
async def test_the_service_is_seen_by_the_nats_tool(
    pipeline: Pipeline, nats_server: NatsServer, nats_cli: Path
) -> None:
    await ask(pipeline, b"30")

    seen = (await nats(nats_cli, nats_server, "micro", "ls")).decode()
    stats = (await nats(nats_cli, nats_server, "micro", "stats", "decibus")).decode()

    assert "decibus" in seen
    assert "audio_process" in stats


@pytest.mark.natscli
async def test_a_large_file_is_put_into_the_store_first(
    pipeline: Pipeline, nats_server: NatsServer, nats_cli: Path, tmp_path: Path
) -> None:
    (tmp_path / "take.flac").write_bytes(TONE)

    put = ("object", "put", "audio", str(tmp_path / "take.flac"), "--name", "big", "--no-progress")
    await nats(nats_cli, nats_server, *put)

    async with pipeline.workers():
        answer = decoded(await ask(pipeline, b'{"object": "big"}'))
    assert answer["loudness"]["integrated_lufs"] == pytest.approx(-22.99, abs=0.02)


async def test_an_answer_goes_to_an_inbox_and_nowhere_else(pipeline: Pipeline) -> None:
    kept = report(await pipeline.analyze(TONE, wait="0"))["token"]
    connection = pipeline.broker.connection

    await connection.publish(PROCESS, b"30", reply="$JS.API.STREAM.PURGE.KV_reports")
    await ask(pipeline, b"30")

    assert (await pipeline.http.get(f"/result/{kept}")).status_code == 200


async def test_a_filename_is_a_name_and_not_a_path(pipeline: Pipeline) -> None:
    headers = {"Filename": "/home/me/" + "x" * 999, "Wait": "0"}

    answer = decoded(await ask(pipeline, TONE, headers))

    assert answer["filename"] == "x" * 255
