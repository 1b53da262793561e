"""The OpenAPI description of what Litestar cannot infer: a body that is read as a stream."""

from dataclasses import dataclass, field
from typing import Final

from litestar.openapi import ResponseSpec
from litestar.openapi.spec import (
    Components,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
    SecurityScheme,
)

from services.gateway import problem
from services.gateway.problem import Problem

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


def _refusal(description: str) -> ResponseSpec:
    return ResponseSpec(
        Problem,
        generate_examples=False,
        description=description,
        media_type=problem.MEDIA_TYPE,
    )


REFUSALS: Final = {
    401: _refusal("No API key was sent, or none that is known"),
    409: _refusal("A request with this Idempotency-Key is in flight"),
    413: _refusal("The upload is over the size limit"),
    415: _refusal("No decoder recognises the upload as audio"),
    422: _refusal("The audio is too long or damaged, or the Idempotency-Key another request's"),
    429: _refusal("The key, or the address, has used up its requests: see Retry-After"),
    503: _refusal("Too much work is waiting, or NATS is away: see Retry-After"),
    507: _refusal("The storage is full: see Retry-After"),
}
"""How `POST /analyze` says no."""


def _analyze_body() -> RequestBody:
    text = Schema(type=OpenAPIType.STRING)
    form = Schema(
        type=OpenAPIType.OBJECT,
        required=["file"],
        properties={
            "file": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY),
            "tasks": Schema(
                type=OpenAPIType.STRING,
                default="loudness,transcribe",
                description="loudness, transcribe, or both, separated by a comma",
            ),
            "genre": text,
            "target": text,
            "language": Schema(type=OpenAPIType.STRING, description="a code such as en"),
            "timeline": Schema(
                type=OpenAPIType.BOOLEAN,
                default=False,
                description="whether to give the loudness over time as well",
            ),
            "retention": Schema(
                type=OpenAPIType.STRING, enum=["ttl", "once", "library"], default="ttl"
            ),
            "callback_url": Schema(
                type=OpenAPIType.STRING,
                format=OpenAPIFormat.URL,
                description="https: the final report is posted here, signed (Standard Webhooks)",
            ),
            "wait": Schema(type=OpenAPIType.NUMBER, minimum=0, maximum=300, default=60),
        },
    )
    return RequestBody(required=True, content={"multipart/form-data": OpenAPIMediaType(form)})


@dataclass
class AnalyzeOperation(Operation):
    """`POST /analyze`, with its form."""

    request_body: RequestBody | None = field(default_factory=_analyze_body)

    def __post_init__(self) -> None:
        """Keep the form: Litestar sees no typed body and would leave it out."""
        self.request_body = _analyze_body()
