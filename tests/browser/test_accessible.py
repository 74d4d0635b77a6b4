"""Every screen for everybody: no violation that axe-core finds, nothing that scrolls sideways."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import draft

SCREENS = ("songs", "new", "queue", "settings", "song", "nowhere")
WIDTHS = (320, 768, 1440)


@pytest.fixture(scope="module")
def song(browser, stack) -> Iterator[str]:
    """The address of a song with two takes and lyrics."""
    page = browser.new_page()
    page.goto(stack.url)
    draft(page, takes=2, lyrics="a line\nand another one")
    yield page.evaluate("location.hash")
    page.close()


def open_screen(page: Page, url: str, screen: str, song: str) -> None:
    hashes = {"song": song, "nowhere": "#/songs/job_" + "0" * 32}
    page.goto(f"{url}/{hashes.get(screen, f'#/{screen}')}")
    expect(page.get_by_role("heading", level=1).first).to_be_visible()
    page.wait_for_timeout(600)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.allowed_errors("404", "Applying inline style")  # which is axe-core's own
def test_axe_finds_no_violation(new_page, stack, song, screen: str, theme: str):
    page = new_page(color_scheme=theme)
    open_screen(page, stack.url, screen, song)
    results = Axe().run(page)
    found = [
        f"{each['id']}: {each['nodes'][0]['html'][:200]} {each['nodes'][0]['failureSummary']}"
        for each in results.response["violations"]
    ]
    assert found == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.allowed_errors("404")
def test_nothing_scrolls_sideways(new_page, stack, song, width: int):
    page = new_page(viewport={"width": width, "height": 800})
    for screen in SCREENS:
        open_screen(page, stack.url, screen, song)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, screen


@pytest.mark.allowed_errors("404")
def test_every_target_of_a_finger_is_large_enough(new_page, stack, song):
    page = new_page(viewport={"width": 320, "height": 800}, has_touch=True)
    for screen in SCREENS:
        open_screen(page, stack.url, screen, song)
        for button in page.get_by_role("button").all():
            box = button.bounding_box()
            assert box is None or min(box["width"], box["height"]) >= 24, button.inner_text()
