"""Texts that look like code are text, and many songs at once stay fluent."""

import sys

import pytest
from playwright.sync_api import Page, expect

from jukebox_client import JukeboxClient
from tests.browser.conftest import SINGING_MS

MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>"
ARABIC = "\u202e\u0645\u0631\u062d\u0628\u0627 \u2066{{7*7}} ${alert(1)}"
MAX_ITEMS = 60
"""Of a list in the page at a time, however many there are: its frames stay short."""


def song(client: JukeboxClient, **values: object) -> str:
    request = {
        **{"model": "mini", "artist": "orlavane", "genre": "tidedub", "duration_seconds": 2},
        **{"levels": ["top"], "lyrics": ""},
        **values,
    }
    return client.create_job(request).id


@pytest.mark.parametrize("text", [MARKUP, ARABIC, "x" * 200])
def test_names_tags_and_lyrics_are_shown_as_text(page: Page, client: JukeboxClient, text: str):
    song(client, artist=text, genre=text, lyrics=f"{text}\n" * 90, title=text, tags=[text[:50]])
    link = page.get_by_role("link").filter(has_text=text[:20]).first
    expect(link).to_be_visible()
    link.click()
    expect(page.get_by_role("heading", name=text[:150])).to_be_visible()
    expect(page.get_by_role("button", name="Play take 1")).to_be_visible(timeout=SINGING_MS)
    expect(page.get_by_role("region", name="Progress")).to_be_hidden(timeout=SINGING_MS)
    page.wait_for_timeout(500)
    assert page.locator("main script, main img[src=x]").count() == 0
    assert "owned" not in page.title()[:5]
    for width in (320, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_twenty_thousand_characters_of_lyrics_stay_fluent(page: Page):
    page.get_by_role("link", name="New song").first.click()
    lyrics = page.get_by_role("textbox", name="Lyrics")
    lyrics.fill("la " * 6666)
    lyrics.press("End")
    lyrics.press_sequentially("!!")
    expect(lyrics).to_have_value("la " * 6666 + "!!")
    page.reload()
    expect(lyrics).to_have_value("la " * 6666 + "!!")


@pytest.mark.allowed_errors("404")
def test_an_odd_address_leads_nowhere_but_breaks_nothing(page: Page, stack):
    for odd in ("#/songs/%E0%A4%A", "#/<script>", "#/songs/../../jobs", "#//", "#/new/x?first=%"):
        page.goto(f"{stack.url}/{odd}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()


def test_two_hundred_waiting_songs_stay_fluent(page: Page, client: JukeboxClient, capsys):
    ids = [song(client, duration_seconds=1, title=f"song {n}") for n in range(200)]
    page.get_by_role("link", name="Queue").click()
    expect(page.get_by_role("heading", name="Queue")).to_be_visible()
    expect(page.get_by_role("list", name="Queue").get_by_role("listitem").first).to_be_visible()
    assert page.get_by_role("listitem").count() < MAX_ITEMS
    longest_ms, most_items = page.evaluate(
        """async () => {
          let longest = 0, most = 0, last = performance.now();
          for (let step = 0; step < 60; step += 1) {
            scrollBy(0, 400);
            await new Promise(requestAnimationFrame);
            const now = performance.now();
            longest = Math.max(longest, now - last);
            most = Math.max(most, document.querySelectorAll("li").length);
            last = now;
          }
          return [longest, most];
        }"""
    )
    with capsys.disabled():
        sys.stdout.write(f"\nlongest frame while scrolling: {longest_ms:.0f} ms\n")
    assert most_items < MAX_ITEMS
    for id_ in ids:
        client.cancel_job(id_)
