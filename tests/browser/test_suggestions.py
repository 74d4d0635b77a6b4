"""A form that helps whoever has no names at hand, and songs whose settings are used again."""

import pytest
from playwright.sync_api import Page, expect

from jukebox_client import JukeboxClient

SONG = {"model": "mini", "artist": "orlavane", "genre": "tidedub", "duration_seconds": 6}


def open_form(page: Page) -> None:
    page.get_by_role("link", name="New song").first.click()
    expect(page.get_by_role("button", name="Sing it")).to_be_visible()


def test_a_form_that_was_never_used_has_a_voice_and_words_that_fit(page: Page):
    open_form(page)
    for field in ("Artist", "Genre"):
        expect(page.get_by_role("combobox", name=field)).not_to_have_value("")
    expect(page.get_by_text("words fit into 10 seconds")).to_be_visible()
    expect(page.get_by_text("will be sung as unknown")).to_have_count(0)


def test_a_surprise_changes_the_voice_and_keeps_words_of_ones_own(page: Page):
    open_form(page)
    lyrics = page.get_by_role("textbox", name="Lyrics")
    before = lyrics.input_value()
    page.get_by_role("button", name="Surprise me").click()
    expect(lyrics).not_to_have_value(before)
    lyrics.fill("My own words")
    artist = page.get_by_role("combobox", name="Artist")
    artist.fill("")
    artist.press("Escape")
    page.get_by_role("button", name="Surprise me").click()
    expect(artist).not_to_have_value("")
    expect(lyrics).to_have_value("My own words")


def test_a_song_with_a_redone_section_shows_the_words_of_the_whole_song(
    page: Page, client: JukeboxClient
):
    song = client.create_and_wait({**SONG, "levels": ["top"], "lyrics": "Rain on the window"})
    redone = client.create_and_wait(
        {"mode": "redo", "parent_id": song.id, "sample": 0, "start_seconds": 4, "end_seconds": 5}
    )
    page.goto(f"{page.url.partition('#')[0]}#/songs/{redone.id}")
    expect(page.get_by_role("heading", name="Rain on the window", level=1)).to_be_visible()
    expect(
        page.get_by_role("region", name="Lyrics").get_by_text("Rain on the window")
    ).to_be_visible()
    page.get_by_role("button", name="Reuse its settings").click()
    expect(page.get_by_role("textbox", name="Lyrics")).to_have_value("Rain on the window")
    expect(page.get_by_label("Length")).to_have_value("6")


def test_a_song_without_sound_can_be_made_again(page: Page, client: JukeboxClient):
    song = client.create_job({**SONG, "lyrics": "Once more", "duration_seconds": 60})
    client.cancel_job(song.id)
    page.goto(f"{page.url.partition('#')[0]}#/songs/{song.id}")
    expect(page.get_by_text("Canceled")).to_be_visible()
    page.get_by_role("button", name="Reuse its settings").click()
    expect(page.get_by_role("textbox", name="Lyrics")).to_have_value("Once more")


@pytest.mark.allowed_errors("microphone")
def test_a_browser_without_a_microphone_says_so(page: Page):
    open_form(page)
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("alert")).to_contain_text("microphone")


def test_numbers_that_do_not_fit_are_told_in_the_words_of_the_form(page: Page):
    open_form(page)
    page.get_by_label("Length").fill("0.001")
    page.get_by_label("Takes").fill("40")
    page.get_by_role("button", name="Sing it").click()
    expect(page.get_by_text("From 1 to 16 takes.")).to_be_visible()
    expect(page.get_by_text("to 600 seconds.")).to_be_visible()
    page.wait_for_timeout(500)  # the words are not asked about: no song has this length
    page.get_by_label("Length").fill("")
    page.get_by_role("button", name="Draft").click()
    expect(page.get_by_text("Say how long the song is.")).to_be_visible()


def test_a_list_is_found_where_it_was_left_and_counts_right(page: Page, client: JukeboxClient):
    for number in range(30):
        client.cancel_job(client.create_job({**SONG, "title": f"Old {number:02}"}).id)
    count = page.locator(".count")
    total = len(client.list_jobs(limit=100).data)
    page.reload()
    expect(count).to_have_text(f"{total} songs")
    page.get_by_role("button", name="Favorites").click()
    expect(page.get_by_text("No favorites yet")).to_be_visible()
    page.get_by_role("button", name="All", exact=True).click()
    expect(count).to_have_text(f"{total} songs")
    link = page.get_by_role("link", name="Old 05")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(link).to_be_visible()
    link.scroll_into_view_if_needed()
    place = page.evaluate("scrollY")
    assert place > 0
    link.click()
    expect(page.get_by_role("heading", name="Old 05", level=1)).to_be_visible()
    page.go_back()
    expect(link).to_be_visible()
    page.wait_for_function("place => Math.abs(scrollY - place) <= 2", arg=place)
    page.get_by_role("button", name="Delete Old 05").click()
    expect(count).to_have_text(f"{total - 1} songs")
    page.get_by_role("button", name="Undo").click()
    expect(link).to_be_visible()
    expect(count).to_have_text(f"{total} songs")


@pytest.mark.allowed_errors("ERR_INTERNET_DISCONNECTED")
def test_the_alert_goes_when_the_network_is_back_although_the_stream_never_broke(page: Page):
    open_form(page)
    page.context.set_offline(True)
    page.get_by_role("button", name="Sing it").click()
    expect(page.get_by_role("alert")).to_contain_text("Connection lost")
    page.context.set_offline(False)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_title_that_was_given_in_another_tab_is_in_the_field_too(
    page: Page, client: JukeboxClient
):
    song = client.create_job({**SONG, "title": "Before"})
    page.goto(f"{page.url.partition('#')[0]}#/songs/{song.id}")
    title = page.get_by_role("textbox", name="Title")
    expect(title).to_have_value("Before")
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("textbox", name="Title").fill("After")
    expect(title).to_have_value("After")
    other.close()
