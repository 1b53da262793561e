"""POST /analyze and what can be asked of its token, with real workers behind."""

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest

from decibus import jobs
from decibus.ledger import Ledger
from decibus.messages import AnalyzeOptions
from decibus.topology import ANALYSES, ANALYZE, AUDIO, REPORTS, TRANSCRIBE
from services.gateway.intake import Intake, Wishes
from services.gateway.settings import Settings
from tests.gateway.conftest import Pipeline, report
from tests.signals import encode, music, sine
from tests.speech import RATE_HZ, say, silence, wav

TONE = encode(sine(3.0, -23.0), 48_000, "wav24")
BOUNDARY = {"content-type": "multipart/form-data; boundary=x"}


async def test_a_tone_is_reported_as_the_standard_says(pipeline: Pipeline) -> None:
    async with pipeline.workers():
        answer = await pipeline.analyze(TONE, tasks="loudness", genre="pop")

    body = report(answer)
    assert answer.status_code == 200
    assert body["status"] == "done"
    assert body["loudness"]["integrated_lufs"] == pytest.approx(-22.99, abs=0.02)
    assert body["peak"]["true_peak_dbtp"] == pytest.approx(-23.0, abs=0.1)
    assert body["audio_length"] == pytest.approx(3.0)
    assert body["audio"]["sample_rate"] == 48_000
    assert body["sha256"] == hashlib.sha256(TONE).hexdigest()
    assert body["bytes"] == len(TONE)
    assert body["genre"] == "pop"
    assert body["filename"] == "take.wav"
    assert body["latency"] == body["timings"]["total"] > 0
    assert body["errors"] == []
    assert body["provenance"]["decoder"].startswith("FFmpeg ")
    assert answer.headers["location"] == f"/result/{body['token']}"


@pytest.mark.espeak
async def test_speech_is_transcribed(pipeline: Pipeline) -> None:
    spoken = wav(silence(0.5), say("one two three"), silence(0.5)).read()

    async with pipeline.workers():
        body = report(await pipeline.analyze(spoken))
        subtitles = await pipeline.http.get(f"/result/{body['token']}.vtt")

    assert body["transcription"].lower().split() == ["one", "two", "three"]
    assert subtitles.headers["content-type"] == "text/vtt; charset=utf-8"
    assert subtitles.text.startswith("WEBVTT\n\n00:00:0")
    assert body["transcription"] in subtitles.text
    assert body["transcript"]["language"] == "en"
    assert body["provenance"]["model"] == "decibus-demo"
    assert body["loudness"]["integrated_lufs"] is not None


@pytest.mark.espeak
async def test_a_report_tells_how_loud_the_speech_is(pipeline: Pipeline) -> None:
    phrase = say("one two three")
    spoken = wav(silence(1.0), 0.2 * phrase, silence(4.0), phrase, silence(1.0)).read()

    async with pipeline.workers():
        body = report(await pipeline.analyze(spoken))
        alone = report(await pipeline.analyze(spoken, tasks="transcribe"))
    told = await pipeline.http.get(f"/events/{body['token']}")
    text = report(await pipeline.http.get(f"/result/{body['token']}.json"))

    speech, segments = body["speech"], body["transcript"]["segments"]
    quiet, loud = (segments[n]["loudness_lufs"] for n in (0, -1))
    assert loud - quiet == pytest.approx(20.0 * math.log10(5.0), abs=1.5)
    assert (speech["quietest_segment"], speech["loudest_segment"]) == (0, segments[-1]["id"])
    # The two phrases are equally long: the quiet one halves the mean.
    assert speech["speech_gated_lufs"] == pytest.approx(loud - 3.0, abs=1.5)
    talking_s = 2 * phrase.size / RATE_HZ
    assert speech["speech_ratio"] * body["audio_length"] == pytest.approx(talking_s, abs=1.5)
    (final,) = (line for line in told.text.splitlines() if line.startswith("data: "))
    assert msgspec.json.decode(final[6:])["report"]["speech"] == speech
    assert text["segments"] == segments
    assert alone["speech"] is alone["transcript"]["segments"][0]["loudness_lufs"] is None


async def test_nothing_but_the_report_stays(pipeline: Pipeline) -> None:
    async with pipeline.workers():
        await pipeline.analyze(TONE)

    assert await pipeline.messages(AUDIO.stream) == 0
    assert await pipeline.messages(ANALYZE.stream) == 0
    assert await pipeline.messages(TRANSCRIBE.stream) == 0


async def test_respond_async_answers_before_any_work(pipeline: Pipeline) -> None:
    answer = await pipeline.http.post(
        "/analyze", files={"file": TONE}, headers={"Prefer": "respond-async"}
    )

    queued = report(answer)
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert queued["status"] == "queued"
    async with pipeline.workers():
        done = await pipeline.http.get(answer.headers["location"], params={"wait": "30"})
    assert report(done)["status"] == "done"
    assert set(report(done)) == set(queued), "the same shape"


