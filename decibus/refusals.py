"""What nats-server and nats-py refuse, in the project's own errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import nats.errors
import nats.js.errors

from decibus.errors import StorageFull, Unavailable

REQUEST_TIMEOUT_S: Final = 3.0
"""How long an answer of the server is waited for."""
LIMIT_REACHED: Final = 10077
_NO_ROOM: Final = (10002, 10023, 10028, 10047)  # the account's or the server's own limits


def is_full(err_code: int | None, description: str | None) -> bool:
    """Tell from JetStream's refusal of a message whether there is no room for it."""
    words = description or ""
    return err_code in _NO_ROOM or (
        err_code == LIMIT_REACHED and ("maximum bytes" in words or "no space left" in words)
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn what nats-py raises into the project's own errors."""
    try:
        yield
    except nats.js.errors.APIError as error:
        kind = StorageFull if is_full(error.err_code, error.description) else Unavailable
        raise kind(f"NATS: {error.description} ({error.err_code})") from error
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise Unavailable(f"NATS: {type(error).__name__} {error}".strip()) from error
