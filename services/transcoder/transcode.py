"""
A stranger's file converted where it can do no harm.

    child: convert ══ pieces of a file ══▶ worker: the file ──▶ object store
"""

import os
import tempfile
from collections.abc import Callable
from typing import BinaryIO

from decibus import formats
from decibus.messages import Conversion, TranscodeOptions
from decibus.outputs import Made
from decibus.sandbox import Sandbox
from services.transcoder.output import put


def transcode(
    file: BinaryIO,
    options: TranscodeOptions,
    progress: Callable[[float], None],
    *,
    sandbox: Sandbox[Conversion],
    max_bytes: int,
) -> Made:
    """
    Convert a file in a child of a sandbox whose step is `convert`; it is a `worker.Step`.

    Raises what `Sandbox.run` raises, `BadRequest` for options that no file can meet, and `TooLarge`
    for what becomes more than `max_bytes`.
    """
    formats.check(options)
    with tempfile.TemporaryFile() as made:
        # Twice: a head is written again at the end, and each piece says its place.
        with sandbox.stream(file, options, progress, max_bytes=2 * max_bytes) as stream:
            for piece in stream:
                put(piece, made, limit=max_bytes)
        kept = file if stream.result.unchanged else made
        return Made(stream.result, os.fdopen(os.dup(kept.fileno()), "rb"))
