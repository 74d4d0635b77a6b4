"""From a name with a mistake in it to drafts, versions, finer levels and a file with a title."""

import re

import mutagen
import pytest
from playwright.sync_api import Browser, Page, expect

from cli.local.stack import Stack
from tests.api.sounds import encoded, tone
from tests.browser.conftest import (
    CHROMIUM,
    SINGING_MS,
    draft,
    position,
    wait_for_position,
    wait_for_takes,
    wait_until_plays,
)

LYRICS = "put a coin in\nthe jukebox pick\na row ten more\nand then we go"


def test_a_mistyped_artist_is_offered_by_name_or_sung_as_unknown(page: Page):
    page.get_by_role("link", name="New song").first.click()
    artist = page.get_by_role("combobox", name="Artist")
    artist.fill("Orlavan")
    expect(page.get_by_role("option", name="orlavane")).to_be_visible()
    artist.press("Tab")
    expect(page.get_by_text("will be sung as unknown")).to_be_visible()
    artist.fill("Orlavan")
    page.get_by_role("option", name="orlavane").click()
    expect(artist).to_have_value("orlavane")
    expect(page.get_by_text("will be sung as unknown")).to_be_hidden()


@pytest.mark.allowed_errors("422")
def test_what_the_service_refuses_is_told_at_the_field(page: Page):
    page.get_by_role("link", name="New song").first.click()
    page.get_by_label("Length").fill("100000")
    page.get_by_role("button", name="Sing it").click()
    length = page.get_by_label("Length")
    expect(length).to_have_attribute("aria-invalid", "true")
    described = length.get_attribute("aria-describedby")
    assert described is not None
    expect(page.locator(f"[id='{described.split()[0]}']")).to_contain_text("600")


def test_words_beyond_the_length_are_not_marked(page: Page):
    page.get_by_role("link", name="New song").first.click()
    page.get_by_role("textbox", name="Lyrics").fill("la " * 2000)
    page.get_by_label("Length").fill("5")
    expect(page.get_by_text(re.compile(r"^\d+ of 2000 words fit into 5 seconds"))).to_be_visible()


def test_drafts_show_their_progress_and_then_a_button_for_each_take(page: Page):
    page.get_by_role("link", name="New song").first.click()
    page.get_by_label("Length").fill("5")
    page.get_by_label("Takes").fill("3")
    page.get_by_role("button", name="Draft").click()
    expect(page.get_by_role("progressbar", name="Drafting")).to_be_visible()
    wait_for_takes(page, 3)


def test_take_and_level_change_where_the_song_is(page: Page):
    draft(page, seconds=8)
    page.get_by_role("button", name="Play take 2").click()
    expect(page.get_by_role("button", name="Pause")).to_have_count(1)
    wait_until_plays(page)
    page.wait_for_function("() => document.querySelector('audio').currentTime > 1")
    before = position(page)
    assert before > 0
    page.get_by_role("button", name="Play take 3").click()
    wait_until_plays(page)
    wait_for_position(page, lambda now: now >= before - 0.3)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Play take 3")).to_be_visible()
    held = position(page)
    page.get_by_role("radio", name="Choose take 1").check()
    page.wait_for_timeout(300)
    assert position(page) == pytest.approx(held, abs=0.3)


def test_a_chosen_take_goes_on_and_the_tree_says_so(page: Page):
    draft(page)
    page.get_by_role("radio", name="Choose take 2").check()
    page.get_by_role("button", name="Continue by 10 seconds").click()
    tree = page.get_by_role("tree", name="Versions")
    item = tree.get_by_role("treeitem", name="take 2")
    expect(item).to_be_visible()
    expect(item).to_have_attribute("aria-level", "2")
    expect(page.get_by_role("button", name="Play take 1")).to_be_visible(timeout=SINGING_MS)


def test_refining_enables_one_quality_after_the_other(page: Page):
    draft(page, takes=1)
    quality = page.get_by_role("radiogroup", name="Quality")
    expect(quality.get_by_role("radio", name="Draft")).to_be_enabled()
    expect(quality.get_by_role("radio", name="Middle")).to_be_disabled()
    page.get_by_role("button", name="Refine").click()
    for name in ("Draft", "Middle", "Full"):
        expect(quality.get_by_role("radio", name=name)).to_be_enabled(timeout=SINGING_MS)
    quality.get_by_role("radio", name="Middle").check()
    expect(quality.get_by_role("radio", name="Middle")).to_be_checked()


def test_a_title_survives_a_reload_at_once_and_names_the_file(page: Page, tmp_path):
    draft(page, takes=1)
    page.get_by_role("textbox", name="Title").fill("Rain")
    page.reload()
    expect(page.get_by_role("heading", name="Rain", exact=True)).to_be_visible()
    with page.expect_download() as started:
        page.get_by_role("link", name="Download MP3").click()
    download = started.value
    assert download.suggested_filename == "Rain.mp3"
    path = tmp_path / "Rain.mp3"
    download.save_as(path)
    assert mutagen.File(path, easy=True)["title"] == ["Rain"]


def test_a_click_on_a_line_goes_there_and_the_line_is_current(page: Page):
    draft(page, seconds=10, takes=1, lyrics=LYRICS)
    lines = page.get_by_role("region", name="Lyrics").get_by_role("button")
    expect(lines).to_have_count(4)
    lines.nth(2).click()
    wait_until_plays(page)
    current = page.locator("[aria-current=true]")
    expect(current).to_have_count(1)
    # The song goes on meanwhile.
    expect(current).to_contain_text(re.compile("a row ten more|and then we go"))
    wait_for_position(page, lambda now: now > 1)


def test_a_song_starts_from_a_part_of_an_uploaded_sound(page: Page, tmp_path):
    path = tmp_path / "hum.wav"
    path.write_bytes(encoded(tone(4.0)))
    page.get_by_role("link", name="New song").first.click()
    page.get_by_label("Sound file").set_input_files(path)
    expect(page.get_by_label("To", exact=True)).to_have_value("4")
    page.get_by_label("To", exact=True).fill("2")
    page.get_by_label("Length").fill("4")
    page.get_by_role("button", name="Draft").click()
    expect(page.get_by_role("button", name="Play take 1")).to_be_visible(timeout=SINGING_MS)
    item = page.get_by_role("tree", name="Versions").get_by_role("treeitem")
    expect(item).to_contain_text("Begins with a recording")


def test_a_song_starts_from_what_the_microphone_hears(browser: Browser, stack: Stack):
    """Chromium's own false microphone, which beeps."""
    arguments = [
        "--no-sandbox",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
    ]
    hearing = browser.browser_type.launch(executable_path=CHROMIUM, args=arguments)
    try:
        page = hearing.new_page()
        page.goto(f"{stack.url}/#/new")
        page.get_by_role("button", name="Record").click()
        stop = page.get_by_role("button", name="Stop recording")
        expect(stop).to_be_visible()
        page.wait_for_timeout(2500)
        stop.click()
        sound = page.get_by_role("region", name="Start from a sound")
        expect(sound.get_by_role("button", name="Listen")).to_be_visible(timeout=SINGING_MS)
        assert float(sound.get_by_label("To").input_value()) > 1
        page.get_by_label("Length").fill("6")
        page.get_by_role("button", name="Draft").click()
        wait_for_takes(page, 1)
        expect(page.get_by_text("From a recording")).to_be_visible()
    finally:
        hearing.close()
