"""
The peer's worker: does the work of a file, writes the result, tells who waits.

    celery --app bench.peer.tasks worker --concurrency 2 --without-gossip --without-mingle
"""

import os
from pathlib import Path
from typing import Any, Final

import redis
from celery import Celery

from bench.work import RESULT, work_on

TTL_S: Final = 900
REDIS_URL: Final = os.environ["REDIS_URL"]  # noqa: TID251 - it has no settings module
AUDIO: Final = Path(os.environ["AUDIO"])  # noqa: TID251 - ditto

app = Celery("peer", broker=REDIS_URL)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
    worker_disable_rate_limits=True,
    broker_connection_retry_on_startup=True,
)
store: Any = redis.Redis.from_url(REDIS_URL)


@app.task
def analyze(sha256: str) -> None:
    """Do the work, unless it was done before the task came again."""
    path = AUDIO / sha256
    if store.exists(f"analysis:{sha256}"):
        return
    with path.open("rb") as file:
        work_on(file)
    with store.pipeline(transaction=False) as pipe:
        pipe.set(f"analysis:{sha256}", RESULT, ex=TTL_S)
        pipe.publish(f"done:{sha256}", b"")
        pipe.execute()
    path.unlink(missing_ok=True)