async def test_a_wait_that_runs_out_answers_with_the_token(pipeline: Pipeline) -> None:
    answer = await pipeline.analyze(TONE, wait="0.1")

    assert answer.status_code == 202
    assert report(answer)["loudness"] is None


async def test_several_files_have_a_report_each(pipeline: Pipeline) -> None:
    quiet = encode(sine(3.0, -33.0), 48_000, "wav24")
    files = [("file", ("a.wav", TONE)), ("file", ("b.wav", quiet)), ("file", ("c.txt", b"text"))]

    async with pipeline.workers():
        answer = await pipeline.http.post("/analyze", files=files, data={"tasks": "loudness"})

    reports = report(answer)["reports"]
    assert answer.status_code == 200
    assert [each["filename"] for each in reports] == ["a.wav", "b.wav", "c.txt"]
    assert [each["status"] for each in reports] == ["done", "done", "failed"]
    assert reports[1]["loudness"]["integrated_lufs"] == pytest.approx(-32.99, abs=0.02)
    assert reports[2]["errors"][0]["code"] == "not_audio"


async def test_the_same_content_is_measured_once(pipeline: Pipeline) -> None:
    async with pipeline.workers():
        bodies = await asyncio.gather(
            *(pipeline.analyze(TONE, tasks="loudness", genre=genre) for genre in ("pop", "jazz"))
        )
        again = report(await pipeline.analyze(TONE, tasks="loudness"))

    first, second = map(report, bodies)
    assert first["token"] != second["token"]
    assert first["loudness"] == second["loudness"] == again["loudness"]
    assert again["timings"]["queue_wait"] == 0, "cached: it waited for nothing"
    assert await pipeline.messages(ANALYSES.stream) == 1
    assert await pipeline.messages(AUDIO.stream) == 0


async def test_a_cached_result_outlives_the_report_that_points_at_it(pipeline: Pipeline) -> None:
    async with pipeline.workers():
        first = report(await pipeline.analyze(TONE, tasks="loudness"))
        ledger = Ledger(pipeline.broker)
        key = jobs.key_of(first["sha256"], AnalyzeOptions(max_duration_s=60.0))
        old = datetime.now(UTC) - timedelta(minutes=40)
        await ledger.move(key, lambda job: msgspec.structs.replace(job, ended_at=old))
        before = await pipeline.broker.read(ANALYSES, key)
        await pipeline.analyze(TONE, tasks="loudness")
        after = await pipeline.broker.read(ANALYSES, key)

    assert before
    assert after
    assert after.revision > before.revision, "written anew, so its hour begins anew"
    assert after.value == before.value


async def test_silence_has_no_loudness(pipeline: Pipeline) -> None:
    async with pipeline.workers():
        body = report(await pipeline.analyze(encode(sine(1.0, -200.0) * 0, 48_000, "wav16")))

    assert body["loudness"]["integrated_lufs"] is None
    assert body["peak"]["true_peak_dbtp"] is None
    assert body["transcription"] == ""
    assert body["transcript"]["language"] is None


