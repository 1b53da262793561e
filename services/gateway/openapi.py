"""The OpenAPI description of what Litestar cannot infer: a body that is read as a stream."""

from typing import Final

from litestar.openapi import ResponseSpec
from litestar.openapi.spec import (
    Components,
    OpenAPI,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    RequestBody,
    Schema,
    SecurityScheme,
)

from decibus.references import References
from services.gateway import problem
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


def _report(description: str) -> ResponseSpec:
    return ResponseSpec(Report | Reports, generate_examples=False, description=description)


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


def describe_form(api: OpenAPI, references: References) -> None:
    """Describe the form of `POST /analyze`, with the genres and targets that this gateway knows."""
    operation = api.paths["/analyze"].post if api.paths else None
    if operation is None:
        raise RuntimeError("POST /analyze is not in the API's description")
    operation.request_body = _form(references)


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
