"""OpenAI's own client, as it is, against a gateway and a transcriber with the demo model."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any, BinaryIO, Final, TypeVar

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from decibus.broker import Broker
from decibus.errors import BadAudio
from decibus.messages import Options, Transcript
from decibus.progress import Progress
from decibus.topology import ANALYSES, AUDIO, REPORTS
from services.gateway import openai_events
from services.gateway.__main__ import Server, configure
from services.gateway.keys import Keyring, digest
from services.gateway.openai_wishes import ALIASES
from services.gateway.settings import Settings
from services.transcriber.model import Model
from tests.conftest import NatsServer
from tests.gateway.conftest import Replica, replica, report, workers_at
from tests.gateway.test_live import Speech, free_port, working
from tests.speech import say, silence, wav, word_errors
from tests.steps import words

T = TypeVar("T")
KEY: Final = "k" * 40
SAID: Final = "seven three nine"
CUE: Final = re.compile(r"(\d\d:)?\d\d:\d\d[.,]\d{3} --> (\d\d:)?\d\d:\d\d[.,]\d{3}")

# So says the client of all translations, since OpenAI's own model for them is to go.
pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")


@dataclass(frozen=True)
class Door:
    """A gateway behind a real uvicorn, in the test's own event loop."""

    url: str
    replica: Replica

    @property
    def broker(self) -> Broker:
        return self.replica.broker

    async def ask(self, call: Callable[[OpenAI], T], **options: Any) -> T:
        """Call OpenAI's client, which does not know that anything is different."""

        def in_thread() -> T:
            given: Any = {"api_key": KEY, "max_retries": 0} | options
            with OpenAI(base_url=f"{self.url}/v1", **given) as client:
                return call(client)

        return await asyncio.to_thread(in_thread)

    async def heard(self, audio: bytes = b"some audio", **fields: Any) -> Any:
        """Have a file transcribed."""
        given = {"model": "whisper-1", "file": ("take.wav", audio)} | fields
        return await self.ask(lambda client: client.audio.transcriptions.create(**given))


@asynccontextmanager
async def serving(
    server: NatsServer, keyring: Keyring | None = None, **given: Any
) -> AsyncIterator[Door]:
    settings = Settings(http_port=free_port(), nats_url=server.url, grace_s=5.0, **given)
    async with replica(server, settings, keyring) as running, asyncio.TaskGroup() as group:
        uvicorn = Server(configure(running.app, settings))
        group.create_task(uvicorn.serve())
        async with asyncio.timeout(10):
            while not uvicorn.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
        yield Door(f"http://127.0.0.1:{settings.http_port}", running)
        uvicorn.should_exit = True


@pytest.fixture
async def door(nats_server: NatsServer) -> AsyncIterator[Door]:
    async with serving(nats_server) as opened:
        yield opened


@pytest.fixture
async def hearing(door: Door, nats_server: NatsServer, model: Model) -> AsyncIterator[Door]:
    """A door behind which the demo model hears."""
    async with workers_at(nats_server.url, model):
        yield door


@pytest.fixture(scope="session")
def spoken() -> bytes:
    """Two phrases in English, with a pause between them."""
    said = (silence(0.5), say(SAID), silence(1.2), say("four two", speaker=1), silence(0.5))
    return wav(*said).getvalue()


async def until_left(door: Door, stream: str, messages: int) -> None:
    """Wait until a stream holds so many: what is erased goes behind the answer."""
    async with asyncio.timeout(10):
        while await door.replica.messages(stream) != messages:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# Transcripts.


@pytest.mark.espeak
async def test_a_transcript_comes_in_every_format(hearing: Door, spoken: bytes) -> None:
    plain = await hearing.heard(spoken)
    text = await hearing.heard(spoken, response_format="text")
    srt = await hearing.heard(spoken, response_format="srt")
    vtt = await hearing.heard(spoken, response_format="vtt")
    verbose = await hearing.heard(spoken, response_format="verbose_json")

    assert word_errors(f"{SAID} four two", plain.text) <= 1
    assert plain.usage.to_dict() == {"type": "duration", "seconds": ceil(verbose.duration)}
    assert text == f"{plain.text}\n"
    assert srt.startswith("1\n00:00:")
    assert vtt.startswith("WEBVTT\n\n00:00:")
    assert len(CUE.findall(srt)) == len(CUE.findall(vtt)) == len(verbose.segments)
    assert (verbose.text, verbose.language, verbose.task) == (plain.text, "english", "transcribe")
    assert verbose.duration > 3.0
    assert "".join(segment.text for segment in verbose.segments).strip() == plain.text
    assert verbose.words is None


