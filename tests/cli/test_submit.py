"""`decibus submit`: files sent to a gateway, by real processes and a real NATS."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from services.gateway.keys import digest
from tests.cli.conftest import Run
from tests.conftest import SERVERS, NatsServer
from tests.processes import Service, free_port, wait_for

Start = Callable[..., Service]

one_server = pytest.mark.parametrize("nats_server", list(SERVERS)[-1:], indirect=True)
pytestmark = pytest.mark.timeout(120)


@dataclass
class Gateway:
    """A gateway's process, which can be killed and started again on its port."""

    start: Start
    env: dict[str, str]

    def __post_init__(self) -> None:
        self.run()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.env['HTTP_PORT']}"

    def run(self) -> None:
        """Start it, and return when it answers."""
        self.service = self.start("gateway", **self.env)

        def answers() -> bool:
            try:
                return httpx.get(f"{self.url}/healthz").is_success
            except httpx.TransportError:
                return False

        wait_for(answers, within_s=30, what=self.service.printed)


@pytest.fixture
def gateway(nats_server: NatsServer, service: Start) -> Gateway:
    return Gateway(service, {"NATS_URL": nats_server.url, "HTTP_PORT": str(free_port())})


@one_server
def test_files_are_sent_and_their_reports_are_what_is_measured_here(
    nats_server: NatsServer, gateway: Gateway, service: Start, decibus: Run, takes: Path
) -> None:
    service("analyzer", NATS_URL=nats_server.url)
    ask = ("--url", gateway.url, "--tasks", "loudness", "--genre", "rock")

    for_programs = decibus("submit", takes, *ask, "--json")
    for_people = decibus("submit", takes / "song.wav", *ask, "--target", "Deezer")
    with_text = decibus("submit", takes / "notes.txt", takes / "song.wav", *ask)
    here = decibus("analyze", takes, "--genre", "rock", "--json")

    assert (for_programs.code, for_programs.err) == (0, "")
    assert [each["filename"] for each in for_programs.reports] == [
        *("bass.mp3", "tone.FLAC", "song.wav")
    ]
    for there, local in zip(for_programs.reports, here.reports, strict=True):
        assert there["status"] == "done"
        assert there["token"]
        for field in ("loudness", "peak", "spectrum", "targets", "verdict", "genre"):
            assert there[field] == local[field]
    assert for_people.code == 0
    assert any(line.startswith("Deezer") for line in for_people.out.splitlines())
    assert with_text.code == 1
    assert "not_audio" in with_text.out
    assert "song.wav" in with_text.out.splitlines()[1], "the good one is measured"


@one_server
def test_what_a_gateway_refuses_is_told_in_its_words(
    gateway: Gateway, decibus: Run, takes: Path
) -> None:
    song = takes / "song.wav"

    genre = decibus("submit", song, "--url", gateway.url, "--genre", "polka")
    late = decibus("submit", song, "--url", gateway.url, "--patience", "0.5", "--json")

    assert (genre.code, late.code) == (1, 1)
    assert "bad_request: " in genre.out
    assert "no profile 'polka'; there are acoustic" in genre.out
    (report,) = late.reports
    assert report["status"] == "failed"
    assert "it is queued after 0.5 s" in report["errors"][0]["detail"]


@one_server
def test_a_key_is_shown_where_one_is_asked_for_and_a_limit_is_waited_for(
    nats_server: NatsServer,
    service: Start,
    decibus: Run,
    takes: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = {"NATS_URL": nats_server.url, "HTTP_PORT": str(free_port())}
    keys = {"API_KEYS": f"alice:{digest('secret').hex()}"}
    gateway = Gateway(service, env | keys | {"RATE_LIMIT": "1", "RATE_WINDOW_S": "1"})
    service("analyzer", NATS_URL=nats_server.url)
    files = (takes / "song.wav", takes / "live" / "tone.FLAC")
    ask = ("--url", gateway.url, "--tasks", "loudness")

    unknown = decibus("submit", *files, *ask)
    monkeypatch.setenv("DECIBUS_KEY", "secret")
    known = decibus("submit", *files, *ask, "--json")

    assert unknown.code == 1
    assert "submit: unauthorized" in unknown.out
    assert known.code == 0, known
    assert [each["status"] for each in known.reports] == ["done", "done"]


@one_server
def test_a_gateway_that_is_killed_and_comes_back_costs_no_report(
    nats_server: NatsServer, gateway: Gateway, service: Start, decibus: Run, takes: Path
) -> None:
    def kill_and_restart() -> None:
        def has_accepted() -> bool:
            return "upload_accepted" in gateway.service.printed

        wait_for(has_accepted, within_s=20, what="the upload")
        time.sleep(0.3)
        gateway.service.kill()
        gateway.run()
        service("analyzer", NATS_URL=nats_server.url)

    meanwhile = threading.Thread(target=kill_and_restart)
    meanwhile.start()

    done = decibus(
        "submit", takes / "song.wav", "--url", gateway.url, "--tasks", "loudness", "--json"
    )

    meanwhile.join()
    assert done.code == 0, done
    assert done.reports[0]["status"] == "done"


@contextmanager
def something_else() -> Iterator[str]:
    """Serve what is no gateway."""

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>Welcome</html>")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_is_no_gateway_is_told(decibus: Run, takes: Path) -> None:
    song = takes / "song.wav"

    nobody = decibus("submit", song, "--url", f"http://127.0.0.1:{free_port()}")
    nonsense = decibus("submit", song, "--url", "nats://127.0.0.1")
    with something_else() as url:
        page = decibus("submit", song, "--url", url)

    assert (nobody.code, nonsense.code, page.code) == (1, 1, 1)
    assert "Connection refused" in nobody.out
    assert "nats://127.0.0.1" in nonsense.out
    assert "does not answer as a gateway does" in page.out
