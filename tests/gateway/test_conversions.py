"""`POST /transcode`, `POST|GET /resample/`, and what becomes of the files that were made."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from decibus.ledger import Ledger
from decibus.topology import AUDIO, OUTPUTS, REPORTS, TRANSCODE
from decibus.worker import Step
from tests.conftest import NatsServer
from tests.disk import count_on_disk, keys_of_objects
from tests.gateway.conftest import Pipeline, report, transcoder_at
from tests.signals import encode, music, sine
from tests.transcoder.conversions import read

PROMISE_S = 5.0
TO_MP3 = {"extension": "mp3", "sample_rate": "32000", "bit_rate": "320"}


@pytest.fixture
async def door(
    pipeline: Pipeline, nats_server: NatsServer, convert: Step
) -> AsyncIterator[Pipeline]:
    """Return the pipeline, with a transcoder at work."""
    async with transcoder_at(nats_server.url, convert):
        yield pipeline


@pytest.fixture(scope="module")
def take() -> bytes:
    return encode(sine(2.0, -20.0), 48_000, "wav16")


async def post(
    door: Pipeline, path: str, *audio: bytes, part: str = "file", **fields: str
) -> httpx.Response:
    files = [(part, (f"take {n}.wav", each, "audio/wav")) for n, each in enumerate(audio)]
    return await door.http.post(path, files=files, data=fields)


async def outputs(door: Pipeline) -> int:
    return await door.messages(OUTPUTS.stream)


async def gone(door: Pipeline, within_s: float = PROMISE_S) -> bool:
    deadline = time.monotonic() + within_s
    while await outputs(door) and time.monotonic() < deadline:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.05)
    return not await outputs(door)


async def test_one_file_is_answered_with_the_file_itself(door: Pipeline, take: bytes) -> None:
    made = await post(door, "/transcode", take, **TO_MP3)
    told = made.headers

    samples, audio = read(made.content)
    assert made.status_code == 200
    assert (audio.codec, audio.sample_rate) == ("mp3", 32_000)
    assert audio.bit_rate == pytest.approx(320_000, rel=0.05)
    assert audio.duration == pytest.approx(2.0, abs=0.04)
    assert told["content-type"] == "audio/mpeg"
    assert told["content-length"] == str(len(made.content))
    assert told["content-disposition"] == 'attachment; filename="take 0.mp3"'
    assert told["etag"] == f'"{hashlib.sha256(made.content).hexdigest()}"'
    assert "decibus-unchanged" not in told
    assert samples.shape[0] == 2

    found = report(await door.http.get(f"/result/{told['decibus-token']}"))
    assert found["status"] == "done"
    assert found["output"] == {
        "download_url": f"/outputs/{told['decibus-token']}",
        "bytes": len(made.content),
        "sha256": hashlib.sha256(made.content).hexdigest(),
        "format": found["output"]["format"],
        "unchanged": False,
    }
    assert found["output"]["format"]["sample_rate"] == 32_000
    assert found["audio"]["sample_rate"] == 48_000
    assert found["timings"]["transcode"] > 0
    again = await door.http.get(found["output"]["download_url"])
    assert (again.status_code, again.content) == (200, made.content)


async def test_the_same_file_and_format_is_converted_once(door: Pipeline, take: bytes) -> None:
    first, second = await asyncio.gather(*(post(door, "/transcode", take, **TO_MP3) for _ in "ab"))
    other = await post(door, "/transcode", take, extension="flac")

    assert first.content == second.content
    assert first.headers["decibus-token"] != second.headers["decibus-token"]
    assert await door.broker.count_subjects(OUTPUTS.seals, OUTPUTS.seal_subjects) == 2
    assert other.headers["content-type"] == "audio/flac"
    await door.http.delete(f"/result/{first.headers['decibus-token']}")
    kept = await door.http.get(f"/outputs/{second.headers['decibus-token']}")
    assert kept.content == second.content, "it is the second one's, too"
    await door.http.delete(f"/result/{second.headers['decibus-token']}")
    await door.http.delete(f"/result/{other.headers['decibus-token']}")
    assert await outputs(door) == 0


async def test_a_file_in_that_format_comes_back_untouched(door: Pipeline, take: bytes) -> None:
    kept = await post(door, "/transcode", take, extension="wav", sample_rate="48000")

    assert kept.content == take
    assert kept.headers["decibus-unchanged"] == "true"


async def test_whoever_does_not_wait_asks_for_the_file_later(
    pipeline: Pipeline, nats_server: NatsServer, convert: Step, take: bytes
) -> None:
    taken = await post(pipeline, "/transcode", take, wait="0", **TO_MP3)
    found = report(taken)
    place = f"/outputs/{found['token']}"

    early = await pipeline.http.get(place)
    async with transcoder_at(nats_server.url, convert):
        late = await pipeline.http.get(place, params={"wait": "20"})

    assert (taken.status_code, taken.headers["location"]) == (202, f"/result/{found['token']}")
    assert (found["status"], found["output"]) == ("queued", None)
    assert (early.status_code, report(early)["code"]) == (404, "not_found")
    assert "yet" in report(early)["detail"]
    assert late.status_code == 200
    assert read(late.content)[1].codec == "mp3"


async def test_several_files_are_told_where_each_is(door: Pipeline, take: bytes) -> None:
    answer = await post(door, "/transcode", take, b"no audio", extension="flac")

    listed = report(answer)["outputs"]
    assert answer.status_code == 200
    assert [(each["status"], each["filename"]) for each in listed] == [
        ("done", "take 0.wav"),
        ("failed", "take 1.wav"),
    ]
    assert listed[1]["errors"][0]["code"] == "not_audio"
    assert listed[1]["download_url"] is None
    made = await door.http.get(listed[0]["download_url"])
    assert hashlib.sha256(made.content).hexdigest() == listed[0]["sha256"]
    refused = await door.http.get(f"/outputs/{listed[1]['token']}")
    assert (refused.status_code, report(refused)["code"]) == (415, "not_audio")


async def test_a_range_a_head_and_an_etag_are_answered_as_http_has_it(
    door: Pipeline, take: bytes
) -> None:
    made = await post(door, "/transcode", take, extension="flac")
    whole, place = made.content, f"/outputs/{made.headers['decibus-token']}"

    async def ask(method: str = "GET", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await door.http.request(method, place, headers=named)

    size = len(whole)
    for asked, start, stop in (
        ("bytes=0-9", 0, 10),
        ("bytes=100-", 100, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=5-{size + 5}", 5, size),
    ):
        part = await ask(range=asked)
        assert (part.status_code, part.content) == (206, whole[start:stop]), asked
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
    for odd in ("bytes=9-5", "bytes=0-1,4-5", "lines=1-2", "bytes=-"):
        assert (await ask(range=odd)).content == whole, odd
    behind = await ask(range=f"bytes={size}-")
    assert (behind.status_code, report(behind)["code"]) == (416, "range_not_satisfiable")
    assert behind.headers["content-range"] == f"bytes */{size}"
    head = await ask("HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(size)
    assert head.headers["accept-ranges"] == "bytes"
    etag = made.headers["etag"]
    assert (await ask(if_none_match=etag)).status_code == 304
    assert (await ask(if_range=etag, range="bytes=0-0")).status_code == 206
    assert (await ask(if_range='"other"', range="bytes=0-0")).content == whole


async def test_what_may_be_downloaded_once_is_gone_after_its_last_byte(
    door: Pipeline, take: bytes
) -> None:
    taken = await post(door, "/transcode", take, wait="0", retention="once", extension="flac")
    place = f"/outputs/{report(taken)['token']}"
    size = int((await door.http.head(f"{place}?wait=20")).headers["content-length"])
    report_of_it = await door.http.get(f"/result/{report(taken)['token']}")

    for spared in ("bytes=0-9", "bytes=-9", f"bytes=0-{size - 1}"):
        assert (await door.http.get(place, headers={"range": spared})).status_code == 206
    assert report(report_of_it)["status"] == "done", "reading that is no download"
    assert await outputs(door) > 0
    rest = await door.http.get(place, headers={"range": f"bytes={size - 1}-"})

    assert len(rest.content) == 1
    assert await gone(door)
    assert (await door.http.get(place)).status_code == 404
    assert await door.messages(REPORTS.stream) == 0


async def test_an_answer_that_is_the_file_is_the_one_download(door: Pipeline, take: bytes) -> None:
    made = await post(door, "/transcode", take, retention="once", extension="flac")

    assert made.status_code == 200
    assert await gone(door)
    assert (await door.http.get(f"/outputs/{made.headers['decibus-token']}")).status_code == 404


async def test_no_byte_of_a_file_that_was_downloaded_once_is_on_the_disk(
    door: Pipeline, tmp_path: Path
) -> None:
    unlike_any = encode(music(3.0), 48_000, "wav16")
    async with keys_of_objects(door.broker) as keys:
        made = await post(door, "/transcode", unlike_any, retention="once", extension="flac")
    needles = (made.content[-4000:-3900], *keys)

    def on_disk() -> int:
        return count_on_disk(tmp_path / "nats" / "store", needles)

    deadline = time.monotonic() + PROMISE_S
    while await asyncio.to_thread(on_disk) and time.monotonic() < deadline:  # noqa: ASYNC110 - ditto
        await asyncio.sleep(0.1)
    assert len(keys) == 2, "of the source and of what was made"
    assert await asyncio.to_thread(on_disk) == 0


async def test_a_file_that_would_go_before_its_report_is_made_again(
    door: Pipeline, take: bytes
) -> None:
    first = await post(door, "/transcode", take, **TO_MP3)
    (key,) = await door.broker.keys(REPORTS, "by.*.*.*")
    ledger, job_key = Ledger(door.broker), key.removeprefix("by.").rpartition(".")[0]
    long_ago = datetime.now(UTC) - OUTPUTS.ttl + REPORTS.ttl / 2
    aged = await ledger.move(job_key, lambda job: replace(job, ended_at=long_ago))

    second = await post(door, "/transcode", take, **TO_MP3)

    made_again = await ledger.find(job_key)
    assert second.content == first.content
    assert made_again is not None
    assert made_again.epoch > aged.epoch
    assert await door.broker.count_subjects(OUTPUTS.seals, OUTPUTS.seal_subjects) == 1


async def test_a_resampled_file_is_told_by_a_token_that_works_once(
    door: Pipeline, take: bytes
) -> None:
    plain = await post(door, "/resample/", take)
    told = report(await post(door, "/resample/", take, part="inFile"))

    token = told.pop("resampled_server_file_path")
    assert told == {
        "original_file": "take 0.wav",
        "original_audio_sample_rate": 48.0,
        "resampled_audio_sample_rate": 32.0,
        "original_audio_format": "wav",
        "resampled_audio_format": "mp3",
    }
    assert "/" not in token
    await door.http.delete(f"/result/{plain.headers['decibus-token']}")
    fetched = await door.http.get("/resample/", params={"file_path": token})
    assert fetched.content == plain.content
    assert read(fetched.content)[1].sample_rate == 32_000
    assert await gone(door)
    again = await door.http.get("/resample/", params={"file_path": token})
    assert (again.status_code, report(again)["code"]) == (404, "not_found")
    skipped = report(await post(door, "/resample/", plain.content, part="inFile"))
    assert skipped["resampled_server_file_path"] == "N/A"
    assert await outputs(door) == 0
    planted = await door.http.get("/resample/", params={"file_path": "/etc/passwd"})
    assert planted.status_code == 404


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "extension"),
        ({"extension": "exe"}, "mp3, wav, flac"),
        ({"extension": "mp3", "bit_rate": "333"}, "320"),
        ({"extension": "mp3", "sample_rate": "many"}, "sample_rate"),
        ({"extension": "ogg", "quality": "nan"}, "quality"),
        ({"extension": "mp3", "genre": "pop"}, "unknown option"),
        ({"extension": "mp3", "retention": "library"}, "retention"),
        ({"extension": "mp3", "wait": "-1"}, "wait"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused_and_nothing_stays(
    pipeline: Pipeline, take: bytes, fields: dict[str, str], told: str
) -> None:
    refused = await post(pipeline, "/transcode", take, **fields)

    assert (refused.status_code, report(refused)["code"]) == (400, "bad_request")
    assert refused.headers["content-type"] == "application/problem+json"
    assert told in report(refused)["detail"]
    assert await pipeline.messages(AUDIO.stream) == 0
    assert await pipeline.messages(TRANSCODE.stream) == 0


async def test_a_file_that_is_no_audio_is_refused(door: Pipeline) -> None:
    refused = await post(door, "/transcode", b"<html>", **TO_MP3)

    assert (refused.status_code, report(refused)["code"]) == (415, "not_audio")
    assert await door.messages(REPORTS.stream) == 0


async def test_a_repeated_request_leads_to_the_same_file(door: Pipeline, take: bytes) -> None:
    key = {"Idempotency-Key": "once more"}
    files = {"file": ("take.wav", take, "audio/wav")}

    async def send(extension: str) -> httpx.Response:
        data = {"extension": extension}
        return await door.http.post("/transcode", files=files, data=data, headers=key)

    first, second, other = await send("flac"), await send("flac"), await send("mp3")

    assert first.headers["decibus-token"] == second.headers["decibus-token"]
    assert first.content == second.content
    assert (other.status_code, report(other)["code"]) == (422, "idempotency_mismatch")


async def test_a_token_of_a_report_leads_to_no_file(pipeline: Pipeline, take: bytes) -> None:
    taken = await pipeline.analyze(take, wait="0")

    refused = await pipeline.http.get(f"/outputs/{report(taken)['token']}")

    assert (refused.status_code, report(refused)["code"]) == (404, "not_found")


async def test_the_api_describes_these_doors(pipeline: Pipeline) -> None:
    paths = report(await pipeline.http.get("/schema"))["paths"]

    form = paths["/transcode"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {"file", "extension", "sample_rate", "bit_rate"} <= set(form["properties"])
    assert form["required"] == ["file", "extension"]
    assert {"get", "head"} <= set(paths["/outputs/{token}"])
    assert {"get", "post"} <= set(paths["/resample"])
    assert {"200", "206", "404", "416"} <= set(paths["/outputs/{token}"]["get"]["responses"])