@pytest.mark.espeak
async def test_words_come_with_their_times_where_they_are_asked_for(
    hearing: Door, spoken: bytes
) -> None:
    shape = {"response_format": "verbose_json"}
    words = await hearing.heard(spoken, timestamp_granularities=["word"], **shape)
    both = await hearing.heard(spoken, timestamp_granularities=["word", "segment"], **shape)

    assert words.segments is None
    assert [word.word for word in words.words] == words.text.split()
    assert all(0 <= word.start <= word.end <= words.duration for word in words.words)
    assert [word.to_dict() for word in both.words] == [word.to_dict() for word in words.words]
    assert set(both.segments[0].to_dict()) == {
        *("id", "seek", "start", "end", "text", "tokens"),
        *("temperature", "avg_logprob", "compression_ratio", "no_speech_prob"),
    }
    assert both.segments[0].tokens
    assert both.segments[-1].seek > 0


@pytest.mark.espeak
async def test_a_translation_is_english(hearing: Door) -> None:
    spoken = wav(silence(0.5), say("zwei vier", "de"), silence(0.5)).getvalue()
    given: Any = {"model": "whisper-1", "file": spoken}  # bytes alone, without a name

    plain = await hearing.ask(lambda client: client.audio.translations.create(**given))
    verbose: Any = await hearing.ask(
        lambda client: client.audio.translations.create(response_format="verbose_json", **given)
    )
    as_said = await hearing.heard(spoken, language="de", response_format="verbose_json")

    assert plain.text == verbose.text == "two four"
    assert (verbose.task, verbose.language) == ("translate", "english")
    assert (as_said.text, as_said.language) == ("zwei vier", "german")


async def test_silence_has_no_words_and_no_language(hearing: Door) -> None:
    verbose = await hearing.heard(wav(silence(2.0)).getvalue(), response_format="verbose_json")

    assert (verbose.text, verbose.language, verbose.segments) == ("", "", [])


@pytest.mark.espeak
async def test_what_another_door_has_heard_is_not_heard_again(hearing: Door, spoken: bytes) -> None:
    async with httpx.AsyncClient(base_url=hearing.url, timeout=60) as http:
        files, fields = {"file": spoken}, {"tasks": "transcribe", "words": "true"}
        first = report(await http.post("/analyze", files=files, data=fields))

        verbose = await hearing.heard(
            spoken, response_format="verbose_json", timestamp_granularities=["word"]
        )

    assert verbose.text == first["transcription"]
    assert [word.word for word in verbose.words] == [
        word["word"] for segment in first["transcript"]["segments"] for word in segment["words"]
    ]
    await until_left(hearing, ANALYSES.stream, 1)


@pytest.mark.espeak
async def test_nothing_stays_of_an_answer_unless_it_is_asked_to(
    hearing: Door, spoken: bytes
) -> None:
    await hearing.heard(spoken)
    for stream in (REPORTS.stream, ANALYSES.stream, AUDIO.stream):
        await until_left(hearing, stream, 0)

    given: Any = {"model": "whisper-1", "file": spoken, "extra_body": {"retention": "ttl"}}
    raw = await hearing.ask(
        lambda client: client.audio.transcriptions.with_raw_response.create(**given)
    )
    async with httpx.AsyncClient(base_url=hearing.url) as http:
        kept = await http.get(raw.headers["location"])

    assert report(kept)["transcription"] == raw.parse().text
    assert {"x-request-id", "ratelimit"} <= set(raw.headers)


async def test_a_file_that_comes_again_at_once_is_not_erased_with_the_one_before(
    door: Door,
) -> None:
    def step(_: BinaryIO, __: Options, ___: Progress) -> Transcript:
        return words("one")

    async with working(door.broker, step), httpx.AsyncClient(base_url=door.url) as http:
        answers = [
            await http.post("/v1/audio/transcriptions", files={"file": b"some audio"})
            for _ in range(30)
        ]

    assert [answer.json().get("text") for answer in answers] == ["one"] * 30