REFUSED = {
    "text": (b"This is no audio, it only says so. " * 50, 415, "not_audio"),
    "empty": (b"", 422, "bad_audio"),
    "truncated mp3": (encode(music(4.0), 44_100, "mp3")[:-9_000], 422, "bad_audio"),
    "playlist": (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/x.mp3\n", 415, "not_audio"),
    "ffconcat": (b"ffconcat version 1.0\nfile /etc/passwd\n", 415, "not_audio"),
    "too long": (encode(sine(61.0, -20.0, 8_000, channels=1), 8_000, "wav8"), 422, "too_long"),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_what_cannot_be_analyzed_is_refused_and_the_next_good_file_works(
    pipeline: Pipeline, kind: str
) -> None:
    upload, status, code = REFUSED[kind]

    async with pipeline.workers():
        refused = await pipeline.analyze(upload)
        good = await pipeline.analyze(TONE)

    body = report(refused)
    assert refused.headers["content-type"] == "application/problem+json"
    assert (refused.status_code, body["status"], body["code"]) == (status, status, code)
    assert len(body["trace_id"]) == 32
    assert body["detail"]
    assert good.status_code == 200
    assert await pipeline.messages(AUDIO.stream) == 0
    assert await pipeline.messages(REPORTS.stream) == 3, "the good one's: a row, and one a task"


async def test_over_the_size_limit_nothing_is_stored(pipeline: Pipeline) -> None:
    refused = await pipeline.analyze(b"\0" * (pipeline.settings.max_upload_bytes + 1))

    assert (refused.status_code, report(refused)["code"]) == (413, "too_large")
    assert await pipeline.messages(AUDIO.stream) == 0
    assert await pipeline.messages(REPORTS.stream) == 0


async def test_a_body_that_announces_too_much_is_not_read(pipeline: Pipeline) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    headers = BOUNDARY | {"content-length": "99999999999"}

    refused = await pipeline.http.post("/analyze", content=body(), headers=headers)

    assert refused.status_code == 413


async def test_what_is_no_part_counts_for_the_limit_too(pipeline: Pipeline) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"\0" * 100_000  # a preamble that never ends

    refused = await pipeline.http.post("/analyze", content=body(), headers=BOUNDARY)

    assert (refused.status_code, report(refused)["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"data": {"tasks": "loudness"}, "files": {"other": b"x"}}, "no file part 'other'"),
        ({"data": {"tasks": "louder"}, "files": {"file": TONE}}, "unknown task"),
        ({"data": {"wait": "long"}, "files": {"file": TONE}}, "wait"),
        ({"files": [("x", (None, b"1"))]}, "unknown option 'x'"),
        ({"files": [("tasks", (None, b"loudness"))]}, "no part named file"),
        ({"json": {}}, "multipart/form-data"),
        (
            {"content": b"--x\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}},
            "malformed",
        ),
    ],
)
async def test_a_bad_request_is_told_and_leaves_nothing(
    pipeline: Pipeline, request_: dict[str, object], told: str
) -> None:
    refused = await pipeline.http.post("/analyze", **request_)  # type: ignore[arg-type]

    assert refused.status_code == 400
    assert report(refused)["code"] == "bad_request"
    assert told in report(refused)["detail"]
    assert await pipeline.messages(AUDIO.stream) == 0
    assert await pipeline.messages(REPORTS.stream) == 0


async def test_a_full_backlog_is_told_and_nothing_is_left_behind(pipeline: Pipeline) -> None:
    for number in range(ANALYZE.max_msgs):
        await pipeline.broker.publish(ANALYZE, f"k.{number}", b"", dedup_id=str(number), headers={})

    refused = await pipeline.analyze(TONE)

    assert (refused.status_code, report(refused)["code"]) == (503, "backlog_full")
    assert int(refused.headers["retry-after"]) > 0
    for stream in (AUDIO.stream, REPORTS.stream, ANALYSES.stream, TRANSCRIBE.stream):
        assert await pipeline.messages(stream) == 0


async def test_a_body_that_breaks_off_leaves_nothing(pipeline: Pipeline) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        yield b"\0" * 1_200_000
        raise ConnectionResetError

    broken = await pipeline.http.post("/analyze", content=body(), headers=BOUNDARY)

    assert broken.status_code == 500
    assert "Reset" not in broken.text
    assert await pipeline.messages(AUDIO.stream) == 0


async def test_a_result_is_not_sent_twice(pipeline: Pipeline) -> None:
    async with pipeline.workers():
        body = report(await pipeline.analyze(TONE))
    path = f"/result/{body['token']}"

    first = await pipeline.http.get(path)
    second = await pipeline.http.get(path, headers={"If-None-Match": first.headers["etag"]})

    assert report(first) == body
    assert (second.status_code, second.content) == (304, b"")


async def test_a_deleted_report_is_gone_with_everything_of_it(pipeline: Pipeline) -> None:
    async with pipeline.workers():
        token = report(await pipeline.analyze(TONE))["token"]
    unknown = await pipeline.http.get("/result/unknown")

    deleted = await pipeline.http.delete(f"/result/{token}")

    assert deleted.status_code == 204
    gone = await pipeline.http.get(f"/result/{token}")
    assert gone.status_code == unknown.status_code == 404
    assert _without_trace(gone) == _without_trace(unknown)
    assert (await pipeline.http.delete(f"/result/{token}")).status_code == 404
    assert await pipeline.messages(ANALYSES.stream) == 0
    assert await pipeline.messages(REPORTS.stream) == 0


async def test_what_another_report_shares_survives_a_delete(pipeline: Pipeline) -> None:
    async with pipeline.workers():
        mine, others = [report(await pipeline.analyze(TONE)) for _ in range(2)]

    await pipeline.http.delete(f"/result/{mine['token']}")

    kept = report(await pipeline.http.get(f"/result/{others['token']}"))
    assert kept["loudness"] == others["loudness"] is not None


async def test_a_deleted_upload_is_not_worked_on(pipeline: Pipeline) -> None:
    token = report(await pipeline.analyze(TONE, wait="0"))["token"]

    await pipeline.http.delete(f"/result/{token}")

    for stream in (AUDIO.stream, ANALYZE.stream, TRANSCRIBE.stream, ANALYSES.stream):
        assert await pipeline.messages(stream) == 0


async def test_an_expired_report_is_gone(pipeline: Pipeline) -> None:
    brief = Intake(pipeline.broker, Settings(report_ttl_s=0.05))
    received = await brief.receive(_pieces(TONE), None)
    upload = await brief.submit(received, Wishes(), {})
    path = f"/result/{upload.token}"
    assert (await pipeline.http.get(path)).status_code == 200

    await asyncio.sleep(0.1)

    assert (await pipeline.http.get(path)).status_code == 404


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _without_trace(answer: httpx.Response) -> dict[str, object]:
    return {name: value for name, value in report(answer).items() if name != "trace_id"}
