"""Whether the gateway answers, and which of its tasks have a worker."""

from http.client import HTTPConnection, HTTPException

import msgspec


class Readiness(msgspec.Struct, frozen=True):
    """What /readyz tells. `workers`: for each task, whether a worker is waiting for it."""

    status: str = "unavailable"
    workers: dict[str, bool] = {}
    recorder: bool = False

    @property
    def is_complete(self) -> bool:
        """The gateway is ready, every task has a worker, and calls are counted."""
        has_workers = bool(self.workers) and all(self.workers.values())
        return self.status == "ready" and has_workers and self.recorder

    @property
    def missing(self) -> str:
        """What is not there yet, for the user."""
        if self.status != "ready":
            return "the gateway"
        idle = ", ".join(task for task, waits in self.workers.items() if not waits)
        return f"a worker for {idle}" if idle else "the recorder"


def ask(host: str, port: int) -> Readiness:
    """Ask the gateway; no answer, or one that is not understood, means not ready."""
    connection = HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return msgspec.json.decode(connection.getresponse().read(), type=Readiness)
    except (OSError, HTTPException, msgspec.DecodeError):
        return Readiness()
    finally:
        connection.close()