async def test_a_request_that_may_be_sent_again_keeps_its_answer(door: Door) -> None:
    speech, key = Speech(), {"Idempotency-Key": "take-1"}
    speech.say("one")
    speech.end()
    async with working(door.broker, speech):
        first = await door.heard(extra_headers=key)

    again = await door.heard(extra_headers=key)

    assert first.text == again.text == "one"


# Streams.


@pytest.mark.espeak
async def test_a_stream_tells_the_text_as_it_is_heard(hearing: Door, spoken: bytes) -> None:
    given: Any = {"model": "gpt-4o-transcribe", "file": spoken, "stream": True}

    events: Any = await hearing.ask(
        lambda client: list(client.audio.transcriptions.create(**given))
    )
    async with AsyncOpenAI(base_url=f"{hearing.url}/v1", api_key=KEY) as client:
        stream: Any = await client.audio.transcriptions.create(**given)
        again = [event async for event in stream]

    *deltas, done = events
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert done.type == "transcript.text.done"
    assert "".join(event.delta for event in deltas) == done.text
    assert word_errors(f"{SAID} four two", done.text) <= 1
    assert (done.usage.type, again[-1].usage) == ("duration", done.usage)
    assert "".join(event.delta for event in again[:-1]) == again[-1].text == done.text


async def test_a_delta_is_told_before_the_next_one_is_heard(door: Door) -> None:
    speech, deltas = Speech(), []
    speech.say("one", "two")

    async with (
        working(door.broker, speech),
        AsyncOpenAI(base_url=f"{door.url}/v1", api_key=KEY) as client,
    ):
        stream: Any = await client.audio.transcriptions.create(
            model="whisper-1", file=b"some audio", stream=True
        )
        async for event in stream:
            deltas.append(getattr(event, "delta", None))
            if deltas == ["one", " two"]:
                speech.say("three")
            if deltas[-1] == " three":
                speech.end()

    assert deltas == ["one", " two", " three", None]


async def test_a_failure_in_the_middle_of_a_stream_is_an_error(door: Door) -> None:
    speech = Speech()
    speech.say("one")
    speech.end(BadAudio("damaged at 3 s"))

    async with working(door.broker, speech):
        with pytest.raises(openai.APIError, match="damaged at 3 s") as failed:
            await door.ask(
                lambda client: list(
                    client.audio.transcriptions.create(
                        model="whisper-1", file=b"some audio", stream=True
                    )
                )
            )

    assert (failed.value.code, failed.value.param) == ("bad_audio", "file")


async def test_a_silent_stream_is_kept_alive_and_who_leaves_it_leaves_nothing(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_events, "KEEP_ALIVE_S", 0.1)
    live: Any = door.replica.live
    async with httpx.AsyncClient(base_url=door.url, timeout=20) as http:
        request = {"files": {"file": b"some audio"}, "data": {"stream": "true"}}
        async with http.stream("POST", "/v1/audio/transcriptions", **request) as answer:  # type: ignore[arg-type]
            lines = answer.aiter_lines()
            assert await anext(lines) == ": still here"
            assert live.waiters == 1

    async with asyncio.timeout(10):
        while live.waiters:  # noqa: ASYNC110 - the connection ends by itself
            await asyncio.sleep(0.01)


# What takes too long.


async def test_who_cannot_be_answered_in_time_is_told_where_the_transcript_will_be(
    nats_server: NatsServer,
) -> None:
    speech = Speech()
    speech.say("one")
    async with serving(nats_server, openai_wait_s=0.3) as door:
        with pytest.raises(openai.InternalServerError) as late:
            await door.heard()
        place = late.value.response.headers["location"]
        begun = await door.ask(
            lambda client: client.audio.transcriptions.with_raw_response.create(
                model="whisper-1", file=b"other audio", extra_headers={"Prefer": "respond-async"}
            )
        )
        async with (
            working(door.broker, speech),
            httpx.AsyncClient(base_url=door.url, timeout=30) as http,
        ):
            speech.end()
            found = report(await http.get(f"{place}?wait=20"))

    assert (late.value.status_code, late.value.code) == (504, "timeout")
    assert place in late.value.message
    assert found["transcription"] == "one"
    assert begun.http_response.status_code == 202
    assert begun.headers["preference-applied"] == "respond-async"
    assert begun.headers["location"].startswith("/result/")


