"""
Compile the kernels ahead of time, into the cache beside their source.

    python -m services.analyzer.warm

Run while an image is built, by the user who may write there: the analyzer then starts within a
second, as any user, from a file system that is read-only. Fails when the cache could not be filled.
"""

import sys

from decibus.telemetry import configure_logs
from services.analyzer import analyze, kernels


def warm() -> None:
    """Be ready for the first file: what a sandbox's nursery runs before it forks."""
    configure_logs("analyzer")
    analyze.warm()


if __name__ == "__main__":
    configure_logs("analyzer")
    built = kernels.load()
    sys.exit(None if built.kept else "the cache cannot be written to")
