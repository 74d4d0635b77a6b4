"""A real browser in front of a real service: `make browser`. Skipped without Chromium."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from cli.local.signals import StopSignals
from cli.local.stack import Stack, StackSettings, free_port, running_stack
from jukebox_client import JukeboxClient

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
SINGING_MS = 180_000
"""How long a short song of the bundled model may take on a busy machine."""
SHOWN_MS = 60_000
"""How long the page may take to show what has happened, there."""
expect.set_options(timeout=SHOWN_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder, and skip it where there is no browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(
                    pytest.mark.skip(reason="needs Chromium (apt-get install chromium)")
                )


@contextmanager
def fresh_stack(folder: Path) -> Iterator[Stack]:
    """What `jukebox serve` starts on a new machine, with the bundled model."""
    settings = StackSettings(
        data_dir=folder / "data", models_dir=folder / "models", port=free_port(), isolated=True
    )
    with running_stack(settings, StopSignals()) as stack:
        yield stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service of each file's own, without songs."""
    with fresh_stack(tmp_path_factory.mktemp("studio")) as stack:
        yield stack


@pytest.fixture
def client(stack: Stack) -> Iterator[JukeboxClient]:
    with JukeboxClient(stack.url) as client:
        yield client


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # As in a container, where tests may run as root. Sound plays without a click before it.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """What a page must not do: ask other hosts, or write errors to the console."""

    def __init__(self, page: Page, origin: str) -> None:
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.requests: list[str] = []
        self._origin = origin
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._see(request.url))

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error":
            self.errors.append(text)

    def _see(self, url: str) -> None:
        self.requests.append(url)
        if urlsplit(url).scheme in ("http", "https", "ws", "wss") and not url.startswith(
            self._origin
        ):
            self.foreign.append(url)


@pytest.fixture
def new_page(
    browser: Browser, stack: Stack, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Page]]:
    """Makes pages in contexts of their own; afterwards none may have done what `Watched` forbids.

    A test that provokes errors says which: `@pytest.mark.parametrize("allowed_errors", [...])`.
    """
    allowed = request.node.get_closest_marker("allowed_errors")
    pattern = re.compile("|".join(allowed.args) if allowed else r"(?!)")
    contexts: list[BrowserContext] = []
    watched: list[Watched] = []

    def make(**options: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        context.route(
            lambda url: not url.startswith((stack.url, "blob:", "data:")),
            lambda route: route.abort(),
        )
        page = context.new_page()
        page.set_default_timeout(SHOWN_MS)
        watched.append(Watched(page, stack.url))
        page.watched = watched[-1]  # type: ignore[attr-defined]
        return page

    yield make
    for context in contexts:
        context.close()
    for each in watched:
        assert each.foreign == []
        assert [error for error in each.errors if not pattern.search(error)] == []


@pytest.fixture
def page(new_page: Callable[..., Page], stack: Stack) -> Page:
    """The page, opened."""
    page = new_page()
    page.goto(stack.url)
    expect(page.get_by_role("heading", name="Songs", exact=True)).to_be_visible()
    return page


def draft(page: Page, *, seconds: float = 5, takes: int = 3, lyrics: str | None = None) -> None:
    """From anywhere: drafts of a new song, until every take can be played."""
    page.get_by_role("link", name="New song").first.click()
    artist = page.get_by_role("combobox", name="Artist")
    artist.fill("orlavane")
    artist.press("Escape")
    if lyrics is not None:
        page.get_by_role("textbox", name="Lyrics").fill(lyrics)
    page.get_by_label("Length").fill(str(seconds))
    page.get_by_label("Takes").fill(str(takes))
    page.get_by_role("button", name="Draft").click()
    wait_for_takes(page, takes)


def wait_for_takes(page: Page, takes: int) -> None:
    for take in range(1, takes + 1):
        button = page.get_by_role("button", name=f"Play take {take}")
        expect(button).to_be_visible(timeout=SINGING_MS)


def position(page: Page) -> float:
    """Where the player is, in seconds."""
    return float(page.get_by_role("slider", name="Position").input_value())


def wait_for_position(page: Page, is_right: Callable[[float], bool]) -> None:
    """Until the player is where it should be."""
    deadline = time.monotonic() + SHOWN_MS / 1000
    while not is_right(position(page)):
        assert time.monotonic() < deadline, position(page)
        page.wait_for_timeout(20)


def wait_until_plays(page: Page) -> None:
    """Until the audio element's time advances."""
    page.wait_for_function(
        "() => { const audio = document.querySelector('audio');"
        " return audio && !audio.paused && audio.currentTime > 0; }",
        timeout=SINGING_MS,
    )
