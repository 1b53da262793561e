"""The OpenAPI description of what Litestar cannot infer: forms, bounds, media types and links."""

from collections.abc import Iterable
from typing import Final

from litestar.openapi.spec import (
    Link,
    OpenAPI,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
)

from decibus.formats import FORMATS
from decibus.references import References
from services.gateway.form import MAX_FIELD_BYTES
from services.gateway.idempotency import MAX_KEY
from services.gateway.openai_wishes import ALIASES, Format
from services.gateway.openapi_links import WAYS
from services.gateway.settings import Settings

_TEXT: Final = OpenAPIType.STRING
_FILE: Final = Schema(type=_TEXT, format=OpenAPIFormat.BINARY)
_LANGUAGE: Final = Schema(
    type=_TEXT,
    pattern="^([a-zA-Z]{2,3}|auto)?$",
    description="a code such as en; detected without it",
)
_PROMPT: Final = Schema(
    type=_TEXT,
    description=f"what the model may take spellings from; {MAX_FIELD_BYTES} bytes at most",
)
_WINDOW: Final = Schema(
    type=_TEXT,
    pattern="^(([1-9]|[1-9][0-9]|[1-6][0-9][0-9]|7[01][0-9]|720)h|([1-9]|[12][0-9]|30)d)?$",
    default="30d",
)
_KEY: Final = Schema(
    type=_TEXT,
    pattern="^[!-~]([ -~]*[!-~])?$",
    max_length=MAX_KEY,
    description="a name of your own: sent again for a day, it leads to what it has led to",
)
_NUMBER: Final = Schema(type=_TEXT, pattern="^[0-9]{1,15}$")
_OPENAI: Final = ("/v1/audio/transcriptions", "/v1/audio/translations")
_RENDITIONS: Final = ("text/plain", "application/x-subrip", "text/vtt", "text/csv")
_FILES: Final = tuple(sorted({form.media_type for form in FORMATS.values()}))


def describe(api: OpenAPI, references: References, settings: Settings) -> None:
    """Complete what Litestar has inferred, for what this gateway knows and allows."""
    document = _Document(api)
    wait = Schema(type=OpenAPIType.NUMBER, minimum=0, maximum=settings.max_wait_s)
    wait.default = settings.wait_s
    common = {"wait": wait}
    if settings.webhook_secret:
        common["callback_url"] = Schema(
            type=_TEXT,
            format=OpenAPIFormat.URL,
            description="https: the final report is posted here, signed (Standard Webhooks)",
        )
    document.forms(references, common)
    document.job()
    document.parameters(wait)
    document.contents()
    document.links()


