"""
Uploads of a moment ago: whoever waits for one at once need not have its row read first.

Another replica may have deleted it meanwhile, so what is remembered is good to begin a wait with,
and for nothing that is told.
"""

import asyncio
from typing import Final

from services.gateway.uploads import Upload, row_of

_KEPT_S: Final = 5.0
_MAX_KEPT: Final = 1024


class Lately:
    """What this replica has taken in, for a few seconds."""

    def __init__(self) -> None:
        self._uploads: dict[str, tuple[Upload, float]] = {}

    def keep(self, upload: Upload) -> None:
        """Remember an upload; the oldest ones are forgotten."""
        self._age()
        while len(self._uploads) >= _MAX_KEPT:
            del self._uploads[next(iter(self._uploads))]
        self._uploads[upload.row] = upload, asyncio.get_running_loop().time() + _KEPT_S

    def find(self, token: str) -> Upload | None:
        """Return the upload of a token, or None: then it is to be looked for."""
        self._age()
        found = self._uploads.get(row_of(token))
        return None if found is None else found[0]

    def forget(self, row: str) -> None:
        """Its row is being deleted here."""
        self._uploads.pop(row, None)

    def _age(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._uploads:
            oldest = next(iter(self._uploads))
            if self._uploads[oldest][1] > now:
                return
            del self._uploads[oldest]
