"""
The page at `/`: the one that was built where it was, else the plain one.

    make web ─▶ web/dist ─▶ Built ─▶ /  /assets/…
    no node  ───────────▶ plain ──▶ /
"""

from functools import partial
from typing import Final

from litestar import HttpMethod, Response, get, route
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler

from services.gateway.browser import COMMON, SCRIPTED
from services.gateway.built import INDEX, Asset, Built
from services.gateway.fresh import is_known
from services.gateway.plain import Plain
from services.gateway.reception import AnyRequest

_FOR_GOOD: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"


def routes(built: Built | None) -> list[HTTPRouteHandler]:
    """Return what serves the page, one route a file."""
    if built is None:
        return [index]
    return [_route(path, asset) for path, asset in built.files.items()]


@get("/", include_in_schema=False)
async def index(request: AnyRequest, plain: NamedDependency[Plain]) -> Response[str]:
    """Show the form that needs no script."""
    return plain.form(request)


def _route(path: str, asset: Asset) -> HTTPRouteHandler:
    async def serve(request: AnyRequest) -> Response[bytes]:
        """Return one file of the page."""
        return answer(request, asset)

    methods = [HttpMethod.GET, HttpMethod.HEAD]
    where = "/" if path == INDEX else f"/{path}"
    return route(where, http_method=methods, include_in_schema=False, name=f"page {path}")(serve)


def answer(request: AnyRequest, asset: Asset) -> Response[bytes]:
    """Answer with a file, compressed where the browser takes that, or say that it has it."""
    headers = {
        **(SCRIPTED if asset.media_type.startswith("text/html") else COMMON),
        "Cache-Control": _FOR_GOOD if asset.is_hashed else _ASK_AGAIN,
        "ETag": asset.etag,
        "Vary": "Accept-Encoding",
    }
    respond = partial(Response[bytes], media_type=asset.media_type, headers=headers)
    if is_known(request, asset.etag):
        return respond(b"", status_code=304)
    body = asset.body
    if asset.zipped is not None and _takes_gzip(request.headers.get("accept-encoding", "")):
        body = asset.zipped
        headers |= {"Content-Encoding": "gzip", "ETag": f"W/{asset.etag}"}
    if request.method == HttpMethod.HEAD:
        headers["Content-Length"] = str(len(body))
        return respond(b"", status_code=200)
    return respond(body, status_code=200)


def _takes_gzip(accepted: str) -> bool:
    for coding in accepted.lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "").rstrip("0.") != "q="
    return False
