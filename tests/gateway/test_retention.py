"""How long what was uploaded stays, and that nothing of it stays longer: not even on the disk."""

import asyncio
import io
import secrets
import threading
import time
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from decibus.blobs import Blobs
from decibus.errors import NotAudio, TooSlow
from decibus.jobs import Job
from decibus.messages import AudioFormat, Transcript
from decibus.progress import Progress
from decibus.topology import (
    ANALYSES,
    ANALYZE,
    AUDIO,
    CHECKPOINTS,
    LIBRARY,
    PROCESS,
    REPORTS,
    TRANSCRIBE,
)
from decibus.worker import Step, Worker
from services.gateway.expiry import Expiry
from services.gateway.intake import Intake, Wishes
from services.gateway.uploads import Uploads, Volume, row_of
from services.transcriber.decode import Samples
from services.transcriber.model import Guess, Hearing, Model, Utterance
from services.transcriber.transcribe import transcribe
from tests import speech
from tests.disk import keys_of_objects
from tests.gateway.conftest import Pipeline, report

PROMISE_S = 5.0


class Secrets:
    """What must not be found any more: random audio and its keys, a random name, random words."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self.audio = secrets.token_bytes(32)
        self.name = f"{secrets.token_hex(16)}.wav"
        self.text = secrets.token_hex(32)
        self.keys: list[bytes] = []

    def upload(self, *, repeats: int = 50_000) -> dict[str, Any]:
        file = io.BytesIO()
        with wave.open(file, "wb") as audio:
            audio.setparams((1, 2, 48_000, 0, "NONE", ""))
            audio.writeframes(self.audio * repeats)
        return {"file": (self.name, file.getvalue(), "audio/wav")}

    def on_disk(self) -> dict[str, int]:
        """Count each of them in every file of the server's store."""
        found = dict.fromkeys(("audio", "key", "name", "text"), 0)
        for path in self._store.rglob("*"):
            try:
                content = path.read_bytes() if path.is_file() else b""
            except FileNotFoundError:  # a block that was removed meanwhile
                continue
            found["audio"] += content.count(self.audio)
            found["key"] += sum(content.count(key) for key in self.keys)
            found["name"] += content.count(self.name.encode())
            found["text"] += content.count(self.text.encode())
        return found

    async def written(self) -> dict[str, int]:
        """Count them once the server has written: 2.9 does so a moment later."""
        deadline = time.monotonic() + PROMISE_S
        while not (found := self.on_disk())["key"] and time.monotonic() < deadline:  # noqa: ASYNC110 - ditto
            await asyncio.sleep(0.02)
        return found

    async def gone_within(self, seconds: float) -> dict[str, int]:
        deadline = time.monotonic() + seconds
        while any((found := self.on_disk()).values()) and time.monotonic() < deadline:  # noqa: ASYNC110 - nothing tells of a file
            await asyncio.sleep(0.1)
        return found


NOTHING = {"audio": 0, "key": 0, "name": 0, "text": 0}


@pytest.fixture
async def hidden(pipeline: Pipeline, tmp_path: Path) -> AsyncIterator[Secrets]:
    found = Secrets(tmp_path / "nats" / "store")
    async with keys_of_objects(pipeline.broker) as found.keys:
        yield found


def say(text: str, *_: object) -> Transcript:
    audio = AudioFormat(
        container="wav",
        codec="pcm",
        sample_rate=48_000,
        channels=1,
        layout="mono",
        bit_depth=16,
        bit_rate=None,
        duration=1.5,
    )
    return Transcript(
        text=text,
        language="en",
        language_probability=1.0,
        model="test",
        segments=(),
        audio=audio,
    )


@asynccontextmanager
async def transcriber(pipeline: Pipeline, step: Step) -> AsyncIterator[None]:
    blobs = Blobs(pipeline.broker.connection, AUDIO.name)
    worker = Worker(pipeline.broker, blobs, TRANSCRIBE, step, slots=1)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.serve(until=stop, grace=timedelta(seconds=1)))
        try:
            yield
        finally:
            stop.set()


async def post(pipeline: Pipeline, hidden: Secrets, **fields: str) -> Any:
    answer = await pipeline.http.post(
        "/analyze", files=hidden.upload(), data={"tasks": "transcribe", **fields}
    )
    return report(answer)


async def test_no_byte_of_a_deleted_upload_stays_on_disk(
    pipeline: Pipeline, hidden: Secrets
) -> None:
    body = await post(pipeline, hidden, wait="0")
    waiting = await hidden.written()

    await pipeline.http.delete(f"/result/{body['token']}")

    assert waiting["audio"] == 0, "it is encrypted"
    assert waiting["key"] == 1
    assert waiting["name"] > 0
    assert await hidden.gone_within(PROMISE_S) == NOTHING


