"""The page: what a visitor drops becomes a report, whatever the network, the eyes and the hands."""

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Dialog, FilePayload, Locator, Page, expect

from tests.page.conftest import KEY, Pipeline, Visit, until
from tests.page.proxy import Proxy
from tests.signals import encode, sine
from tests.speech import say, silence, wav

pytestmark = [pytest.mark.page, pytest.mark.timeout(120)]

Open = Callable[..., Visit]
TONE = encode(sine(3.0, -23.0, hz=997.0), 48_000, "wav16")
BUDGET_BYTES = 90_000
DROP = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name, { type: "audio/wav" }));
  for (const kind of ["dragenter", "dragover", "drop"])
    document.body.dispatchEvent(
      new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
}"""


def choose(page: Page, *files: tuple[str, bytes]) -> None:
    """Hand files to the page, as its file dialog does."""
    payloads = [FilePayload(name=name, mimeType="audio/wav", buffer=data) for name, data in files]
    page.get_by_label("Audio files").set_input_files(payloads)


def card(page: Page, name: str) -> Locator:
    """Return what the page shows of a file."""
    return page.get_by_role("article", name=name)


def done(page: Page, name: str) -> Locator:
    """Wait for a file's report; returns the link to it."""
    link = card(page, name).get_by_role("link", name="Open the report")
    expect(link).to_be_visible(timeout=20_000)
    return link


def test_a_dropped_file_becomes_a_report_with_the_right_numbers(visit: Open) -> None:
    page = visit().page
    page.goto("/")
    page.get_by_label("Genre").select_option("pop")

    page.evaluate(DROP, ["take.wav", base64.b64encode(TONE).decode()])
    done(page, "take.wav").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("take.wav")
    integrated = page.get_by_role("region", name="Integrated loudness")
    peak = page.get_by_role("region", name="True peak")
    expect(integrated.locator(".reading")).to_have_text("−23.0LUFS")
    expect(peak.locator(".reading")).to_have_text("−23.0dBTP")
    expect(page.get_by_role("heading", name="Tonal balance next to pop")).to_be_visible()
    expect(page.get_by_role("link", name="Loudness over time")).to_be_visible()


def test_two_files_at_once_give_two_reports(visit: Open) -> None:
    page = visit().page
    page.goto("/")
    loud = encode(sine(2.0, -10.0, hz=997.0), 48_000, "flac")

    choose(page, ("quiet.wav", TONE), ("loud.flac", loud))

    for name, level in (("quiet.wav", "−23.0LUFS"), ("loud.flac", "−10.0LUFS")):
        done(page, name)
        expect(card(page, name).get_by_text(level)).to_be_visible()


@pytest.fixture
def proxy(pipeline: Pipeline) -> Iterator[Proxy]:
    """Stand between browser and gateway."""
    between = Proxy(pipeline.port)
    yield between
    between.close()


def test_a_socket_that_is_cut_in_the_middle_is_done_without(
    visit: Open, pipeline: Pipeline, proxy: Proxy
) -> None:
    tab = visit(proxy.url)
    tab.expect_trouble("WebSocket")
    page = tab.page
    page.goto("/")
    other = encode(sine(3.0, -17.0, hz=997.0), 48_000, "wav16")

    pipeline.pause()
    try:
        choose(page, ("take.wav", other))
        expect(card(page, "take.wav").get_by_text("Queued", exact=True)).to_be_visible()
        until(lambda: proxy.sockets_seen, "a socket")
        proxy.cut()
        expect(card(page, "take.wav").get_by_text("the live line is down")).to_be_visible()
    finally:
        pipeline.resume()

    done(page, "take.wav")
    level = page.get_by_role("region", name="Integrated loudness").locator(".reading")
    expect(level).to_have_text("−17.0LUFS")


