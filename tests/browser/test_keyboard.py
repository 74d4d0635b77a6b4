"""A song by keyboard alone: made, heard, chosen, continued, refined, named and read along."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import (
    SINGING_MS,
    position,
    wait_for_position,
    wait_for_takes,
    wait_until_plays,
)

MAX_STEPS = 80


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus, as somebody without a mouse does."""
    expect(target).to_be_visible(timeout=SINGING_MS)
    for _ in range(MAX_STEPS):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"{target} is not reached with {MAX_STEPS} times Tab")


def make_drafts(page: Page) -> None:
    keys = page.keyboard
    tab_to(page, page.get_by_role("button", name="Make your first song"))
    keys.press("Enter")
    artist = page.get_by_role("combobox", name="Artist")
    tab_to(page, artist)
    keys.press("Control+A")
    keys.type("Orlavan")
    expect(page.get_by_role("option", name="orlavane")).to_be_visible()
    keys.press("ArrowDown")
    keys.press("Enter")
    expect(artist).to_have_value("orlavane")
    tab_to(page, page.get_by_label("Length"))
    keys.type("5")
    tab_to(page, page.get_by_label("Takes"))
    keys.type("3")
    tab_to(page, page.get_by_role("button", name="Draft"))
    keys.press("Enter")
    wait_for_takes(page, 3)


def hear_take_two(page: Page) -> None:
    keys = page.keyboard
    keys.press("2")
    wait_until_plays(page)
    expect(page.get_by_role("radio", name="Choose take 2")).to_be_checked()
    keys.press("Space")
    expect(page.get_by_role("button", name="Play take 2")).to_be_visible()
    before = position(page)
    keys.press("ArrowLeft")
    wait_for_position(page, lambda now: now < max(before, 0.01))
    tab_to(page, page.get_by_role("slider", name="Position"))
    keys.press("End")
    wait_for_position(page, lambda now: now > 4)


def name_and_refine(page: Page) -> None:
    keys = page.keyboard
    tab_to(page, page.get_by_role("textbox", name="Title"))
    keys.type("2 songs e l r /")
    expect(page.get_by_role("heading", name="2 songs e l r /")).to_be_visible()
    tab_to(page, page.get_by_role("button", name="Refine"))
    keys.press("Enter")
    full = page.get_by_role("radiogroup", name="Quality").get_by_role("radio", name="Full")
    expect(full).to_be_enabled(timeout=SINGING_MS)
    tab_to(page, page.get_by_role("radio", name="Full"))
    keys.press("ArrowLeft")
    expect(page.get_by_role("radio", name="Middle")).to_be_checked()
    page.keyboard.press("Shift+Tab")
    keys.press("l")
    expect(page.get_by_role("radio", name="Full")).to_be_checked()


def download_and_read_along(page: Page) -> None:
    keys = page.keyboard
    tab_to(page, page.get_by_role("link", name="Download MP3"))
    with page.expect_download() as started:
        keys.press("Enter")
    assert started.value.suggested_filename.endswith(".mp3")
    tab_to(page, page.get_by_role("region", name="Lyrics").get_by_role("button").last)
    keys.press("Enter")
    wait_until_plays(page)
    expect(page.locator("[aria-current=true]")).to_have_count(1)


def go_on_from_the_drafts(page: Page) -> None:
    keys = page.keyboard
    tab_to(page, page.get_by_role("tree", name="Versions").get_by_role("treeitem", selected=True))
    keys.press("ArrowUp")
    keys.press("Enter")
    expect(page.get_by_role("button", name="Play take 3")).to_be_visible()
    keys.press("e")
    expect(page.get_by_text(re.compile(r"Continues take \d by 10 s"))).to_be_visible()


def test_everything_from_the_first_song_to_a_title_works_by_keyboard_alone(page: Page):
    make_drafts(page)
    hear_take_two(page)
    name_and_refine(page)
    download_and_read_along(page)
    go_on_from_the_drafts(page)


def test_the_question_mark_shows_the_keys_and_the_slash_goes_to_the_search(page: Page):
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.keyboard.press("n")
    expect(page.get_by_role("heading", name="New song")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search songs")).to_be_focused()
