"""Somebody opens the page for the first time and makes a song."""

import re
import sys
import time

from playwright.sync_api import Page, expect

from tests.browser.conftest import wait_until_plays


def test_the_page_shows_songs_and_asks_no_other_host(page: Page):
    expect(page).to_have_title(re.compile("^Songs"))
    assert page.watched.requests
    assert page.watched.foreign == []


def test_the_first_paint_needs_few_files_and_no_songs(page: Page, capsys):
    paint_ms = page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1"
    )
    with capsys.disabled():
        sys.stdout.write(f"\nfirst paint after {paint_ms:.0f} ms\n")
    assert paint_ms > 0
    assert len(page.watched.requests) <= 120
    assert not [url for url in page.watched.requests if "/jobs/" in url]


def test_the_first_song_is_two_buttons_away_and_is_heard_while_it_is_sung(page: Page, capsys):
    expect(page.get_by_text("No songs yet")).to_be_visible()
    page.get_by_role("button", name="Make your first song").click()
    sing = page.get_by_role("button", name="Sing it")
    expect(sing).to_be_enabled()
    expect(page.get_by_role("textbox", name="Lyrics")).not_to_be_empty()
    pressed = time.monotonic()
    sing.click()
    wait_until_plays(page)
    passed_sec = time.monotonic() - pressed
    with capsys.disabled():
        sys.stdout.write(f"\nsound {passed_sec:.2f} s after the button\n")
