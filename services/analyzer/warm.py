"""
Compile the kernels ahead of time, into the cache beside their source.

    python -m services.analyzer.warm

Run while an image is built, by the user who may write there: the analyzer then starts within a
second, as any user, from a file system that is read-only. Fails when the cache could not be filled.
"""

import sys

import services.analyzer.analyze  # noqa: F401 - all modules with kernels
from decibus.telemetry import configure_logs
from services.analyzer import kernels

if __name__ == "__main__":
    configure_logs("analyzer")
    built = kernels.load()
    sys.exit(None if built.kept else "the cache cannot be written to")