async def test_no_byte_of_the_audio_stays_on_disk_after_its_last_task(
    pipeline: Pipeline, hidden: Secrets
) -> None:
    async with transcriber(pipeline, partial(say, hidden.text)):
        body = await post(pipeline, hidden)
        deadline = time.monotonic() + PROMISE_S
        gone = hidden.on_disk()
        while gone["key"] and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            gone = hidden.on_disk()

    assert body["transcription"] == hidden.text
    assert len(hidden.keys) == 1
    assert gone["key"] == gone["audio"] == 0
    assert gone["text"] > 0


async def test_no_word_of_a_deleted_report_stays_on_disk(
    pipeline: Pipeline, hidden: Secrets
) -> None:
    async with transcriber(pipeline, partial(say, hidden.text)):
        body = await post(pipeline, hidden)
        found = hidden.on_disk()
        await pipeline.http.delete(f"/result/{body['token']}")

    assert found["text"] > 0
    assert await hidden.gone_within(PROMISE_S) == NOTHING


async def test_no_byte_of_a_refused_upload_stays_on_disk(
    pipeline: Pipeline, hidden: Secrets
) -> None:
    answer = await pipeline.http.post("/analyze", files=hidden.upload(repeats=70_000))

    assert answer.status_code == 413
    assert await hidden.gone_within(PROMISE_S) == NOTHING


async def test_a_revision_that_was_replaced_is_not_on_disk_any_more(
    pipeline: Pipeline, hidden: Secrets
) -> None:
    revision = await pipeline.broker.write(ANALYSES, "k", hidden.text.encode(), revision=0)
    before = hidden.on_disk()["text"]

    await pipeline.broker.write(ANALYSES, "k", b"new", revision=revision)

    assert before == 1
    assert await hidden.gone_within(PROMISE_S) == NOTHING


async def test_what_a_dead_writer_left_of_older_revisions_goes_with_the_record(
    pipeline: Pipeline, hidden: Secrets
) -> None:
    js = pipeline.broker.connection.jetstream()
    for _ in range(3):  # written as by one that died before it erased the revision before
        await js.publish(ANALYSES.subject("k"), hidden.text.encode())

    await pipeline.broker.erase(ANALYSES, "k")

    assert await pipeline.broker.read(ANALYSES, "k") is None
    assert await hidden.gone_within(PROMISE_S) == NOTHING