def test_a_link_that_has_expired_says_so(visit: Open, pipeline: Pipeline) -> None:
    files = {"file": ("take.wav", TONE)}
    answer = httpx.post(f"{pipeline.hasty_url}/analyze", files=files, timeout=30)
    token = answer.json()["token"]
    link = f"{pipeline.url}/result/{token}"
    until(lambda: httpx.get(link).status_code == 404, "the end of the report")
    tab = visit()
    tab.expect_trouble("404")

    tab.page.goto(f"/#/report/{token}")

    expect(tab.page.get_by_role("alert")).to_contain_text("expired")
    expect(tab.page.get_by_role("link", name="Measure a file")).to_be_visible()


def test_a_file_that_is_no_audio_is_refused_in_words(visit: Open) -> None:
    page = visit().page
    page.goto("/")

    choose(page, ("notes.txt", b"dear diary, today I have mixed a song"))

    alert = card(page, "notes.txt").get_by_role("alert")
    expect(alert).to_contain_text("Send audio")
    expect(card(page, "notes.txt").get_by_role("button", name="Try again")).to_be_visible()


def test_a_file_name_stays_text(visit: Open) -> None:
    hostile = "<img src=x onerror=alert(1)>.wav"
    page = visit().page
    dialogs: list[Dialog] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog))  # noqa: PLW0108 - ditto
    page.goto("/")

    choose(page, (hostile, TONE))
    done(page, hostile).click()

    expect(page.get_by_role("heading", level=1)).to_have_text(hostile)
    assert page.locator("img[src=x]").count() == 0
    assert not dialogs


SAME_REPORT = {"example", "kept"}
"""Where the report is the one that another view has shown already."""
VIEWS = {
    "measure": "/#/",
    "example": "/#/example",
    "library": "/#/library",
    "api": "/#/api",
    "status": "/#/status",
    "nowhere": "/#/nowhere",
    "plain": "/plain",
}


@pytest.mark.parametrize("view", [*VIEWS, "report", "kept", "plain report"])
def test_a_view_has_no_barrier_and_fits_a_phone_and_a_desk(
    visit: Open, pipeline: Pipeline, view: str
) -> None:
    tab = visit(viewport={"width": 1600, "height": 1000})
    tab.page.goto(VIEWS.get(view) or address(pipeline, view))
    expect(tab.page.get_by_role("heading", level=1)).to_be_visible()
    tab.page.wait_for_load_state("networkidle")

    desk = tab.has_room()
    barriers = tab.barriers(besides=".report" if view in SAME_REPORT else None)
    tab.page.set_viewport_size({"width": 400, "height": 800})
    phone = tab.has_room()

    assert (desk, phone) == (True, True)
    assert not barriers, "\n".join(barriers)


def address(pipeline: Pipeline, view: str) -> str:
    """Return where there is a report to see."""
    ask = {"genre": "podcast", "timeline": "true", "retention": "library"}
    files = {"file": ("example.wav", TONE)}
    answer = httpx.post(f"{pipeline.url}/analyze", files=files, data=ask, timeout=30)
    if view == "kept":
        return f"/#/library/{until(lambda: kept(pipeline).get('example.wav'), 'the library')}"
    token = answer.json()["token"]
    return f"/plain/{token}" if view == "plain report" else f"/#/report/{token}"


def kept(pipeline: Pipeline) -> dict[str, str]:
    """Return what the library has: names, and the ids that they lead to."""
    entries = httpx.get(f"{pipeline.url}/transcripts").json()["data"]
    return {entry["filename"]: entry["id"] for entry in entries}


def test_the_first_visit_loads_little(visit: Open) -> None:
    tab = visit()
    tab.page.goto("/")
    expect(tab.page.get_by_role("heading", level=1)).to_be_visible()
    tab.page.wait_for_load_state("networkidle")

    sizes = {
        answer.url.rpartition("/")[2]: answer.request.sizes()["responseBodySize"]
        for answer in tab.loaded
        if "waveform" not in answer.url
    }

    assert len(sizes) > 2
    assert sum(sizes.values()) <= BUDGET_BYTES, sizes
    assert all(answer.url.startswith(tab.page.url.partition("#")[0]) for answer in tab.loaded)


