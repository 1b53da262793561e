"""Files for schemathesis to upload, as `SCHEMATHESIS_HOOKS`: audio of each kind, and none."""

from typing import Final

import schemathesis
from hypothesis import strategies as st

from tests.signals import encode, music

TAKES: Final = [encode(music(0.5), 48_000, kind) for kind in ("wav16", "flac", "mp3", "opus")]

schemathesis.openapi.format("binary", st.sampled_from([*TAKES, b"RIFF....", b"a"]))
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
