"""The OpenAPI description of what Litestar cannot infer: a body that is read as a stream."""

from typing import Any, Final

from litestar.openapi import ResponseSpec
from litestar.openapi.spec import (
    Components,
    OpenAPI,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
    SecurityScheme,
)

from decibus.formats import FORMATS
from decibus.references import References
from services.gateway import problem
from services.gateway.openai_answers import Failure, Transcription, VerboseTranscription
from services.gateway.openai_wishes import ALIASES, Format
from services.gateway.problem import Problem
from services.gateway.report import Report, Reports

SECURITY: Final = Components(
    security_schemes={
        "bearer": SecurityScheme(
            type="http", scheme="bearer", description="An API key, where the gateway has any"
        ),
        "apiKey": SecurityScheme(
            type="apiKey", name="X-API-Key", security_scheme_in="header", description="The same key"
        ),
    }
)
ANY_KEY: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"apiKey": []}, {}]
"""One of the two, or none where no keys are configured."""


# Litestar takes a union as well, but does not say so.
_ANY_REPORT: Final[Any] = Report | Reports
_ANY_TRANSCRIPTION: Final[Any] = Transcription | VerboseTranscription


def _report(description: str) -> ResponseSpec:
    return ResponseSpec(_ANY_REPORT, generate_examples=False, description=description)


def _refusal(description: str) -> ResponseSpec:
    return ResponseSpec(
        Problem,
        generate_examples=False,
        description=description,
        media_type=problem.MEDIA_TYPE,
    )


ANSWERS: Final = {
    200: _report("The report, or one of each file"),
    202: _report("The report as far as it is there: Location says where it will be complete"),
    401: _refusal("No API key was sent, or none that is known"),
    409: _refusal("A request with this Idempotency-Key is in flight"),
    413: _refusal("The upload is over the size limit"),
    415: _refusal("No decoder recognises the upload as audio"),
    422: _refusal("The audio is too long or damaged, or the Idempotency-Key another request's"),
    429: _refusal("The key, or the address, has used up its requests: see Retry-After"),
    503: _refusal("Too much work is waiting, or NATS is away: see Retry-After"),
    507: _refusal("The storage is full: see Retry-After"),
}
"""What `POST /analyze` answers: a handler that returns bytes tells nothing of it."""


_ANY_FILE: Final = ResponseSpec(
    bytes, generate_examples=False, description="The file", media_type="audio/*"
)
_TOO_EARLY: Final = _refusal("No file has this token, or none is there yet, or it is gone")

CONVERSION_ANSWERS: Final = ANSWERS | {
    200: _ANY_FILE,
    202: _report("The report as far as it is there; its output will say where the file is"),
    400: _refusal("There is no such format, or the form is malformed"),
}
"""What `POST /transcode` answers for one file; for several, JSON."""

RESAMPLE_ANSWERS: Final = CONVERSION_ANSWERS
"""What `POST /resample/` answers to `file`."""

FILE_ANSWERS: Final = {
    200: _ANY_FILE,
    206: ResponseSpec(
        bytes, generate_examples=False, description="The range of it", media_type="audio/*"
    ),
    304: ResponseSpec(None, description="The file is the one that If-None-Match names"),
    403: _refusal("The link has expired, or was not signed for this request"),
    404: _TOO_EARLY,
    416: _refusal("The range lies behind the end of the file"),
}
"""What is answered where a converted file is fetched."""

JOB_ANSWERS: Final = {
    400: _refusal("There is no such format, or the body is malformed"),
    401: ANSWERS[401],
    404: _refusal("There is no such job, or it is somebody else's"),
    409: _refusal("The source has not come yet"),
    429: ANSWERS[429],
    503: ANSWERS[503],
}
"""What is refused under `/jobs/`."""

LIBRARY_ANSWERS: Final = {
    400: _refusal("limit, in or cursor makes no sense"),
    401: ANSWERS[401],
    429: ANSWERS[429],
    503: _refusal("The library is still being read, or NATS is away: see Retry-After"),
}
"""What is refused where the library is listed."""

TRANSCRIPT_ANSWERS: Final = {
    200: ResponseSpec(Report, generate_examples=False, description="The report, its token empty"),
    401: ANSWERS[401],
    404: _refusal("There is no such transcript, or it is somebody else's"),
    429: ANSWERS[429],
    503: ANSWERS[503],
}
"""What is answered for one that is kept."""

LINK_ANSWERS: Final = {
    400: _refusal("More was sent than was announced, or Upload-Offset is missing"),
    403: _refusal("The link has expired, or was not signed for this request"),
    404: _refusal("There is no such job any more"),
    409: _refusal("The upload goes on at another Upload-Offset, or is started already"),
    413: _refusal("The source is over the size limit of the link"),
    415: _refusal("A PATCH is application/offset+octet-stream"),
    507: ANSWERS[507],
}
"""What is refused where a source is sent."""


def _failure(description: str) -> ResponseSpec:
    return ResponseSpec(Failure, generate_examples=False, description=description)


OPENAI_ANSWERS: Final = {
    200: ResponseSpec(
        _ANY_TRANSCRIPTION,
        generate_examples=False,
        description="The transcript, in the shape of response_format, or its events as they come",
    ),
    202: _report("With Prefer: the report as far as it is there; Location says where it will be"),
    400: _failure("The form, or the audio, cannot be followed"),
    401: _failure("No API key was sent, or none that is known"),
    404: _failure("There is no such model"),
    409: _failure("A request with this Idempotency-Key is in flight"),
    413: _failure("The upload is over the size limit"),
    429: _failure("The key, or the address, has used up its requests: see Retry-After"),
    503: _failure("Too much work is waiting, or NATS is away: see Retry-After"),
    504: _failure("The transcript takes longer: see Location"),
    507: _failure("The storage is full: see Retry-After"),
}
"""What OpenAI's routes answer."""