class _Document:
    def __init__(self, api: OpenAPI) -> None:
        self._paths = api.paths or {}
        self._schemas = api.components.schemas or {}

    def forms(self, references: References, common: dict[str, Schema]) -> None:
        """Say what the forms take; litestar sees a body that is read as a stream."""
        passing = common | {"retention": _one_of("ttl", "once", default="ttl")}
        self._form("/analyze", _strict({"file": _FILE} | _wishes(references) | common))
        self._form("/transcode", _strict({"file": _FILE} | _TARGET | passing, "extension"))
        place = Schema(
            type=_TEXT,
            format=OpenAPIFormat.BINARY,
            description="instead of file: it is answered with the place of what was made",
        )
        either = _strict({"file": _FILE, "inFile": place} | passing)
        either.required = None
        either.one_of = [Schema(required=["file"]), Schema(required=["inFile"])]
        self._form("/resample", either)
        for path in _OPENAI:
            self._form(path, _openai())

    def job(self) -> None:
        """Say what the body of `POST /jobs/` takes, which Litestar does see, but not its bounds."""
        for name in ("NewJob", "JobTranscode", "JobFormat"):
            self._schemas[name].additional_properties = False
        known = self._schemas["JobFormat"].properties or {}
        known["extension"] = _TARGET["extension"]
        for name in ("sample_rate", "channels", "quality"):
            known[name] = Schema(one_of=[_TARGET[name], Schema(type=OpenAPIType.NULL)])

    def parameters(self, wait: Schema) -> None:
        """Say what parameters are bounded by."""
        for method, path in (("get", "/result/{token}"), *_both("/outputs/{token}")):
            self._bound(method, path, wait=wait)
        self._bound("get", "/resample", wait=wait)
        limit = Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=100, default=20)
        self._bound("get", "/jobs", limit=limit, cursor=Schema(type=_TEXT))
        words = Schema(type=_TEXT, max_length=200, default="")
        where = _one_of("name", "text", default="name")
        bounds = {"q": words, "in": where, "cursor": Schema(type=_TEXT), "limit": limit}
        self._bound("get", "/transcripts", **bounds)
        for method in ("get", "post"):
            source = _one_of("", "sketches", "influx", default="sketches")
            self._bound(method, "/stats", window=_WINDOW, source=source)
        for method, path in (*_all_of("/uploads/{ident}"), *_both("/downloads/{ident}")):
            self._signed(method, path)
        offset = Schema(type=OpenAPIType.INTEGER, minimum=0)
        self._header("patch", "/uploads/{ident}", "Upload-Offset", offset, required=True)
        for path in ("/analyze", "/transcode", "/resample", "/jobs", *_OPENAI):
            self._header("post", path, "Idempotency-Key", _KEY)
        for method, media_type in (
            ("put", "application/octet-stream"),
            ("patch", "application/offset+octet-stream"),
        ):
            body = RequestBody(required=False, content={media_type: OpenAPIMediaType(_FILE)})
            self._at(method, "/uploads/{ident}").request_body = body

    def contents(self) -> None:
        """Say which media types an answer may have, and which answers have no content."""
        self._add("get", "/result/{token}", "200", _RENDITIONS)
        for path in ("/transcode", "/resample"):
            self._add("post", path, "200", _FILES)
        for method, path in (
            ("get", "/resample"),
            *_both("/outputs/{token}"),
            *_both("/downloads/{ident}"),
        ):
            for status in ("200", "206"):
                self._answer(method, path, status).content = {}
                self._add(method, path, status, _FILES)
        for path in _OPENAI:
            self._add("post", path, "200", _RENDITIONS[:3])
            content = self._answer("post", path, "200").content or {}
            content["text/event-stream"] = OpenAPIMediaType()
            # What is verbose has all that the other one has.
            if isinstance(schema := content["application/json"].schema, Schema):
                schema.any_of, schema.one_of = schema.one_of, None
        self._empty_contents()

    def _empty_contents(self) -> None:
        for method in ("put", "head", "patch"):
            self._answer(method, "/uploads/{ident}", "200").content = None
        patched = self._at("patch", "/uploads/{ident}")
        answers = patched.responses or {}
        patched.responses = {"204": answers["200"]} | {
            status: answer for status, answer in answers.items() if status != "200"
        }
        for path in self._paths:
            if (head := self._paths[path].head) is not None:
                for answer in (head.responses or {}).values():
                    if isinstance(answer, OpenAPIResponse):
                        answer.content = None

    def links(self) -> None:
        """Say which answers lead where."""
        for source, taken, targets in WAYS:
            answer = self._answer(*source.split())
            answer.links = answer.links or {}
            for target in targets:
                name = self._at(*target.split()).operation_id or ""
                answer.links[name] = Link(operation_id=name, parameters=dict(taken))

    def _form(self, path: str, form: Schema) -> None:
        content = {"multipart/form-data": OpenAPIMediaType(form)}
        self._at("post", path).request_body = RequestBody(required=True, content=content)

    def _bound(self, method: str, path: str, **schemas: Schema) -> None:
        for parameter in self._at(method, path).parameters or ():
            if isinstance(parameter, Parameter) and parameter.name in schemas:
                parameter.schema = schemas[parameter.name]

    def _header(
        self, method: str, path: str, name: str, schema: Schema, *, required: bool = False
    ) -> None:
        operation = self._at(method, path)
        header = Parameter(name=name, param_in="header", schema=schema, required=required)
        operation.parameters = [*(operation.parameters or ()), header]

    def _signed(self, method: str, path: str) -> None:
        signature = Schema(type=_TEXT, pattern="^[0-9a-f]{64}$")
        query = {"expires": _NUMBER, "limit": _NUMBER, "signature": signature}
        operation = self._at(method, path)
        operation.parameters = [
            *(operation.parameters or ()),
            *(
                Parameter(name=name, param_in="query", schema=schema, required=True)
                for name, schema in query.items()
            ),
        ]

    def _add(self, method: str, path: str, status: str, types: Iterable[str]) -> None:
        answer = self._answer(method, path, status)
        schema = Schema(type=_TEXT)
        answer.content = (answer.content or {}) | {
            media_type: OpenAPIMediaType(schema=schema) for media_type in types
        }

    def _answer(self, method: str, path: str, status: str) -> OpenAPIResponse:
        answer = (self._at(method, path).responses or {}).get(status)
        if not isinstance(answer, OpenAPIResponse):
            raise TypeError(f"{method} {path} has no {status} in the API's description")
        return answer

    def _at(self, method: str, path: str) -> Operation:
        operation = getattr(self._paths.get(path), method, None)
        if not isinstance(operation, Operation):
            raise TypeError(f"{method} {path} is not in the API's description")
        return operation


