"""
A worker's process that poison kills: `python -m tests.nats.mortal NATS_URL [PARTITIONS]`.

It works half a second at anything else. The test starts it again, as Kubernetes would.
"""

import asyncio
import os
import sys
import time
from datetime import timedelta
from typing import BinaryIO

from decibus.blobs import Blobs
from decibus.broker import connect
from decibus.messages import AnalyzeOptions, Transcript
from decibus.progress import Progress
from decibus.telemetry import configure_logs
from decibus.topology import AUDIO
from decibus.worker import Worker
from tests.nats.test_worker import QUICK
from tests.steps import words


def work(file: BinaryIO, _: AnalyzeOptions, __: Progress) -> Transcript:
    text = file.read().decode()
    if text == "poison":
        os._exit(9)  # as a segmentation fault or the OOM killer ends it
    time.sleep(0.5)
    return words(text)


async def main(url: str, partitions: str = "1") -> None:
    async with connect(url, name="mortal", partitions=int(partitions)) as broker:
        worker = Worker(broker, Blobs(broker.connection, AUDIO.name), QUICK, work, slots=1)
        await worker.serve(until=asyncio.Event(), grace=timedelta())


if __name__ == "__main__":
    configure_logs("mortal")
    asyncio.run(main(*sys.argv[1:]))
