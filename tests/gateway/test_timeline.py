"""The loudness over time: asked for at either door, read as JSON or as CSV."""

import asyncio
import csv
import io

import httpx
import msgspec
import pytest

from decibus.topology import ANALYSES, PROCESS
from tests.gateway.conftest import Pipeline, report
from tests.signals import encode, tones

# Half a second of silence, then five of a tone.
AUDIO = encode(tones([(0.5, None), (5.0, -23.0)]), 48_000, "wav24")
TEXT = "text/csv; header=present; charset=utf-8"


async def as_csv(pipeline: Pipeline, token: str, **params: str) -> httpx.Response:
    return await pipeline.http.get(f"/result/{token}.csv", params=params)


async def test_who_asks_gets_the_loudness_of_each_tenth_of_a_second(pipeline: Pipeline) -> None:
    async with pipeline.workers():
        body = report(await pipeline.analyze(AUDIO, tasks="loudness", timeline="true"))

    timeline = body["loudness"]["timeline"]
    assert timeline["step_s"] == 0.1
    assert len(timeline["momentary"]) == len(timeline["short_term"]) == 55
    assert timeline["momentary"][:5] == [None] * 5
    assert timeline["momentary"][8:] == [-22.99] * 47
    assert timeline["short_term"][:29] == [None] * 29
    assert timeline["short_term"][34:] == [-22.99] * 21


async def test_the_csv_has_a_row_for_each_reading(pipeline: Pipeline) -> None:
    async with pipeline.workers():
        body = report(await pipeline.analyze(AUDIO, tasks="loudness", timeline="true"))

    answer = await as_csv(pipeline, body["token"])

    head, *rows = csv.reader(io.StringIO(answer.text))
    timeline = body["loudness"]["timeline"]
    assert (answer.status_code, answer.headers["content-type"]) == (200, TEXT)
    assert head == ["time_s", "momentary_lufs", "short_term_lufs"]
    assert [row[0] for row in rows[:3]] == ["0.1", "0.2", "0.3"]
    assert [row[1:] for row in rows] == [
        ["" if level is None else str(level) for level in pair]
        for pair in zip(timeline["momentary"], timeline["short_term"], strict=True)
    ]


async def test_the_csv_can_be_waited_for_and_has_an_etag(pipeline: Pipeline) -> None:
    token = report(await pipeline.analyze(AUDIO, tasks="loudness", timeline="true", wait="0"))[
        "token"
    ]
    early = await as_csv(pipeline, token)

    async with pipeline.workers():
        waited = await as_csv(pipeline, token, wait="30")
    again = await pipeline.http.get(
        f"/result/{token}.csv", headers={"If-None-Match": waited.headers["etag"]}
    )

    assert (early.status_code, report(early)["code"]) == (404, "not_found")
    assert "yet" in report(early)["detail"]
    assert waited.status_code == 200
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("audio", "fields", "told"),
    [
        (AUDIO, {"tasks": "loudness"}, "timeline=true"),
        (AUDIO, {"tasks": "transcribe", "timeline": "true"}, "did not ask for loudness"),
        (b"no audio", {"tasks": "loudness", "timeline": "true"}, "could not be measured"),
    ],
)
async def test_why_there_is_none_is_told(
    pipeline: Pipeline, audio: bytes, fields: dict[str, str], told: str
) -> None:
    async with pipeline.workers():
        queued = report(await pipeline.analyze(audio, wait="0", **fields))
        answer = await as_csv(pipeline, queued["token"], wait="30")

    assert (answer.status_code, report(answer)["code"]) == (404, "not_found")
    assert told in report(answer)["detail"]


async def test_any_other_form_of_a_report_is_not_found(pipeline: Pipeline) -> None:
    async with pipeline.workers():
        token = report(await pipeline.analyze(AUDIO, tasks="loudness"))["token"]

    answer = await pipeline.http.get(f"/result/{token}.xlsx")

    assert (answer.status_code, report(answer)["code"]) == (404, "not_found")


async def test_a_measurement_with_a_timeline_is_another_job(pipeline: Pipeline) -> None:
    async with pipeline.workers():
        without = report(await pipeline.analyze(AUDIO, tasks="loudness"))
        with_one = report(await pipeline.analyze(AUDIO, tasks="loudness", timeline="true"))

    assert without["loudness"]["timeline"] is None
    assert with_one["loudness"]["timeline"] is not None
    assert with_one["loudness"] | {"timeline": None} == without["loudness"]
    assert await pipeline.messages(ANALYSES.stream) == 2


async def test_what_is_kept_keeps_its_timeline(pipeline: Pipeline) -> None:
    fields = {"tasks": "loudness", "timeline": "true", "retention": "library"}

    async with pipeline.workers():
        body = report(await pipeline.analyze(AUDIO, **fields))
        while await pipeline.messages(ANALYSES.stream):  # noqa: ASYNC110 - it moves into its row
            await asyncio.sleep(0.01)

    assert (await as_csv(pipeline, body["token"])).status_code == 200


async def test_the_csv_is_the_one_reading_of_a_report_that_is_read_once(
    pipeline: Pipeline,
) -> None:
    fields = {"tasks": "loudness", "timeline": "true", "retention": "once", "wait": "0"}
    token = report(await pipeline.analyze(AUDIO, **fields))["token"]

    async with pipeline.workers():
        read = await as_csv(pipeline, token, wait="30")

    assert read.status_code == 200
    assert (await as_csv(pipeline, token)).status_code == 404
    assert (await pipeline.http.get(f"/result/{token}")).status_code == 404


async def test_the_nats_door_has_the_same_option(pipeline: Pipeline) -> None:
    headers = {"Tasks": "loudness", "Timeline": "true"}

    async with pipeline.workers():
        connection = pipeline.broker.connection
        answer = await connection.request(PROCESS, AUDIO, timeout=30, headers=headers)

    timeline = msgspec.json.decode(answer.data)["loudness"]["timeline"]
    assert len(timeline["momentary"]) == 55
