"""How a service's process starts and ends."""

import subprocess
import sys

from tests.processes import ROOT

PROGRAM = """
import asyncio, resource
from decibus import process

async def main(life):
    before = 0
    for turn in range(51):
        chunks = [bytes(512 * 1024) for _ in range(8)]
        del chunks
        if turn == 0:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return 3

raise SystemExit(asyncio.run(process.run(main)))
"""


def test_buffers_come_and_go_without_a_page_fault_for_each_of_their_pages() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 3, done.stderr
    assert int(done.stdout) < 5_000  # 50 turns touch 51,200 pages