def describe_forms(api: OpenAPI, references: References) -> None:
    """Describe the forms, with the genres and targets that this gateway knows."""
    _post(api, "/analyze").request_body = _form(references)
    _post(api, "/transcode").request_body = _conversion_form(_TARGET | _COMMON)
    _post(api, "/resample").request_body = _conversion_form(_COMMON)
    for path in ("/v1/audio/transcriptions", "/v1/audio/translations"):
        _post(api, path).request_body = _openai_form()


def _post(api: OpenAPI, path: str) -> Operation:
    operation = api.paths[path].post if api.paths else None
    if operation is None:
        raise RuntimeError(f"POST {path} is not in the API's description")
    return operation


_TARGET: Final = {
    "extension": Schema(type=OpenAPIType.STRING, enum=list(FORMATS)),
    "sample_rate": Schema(type=OpenAPIType.INTEGER, description="in Hz; the source's without it"),
    "bit_rate": Schema(type=OpenAPIType.INTEGER, description="in kb/s, where anything is lost"),
    "bit_depth": Schema(type=OpenAPIType.INTEGER, enum=[16, 24, 32], description="wav and flac"),
    "channels": Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=8),
    "quality": Schema(
        type=OpenAPIType.NUMBER, description="instead of bit_rate: mp3 0 to 9, ogg 0 to 10"
    ),
}
_COMMON: Final = {
    "retention": Schema(type=OpenAPIType.STRING, enum=["ttl", "once"], default="ttl"),
    "callback_url": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.URL),
    "wait": Schema(type=OpenAPIType.NUMBER, minimum=0, maximum=300, default=60),
}


def _conversion_form(options: dict[str, Schema]) -> RequestBody:
    file = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
    required = ["file", *(["extension"] if "extension" in options else [])]
    form = Schema(type=OpenAPIType.OBJECT, required=required, properties={"file": file, **options})
    return RequestBody(required=True, content={"multipart/form-data": OpenAPIMediaType(form)})


def _openai_form() -> RequestBody:
    text = OpenAPIType.STRING
    form = Schema(
        type=OpenAPIType.OBJECT,
        required=["file"],
        properties={
            "file": Schema(type=text, format=OpenAPIFormat.BINARY),
            "model": Schema(
                type=text,
                default=ALIASES[0],
                description="one of GET /v1/models; OpenAI's names are the default model's",
            ),
            "language": Schema(type=text, description="a code such as en; detected without it"),
            "prompt": Schema(type=text, description="what the model may take spellings from"),
            "response_format": Schema(type=text, enum=list(Format), default=Format.JSON),
            "temperature": Schema(type=OpenAPIType.NUMBER, minimum=0, maximum=1, default=0),
            "timestamp_granularities[]": Schema(
                type=OpenAPIType.ARRAY,
                items=Schema(type=text, enum=["segment", "word"]),
                description="with response_format=verbose_json",
            ),
            "stream": Schema(
                type=OpenAPIType.BOOLEAN,
                default=False,
                description="whether to send transcript.text.delta events as it is heard",
            ),
            "retention": Schema(type=text, enum=["ttl", "once", "library"], default="once"),
        },
    )
    return RequestBody(required=True, content={"multipart/form-data": OpenAPIMediaType(form)})


def _form(references: References) -> RequestBody:
    text = OpenAPIType.STRING
    form = Schema(
        type=OpenAPIType.OBJECT,
        required=["file"],
        properties={
            "file": Schema(type=text, format=OpenAPIFormat.BINARY),
            "tasks": Schema(
                type=text,
                default="loudness,transcribe",
                description="loudness, transcribe, or both, separated by a comma",
            ),
            "genre": Schema(
                type=text,
                enum=list(references.profiles),
                description="whose tonal balance the bands are held against; none without it",
            ),
            "target": Schema(
                type=text,
                enum=[target.name for target in references.targets],
                description="where the file is to be delivered; all are told without it",
            ),
            "language": Schema(type=text, description="a code such as en"),
            "multilingual": Schema(
                type=OpenAPIType.BOOLEAN,
                default=False,
                description="whether to detect the language for each window anew",
            ),
            "translate": Schema(
                type=OpenAPIType.BOOLEAN, default=False, description="whether into English"
            ),
            "words": Schema(
                type=OpenAPIType.BOOLEAN,
                default=False,
                description="whether to give each word with its times",
            ),
            "prompt": Schema(type=text, description="what the model may take spellings from"),
            "temperature": Schema(
                type=OpenAPIType.NUMBER,
                minimum=0,
                maximum=1,
                description="how freely the model may choose; it decides itself without it",
            ),
            "model": Schema(type=text, description="one of GET /v1/models; the default without it"),
            "timeline": Schema(
                type=OpenAPIType.BOOLEAN,
                default=False,
                description="whether to give the loudness over time as well",
            ),
            "retention": Schema(type=text, enum=["ttl", "once", "library"], default="ttl"),
            "callback_url": Schema(
                type=text,
                format=OpenAPIFormat.URL,
                description="https: the final report is posted here, signed (Standard Webhooks)",
            ),
            "wait": Schema(type=OpenAPIType.NUMBER, minimum=0, maximum=300, default=60),
        },
    )
    return RequestBody(required=True, content={"multipart/form-data": OpenAPIMediaType(form)})
