"""
The library's door: reports that were kept by choice, listed, searched, read and deleted.

    GET /transcripts              the newest first; `q` in file names, with `in=text` also in words
    GET /transcripts/{id}         the report, or with a suffix what `/result/{token}` has of it
    DELETE /transcripts/{id}

Where keys are configured, each sees what came with it, and nothing else.
"""

import re
from typing import Annotated, Final

from litestar import Response, delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from decibus.errors import BadRequest, NotFound
from services.gateway.fresh import fresh
from services.gateway.guards import owner_of
from services.gateway.intake import Intake
from services.gateway.library import report_of
from services.gateway.openapi import ANY_KEY, LIBRARY_ANSWERS, TRANSCRIPT_ANSWERS
from services.gateway.reception import AnyRequest
from services.gateway.renditions import rendered
from services.gateway.shelf import Entries, Query, Shelf, folded, read_cursor
from services.gateway.uploads import Uploads, Volume

MOST: Final = 100
_SOME: Final = 20
_MAX_QUERY: Final = 200
_ROW: Final = re.compile(r"[0-9a-f]{64}")

InWhat = Annotated[str, QueryParameter(name="in", description="name, or text: both")]


class Library:
    """What the routes need."""

    def __init__(self, shelf: Shelf, uploads: Uploads, intake: Intake) -> None:
        self.shelf = shelf
        self._uploads = uploads
        self._intake = intake

    async def volume(self, request: AnyRequest, ident: str) -> Volume:
        """Return a report of the sender's; unknown, deleted and foreign ones look alike."""
        volume = await self._uploads.volume(ident) if _ROW.fullmatch(ident) else None
        owner = _owner(request)
        if volume is None or not volume.is_final or owner not in {None, volume.upload.owner}:
            raise NotFound("there is no such transcript, or no longer")
        return volume

    async def delete(self, request: AnyRequest, ident: str) -> None:
        """Erase a report, and what is still to be posted of it."""
        volume = await self.volume(request, ident)
        await self._intake.cancel_callback(ident)
        await self._intake.withdraw(volume.upload)
        self.shelf.remove(ident)


@get("/transcripts", responses=LIBRARY_ANSWERS, security=ANY_KEY)
async def list_transcripts(  # noqa: PLR0913, PLR0917 - the query of the URL
    request: AnyRequest,
    library: NamedDependency[Library],
    q: FromQuery[str] = "",
    in_what: InWhat = "name",
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = _SOME,
) -> Entries:
    """List the reports that are kept, the newest first: those in which all words of `q` occur."""
    if not 1 <= limit <= MOST:
        raise BadRequest(f"limit: 1 to {MOST}")
    if len(q) > _MAX_QUERY:
        raise BadRequest(f"q: at most {_MAX_QUERY} characters")
    if in_what not in {"name", "text"}:
        raise BadRequest(f"in: name or text, not {in_what[:32]!r}")
    query = Query(
        words=tuple(folded(q).split()),
        in_text=in_what == "text",
        owner=_owner(request),
        after=read_cursor(cursor) if cursor else None,
        limit=limit,
    )
    return await library.shelf.find(query)


@get("/transcripts/{ident:str}", responses=TRANSCRIPT_ANSWERS, security=ANY_KEY)
async def show_transcript(
    request: AnyRequest, ident: FromPath[str], library: NamedDependency[Library]
) -> Response[bytes]:
    """
    Return a report that is kept; its `token` is empty, as only its sender has that.

    With `.txt`, `.srt`, `.vtt` or `.json` after the id, return its transcript in that form, with
    `.csv` its loudness timeline.
    """
    row, _, form = ident.partition(".")
    report = report_of(await library.volume(request, row), token="")
    if report is None:
        raise NotFound("there is no such transcript yet")
    return fresh(request, *rendered(report, form))


@delete("/transcripts/{ident:str}", responses=TRANSCRIPT_ANSWERS, security=ANY_KEY)
async def delete_transcript(
    request: AnyRequest, ident: FromPath[str], library: NamedDependency[Library]
) -> None:
    """Delete a report, and the results that no other report shares; its token is void then, too."""
    await library.delete(request, ident)


def _owner(request: AnyRequest) -> str | None:
    return owner_of(request.scope["state"]["sender"])


ROUTES: Final = (list_transcripts, show_transcript, delete_transcript)
