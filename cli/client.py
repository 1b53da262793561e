"""
A gateway as its client sees it: a file goes out, a report comes back, and both tell how far it is.

    POST /analyze?wait=0 ──▶ 202, Location ──▶ GET, again and again, until it is done or has failed
      ├ 429, 503: again, when Retry-After says so        └ the gateway is away for a while: again
      └ any other refusal: a sheet that says why
"""

import io
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import msgspec

from cli.sheet import Sheet, failed_sheet

Progress = Callable[[float], None]

_UPLOAD_SHARE: Final = 0.5  # of the progress; the other half is the gateway's
_LOOK_AGAIN_S: Final = 1.0
_TRY_AGAIN: Final = {429, 502, 503, 504}
_MAX_PAUSE_S: Final = 30.0
_MAX_AWAY_S: Final = 30.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The form's fields."""

    tasks: str | None = None
    genre: str | None = None
    target: str | None = None
    language: str | None = None


class Problem(msgspec.Struct, frozen=True):
    """How a gateway says no (RFC 9457), as much of it as is shown."""

    code: str = "unavailable"
    title: str = ""
    detail: str = ""


class State(msgspec.Struct, frozen=True):
    """How far a report is."""

    token: str
    status: str
    progress: float


class Received(msgspec.Struct, frozen=True):
    """A report: as it came, for programs, and as it is shown."""

    raw: msgspec.Raw
    sheet: Sheet


class Client:
    """One gateway; its methods may be called from several threads."""

    def __init__(self, url: str, key: str | None, *, patience_s: float) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(30.0, read=90.0)
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)
        self._url = url
        self._patience_s = patience_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def report(self, path: Path, wanted: Wanted, progress: Progress) -> Received:
        """Send a file and return its report; what goes wrong is a report of that."""
        deadline = time.monotonic() + self._patience_s
        try:
            answer = self._send(path, wanted, progress, deadline)
            while answer.is_success:
                state = msgspec.json.decode(answer.content, type=State)
                progress(_UPLOAD_SHARE + (1.0 - _UPLOAD_SHARE) * state.progress)
                if state.status in {"done", "failed"}:
                    return _received(answer.content)
                if time.monotonic() > deadline:
                    detail = f"it is {state.status} after {self._patience_s:g} s: {state.token}"
                    return _failed(path, "unavailable", detail)
                answer = self._look(state.token, deadline)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return _failed(
                path, "unavailable", f"{self._url}: {str(error) or type(error).__name__}"
            )
        except OSError as error:
            return _failed(path, "unreadable", str(error))
        except msgspec.DecodeError:
            return _failed(path, "unavailable", f"{self._url} does not answer as a gateway does")
        return _refused(path, answer)

    def _send(
        self, path: Path, wanted: Wanted, progress: Progress, deadline: float
    ) -> httpx.Response:
        def send() -> httpx.Response:
            with Watched(path, lambda part: progress(_UPLOAD_SHARE * part)) as file:
                return self._http.post(
                    "/analyze",
                    params={"wait": "0"},
                    data=msgspec.to_builtins(wanted),
                    files={"file": (path.name, file)},
                )

        return _until_it_has_time(send, deadline)

    def _look(self, token: str, deadline: float) -> httpx.Response:
        """Wait a second for the report; a gateway that restarts is waited for, too."""
        back_by = min(deadline, time.monotonic() + _MAX_AWAY_S)

        def look() -> httpx.Response:
            while True:
                try:
                    wait = {"wait": f"{_LOOK_AGAIN_S:g}"}
                    return self._http.get(f"/result/{token}", params=wait)
                except httpx.TransportError:
                    if time.monotonic() > back_by:
                        raise
                    time.sleep(_LOOK_AGAIN_S)

        return _until_it_has_time(look, deadline)


class Watched(io.FileIO):
    """A file that tells how much of it was read, 0..1."""

    def __init__(self, path: Path, progress: Progress) -> None:
        super().__init__(path)
        self._progress = progress
        self._size = max(1, path.stat().st_size)

    def read(self, size: int | None = -1, /) -> Any:
        """Read, and tell."""
        data = super().read(-1 if size is None else size)
        self._progress(min(1.0, self.tell() / self._size))
        return data


def _until_it_has_time(ask: Callable[[], httpx.Response], deadline: float) -> httpx.Response:
    while True:
        answer = ask()
        pause_s = _pause_s(answer)
        if pause_s is None or time.monotonic() + pause_s > deadline:
            return answer
        time.sleep(pause_s)


def _pause_s(answer: httpx.Response) -> float | None:
    """Return when to ask again; None when this answer is one."""
    if answer.status_code not in _TRY_AGAIN:
        return None
    told = answer.headers.get("retry-after", "")
    return min(float(told), _MAX_PAUSE_S) if told.isdecimal() else _LOOK_AGAIN_S


def _received(body: bytes) -> Received:
    return Received(msgspec.Raw(body), msgspec.json.decode(body, type=Sheet))


def _refused(path: Path, answer: httpx.Response) -> Received:
    try:
        problem = msgspec.json.decode(answer.content, type=Problem)
    except msgspec.DecodeError:  # no gateway of ours: a proxy before it
        problem = Problem(title=f"{answer.status_code} {answer.reason_phrase}")
    return _failed(path, problem.code, ": ".join(filter(None, (problem.title, problem.detail))))


def _failed(path: Path, code: str, detail: str) -> Received:
    sheet = failed_sheet(path.name, code=code, detail=detail, task="submit")
    return Received(msgspec.Raw(msgspec.json.encode(sheet)), sheet)