# Models.


async def test_the_models_are_those_that_the_transcribers_have(
    door: Door, nats_server: NatsServer, model: Model
) -> None:
    without = await door.ask(lambda client: [each.id for each in client.models.list()])
    async with workers_at(nats_server.url, model):
        await asyncio.sleep(1.1)  # what is known may be a second old
        served = await door.ask(lambda client: list(client.models.list()))
        alias = await door.ask(lambda client: client.models.retrieve("whisper-1"))
        with pytest.raises(openai.NotFoundError) as unknown:
            await door.ask(lambda client: client.models.retrieve("org/large-v9"))

    assert without == list(ALIASES)
    assert [each.id for each in served] == [model.name, *ALIASES]
    assert {each.object for each in served} == {"model"}
    assert alias.to_dict()["root"] == model.name
    assert unknown.value.code == "model_not_found"


# What is refused.


@pytest.mark.parametrize(
    ("fields", "kind", "param", "code"),
    [
        ({"model": "large-v9"}, openai.NotFoundError, "model", "model_not_found"),
        ({"language": "english"}, openai.BadRequestError, "language", "invalid_value"),
        ({"language": "fr"}, openai.BadRequestError, "language", "invalid_value"),
        ({"temperature": 2.0}, openai.BadRequestError, "temperature", "invalid_value"),
        (
            {"response_format": "diarized_json"},
            openai.BadRequestError,
            "response_format",
            "invalid_value",
        ),
        (
            {"timestamp_granularities": ["word"]},
            openai.BadRequestError,
            "timestamp_granularities",
            "invalid_value",
        ),
        (
            {"known_speaker_names": ["agent"]},
            openai.BadRequestError,
            "known_speaker_names",
            "invalid_value",
        ),
        (
            {"response_format": "srt", "stream": True},
            openai.BadRequestError,
            "response_format",
            "invalid_value",
        ),
        ({}, openai.BadRequestError, "file", "not_audio"),
        ({"stream": True}, openai.BadRequestError, "file", "not_audio"),
    ],
)
async def test_what_cannot_be_followed_is_refused_by_its_field(
    hearing: Door, fields: dict[str, Any], kind: type[openai.APIStatusError], param: str, code: str
) -> None:
    with pytest.raises(kind) as refused:
        await hearing.heard(b"no audio at all", **fields)

    assert (refused.value.param, refused.value.code) == (param, code)
    assert refused.value.type == "invalid_request_error"
    assert refused.value.request_id
    await until_left(hearing, AUDIO.stream, 0)


async def test_a_client_is_told_as_by_openai_that_it_may_not_or_must_wait(
    nats_server: NatsServer,
) -> None:
    ring = Keyring.load(api_keys=f"alice:{digest(KEY).hex()}", api_keys_file="")
    async with serving(nats_server, ring, rate_limit=1, rate_window_s=30) as door:
        with pytest.raises(openai.AuthenticationError) as stranger:
            await door.ask(lambda client: client.models.list(), api_key="wrong")
        await door.ask(lambda client: client.models.list())
        with pytest.raises(openai.RateLimitError) as hasty:
            await door.ask(lambda client: client.models.list())

    assert (stranger.value.code, stranger.value.type) == (
        "invalid_api_key",
        "invalid_request_error",
    )
    assert (hasty.value.code, hasty.value.type) == ("rate_limit_exceeded", "requests")
    assert 1 <= int(hasty.value.response.headers["retry-after"]) <= 30


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/audio/transcriptions", 405, "method_not_allowed"),
        ("POST", "/v1/audio/transcriptions", 400, "bad_request"),
    ],
)
async def test_every_error_has_openais_form(
    door: Door, method: str, path: str, status: int, code: str
) -> None:
    async with httpx.AsyncClient(base_url=door.url) as http:
        refused = await http.request(method, path)

    assert refused.status_code == status
    assert report(refused)["error"]["code"] == code
    assert set(report(refused)["error"]) == {"message", "type", "param", "code"}