def _both(path: str) -> tuple[tuple[str, str], ...]:
    return ("get", path), ("head", path)


def _all_of(path: str) -> tuple[tuple[str, str], ...]:
    return (*_both(path), ("put", path), ("patch", path))


def _one_of(*names: str, default: str | None = None) -> Schema:
    return Schema(type=_TEXT, enum=list(names), default=default)


def _flag(description: str) -> Schema:
    return Schema(type=OpenAPIType.BOOLEAN, default=False, description=description)


def _model(description: str) -> Schema:
    return Schema(type=_TEXT, pattern="^[!-~]*$", max_length=128, description=description)


def _strict(properties: dict[str, Schema], required: str = "file") -> Schema:
    names = [name for name in ("file", required) if name in properties]
    return Schema(
        type=OpenAPIType.OBJECT,
        required=list(dict.fromkeys(names)),
        properties=dict(properties),
        additional_properties=False,
    )


_TARGET: Final = {
    "extension": _one_of(*FORMATS),
    "sample_rate": Schema(
        type=OpenAPIType.INTEGER,
        minimum=8_000,
        maximum=192_000,
        description="in Hz; the source's without it",
    ),
    "bit_rate": Schema(
        type=OpenAPIType.INTEGER, minimum=1, description="in kb/s, where anything is lost"
    ),
    "bit_depth": Schema(type=OpenAPIType.INTEGER, enum=[16, 24, 32], description="wav and flac"),
    "channels": Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=8),
    "quality": Schema(
        type=OpenAPIType.NUMBER,
        minimum=0,
        maximum=10,
        description="instead of bit_rate: mp3 0 to 9, ogg 0 to 10",
    ),
}


def _wishes(references: References) -> dict[str, Schema]:
    task = "(loudness|analyze|transcribe)"
    return {
        "tasks": Schema(
            type=_TEXT,
            pattern=f"^({task}(,{task}){{0,2}})?$",
            default="loudness,transcribe",
            description="loudness, transcribe, or both, separated by a comma",
        ),
        "genre": Schema(
            type=_TEXT,
            enum=list(references.profiles),
            description="whose tonal balance the bands are held against; none without it",
        ),
        "target": Schema(
            type=_TEXT,
            enum=[target.name for target in references.targets],
            description="where the file is to be delivered; all are told without it",
        ),
        "language": _LANGUAGE,
        "multilingual": _flag("whether to detect the language for each window anew"),
        "translate": _flag("whether into English"),
        "words": _flag("whether to give each word with its times"),
        "prompt": _PROMPT,
        "temperature": Schema(
            type=OpenAPIType.NUMBER,
            minimum=0,
            maximum=1,
            description="how freely the model may choose; it decides itself without it",
        ),
        "model": _model("one of GET /v1/models; the default without it"),
        "timeline": _flag("whether to give the loudness over time as well"),
        "retention": _one_of("ttl", "once", "library", default="ttl"),
    }


def _openai() -> Schema:
    """Return the form of OpenAI's routes: other fields mean nothing, and are passed over."""
    model = _model("one of GET /v1/models; OpenAI's names are the default model's")
    model.default = ALIASES[0]
    return Schema(
        type=OpenAPIType.OBJECT,
        required=["file"],
        properties={
            "file": _FILE,
            "model": model,
            "language": _LANGUAGE,
            "prompt": _PROMPT,
            "response_format": _one_of(*Format, default=Format.JSON),
            "temperature": Schema(type=OpenAPIType.NUMBER, minimum=0, maximum=1, default=0),
            "timestamp_granularities[]": Schema(
                type=OpenAPIType.ARRAY,
                items=_one_of("segment", "word"),
                description="with response_format=verbose_json",
            ),
            "stream": _flag("whether to send transcript.text.delta events as it is heard"),
            "retention": _one_of("ttl", "once", "library", default="once"),
        },
    )
