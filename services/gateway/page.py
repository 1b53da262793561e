"""
The page for a person with a file: plain HTML, made on the server, without a script.

It uploads, waits by reloading, and shows the report with its numbers.
"""

from html import escape
from typing import Any, Final

from litestar import Request, Response, get
from litestar.enums import MediaType

STYLE: Final = """
:root { color-scheme: light dark; --line: #8886; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem }
form { display: grid; gap: 1rem; border: 2px dashed var(--line); border-radius: .5rem;
  padding: 2rem }
button { font: inherit; padding: .5rem 1rem }
pre { overflow-x: auto; border: 1px solid var(--line); border-radius: .3rem; padding: .7rem }
"""

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>decibus</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<h1>decibus</h1>
<p>Loudness, true peak, tonal balance and a transcript of your audio.</p>
<form action="/analyze" method="post" enctype="multipart/form-data">
<label>An audio file, up to 100 MB and 6 minutes<br>
<input type="file" name="file" accept="audio/*" required></label>
<button>Measure</button>
</form>
<h2>From a terminal</h2>
<pre>curl -F file=@take.wav {url}analyze</pre>
<p>The API is described by <a href="/schema">its OpenAPI document</a>.</p>
</body>
</html>
"""

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@get("/", include_in_schema=False)
async def index(request: Request[Any, Any, Any]) -> Response[str]:
    """Show the upload form."""
    html = _PAGE.format(url=escape(str(request.base_url)))
    return Response(html, media_type=MediaType.HTML, headers=_HEADERS)


@get("/style.css", include_in_schema=False)
async def style() -> Response[str]:
    """Serve the page's style from our own origin, so that the policy needs no exception."""
    return Response(STYLE, media_type=MediaType.CSS, headers={"Cache-Control": "max-age=3600"})


ROUTES: Final = (index, style)
