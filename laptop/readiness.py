"""Whether the gateway answers, and which of its tasks have a worker."""

from http.client import HTTPConnection, HTTPException

import msgspec


class Readiness(msgspec.Struct, frozen=True):
    """What /readyz tells. `workers`: for each task, whether a worker is waiting for it."""

    status: str = "unavailable"
    workers: dict[str, bool] = {}

    @property
    def is_complete(self) -> bool:
        """The gateway is ready, and every task has a worker."""
        return self.status == "ready" and bool(self.workers) and all(self.workers.values())

    @property
    def missing(self) -> str:
        """What is not there yet, for the user."""
        if self.status != "ready":
            return "the gateway"
        return "a worker for " + ", ".join(t for t, waits in self.workers.items() if not waits)


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
