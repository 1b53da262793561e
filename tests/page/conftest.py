"""
The page in Debian's Chromium, against the services as processes of their own.

One pipeline and one browser for all tests; each has a context of its own, as a new visitor has.
No test may leave an error in the console: what the policy refuses is one.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, sync_playwright

from services.gateway.keys import digest
from tests.conftest import SERVERS, WEB, NatsServer
from tests.processes import Service, free_port, wait_for

AXE: Final = WEB / "node_modules" / "axe-core" / "axe.min.js"
KEY: Final = "a" * 40
_TELL: Final = """addEventListener("securitypolicyviolation", ({violatedDirective, blockedURI}) =>
  console.error(`policy: ${violatedDirective} refuses ${blockedURI}`));"""
_THEMES: Final = ("light", "dark")


@dataclass(frozen=True)
class Pipeline:
    """
    Where the gateways are.

    The reports of `hasty_url` expire within a second; `locked_url` asks for the key `KEY`.
    """

    url: str
    hasty_url: str
    locked_url: str
    workers: tuple[Service, ...]

    @property
    def port(self) -> int:
        """Where the gateway listens."""
        return int(self.url.rpartition(":")[2])

    def pause(self) -> None:
        """Freeze the workers, so that what is sent stays queued."""
        for worker in self.workers:
            worker.pause()

    def resume(self) -> None:
        """Let them go on."""
        for worker in self.workers:
            worker.resume()


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Start NATS, two gateways and the workers."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "nats").mkdir()
    version = list(SERVERS)[-1]
    server = NatsServer(SERVERS[version], version, folder / "nats")
    server.start()
    env = {"NATS_URL": server.url, "DECIBUS_MODEL": "demo", "RATE_LIMIT": "0"}
    ports = [free_port() for _ in range(3)]
    hasty = {"HTTP_PORT": str(ports[1]), "REPORT_TTL_S": "1"}
    locked = {"HTTP_PORT": str(ports[2]), "API_KEYS": f"alice:{digest(KEY).hex()}"}
    started = [
        Service("analyzer", env, folder / "analyzer.log"),
        Service("transcriber", env, folder / "transcriber.log"),
        Service("gateway", env | {"HTTP_PORT": str(ports[0])}, folder / "gateway.log"),
        Service("gateway", env | hasty, folder / "hasty.log"),
        Service("gateway", env | locked, folder / "locked.log"),
    ]
    try:
        for each in started:
            each.until_ready()
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        yield Pipeline(urls[0], urls[1], urls[2], workers=tuple(started[:2]))
    finally:
        for each in started:
            each.kill()
        server.kill()
        shutil.rmtree(folder / "nats")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium."""
    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        assert program, "mark this test page: it is then left out where there is no chromium"
        running = playwright.chromium.launch(executable_path=program)
        yield running
        running.close()


@dataclass
class Visit:
    """A visitor's tab, and what has gone wrong in it."""

    page: Page
    troubles: list[str] = field(default_factory=list)
    loaded: list[Response] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect_trouble(self, pattern: str) -> None:
        """Let the browser complain of this: of a request that is refused, say."""
        self.expected.append(pattern)

    def hear(self, message: ConsoleMessage) -> None:
        """Note what is wrong."""
        if message.type in {"error", "warning"}:
            self.troubles.append(message.text)

    @property
    def surprises(self) -> list[str]:
        """What was not expected to go wrong."""
        return [
            trouble
            for trouble in self.troubles
            if not any(re.search(pattern, trouble) for pattern in self.expected)
        ]

    def has_room(self) -> bool:
        """Whether nothing is wider than the window."""
        return bool(
            self.page.evaluate(
                "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            )
        )

    def barriers(self, *, besides: str | None = None) -> list[str]:
        """Return what axe-core finds in either theme, on what is shown now but in this part."""
        self.page.evaluate(AXE.read_text())
        found = []
        for theme in _THEMES:
            self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            # Of all rules, colours alone differ between the themes.
            rules = {"runOnly": ["color-contrast"]} if theme != _THEMES[0] else {}
            told: Any = self.page.evaluate(
                "([where, options]) => axe.run(where, options)",
                [
                    {"exclude": [[besides]]} if besides else {"include": [["html"]]},
                    rules | {"resultTypes": ["violations"], "preload": False},
                ],
            )
            found += [
                f"{theme}: {each['id']}: {node['target']}: {node['failureSummary']}"
                for each in told["violations"]
                for node in each["nodes"]
            ]
        return found


@pytest.fixture
def visit(browser: Browser, pipeline: Pipeline) -> Iterator[Callable[..., Visit]]:
    """Open a tab for a new visitor; afterwards, nothing unexpected may have gone wrong in it."""
    visits: list[Visit] = []

    def open_tab(url: str = pipeline.url, **context: Any) -> Visit:
        opened = browser.new_context(base_url=url, **context)
        opened.set_default_timeout(15_000)
        opened.add_init_script(_TELL)
        tab = Visit(opened.new_page())
        tab.page.on("console", tab.hear)
        tab.page.on("pageerror", lambda error: tab.troubles.append(str(error)))
        tab.page.on("response", lambda answer: tab.loaded.append(answer))  # noqa: PLW0108 - it looks for a signature
        visits.append(tab)
        return tab

    yield open_tab
    surprises = [surprise for tab in visits for surprise in tab.surprises]
    for tab in visits:
        tab.page.context.close()
    assert not surprises


def until(holds: Callable[[], Any], what: str) -> Any:
    """Wait for something that the browser does not tell."""
    return wait_for(holds, within_s=15, what=what)
