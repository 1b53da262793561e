"""A final report is posted to its callback_url: signed, tried again, and by any gateway."""

import asyncio
import base64
import hashlib
import hmac
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from decibus.broker import connect
from decibus.errors import BadRequest
from decibus.ledger import Ledger
from decibus.settings import SettingsError
from decibus.topology import ANALYSES, HOOKS, PROCESS, WEBHOOKS
from decibus.worker import Step
from services.gateway.callbacks import Callbacks
from services.gateway.expiry import Expiry
from services.gateway.intake import Intake, Wishes
from services.gateway.settings import Settings
from services.gateway.uploads import Uploads
from services.gateway.webhooks import (
    next_try,
    read_schedule,
    read_secrets,
    signed,
)
from tests.conftest import NatsServer
from tests.gateway.conftest import Pipeline, report, transcoder_at
from tests.gateway.receiver import OK, UNAVAILABLE, Post, Receiver
from tests.signals import encode, sine

SECRET = "whsec_plJ3nmyCDGBKInavdOK15jsl"  # noqa: S105 - a published example
OLD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - a published example
TONE = encode(sine(1.0, -23.0), 48_000, "wav16")
QUICK = tuple(timedelta(seconds=seconds) for seconds in (0.4, 0.8, 1.2))
VECTORS = [
    (
        SECRET,
        "msg_loFOjxBNrRLzqYUf",
        1731705121,
        b'{"event_type":"ping","data":{"success":true}}',
        "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
    ),
    (
        OLD_SECRET,
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
]
"""Published by Svix, who wrote the specification, and with its reference libraries."""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().open() as opened:
        yield opened


@pytest.fixture
def settings(receiver: Receiver) -> Settings:
    return Settings(
        max_upload_bytes=2_000_000,
        max_duration_s=60.0,
        webhook_secret=f"{SECRET} {OLD_SECRET}",
        callback_allow_http=True,
        callback_allow_loopback=True,
        callback_ports=f"443,{receiver.port}",
        webhook_retries=",".join(str(wait.total_seconds()) for wait in QUICK),
    )


def url(receiver: Receiver) -> str:
    return f"http://127.0.0.1:{receiver.port}/hook"


async def submit(pipeline: Pipeline, receiver: Receiver, **fields: str) -> Any:
    fields = {"tasks": "loudness", "wait": "0", "callback_url": url(receiver), **fields}
    return report(await pipeline.analyze(TONE, **fields))


def answer_with(receiver: Receiver, *answers: str) -> None:
    receiver._answers[:] = answers  # noqa: SLF001 - set before anybody calls


def verify(post: Post, secret: str) -> bool:
    """Check a signature as a receiver does, who has only read the specification."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    head = f"{post.headers['webhook-id']}.{post.headers['webhook-timestamp']}."
    mac = hmac.new(key, head.encode() + post.body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(mac).decode()}" in post.headers["webhook-signature"].split(" ")


@pytest.mark.parametrize(("secret", "message", "timestamp", "body", "signature"), VECTORS)
def test_the_signature_is_the_published_one(
    secret: str, message: str, timestamp: int, body: bytes, signature: str
) -> None:
    now = datetime.fromtimestamp(timestamp, UTC)

    headers = signed(message, body, keys=read_secrets(secret), now=now)

    assert headers == {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }


@pytest.mark.parametrize("text", ["secret", "whsec_!", "whsec_c2VjcmV0 c2VjcmV0"])
def test_what_is_no_secret_ends_the_configuration(text: str) -> None:
    with pytest.raises(SettingsError, match="WEBHOOK_SECRET"):
        read_secrets(text)


def test_the_schedule_is_as_documented_and_ends_within_a_day() -> None:
    schedule = read_schedule(Settings().webhook_retries)

    waits = [wait.total_seconds() for wait in schedule]
    assert waits == [5, 300, 1_800, 7_200, 18_000, 36_000]
    assert sum(waits) < 86_400


@pytest.mark.parametrize("text", ["soon", "-1", "80000,6401", "nan"])
def test_what_is_no_schedule_ends_the_configuration(text: str) -> None:
    with pytest.raises(SettingsError, match="WEBHOOK_RETRIES"):
        read_schedule(text)


@pytest.mark.parametrize("status", [200, 202, 204, 299, 410])
def test_success_and_gone_end_it(status: int) -> None:
    assert next_try(status, 0, QUICK) is None


@pytest.mark.parametrize("status", [None, 301, 302, 400, 401, 404, 429, 500, 502, 503])
def test_everything_else_is_tried_again_until_the_schedule_ends(status: int | None) -> None:
    tries = [next_try(status, attempt, QUICK) for attempt in range(len(QUICK) + 1)]

    assert tries == [*QUICK, None]


async def test_the_final_report_is_posted_and_signed(
    pipeline: Pipeline, receiver: Receiver
) -> None:
    queued = await submit(pipeline, receiver)
    await asyncio.sleep(1.5)
    too_early = receiver.connections

    async with pipeline.workers():
        post = (await receiver.wait(1))[0]
    await _until_forgotten(pipeline)

    final = report(await pipeline.http.get(f"/result/{queued['token']}"))
    assert too_early == 0
    assert msgspec.json.decode(post.body) == final
    assert final["status"] == "done"
    assert post.path == "/hook"
    assert post.headers["content-type"] == "application/json"
    assert verify(post, SECRET)
    assert verify(post, OLD_SECRET)
    assert not verify(post, "whsec_c29tZWJvZHkgZWxzZQ==")
    now = datetime.now(UTC).timestamp()
    assert abs(now - int(post.headers["webhook-timestamp"])) < 15
    assert len(receiver.posts) == 1


async def test_the_nats_door_takes_a_callback_too(pipeline: Pipeline, receiver: Receiver) -> None:
    headers = {"Tasks": "loudness", "Callback-Url": url(receiver)}
    async with pipeline.workers():
        answer = await pipeline.broker.connection.request(
            PROCESS, TONE, headers=headers, timeout=30
        )
        post = (await receiver.wait(1))[0]

    assert msgspec.json.decode(post.body) == msgspec.json.decode(answer.data)


async def test_failures_are_posted_as_well(pipeline: Pipeline, receiver: Receiver) -> None:
    async with pipeline.workers():
        await pipeline.analyze(b"no audio " * 99, callback_url=url(receiver))
        post = (await receiver.wait(1))[0]

    assert msgspec.json.decode(post.body)["status"] == "failed"


@pytest.mark.parametrize(
    ("callback_url", "told"),
    [
        ("http://192.168.1.1/", "port 80"),
        ("https://192.168.1.1/", "private"),
        ("https://user:pw@example.com/", "credentials"),
        ("gopher://example.com/", "only https"),
    ],
)
async def test_a_bad_callback_is_refused_and_nothing_stays(
    pipeline: Pipeline, callback_url: str, told: str
) -> None:
    refused = await pipeline.analyze(TONE, callback_url=callback_url)

    assert refused.status_code == 400
    assert told in report(refused)["detail"]
    for stream in ("OBJ_audio", "KV_reports", HOOKS.stream, WEBHOOKS.stream):
        assert await pipeline.messages(stream) == 0


async def test_without_a_secret_there_are_no_callbacks(
    pipeline: Pipeline, receiver: Receiver
) -> None:
    callbacks = Callbacks(pipeline.broker, replace(pipeline.settings, webhook_secret=""))

    with pytest.raises(BadRequest, match="no webhook_secret"):
        callbacks.check(url(receiver))


async def test_a_failed_post_is_tried_again_on_schedule_with_the_same_id(
    pipeline: Pipeline, receiver: Receiver
) -> None:
    answer_with(receiver, UNAVAILABLE, "404 Not Found", "301 Moved\nlocation: /x\r\n", OK)
    await submit(pipeline, receiver)

    async with pipeline.workers():
        posts = await receiver.wait(4)
    await _until_forgotten(pipeline)

    waits = [after.at - before.at for before, after in pairwise(posts)]
    assert waits == [pytest.approx(wait.total_seconds(), abs=0.35) for wait in QUICK]
    assert len({post.headers["webhook-id"] for post in posts}) == 1
    assert len({post.body for post in posts}) == 1
    assert all(verify(post, SECRET) for post in posts)
    assert {post.path for post in posts} == {"/hook"}, "no redirect was followed"


async def test_it_is_given_up_in_the_end(pipeline: Pipeline, receiver: Receiver) -> None:
    answer_with(receiver, UNAVAILABLE)
    await submit(pipeline, receiver)

    async with pipeline.workers():
        await receiver.wait(len(QUICK) + 1)
    await _until_forgotten(pipeline)

    assert len(receiver.posts) == len(QUICK) + 1


async def test_gone_is_not_tried_again(pipeline: Pipeline, receiver: Receiver) -> None:
    answer_with(receiver, "410 Gone")
    await submit(pipeline, receiver)

    async with pipeline.workers():
        await receiver.wait(1)
    await _until_forgotten(pipeline)

    assert len(receiver.posts) == 1


async def test_a_retry_outlives_the_report(pipeline: Pipeline, receiver: Receiver) -> None:
    answer_with(receiver, UNAVAILABLE, OK)
    queued = await submit(pipeline, receiver)
    expiry = Expiry(Uploads(pipeline.broker), Intake(pipeline.broker, pipeline.settings))

    async with pipeline.workers():
        await receiver.wait(1)
        await expiry.sweep(now=datetime.now(UTC) + timedelta(minutes=15))
        posts = await receiver.wait(2)

    assert (await pipeline.http.get(f"/result/{queued['token']}")).status_code == 404
    assert posts[0].body == posts[1].body
    assert msgspec.json.decode(posts[1].body)["loudness"] is not None


async def test_a_report_that_expires_in_the_queue_is_posted_all_the_same(
    pipeline: Pipeline, receiver: Receiver
) -> None:
    await submit(pipeline, receiver)
    expiry = Expiry(Uploads(pipeline.broker), Intake(pipeline.broker, pipeline.settings))
    await expiry.sweep(now=datetime.now(UTC) + timedelta(minutes=15))

    async with pipeline.workers():
        post = (await receiver.wait(1))[0]
        await _until_forgotten(pipeline)

    assert msgspec.json.decode(post.body)["status"] == "done"
    assert await pipeline.messages(ANALYSES.stream) == 0


async def test_a_deleted_report_is_not_posted(pipeline: Pipeline, receiver: Receiver) -> None:
    answer_with(receiver, UNAVAILABLE)
    queued = await submit(pipeline, receiver)
    async with pipeline.workers():
        await receiver.wait(1)

    await pipeline.http.delete(f"/result/{queued['token']}")
    await _until_forgotten(pipeline)
    so_far = len(receiver.posts)
    await asyncio.sleep(1.5)

    assert len(receiver.posts) == so_far


async def test_what_may_be_read_once_is_read_by_the_callback(
    pipeline: Pipeline, receiver: Receiver
) -> None:
    async with pipeline.workers():
        body = await submit(pipeline, receiver, retention="once", wait="30")
        post = (await receiver.wait(1))[0]
        await _until_forgotten(pipeline)

    gone = await pipeline.http.get(f"/result/{body['token']}")
    assert msgspec.json.decode(post.body) == body
    assert gone.status_code == 404
    assert await pipeline.messages(ANALYSES.stream) == 0


async def test_a_callback_tells_of_a_file_and_leaves_its_one_download(
    pipeline: Pipeline, receiver: Receiver, nats_server: NatsServer, convert: Step
) -> None:
    data = {"extension": "flac", "retention": "once", "callback_url": url(receiver), "wait": "0"}
    files = {"file": ("take.wav", TONE)}
    async with transcoder_at(nats_server.url, convert):
        await pipeline.http.post("/transcode", files=files, data=data)
        post = (await receiver.wait(1))[0]
    await _until_forgotten(pipeline)

    told = msgspec.json.decode(post.body)["output"]
    fetched = await pipeline.http.get(told["download_url"])
    again = await pipeline.http.get(told["download_url"])

    assert len(fetched.content) == told["bytes"]
    assert again.status_code == 404


async def test_what_is_kept_is_posted_too(pipeline: Pipeline, receiver: Receiver) -> None:
    await submit(pipeline, receiver, retention="library")

    async with pipeline.workers():
        post = (await receiver.wait(1))[0]

    assert msgspec.json.decode(post.body)["status"] == "done"


async def _until_forgotten(pipeline: Pipeline) -> None:
    async with asyncio.timeout(10):
        while await pipeline.messages(HOOKS.stream) + await pipeline.messages(WEBHOOKS.stream):  # noqa: ASYNC110 - they are the server's
            await asyncio.sleep(0.05)


PROGRAM = """
import asyncio, sys
import msgspec
from decibus.broker import connect
from decibus.references import load_references
from services.gateway.chores import chores
from services.gateway.intake import Intake, Wishes
from services.gateway.live import Live
from services.gateway.settings import Settings

async def main(references):
    settings = msgspec.json.decode(sys.argv[2], type=Settings)
    async with connect(sys.argv[1], name="gateway") as broker:
        intake, live = Intake(broker, settings), Live(broker)
        await live.start()
        async with chores(broker, intake, live, settings, references):
            await asyncio.sleep(60)

asyncio.run(main(load_references()))
"""
"""A gateway that only does its chores."""


async def test_a_gateway_killed_between_attempts_is_replaced_by_another(
    nats_server: NatsServer, settings: Settings, receiver: Receiver
) -> None:
    answer_with(receiver, UNAVAILABLE, OK)
    patient = replace(settings, webhook_retries="2")
    arguments = (nats_server.url, msgspec.json.encode(patient).decode())
    async with connect(nats_server.url, name="door") as broker:
        await broker.declare()
        await _submit_as_a_door(Intake(broker, settings), receiver)
        first = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, *arguments)
        await receiver.wait(1)
        await asyncio.sleep(0.5)  # it writes down when to try again
        first.kill()
        await first.wait()

        second = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, *arguments)
        posts = await receiver.wait(2)
        second.kill()
        await second.wait()

    assert posts[0].headers["webhook-id"] == posts[1].headers["webhook-id"]
    assert posts[0].body == posts[1].body
    assert posts[1].at - posts[0].at >= 1.9


async def _submit_as_a_door(intake: Intake, receiver: Receiver) -> None:
    """Submit, and lose the jobs: the report is final without any worker."""

    async def body() -> AsyncIterator[bytes]:
        yield TONE

    received = await intake.receive(body(), "take.wav")
    upload = await intake.submit(received, Wishes(callback_url=url(receiver)), {})
    for key in upload.keys.values():
        await Ledger(intake._broker).erase(key)  # noqa: SLF001
