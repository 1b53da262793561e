"""
What schemathesis is to know on its ways along the links, as `SCHEMATHESIS_HOOKS`.

Requests for what can be had, as others are refused and lead nowhere; half of them do not wait. And
the links that a description cannot have: OpenAPI has no words for a part of a URL, nor for the same
request once more.
"""

from typing import Any, Final

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.openapi.checks import EnsureResourceAvailability

from tests.signals import encode, music

TAKE: Final = encode(music(0.5), 48_000, "wav16")

_ENDS: Final = st.one_of(st.just(TAKE[-8:]), st.binary(min_size=8, max_size=8))
schemathesis.openapi.format("binary", _ENDS.map(TAKE[:-8].__add__))
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")

_SOURCE: Final = "$response.body#/source/download_url"
_UPLOAD: Final = "$response.body#/source/upload_url"
_FILE: Final = "$response.body#/transcode/download_url"


@schemathesis.hook
def before_load_schema(_: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Leave out what may be asked for besides, and add links."""
    paths = raw_schema["paths"]
    for path in ("/analyze", "/transcode", "/resample"):
        form = paths[path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        kept = {"file", "inFile", "extension", "wait"} & form["properties"].keys()
        form["properties"] = {name: form["properties"][name] for name in kept}
        form["properties"]["wait"]["enum"] = [0, 10]
        form["required"] = [*form.get("required", []), "wait"]
    form = paths["/analyze"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    form["properties"]["retention"] = {"enum": ["ttl", "library"]}
    conversions = [{"transcode": {"format": {"extension": each}}} for each in ("mp3", "flac")]
    wanted = paths["/jobs"]["post"]["requestBody"]["content"]["application/json"]
    wanted["schema"] = {"enum": conversions}
    for path, first in (("/jobs", "~"), ("/transcripts", "")):
        query = {each["name"]: each for each in paths[path]["get"]["parameters"]}
        query["limit"]["schema"] = {"enum": [1]}
        query["cursor"]["schema"] = {"enum": [first]}  # but for those that a page has named
    _sent_again(paths)
    _signed(paths)


def _sent_again(paths: dict[str, Any]) -> None:
    for path, status in (("/jobs", "201"), ("/analyze", "200"), ("/transcode", "200")):
        paths[path]["post"]["responses"][status]["links"]["again"] = {
            "operationId": paths[path]["post"]["operationId"],
            "parameters": {"Idempotency-Key": "$request.header.Idempotency-Key"},
            "requestBody": "$request.body",
            "x-schemathesis": {"merge_body": False},
        }


def _signed(paths: dict[str, Any]) -> None:
    announced = paths["/jobs"]["post"]["responses"]["201"]["links"]
    shown = paths["/jobs/{ident}"]["get"]["responses"]["200"]["links"]
    for links, url, method, path in (
        (announced, _UPLOAD, "put", "/uploads/{ident}"),
        (announced, _UPLOAD, "head", "/uploads/{ident}"),
        (shown, _UPLOAD, "put", "/uploads/{ident}"),
        (shown, _SOURCE, "get", "/uploads/{ident}"),
        (shown, _FILE, "get", "/downloads/{ident}"),
        (shown, _FILE, "head", "/downloads/{ident}"),
    ):
        name = paths[path][method]["operationId"]
        parts = {
            each: rf"{url}#regex:[?&]{each}=(\w+)" for each in ("expires", "limit", "signature")
        }
        parts["ident"] = rf"{url}#regex:/(\w+)[?]"
        links[name] = {"operationId": name, "parameters": parts}


@schemathesis.hook
def filter_failure(
    _: schemathesis.HookContext, failure: Failure, case: schemathesis.Case[Any], __: Response
) -> bool:
    """Pass over a request sent again that is told that what it led to was deleted meanwhile."""
    return not (isinstance(failure, EnsureResourceAvailability) and case.method == "POST")