def test_a_keyboard_is_enough(visit: Open) -> None:
    page = visit().page
    # Playwright takes dialogs over from here on: asked when the key is pressed, it may be late.
    page.on("filechooser", lambda _: None)
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()

    tab_to(page, "Choose files")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([FilePayload(name="take.wav", mimeType="audio/wav", buffer=TONE)])
    done(page, "take.wav")
    tab_to(page, "Open the report")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("take.wav")

    assert page.evaluate("document.activeElement.id") == "view", "it goes on from the heading"


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the focus is on what is called so; each stop on the way can be seen."""
    for _ in range(60):
        page.keyboard.press("Tab")
        here = page.locator("*:focus")
        assert here.count() == page.locator("*:focus-visible").count()
        if here.count() and name in here.inner_text():
            return
    pytest.fail(f"the Tab key does not lead to {name}")


def test_where_a_key_is_asked_for_the_page_asks_for_it(visit: Open, pipeline: Pipeline) -> None:
    tab = visit(pipeline.locked_url)
    tab.expect_trouble("401")
    page = tab.page
    page.goto("/")

    choose(page, ("take.wav", TONE))
    page.get_by_label("API key").get_by_role("textbox").fill(KEY)
    page.get_by_role("button", name="Use this key").click()
    card(page, "take.wav").get_by_role("button", name="Try again").click()

    done(page, "take.wav")


@pytest.mark.espeak
def test_what_is_kept_is_found_by_its_words_and_deleted(visit: Open, pipeline: Pipeline) -> None:
    spoken = wav(silence(0.5), say("seven three nine"), silence(0.5)).read()
    page = visit().page
    page.goto("/")
    page.get_by_label("Keep the report").select_option("library")
    choose(page, ("count.wav", spoken), ("tone.wav", encode(sine(1.0, -30.0), 48_000, "wav16")))
    for name in ("count.wav", "tone.wav"):
        done(page, name)
    until(lambda: {"count.wav", "tone.wav"} <= kept(pipeline).keys(), "both in the library")

    page.get_by_role("link", name="Library", exact=True).click()
    shelf = page.get_by_role("list", name="Kept reports")
    expect(shelf.get_by_role("link", name="tone.wav")).to_be_visible()
    page.get_by_role("searchbox").fill("seven")
    page.get_by_label("and in what was said").check()
    expect(shelf.get_by_role("listitem")).to_have_count(1)
    shelf.get_by_role("link", name="count.wav").click()
    expect(page.get_by_role("button", name=re.compile("^seven"))).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Library")
    expect(shelf.get_by_role("link", name="tone.wav")).to_be_visible()
    expect(shelf.get_by_role("link", name="count.wav")).to_have_count(0)


def test_without_a_script_a_file_becomes_a_report_as_well(
    visit: Open, pipeline: Pipeline, tmp_path: Path
) -> None:
    tab = visit(java_script_enabled=False)
    page = tab.page
    page.goto(f"{pipeline.locked_url}/plain")
    take = tmp_path / "take.wav"
    take.write_bytes(encode(sine(3.0, -20.0, hz=997.0), 48_000, "wav16"))

    page.get_by_label("Your API key").fill(KEY)
    page.locator("input[type=file]").set_input_files(take)
    page.get_by_label("Genre").select_option("pop")
    page.get_by_role("button", name="Measure").click()

    expect(page.get_by_role("heading", name="Verdict")).to_be_visible(timeout=20_000)
    expect(page.get_by_role("heading", level=1)).to_have_text("take.wav")
    row = page.get_by_role("row", name="Integrated loudness")
    expect(row).to_contain_text("−20.0 LUFS")
    page.get_by_role("button", name="Delete this report").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("decibus")
