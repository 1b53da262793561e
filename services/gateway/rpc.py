"""The NATS door: `nats request audio.process` gets the same report as `POST /analyze`."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec
import structlog
from msgspec.structs import replace

from decibus.broker import Broker, Call
from decibus.ending import ended
from decibus.errors import BadAudio, BadRequest, DecibusError, Unavailable, Unreadable
from decibus.messages import read
from decibus.references import References
from decibus.telemetry import TRACEPARENT, trace_id, traceparent
from decibus.topology import GATEWAYS, PROCESS, STATS_ASKED
from services.gateway import problem
from services.gateway.form import clean_name
from services.gateway.guards import Guards, owner_of
from services.gateway.intake import Intake, Received
from services.gateway.live import Jobs, Live
from services.gateway.problem import Problem
from services.gateway.report import VERSION, compose, refusal
from services.gateway.settings import Settings
from services.gateway.stats import Statistics, tell
from services.gateway.uploads import Door, Upload, Uploads
from services.gateway.wishes import read_wait, read_wishes

log = structlog.get_logger()

# Without --force-stdin the tool ignores its input whenever its output is no terminal.
COMMAND: Final = (
    "nats request audio.process --timeout 120s --raw --no-templates --force-stdin < take.wav"
)
_HEADERS: Final = (
    "tasks",
    "genre",
    "target",
    "language",
    "multilingual",
    "translate",
    "words",
    "prompt",
    "temperature",
    "model",
    "timeline",
    "wait",
    "retention",
    "callback_url",  # Callback-Url will do as well
)
# No audio file is this short; a command line's stray argument is.
_MAX_STRAY_BYTES: Final = 16


class ObjectReference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Audio that the sender has put into the object store `audio`: too large for one message."""

    object: str


class NatsDoor:
    """Answers requests side by side; nats-py would call a handler for one after the other."""

    def __init__(  # noqa: PLR0913, PLR0917 - the wiring, in one place
        self,
        broker: Broker,
        intake: Intake,
        live: Live,
        settings: Settings,
        guards: Guards,
        references: References,
        statistics: Statistics,
    ) -> None:
        self._broker = broker
        self._guards = guards
        self._intake = intake
        self._live = live
        self._settings = settings
        self._references = references
        self._statistics = statistics
        self._uploads = Uploads(broker)
        self._bytes_in_hand = 0
        self._in_hand: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Answer requests while the block runs; then finish what is in hand, within the grace."""
        async with asyncio.TaskGroup() as group:

            async def on_call(call: Call) -> None:
                if not self._has_room_for(call):
                    busy = Unavailable("too many requests are waiting for their answers")
                    await self._try_to_refuse(call, problem.of_error(busy))
                    return
                self._begin(group, self._answer(call))

            async def on_stats(call: Call) -> None:
                self._begin(group, self._tell(call))

            handlers = {PROCESS: on_call, STATS_ASKED: on_stats}
            stop = await self._broker.answer(
                "decibus", version=VERSION, group=GATEWAYS, handlers=handlers
            )
            yield
            with suppress(Exception):  # NATS may be away; then nothing comes either
                await stop()
            if self._in_hand:
                _, late = await asyncio.wait(self._in_hand, timeout=self._settings.grace_s)
                await ended(late)

    def _begin(self, group: asyncio.TaskGroup, answering: Coroutine[None, None, None]) -> None:
        task = group.create_task(answering)
        self._in_hand.add(task)
        task.add_done_callback(self._in_hand.discard)

    def _has_room_for(self, call: Call) -> bool:
        is_many = len(self._in_hand) >= self._settings.max_rpc_requests
        return not is_many and self._bytes_in_hand + call.size <= self._settings.max_rpc_bytes

    async def _answer(self, call: Call) -> None:
        trace = trace_id(call.headers.get(TRACEPARENT))
        with structlog.contextvars.bound_contextvars(trace_id=trace):
            try:
                upload, jobs = await self._process(call, trace)
                fault = refusal(jobs)
                if fault is not None:
                    await self._uploads.remove(upload)  # nobody has its token
                    await _refuse(call, problem.of_fault(fault))
                else:
                    place = await self._live.lines.place(jobs)
                    report = compose(upload, jobs, self._references, place)
                    await call.reply(msgspec.json.encode(report))
                await self._intake.delivered(upload, jobs)
            except DecibusError as error:
                await self._try_to_refuse(call, problem.of_error(error))
            except Exception as error:
                log.exception("request_failed", exc_info=error)
                await self._try_to_refuse(call, problem.internal())

    async def _tell(self, call: Call) -> None:
        """Answer `audio.stats`; headers `Window` and `Source` are what the URL's query is."""
        fields = _lower(call.headers)
        try:
            await self._guards.admit(fields, address=None)
            told = await tell(self._statistics, fields.get("window"), fields.get("source"))
            await call.reply(msgspec.json.encode(told))
        except DecibusError as error:
            await self._try_to_refuse(call, problem.of_error(error))

    async def _process(self, call: Call, trace: str) -> tuple[Upload, Jobs]:
        sender = await self._guards.admit(_lower(call.headers), address=None)
        fields = _fields(call.headers)
        wishes = read_wishes(fields, self._references)
        most = self._settings.max_wait_s
        wait_s = read_wait(fields.get("wait"), default_s=most, max_s=most)
        await self._guards.backlog.refuse_when_full(wishes.tasks)
        received = await self._receive(call)
        headers = {TRACEPARENT: traceparent(trace)}
        upload = await self._intake.submit(
            received, wishes, headers, door=Door.NATS, owner=owner_of(sender)
        )
        return upload, await self._live.settled(upload.keys.values(), within_s=wait_s)

    async def _receive(self, call: Call) -> Received:
        """Store the audio; its bytes leave the memory before the wait for the report begins."""
        self._bytes_in_hand += call.size
        try:
            return await self._store(call.take_body(), call.headers)
        finally:
            self._bytes_in_hand -= call.size

    async def _store(self, body: bytes, headers: Mapping[str, str]) -> Received:
        if not body:
            raise BadAudio(f"the request has no body; send the audio itself: {COMMAND}")
        if len(body) <= _MAX_STRAY_BYTES and body.strip().isdigit():
            stray = body.decode(errors="replace").strip()
            raise BadRequest(
                f"the body is {stray!r}, not audio: `--wait {stray}` is no option that takes a "
                f"number, so the nats command sent it as the body. Use: {COMMAND}"
            )
        if body.startswith(b"{") and (reference := _reference(body)) is not None:
            received = await self._intake.copy(reference.object)
            return replace(received, filename=clean_name(reference.object))
        filename = _lower(headers).get("filename")
        return await self._intake.receive(_once(body), clean_name(filename))

    async def _try_to_refuse(self, call: Call, answer: Problem) -> None:
        try:
            await _refuse(call, answer)
        except DecibusError as error:  # NATS is away
            log.warning("reply_failed", reason=str(error))


async def _refuse(call: Call, answer: Problem) -> None:
    await call.refuse(answer.status, answer.title, msgspec.json.encode(answer))


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _reference(body: bytes) -> ObjectReference | None:
    try:
        return read(body, ObjectReference)
    except Unreadable:
        return None


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _fields(headers: Mapping[str, str]) -> dict[str, str]:
    given = {name.replace("-", "_"): value for name, value in _lower(headers).items()}
    return {name: given[name] for name in _HEADERS if name in given}
