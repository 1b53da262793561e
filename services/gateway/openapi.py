"""What each route answers, for the OpenAPI description: bytes and errors say nothing of it."""

from typing import Any, Final

from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Components, SecurityScheme

from services.gateway import problem
from services.gateway.conversions_view import OutputsOf, Resampled
from services.gateway.openai_answers import Failure, Transcription, VerboseTranscription
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
_ANY_CONVERSION: Final[Any] = Report | OutputsOf


def _report(description: str) -> ResponseSpec:
    return ResponseSpec(_ANY_REPORT, generate_examples=False, description=description)


def _refusal(description: str) -> ResponseSpec:
    return ResponseSpec(
        Problem,
        generate_examples=False,
        description=description,
        media_type=problem.MEDIA_TYPE,
    )


_AWAY: Final = {503: _refusal("NATS is away: see Retry-After")}
_KEYED: Final = {
    401: _refusal("No API key was sent, or none that is known"),
    429: _refusal("The key, or the address, has used up its requests: see Retry-After"),
}
ASKED: Final = {400: _refusal("A parameter cannot be understood")} | _KEYED | _AWAY
"""What is refused where somebody asks for something."""

_FAILED: Final = {
    415: _refusal("No decoder recognises the upload as audio"),
    422: _refusal("The audio is too long or damaged, or a model or language is not to be had"),
    500: _refusal("The work has failed by our fault"),
    504: _refusal("The work has taken too long"),
}

ANSWERS: Final = (
    _KEYED
    | _FAILED
    | {
        200: _report("The report, or one of each file"),
        202: _report("The report as far as it is there: Location says where it will be complete"),
        400: _refusal("The form is malformed, or an option is unknown"),
        404: _refusal("The report that this Idempotency-Key has led to is gone"),
        408: _refusal("The body came too slowly"),
        409: _refusal("A request with this Idempotency-Key is in flight"),
        413: _refusal("The upload is over the size limit"),
        422: _refusal("The audio is too long or damaged, or the Idempotency-Key another request's"),
        503: _refusal("Too much work is waiting, or NATS is away: see Retry-After"),
        507: _refusal("The storage is full: see Retry-After"),
    }
)
"""What `POST /analyze` answers."""

_GONE: Final = {404: _refusal("No report has this token, or it has expired or been deleted")}

RESULT_ANSWERS: Final = (
    _GONE
    | _AWAY
    | {
        200: _report("The report as it stands; with a suffix, what that names"),
        304: ResponseSpec(None, description="It is the one that If-None-Match names"),
        400: ASKED[400],
    }
)
"""What `GET /result/{token}` answers."""

GONE_ANSWERS: Final = _GONE | _AWAY | {400: ASKED[400]}
"""What is refused where a token alone is looked at."""

EVENTS_ANSWERS: Final = GONE_ANSWERS | {
    204: ResponseSpec(None, description="The last event is the one that Last-Event-ID names")
}
"""What `GET /events/{token}` answers besides events."""

CONVERSION_ANSWERS: Final = ANSWERS | {
    200: ResponseSpec(
        OutputsOf, generate_examples=False, description="The file; of several, where each is"
    ),
    202: ResponseSpec(
        _ANY_CONVERSION,
        generate_examples=False,
        description="The report as far as it is there; its output will say where the file is",
    ),
    400: _refusal("There is no such format, or the form is malformed"),
}
"""What `POST /transcode` answers."""

RESAMPLE_ANSWERS: Final = CONVERSION_ANSWERS | {
    200: ResponseSpec(
        Resampled | OutputsOf,  # type: ignore[arg-type] # as above
        generate_examples=False,
        description="The file; of an inFile where it is, of several where each is",
    )
}
"""What `POST /resample/` answers."""

FILE_ANSWERS: Final = (
    _FAILED
    | _AWAY
    | {
        200: ResponseSpec(bytes, generate_examples=False, description="The file"),
        206: ResponseSpec(bytes, generate_examples=False, description="The range of it"),
        304: ResponseSpec(None, description="The file is the one that If-None-Match names"),
        400: ASKED[400],
        403: _refusal("The link has expired, or was not signed for this request"),
        404: _refusal("No file has this token, or none is there yet, or it is gone"),
        416: _refusal("The range lies behind the end of the file"),
    }
)
"""What is answered where a converted file is fetched."""

JOB_ANSWERS: Final = ASKED | {
    400: _refusal("There is no such format, or the body is malformed"),
    404: _refusal("There is no such job, or it is somebody else's"),
    408: ANSWERS[408],
    409: _refusal("The source has not come yet, or the Idempotency-Key is in use"),
    413: _refusal("The body is over the size limit"),
    422: _refusal("The Idempotency-Key is another request's"),
    507: ANSWERS[507],
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

LINK_ANSWERS: Final = _AWAY | {
    400: _refusal("More was sent than was announced, or Upload-Offset is missing"),
    403: _refusal("The link has expired, or was not signed for this request"),
    404: _refusal("There is no such job any more"),
    409: _refusal("The upload goes on at another Upload-Offset, or is started already"),
    413: _refusal("The source is over the size limit of the link"),
    415: _refusal("A PATCH is application/offset+octet-stream"),
    507: ANSWERS[507],
}
"""What is refused where a source is sent."""

SOURCE_ANSWERS: Final = LINK_ANSWERS | {
    200: ResponseSpec(
        bytes,
        generate_examples=False,
        description="What has come of the source",
        media_type="application/octet-stream",
    )
}
"""What is answered where a source is read."""


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
    408: _failure("The body came too slowly"),
    409: _failure("A request with this Idempotency-Key is in flight"),
    413: _failure("The upload is over the size limit"),
    429: _failure("The key, or the address, has used up its requests: see Retry-After"),
    500: _failure("The work has failed by our fault"),
    503: _failure("Too much work is waiting, or NATS is away: see Retry-After"),
    504: _failure("The transcript takes longer: see Location"),
    507: _failure("The storage is full: see Retry-After"),
}
"""What OpenAI's routes answer."""

MODEL_ANSWERS: Final = {status: OPENAI_ANSWERS[status] for status in (400, 401, 404, 429, 503)}
"""What is refused where models are asked for."""
