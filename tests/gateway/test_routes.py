"""What the gateway serves beside the reports: health, readiness, the API's description, a page."""

import asyncio
import re

import pytest

from decibus.telemetry import trace_id
from services.gateway.openai_wishes import Format
from tests.conftest import NatsServer
from tests.gateway.conftest import REFERENCES, Pipeline, report


async def test_readiness_tells_which_workers_are_there(pipeline: Pipeline) -> None:
    async def workers() -> dict[str, bool]:
        answer = await pipeline.http.get("/readyz")
        assert answer.status_code == 200
        assert report(answer)["status"] == "ready"
        return dict(report(answer)["workers"])

    nobody = {"analyze": False, "transcribe": False, "transcode": False}
    assert await workers() == nobody
    async with pipeline.workers(), asyncio.timeout(5):
        while await workers() != nobody | {"analyze": True, "transcribe": True}:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_readiness_tells_how_much_is_queued(pipeline: Pipeline) -> None:
    await pipeline.analyze(b"x", wait="0")

    async def queued() -> object:
        return report(await pipeline.http.get("/readyz"))["queued"]

    async with asyncio.timeout(5):
        while await queued() != {"analyze": 1, "transcribe": 1, "transcode": 0}:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_without_nats_the_gateway_lives_and_is_not_ready(
    pipeline: Pipeline, nats_server: NatsServer
) -> None:
    await asyncio.to_thread(nats_server.kill)
    while pipeline.broker.is_connected:  # noqa: ASYNC110 - nats-py has no event for it
        await asyncio.sleep(0.01)

    assert (await pipeline.http.get("/healthz")).status_code == 200
    assert (await pipeline.http.get("/readyz")).status_code == 503
    refused = await pipeline.analyze(b"x")
    assert (refused.status_code, report(refused)["code"]) == (503, "unavailable")
    assert refused.headers["retry-after"]


async def test_the_api_describes_itself(pipeline: Pipeline) -> None:
    schema = report(await pipeline.http.get("/schema"))

    assert schema["openapi"].startswith("3.1")
    assert set(schema["paths"]) == {
        "/analyze",
        "/result/{token}",
        "/transcripts",
        "/transcripts/{ident}",
        "/stats",
        "/events/{token}",
        "/transcode",
        "/outputs/{token}",
        "/resample",
        "/jobs",
        "/jobs/{ident}",
        "/jobs/{ident}/status/started",
        "/uploads/{ident}",
        "/downloads/{ident}",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
        "/v1/models",
        "/v1/models/{model}",
        "/healthz",
        "/readyz",
    }
    form = schema["paths"]["/analyze"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"]["required"] == ["file"]
    assert form["schema"]["properties"]["genre"]["enum"] == list(REFERENCES.profiles)
    assert "Spotify" in form["schema"]["properties"]["target"]["enum"]
    answer = schema["paths"]["/analyze"]["post"]["responses"]["200"]["content"]["application/json"]
    assert "Report" in str(answer["schema"])
    for path in ("/v1/audio/transcriptions", "/v1/audio/translations"):
        described = schema["paths"][path]["post"]
        form = described["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert form["properties"]["response_format"]["enum"] == list(Format)
        assert "Failure" in str(described["responses"]["400"])
        assert "VerboseTranscription" in str(described["responses"]["200"])
    told = schema["components"]["schemas"]
    assert {"targets", "verdict"} <= set(told["Report"]["properties"])
    assert {"reference", "position"} <= set(told["JudgedBand"]["properties"])


async def test_the_page_uploads_without_a_script_or_a_foreign_host(pipeline: Pipeline) -> None:
    page = await pipeline.http.get("/")

    assert page.headers["content-type"].startswith("text/html")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert 'action="/plain" method="post" enctype="multipart/form-data">' in page.text
    assert "<script" not in page.text
    for link in re.findall(r'(?:href|src)="([^"]*)"', page.text):
        assert link.startswith("/")
        assert (await pipeline.http.get(link)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("PUT", "/analyze", 405, "method_not_allowed"),
        ("GET", "/result/x?wait=soon", 400, "bad_request"),
    ],
)
async def test_every_error_is_a_problem(
    pipeline: Pipeline, method: str, path: str, status: int, code: str
) -> None:
    refused = await pipeline.http.request(method, path)

    assert refused.headers["content-type"] == "application/problem+json"
    assert (refused.status_code, report(refused)["code"]) == (status, code)
    assert len(report(refused)["trace_id"]) == 32


async def test_a_trace_is_continued_into_the_problem(pipeline: Pipeline) -> None:
    sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    refused = await pipeline.http.get("/result/unknown", headers={"traceparent": sent})

    assert report(refused)["trace_id"] == trace_id(sent)