class Endless:
    """A step that never ends by itself."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.stopped = threading.Event()

    def __call__(self, _: BinaryIO, __: Any, progress: Progress) -> Transcript:
        self.started.set()
        try:
            for _tick in range(1000):
                time.sleep(0.02)
                progress(0.5)
            raise AssertionError("nobody has stopped it")
        finally:
            self.stopped.set()


async def test_a_deleted_upload_stops_its_worker_and_answers_who_waits(
    pipeline: Pipeline, hidden: Secrets
) -> None:
    step = Endless()
    async with transcriber(pipeline, step), asyncio.TaskGroup() as group:
        queued = await post(pipeline, hidden, wait="0")
        path = f"/result/{queued['token']}"
        poll = group.create_task(pipeline.http.get(path, params={"wait": "60"}))
        await asyncio.to_thread(step.started.wait, 5)
        start = time.monotonic()

        await pipeline.http.delete(path)
        answer = await poll
        answered_after = time.monotonic() - start
        stopped = await asyncio.to_thread(step.stopped.wait, PROMISE_S)

    assert (answer.status_code, report(answer)["code"]) == (404, "not_found")
    assert answered_after < 1
    assert stopped
    assert await pipeline.messages(TRANSCRIBE.stream) == 0
    assert await pipeline.messages(ANALYSES.stream) == 0
    assert await hidden.gone_within(PROMISE_S) == NOTHING


@pytest.mark.espeak
async def test_a_deleted_talk_is_heard_no_further_and_none_of_its_words_stay_on_disk(
    pipeline: Pipeline, model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heard: list[float] = []
    hear = Model.transcribe_window

    def count(
        model: Model, samples: Samples, hearing: Hearing, guess: Guess | None
    ) -> list[Utterance]:
        heard.append(time.monotonic())
        return hear(model, samples, hearing, guess)

    monkeypatch.setattr(Model, "transcribe_window", count)
    phrases = [speech.say(speech.digits("en", 4, seed=number)) for number in range(6)]
    turn, _ = speech.with_pauses(phrases, [0.8] * 6)
    talk = speech.wav(np.resize(turn, 40 * speech.RATE_HZ)).getvalue()
    words = tmp_path / "nats" / "store"

    async with transcriber(pipeline, partial(transcribe, model=model)):
        files = {"file": ("talk.wav", talk, "audio/wav")}
        fields = {"tasks": "transcribe", "wait": "0"}
        token = report(await pipeline.http.post("/analyze", files=files, data=fields))["token"]
        while await pipeline.messages(CHECKPOINTS.stream) < 2:  # noqa: ASYNC110 - the server's
            await asyncio.sleep(0.01)
        before = mentions(words, b"avg_logprob")

        await pipeline.http.delete(f"/result/{token}")
        until_then = len(heard)
        async with asyncio.timeout(PROMISE_S):
            while "step" in {each.name for each in threading.enumerate()}:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)

    assert before > 0
    assert len(heard) <= until_then + 1, "the one that was begun before the next word with NATS"
    assert await pipeline.messages(CHECKPOINTS.stream) == 0
    assert mentions(words, b"avg_logprob") == 0


def mentions(folder: Path, what: bytes) -> int:
    return sum(path.read_bytes().count(what) for path in folder.rglob("*") if path.is_file())


async def test_an_expired_report_leaves_no_byte_on_disk(
    pipeline: Pipeline, hidden: Secrets
) -> None:
    async with transcriber(pipeline, partial(say, hidden.text)):
        body = await post(pipeline, hidden)
    soon = datetime.now(UTC) + timedelta(minutes=14, seconds=59)
    uploads = Uploads(pipeline.broker)
    expiry = Expiry(uploads, Intake(pipeline.broker, pipeline.settings))

    await expiry.sweep(now=soon)
    kept = await pipeline.http.get(f"/result/{body['token']}")
    await expiry.sweep(now=soon + timedelta(seconds=1))

    assert kept.status_code == 200
    assert (await pipeline.http.get(f"/result/{body['token']}")).status_code == 404
    assert await hidden.gone_within(PROMISE_S) == NOTHING


async def test_the_token_of_an_expired_report_is_swept_up_by_itself(
    pipeline: Pipeline, hidden: Secrets
) -> None:
    brief = Intake(pipeline.broker, replace(pipeline.settings, report_ttl_s=0.5))

    async def body() -> AsyncIterator[bytes]:
        yield hidden.audio

    await brief.submit(await brief.receive(body(), hidden.name), Wishes(), {})
    found = await hidden.written()
    await asyncio.sleep(0.5)

    assert found["key"] == found["name"] == 1
    assert await hidden.gone_within(PROMISE_S) == NOTHING
    for stream in (AUDIO, ANALYSES, REPORTS, ANALYZE, TRANSCRIBE):
        assert await pipeline.messages(stream.stream) == 0


async def test_a_request_whose_first_file_has_gone_before_its_last_came_is_refused(
    pipeline: Pipeline,
) -> None:
    slow = Intake(pipeline.broker, replace(pipeline.settings, orphan_audio_s=0.2))

    async def body() -> AsyncIterator[bytes]:
        yield b"audio"

    gone, there = [await slow.receive(body(), name) for name in ("gone.wav", "there.wav")]
    await asyncio.sleep(0.2)
    await Blobs(pipeline.broker.connection, AUDIO.name).delete(gone.blob.name)

    with pytest.raises(TooSlow, match="has gone meanwhile"):
        await slow.submit(gone, Wishes(), {})
    assert (await slow.submit(there, Wishes(), {})).filename == "there.wav"


async def test_what_may_be_read_once_is_gone_with_the_sync_answer(
    pipeline: Pipeline, hidden: Secrets
) -> None:
    async with transcriber(pipeline, partial(say, hidden.text)):
        body = await post(pipeline, hidden, retention="once")

    assert body["transcription"] == hidden.text
    assert (await pipeline.http.get(f"/result/{body['token']}")).status_code == 404
    assert await hidden.gone_within(PROMISE_S) == NOTHING


async def test_what_may_be_read_once_is_gone_with_the_first_final_report(
    pipeline: Pipeline, hidden: Secrets
) -> None:
    queued = await post(pipeline, hidden, retention="once", wait="0")
    path = f"/result/{queued['token']}"
    looks = [await pipeline.http.get(path) for _ in range(2)]

    async with transcriber(pipeline, partial(say, hidden.text)):
        final = await pipeline.http.get(path, params={"wait": "30"})

    assert [report(look)["status"] for look in looks] == ["queued", "queued"]
    assert report(final)["transcription"] == hidden.text
    assert (await pipeline.http.get(path)).status_code == 404
    assert await hidden.gone_within(PROMISE_S) == NOTHING


async def test_the_answer_at_the_nats_door_is_a_reading_too(
    pipeline: Pipeline, hidden: Secrets
) -> None:
    headers = {"Tasks": "transcribe", "Retention": "once", "Filename": hidden.name}
    async with transcriber(pipeline, partial(say, hidden.text)):
        answer = await pipeline.broker.connection.request(
            PROCESS, hidden.audio * 10_000, headers=headers, timeout=30
        )
        gone = await hidden.gone_within(PROMISE_S)

    assert msgspec.json.decode(answer.data)["transcription"] == hidden.text
    assert gone == NOTHING


async def test_what_is_kept_stays_without_its_jobs_until_it_is_deleted(
    pipeline: Pipeline, hidden: Secrets
) -> None:
    async with transcriber(pipeline, partial(say, hidden.text)):
        body = await post(pipeline, hidden, retention="library")
    path = f"/result/{body['token']}"
    volume = await _shelved(pipeline, body["token"])
    await _until_empty(pipeline, ANALYSES.stream)
    expiry = Expiry(Uploads(pipeline.broker), Intake(pipeline.broker, pipeline.settings))

    await expiry.sweep(now=datetime.now(UTC) + timedelta(days=365))
    years_later = report(await pipeline.http.get(path))

    assert years_later == body
    assert body["expires_at"] is None
    assert (volume.text, volume.language, volume.duration_s) == (hidden.text, "en", 1.5)
    assert (volume.upload.filename, volume.upload.token) == (hidden.name, "")
    assert body["token"].encode() not in bytes(volume.report)
    assert await pipeline.messages(LIBRARY.stream) == 1
    assert (await pipeline.http.delete(path)).status_code == 204
    assert (await pipeline.http.get(path)).status_code == 404
    assert await hidden.gone_within(PROMISE_S) == NOTHING


async def test_what_is_to_be_kept_survives_the_delete_of_a_twin(
    pipeline: Pipeline, hidden: Secrets
) -> None:
    kept = await post(pipeline, hidden, retention="library", wait="0")
    twin = await post(pipeline, hidden, wait="0")

    await pipeline.http.delete(f"/result/{twin['token']}")
    async with transcriber(pipeline, partial(say, hidden.text)):
        volume = await _shelved(pipeline, kept["token"])

    assert volume.text == hidden.text


async def test_what_is_deleted_before_it_can_be_kept_does_not_come_again(
    pipeline: Pipeline, hidden: Secrets
) -> None:
    for _ in range(5):
        queued = await post(pipeline, hidden, retention="library", wait="0")
        await asyncio.sleep(0.1)  # somebody waits for the jobs, to keep what comes of them

        await pipeline.http.delete(f"/result/{queued['token']}")

    await asyncio.sleep(0.5)
    assert [await pipeline.messages(each.stream) for each in (REPORTS, LIBRARY)] == [0, 0]


async def test_a_failure_is_not_kept(pipeline: Pipeline, hidden: Secrets) -> None:
    def refuse(*_: object) -> Transcript:
        raise NotAudio("a picture")

    queued = await post(pipeline, hidden, retention="library", wait="0")
    async with transcriber(pipeline, refuse):
        await _until_empty(pipeline, LIBRARY.stream)
    failed = report(await pipeline.http.get(f"/result/{queued['token']}"))

    assert failed["status"] == "failed"
    assert failed["expires_at"] is not None


async def test_an_older_result_is_written_again_for_the_report_that_shows_it(
    pipeline: Pipeline, hidden: Secrets
) -> None:
    async with transcriber(pipeline, partial(say, hidden.text)):
        await post(pipeline, hidden)
    found = await pipeline.broker.oldest(ANALYSES, ">")
    assert found
    job = msgspec.json.decode(found.value, type=Job)
    old = replace(job, ended_at=datetime.now(UTC) - timedelta(minutes=31))
    aged = msgspec.json.encode(old)
    revision = await pipeline.broker.write(ANALYSES, job.key, aged, revision=found.revision)

    again = await post(pipeline, hidden)

    rewritten = await pipeline.broker.read(ANALYSES, job.key)
    assert again["transcription"] == hidden.text
    assert rewritten
    assert rewritten.revision > revision


async def _shelved(pipeline: Pipeline, token: str) -> Volume:
    async with asyncio.timeout(10):
        while True:
            volume = await Uploads(pipeline.broker).volume(row_of(token))
            assert volume
            if volume.is_final:
                return volume
            await asyncio.sleep(0.05)


async def _until_empty(pipeline: Pipeline, stream: str) -> None:
    async with asyncio.timeout(10):
        while await pipeline.messages(stream):  # noqa: ASYNC110 - it is the server's
            await asyncio.sleep(0.05)
