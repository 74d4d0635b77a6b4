"""Edits of a song from the page: a section sung again, cuts, pieces of other songs, stereo."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, Route, expect
from safetensors.numpy import load_file

from jukebox_client import Job, JukeboxClient
from tests.browser.conftest import SINGING_MS, position, wait_for_takes, wait_until_plays

SONG = {"model": "mini", "artist": "orlavane", "genre": "tidedub", "duration_seconds": 6}


@pytest.fixture(scope="module")
def songs(stack) -> dict[str, Job]:
    """Two finished drafts, made once for the file."""
    with JukeboxClient(stack.url) as client:
        return {
            title: client.create_and_wait({**SONG, "seed": seed, "levels": ["top"], "title": title})
            for title, seed in (("Rain", 3), ("Snow", 4))
        }


PRESS_R_WITH_THE_BUTTON = """() => new MutationObserver((_, observer) => {
  if (!document.getElementById("redo-button")) return;
  observer.disconnect();
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "r", bubbles: true }));
}).observe(document.body, { childList: true, subtree: true })"""


def open_song(page: Page, job: Job) -> None:
    page.goto(f"{page.url.partition('#')[0]}#/songs/{job.id}")
    expect(page.get_by_role("heading", name=job.title, level=1)).to_be_visible()
    expect(page.get_by_role("region", name="Edit")).to_be_visible()


def finished(client: JukeboxClient, page: Page, parent: Job) -> Job:
    """The version that the page made and went to."""
    page.wait_for_url(lambda url: "/job_" in url and parent.id not in url)
    wait_for_takes(page, 1)
    return client.wait_for_job(page.url.rpartition("/")[2])


def choose_section(page: Page, start: float, end: float) -> None:
    page.get_by_role("button", name="Choose a section").click()
    section = page.get_by_role("group", name="Section")
    section.get_by_label("To").fill(str(end))
    section.get_by_label("From").fill(str(start))


def codes_of(client: JukeboxClient, job: Job, folder: Path) -> np.ndarray:
    return load_file(client.download_codes(job.id, folder / f"{job.id}.safetensors"))["top"][0]


def test_a_section_drawn_on_the_waveform_is_sung_again_and_the_rest_stays(
    page: Page, client: JukeboxClient, songs, tmp_path
):
    open_song(page, songs["Rain"])
    page.get_by_role("button", name="Choose a section").click()
    section = page.get_by_role("group", name="Section")
    before = section.get_by_label("From").input_value()
    # The waveform takes the mouse when it shows the section that was proposed.
    expect(page.locator(".stage .waveform [part~=region]")).to_be_visible()
    wave = page.locator(".stage .waveform").bounding_box()
    assert wave is not None
    page.mouse.move(wave["x"] + 0.75 * wave["width"], wave["y"] + 40)
    page.mouse.down()
    page.mouse.move(wave["x"] + 0.9 * wave["width"], wave["y"] + 40, steps=8)
    page.mouse.up()
    expect(section.get_by_label("From")).not_to_have_value(before)
    page.get_by_role("button", name="Redo section").click()
    made = finished(client, page, songs["Rain"])
    assert made.input.mode == "redo"
    assert made.duration_seconds == songs["Rain"].duration_seconds
    old, new = (codes_of(client, job, tmp_path) for job in (songs["Rain"], made))
    assert old.shape == new.shape
    tokens_per_sec = len(old) / made.duration_seconds
    first = int((made.section.start_seconds - made.section.margin_seconds) * tokens_per_sec)
    last = int(np.ceil((made.section.end_seconds + made.section.margin_seconds) * tokens_per_sec))
    assert np.array_equal(old[:first], new[:first])
    assert np.array_equal(old[last:], new[last:])
    assert not np.array_equal(old[first:last], new[first:last])
    item = page.get_by_role("tree", name="Versions").get_by_role(
        "treeitem", name="Redoes a section"
    )
    expect(item).to_be_visible()


def test_the_key_r_begins_a_section_and_then_redoes_it(page: Page, client: JukeboxClient, songs):
    open_song(page, songs["Rain"])
    page.keyboard.press("r")
    expect(page.get_by_role("group", name="Section")).to_be_visible()
    page.keyboard.press("r")
    assert finished(client, page, songs["Rain"]).input.mode == "redo"


def test_a_key_works_from_the_moment_in_which_its_button_appears(page: Page, songs):
    # Known from the list, the song is drawn whole at once.
    expect(page.get_by_role("link", name="Snow")).to_be_visible()
    page.evaluate(PRESS_R_WITH_THE_BUTTON)
    open_song(page, songs["Snow"])
    expect(page.get_by_role("group", name="Section")).to_be_visible()


def test_a_section_is_removed_kept_or_repeated(page: Page, client: JukeboxClient, songs):
    for button, seconds in (
        ("Remove the section", 4.0),
        ("Keep only the section", 2.0),
        ("Repeat the section", 8.0),
    ):
        open_song(page, songs["Rain"])
        if page.get_by_role("group", name="Section").count() == 0:
            choose_section(page, 2, 4)
        page.get_by_role("button", name=button).click()
        made = finished(client, page, songs["Rain"])
        assert made.duration_seconds == pytest.approx(seconds, abs=0.2)


def test_a_song_is_cut_where_it_is_heard(page: Page, client: JukeboxClient, songs):
    open_song(page, songs["Snow"])
    page.get_by_role("button", name="Play take 1").click()
    wait_until_plays(page)
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("slider", name="Position").fill("3")
    at = position(page)
    page.get_by_role("button", name="Cut here").click()
    assert finished(client, page, songs["Snow"]).duration_seconds == pytest.approx(at, abs=0.2)


def test_an_old_answer_takes_nothing_back_that_events_have_told(
    page: Page, client: JukeboxClient, songs
):
    waiting: list[Route] = []
    open_song(page, songs["Rain"])
    page.route(re.compile("/jobs/job_[0-9a-f]{32}$"), lambda route: waiting.append(route))
    choose_section(page, 1, 2)
    with page.expect_response(lambda answer: answer.request.method == "POST") as posted:
        page.get_by_role("button", name="Keep only the section").click()
    as_it_began = {**posted.value.json(), "status": "queued", "outputs": []}
    # The page has asked for the song, and hears of its end by events before it is answered.
    finished(client, page, songs["Rain"])
    assert waiting
    for route in waiting:
        with page.expect_response(route.request.url):
            route.fulfill(json=as_it_began)
    page.evaluate("() => new Promise((done) => setTimeout(() => requestAnimationFrame(done), 0))")
    assert page.get_by_role("button", name="Play take 1").is_visible()


def test_a_piece_of_another_song_is_inserted_and_both_parents_are_named(
    page: Page, client: JukeboxClient, songs
):
    open_song(page, songs["Rain"])
    page.get_by_role("button", name="Insert another song").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Search songs").fill("Sno")
    dialog.get_by_role("button", name="Snow").click()
    expect(dialog.get_by_label("Piece to")).to_have_value("6")
    dialog.get_by_label("Piece to").fill("3")
    dialog.get_by_label("Piece from").fill("1")
    dialog.get_by_label("Insert at").fill("2")
    dialog.get_by_role("button", name="Insert", exact=True).click()
    made = finished(client, page, songs["Rain"])
    assert made.duration_seconds == pytest.approx(8.0, abs=0.3)
    assert made.parent_ids == [songs["Rain"].id, songs["Snow"].id]
    parents = page.get_by_role("region", name="Made from")
    expect(parents.get_by_role("link", name="Rain").first).to_be_visible()
    expect(parents.get_by_role("link", name="Snow")).to_be_visible()
    page.get_by_role("button", name="Play take 1").click()
    wait_until_plays(page)


def test_a_draft_becomes_stereo(page: Page, client: JukeboxClient, songs, tmp_path):
    open_song(page, songs["Snow"])
    page.get_by_role("button", name="Make it stereo").click()
    page.wait_for_url(lambda url: songs["Snow"].id not in url)
    quality = page.get_by_role("radiogroup", name="Quality")
    expect(quality.get_by_role("radio", name="Full")).to_be_enabled(timeout=SINGING_MS)
    made = client.wait_for_job(page.url.rpartition("/")[2])
    sound, _ = soundfile.read(client.download_audio(made, tmp_path / "stereo.wav"))
    assert sound.shape[1] == 2
    assert not np.array_equal(sound[:, 0], sound[:, 1])


def test_an_edit_that_the_service_would_refuse_is_told(page: Page, songs):
    open_song(page, songs["Rain"])
    choose_section(page, 2, 4)
    page.get_by_role("group", name="Section").get_by_label("From").fill("4")
    page.get_by_role("button", name="Redo section").click()
    expect(page.get_by_role("region", name="Edit").get_by_role("alert")).to_be_visible()


def test_a_song_opens_without_its_audio(page: Page, songs):
    """Its waveform comes from peaks, however long the song is."""
    open_song(page, songs["Rain"])
    page.wait_for_function("() => document.querySelector('.stage .waveform')?.children.length > 0")
    asked = [url for url in page.watched.requests if songs["Rain"].id in url]
    assert any("/peaks" in url for url in asked)
    assert [url for url in asked if "/audio" in url or "/live" in url] == []


def test_songs_are_filtered_by_artist_and_genre(page: Page, songs):
    page.get_by_text("More filters").click()
    page.get_by_role("searchbox", name="Genre").fill("fernjig")
    page.get_by_role("searchbox", name="Genre").press("Enter")
    expect(page.get_by_role("heading", name="No song fits")).to_be_visible()
    page.get_by_role("searchbox", name="Genre").fill("tidedub")
    page.get_by_role("searchbox", name="Artist").fill("Orlavane")
    page.get_by_role("searchbox", name="Artist").press("Enter")
    expect(page.get_by_role("link", name="Snow").first).to_be_visible()
