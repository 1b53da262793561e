"""Answers that a client may have already: an `ETag` each, and `304` to one that still holds."""

import hashlib
from collections.abc import Mapping
from typing import Final

from litestar import Response
from litestar.background_tasks import BackgroundTask

from services.gateway.reception import AnyRequest

PRIVATE: Final = {"Cache-Control": "private, no-cache"}
"""For one reader, who asks each time whether it still holds."""


def etag_of(body: bytes) -> str:
    """Return the tag of a body."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def is_known(request: AnyRequest, etag: str) -> bool:
    """Return whether the client has what this tag names (RFC 9110, 13.1.2)."""
    given = request.headers.get("if-none-match", "").split(",")
    tags = [tag.strip().removeprefix("W/") for tag in given]
    return etag in tags or "*" in tags


def fresh(
    request: AnyRequest,
    body: bytes,
    media_type: str,
    *,
    headers: Mapping[str, str] = PRIVATE,
    background: BackgroundTask | None = None,
) -> Response[bytes]:
    """Answer with a body, or say that the client has it; `background` follows a body alone."""
    told = {"ETag": etag_of(body), **headers}
    if is_known(request, told["ETag"]):
        return Response(b"", status_code=304, headers=told)
    return Response(body, media_type=media_type, headers=told, background=background)
