"""
What can go wrong, and what happens next.

    DecibusError
    ├── Refused        the sender's fault: a 4xx answer, the delivery is termed
    │   ├── BadRequest           400  bad_request
    │   ├── Unauthorized         401  unauthorized
    │   ├── Forbidden            403  forbidden
    │   ├── NotFound             404  not_found
    │   ├── TooSlow              408  too_slow
    │   ├── OutOfTurn            409  conflict, also as WrongOffset
    │   ├── TooLarge             413  too_large
    │   ├── NotAudio             415  not_audio
    │   ├── WrongType            415  unsupported_type
    │   ├── WrongRange           416  range_not_satisfiable
    │   ├── TooLong              422  too_long
    │   ├── BadAudio             422  bad_audio
    │   ├── IdempotencyMismatch  422  idempotency_mismatch
    │   ├── Unsupported          422  unsupported
    │   ├── RateLimited          429  rate_limited
    │   └── HeadTooLarge         431  head_too_large
    ├── Unavailable    the world's fault: a 503 answer, the delivery is nak'ed and tried again
    │   ├── BacklogFull          503  backlog_full
    │   ├── BlobGone             503  unavailable
    │   └── StorageFull          507  storage_full
    ├── Unreadable     a record or a message is none of ours: it is passed over, where that can be
    ├── Superseded     a newer attempt owns the job: stop, write nothing, settle nothing
    └── WorkerBroken   this process cannot go on: the attempt has failed, and the process ends

Anything else is a bug: it is retried, and given up after the last attempt. `worker.verdict` makes
the outcome of a delivery from these, `app.refuse` the HTTP answer, `rpc` the NATS reply.
"""

from datetime import timedelta
from typing import ClassVar


class DecibusError(Exception):
    """The root of the tree; raise a narrower one, with the value in the message."""


class Refused(DecibusError):
    """The sender can mend it: nothing will change by trying again."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    title: ClassVar[str] = "The request cannot be understood"


class BadRequest(Refused):
    """The request is malformed, or names an option that does not exist."""


class Unauthorized(Refused):
    """No key was shown, or none that we know."""

    status = 401
    code = "unauthorized"
    title = "This needs an API key"


class Forbidden(Refused):
    """We know who asks, or what was signed, and it does not reach this far."""

    status = 403
    code = "forbidden"
    title = "This is not allowed"


class NotFound(Refused):
    """Unknown, expired and foreign tokens look alike."""

    status = 404
    code = "not_found"
    title = "There is nothing here, or no longer"


class TooSlow(Refused):
    """The request, or its body, came so slowly that it was given up."""

    status = 408
    code = "too_slow"
    title = "The request came too slowly"


class OutOfTurn(Refused):
    """Something else has to happen first: the same request then goes through."""

    status = 409
    code = "conflict"
    title = "The request comes out of turn"


class WrongOffset(OutOfTurn):
    """An upload goes on at `offset`, and nowhere else."""

    def __init__(self, message: str, *, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class TooLarge(Refused):
    """More bytes than the limit."""

    status = 413
    code = "too_large"
    title = "The upload is over the size limit"


class NotAudio(Refused):
    """No decoder recognises it as audio."""

    status = 415
    code = "not_audio"
    title = "This is no audio that decibus can decode"


class WrongType(Refused):
    """The request's Content-Type is not the one that it must have."""

    status = 415
    code = "unsupported_type"
    title = "The request has the wrong Content-Type"


class WrongRange(Refused):
    """No byte of the range is among the `size` that there are."""

    status = 416
    code = "range_not_satisfiable"
    title = "The range lies outside the file"

    def __init__(self, message: str, *, size: int) -> None:
        super().__init__(message)
        self.size = size


class TooLong(Refused):
    """It decodes to more than the limit."""

    status = 422
    code = "too_long"
    title = "The audio is over the duration limit"


class BadAudio(Refused):
    """It is audio, but damaged, empty, or out of the ranges that can be measured."""

    status = 422
    code = "bad_audio"
    title = "The audio cannot be decoded"


class IdempotencyMismatch(Refused):
    """The key was used for another request, so that its answer would not be this one's."""

    status = 422
    code = "idempotency_mismatch"
    title = "The Idempotency-Key belongs to another request"


class Unsupported(Refused):
    """It is well said, but there is no such language or model here."""

    status = 422
    code = "unsupported"
    title = "This cannot be had here"


class RateLimited(Refused):
    """The sender has used up its share; `retry_after` is when there is more."""

    status = 429
    code = "rate_limited"
    title = "Too many requests"

    def __init__(self, message: str, *, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class HeadTooLarge(Refused):
    """The request's address or header fields are longer, or more, than anybody needs."""

    status = 431
    code = "head_too_large"
    title = "The request's head is too large"


class Unavailable(DecibusError):
    """Something that the job needs is away: try again later."""

    status: ClassVar[int] = 503
    code: ClassVar[str] = "unavailable"
    title: ClassVar[str] = "The service is not available at the moment"


class BacklogFull(Unavailable):
    """The queue is at its cap, so that the sender can be told now instead of waiting for ever."""

    code = "backlog_full"
    title = "Too much work is waiting"


class BlobGone(Unavailable):
    """The object, or some of its chunks, is not in the store (any more)."""


class StorageFull(Unavailable):
    """The store has no room for it; what it holds goes by itself, so that there will be."""

    status = 507
    code = "storage_full"
    title = "The storage is full"


class Unreadable(DecibusError):
    """What was stored or sent is not what stands there by our own doing."""


class Superseded(DecibusError):
    """A newer attempt owns the job. Whoever gets this stops quietly."""


class WorkerBroken(DecibusError):
    """Something in this process hangs that cannot be ended: it has to be started anew."""
