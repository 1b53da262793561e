"""Which answers lead where, for the OpenAPI description."""

from typing import Final

_TOKEN: Final = {"token": "$response.body#/token"}
_FILE_TOKEN: Final = {"token": "$response.header.Decibus-Token"}
_SAME_TOKEN: Final = {"token": "$request.path.token"}
_JOB: Final = {"ident": "$response.body#/_id"}
_SAME: Final = {"ident": "$request.path.ident"}
_SIGNED: Final = {name: f"$request.query.{name}" for name in ("expires", "limit", "signature")}

_DELETED: Final = "delete /result/{token}"
_REPORTED: Final = ("get /result/{token}", "get /events/{token}", _DELETED)
_FETCHED: Final = ("get /outputs/{token}", "head /outputs/{token}")
_ANNOUNCED: Final = ("get /jobs/{ident}", "delete /jobs/{ident}")
_KEPT: Final = ("get /transcripts/{ident}", "delete /transcripts/{ident}")

Way = tuple[str, dict[str, str], tuple[str, ...]]

WAYS: Final[tuple[Way, ...]] = (
    ("post /analyze 200", _TOKEN, _REPORTED),
    ("post /analyze 202", _TOKEN, _REPORTED),
    ("get /result/{token} 200", _SAME_TOKEN, ("get /events/{token}", _DELETED)),
    ("post /transcode 200", _FILE_TOKEN, (*_FETCHED, _DELETED)),
    ("post /transcode 202", _TOKEN, (*_FETCHED, *_REPORTED)),
    ("post /resample 200", _FILE_TOKEN, (*_FETCHED, _DELETED)),
    ("post /resample 202", _TOKEN, (*_FETCHED, *_REPORTED)),
    (
        "post /resample 200",
        {"file_path": "$response.body#/resampled_server_file_path"},
        ("get /resample",),
    ),
    ("get /outputs/{token} 200", _SAME_TOKEN, (_DELETED,)),
    ("post /jobs 201", _JOB, _ANNOUNCED),
    ("get /jobs 200", {"ident": "$response.body#/data/0/_id"}, _ANNOUNCED),
    ("get /jobs 200", {"cursor": "$response.body#/next"}, ("get /jobs",)),
    ("put /uploads/{ident} 200", _SAME, ("post /jobs/{ident}/status/started",)),
    ("put /uploads/{ident} 200", _SAME | _SIGNED, ("head /uploads/{ident}",)),
    (
        "head /uploads/{ident} 200",
        _SAME | _SIGNED | {"Upload-Offset": "$response.header.Upload-Offset"},
        ("patch /uploads/{ident}",),
    ),
    ("get /jobs/{ident} 200", _SAME, ("delete /jobs/{ident}",)),
    ("get /transcripts 200", {"ident": "$response.body#/data/0/id"}, _KEPT),
    ("get /transcripts 200", {"cursor": "$response.body#/next"}, ("get /transcripts",)),
    ("get /transcripts/{ident} 200", _SAME, (_KEPT[1],)),
    ("get /v1/models 200", {"model": "$response.body#/data/0/id"}, ("get /v1/models/{model}",)),
)
"""An answer, what the next request takes from it, and which requests that may be."""
