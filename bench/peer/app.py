"""
The peer's front: takes uploads, queues them in Celery, and tells how far they are.

    uvicorn bench.peer.app:app --loop uvloop --http httptools
"""

import asyncio
import hashlib
import json  # noqa: TID251 - what such a service uses
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import redis.asyncio as redis
from fastapi import FastAPI, HTTPException, Response, UploadFile, WebSocket
from starlette.concurrency import run_in_threadpool

from bench.peer.tasks import AUDIO, REDIS_URL
from bench.peer.tasks import analyze as task

TTL_S: Final = 900
_BLOCK: Final = 1 << 20

store: Any = redis.Redis.from_url(REDIS_URL)
waiting: dict[str, set[asyncio.Event]] = {}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Hear of all results by one subscription."""
    async with store.pubsub() as heard:
        await heard.psubscribe("done:*")
        listening = asyncio.create_task(listen(heard))  # noqa: TID251 - the process's own life
        yield
        listening.cancel()


async def listen(heard: Any) -> None:
    """Wake whoever waits for a result."""
    async for message in heard.listen():
        if message["type"] == "pmessage":
            for event in waiting.get(message["channel"].decode().removeprefix("done:"), ()):
                event.set()


app = FastAPI(lifespan=lifespan)


@app.post("/analyze", status_code=202)
async def analyze(file: UploadFile) -> dict[str, str]:
    """Store an upload, claim its content, and queue it once."""
    sha256 = await run_in_threadpool(keep, file)
    token = secrets.token_urlsafe(32)
    async with store.pipeline(transaction=False) as pipe:
        pipe.set(f"report:{token}", sha256, ex=TTL_S)
        pipe.set(f"claim:{sha256}", token, nx=True, ex=TTL_S)
        _, is_first = await pipe.execute()
    if is_first:  # Celery's client is blocking
        await run_in_threadpool(task.apply_async, (sha256,))
    return {"token": token, "status": "queued"}


def keep(file: UploadFile) -> str:
    """Hash an upload, and put it where the workers find it."""
    digest = hashlib.sha256()
    fresh = AUDIO / secrets.token_hex(16)
    with fresh.open("wb") as stored:
        while block := file.file.read(_BLOCK):
            digest.update(block)
            stored.write(block)
    fresh.replace(AUDIO / digest.hexdigest())
    return digest.hexdigest()


@app.get("/result/{token}")
async def result(token: str, wait: float = 0.0) -> Response:
    """Return a report as it stands, or once it is done within `wait` seconds."""
    sha256 = await find(token)
    found = await settled(sha256, wait)
    return Response(report_of(token, sha256, found), media_type="application/json")


@app.websocket("/ws/{token}")
async def tell(socket: WebSocket, token: str) -> None:
    """Tell a report's state, and its end."""
    await socket.accept()
    sha256 = await find(token)
    found = await store.get(f"analysis:{sha256}")
    await socket.send_text(report_of(token, sha256, found))
    if found is None:
        found = await settled(sha256, TTL_S)
        await socket.send_text(report_of(token, sha256, found))
    await socket.close()


async def find(token: str) -> str:
    """Return whose report a token is."""
    sha256: bytes | None = await store.get(f"report:{token}")
    if sha256 is None:
        raise HTTPException(404)
    return sha256.decode()


async def settled(sha256: str, within_s: float) -> bytes | None:
    """Return a result once it is there, or None when the time is up."""
    done = asyncio.Event()
    waiting.setdefault(sha256, set()).add(done)
    try:
        if (found := await store.get(f"analysis:{sha256}")) is None and within_s:
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), within_s)
            found = await store.get(f"analysis:{sha256}")
        return found if found is None else bytes(found)
    finally:
        waiting[sha256].discard(done)
        if not waiting[sha256]:
            del waiting[sha256]


def report_of(token: str, sha256: str, found: bytes | None) -> str:
    """Return what is told of a report."""
    measured = json.loads(found) if found else None
    status = "done" if found else "queued"
    return json.dumps({"token": token, "status": status, "sha256": sha256, "result": measured})


Path(os.environ["AUDIO"]).mkdir(exist_ok=True)  # noqa: TID251 - it has no settings module
