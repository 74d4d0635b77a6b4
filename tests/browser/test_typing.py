"""What is typed into the page is kept, or its mistake is told before anything is sent."""

import pytest
from playwright.sync_api import Page, Route, expect

from cli.local.stack import Stack
from jukebox_client import JukeboxClient

LONG = "Hello from a long first line of lyrics that needs more room than there is"


def song(client: JukeboxClient, **values: object) -> str:
    """A finished draft of two takes."""
    job = client.create_and_wait(
        model="mini", artist="voltahn", genre="fernjig", duration_seconds=2, levels=["top"],
        num_samples=2, lyrics=LONG, **values,
    )  # fmt: skip
    return job.id


@pytest.fixture(scope="module")
def song_id(stack: Stack) -> str:
    with JukeboxClient(stack.url) as client:
        return song(client)


def open_song(page: Page, stack: Stack, song_id: str) -> None:
    page.goto(f"{stack.url}/#/songs/{song_id}")
    expect(page.get_by_role("radio", name="Choose take 1")).to_be_visible()


def refuse_names(route: Route) -> None:
    """As when the store is away."""
    if route.request.method != "PATCH":
        route.continue_()
        return
    problem = {"status": 503, "code": "store_unavailable", "detail": "The store is away."}
    route.fulfill(status=503, content_type="application/problem+json", json=problem)


@pytest.mark.allowed_errors("503")
def test_a_title_that_was_not_saved_survives_a_reload_and_is_saved_later(
    page: Page, stack: Stack, client: JukeboxClient, song_id: str
):
    page.route(f"**/jobs/{song_id}", refuse_names)
    open_song(page, stack, song_id)
    title = page.get_by_role("textbox", name="Title")
    title.fill("Typed in the dark")
    expect(page.get_by_text("Not saved: The store is away.")).to_be_visible()
    page.reload()
    expect(title).to_have_value("Typed in the dark")
    page.unroute(f"**/jobs/{song_id}")
    expect(page.get_by_role("heading", name="Typed in the dark")).to_be_visible()
    assert client.get_job(song_id).title == "Typed in the dark"


@pytest.mark.allowed_errors("INTERNET_DISCONNECTED")
def test_a_title_typed_without_a_connection_is_saved_from_another_screen(
    page: Page, stack: Stack, song_id: str
):
    open_song(page, stack, song_id)
    title = page.get_by_role("textbox", name="Title")
    expect(title).to_be_editable()
    page.context.set_offline(True)
    title.fill("Offline")
    expect(page.get_by_role("alert").filter(has_text="Connection lost")).to_be_visible()
    page.get_by_role("link", name="Songs").click()
    page.context.set_offline(False)
    expect(page.get_by_role("link", name="Offline")).to_be_visible()


@pytest.mark.allowed_errors("422")
def test_a_tag_that_is_refused_takes_no_title_with_it(
    page: Page, stack: Stack, client: JukeboxClient, song_id: str
):
    open_song(page, stack, song_id)
    page.get_by_role("textbox", name="Tags").fill("x" * 60)
    page.get_by_role("textbox", name="Title").fill("Kept")
    expect(page.get_by_role("heading", name="Kept")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("50 characters")
    assert client.get_job(song_id).title == "Kept"


def test_the_section_its_words_and_the_take_survive_a_reload(
    page: Page, stack: Stack, song_id: str
):
    open_song(page, stack, song_id)
    page.get_by_role("radio", name="Choose take 2").check()
    page.get_by_role("button", name="Choose a section").click()
    page.get_by_label("From", exact=True).fill("0.5")
    page.get_by_text("Other words there").click()
    page.get_by_label("Lyrics of the section").fill("other words")
    page.reload()
    expect(page.get_by_label("From", exact=True)).to_have_value("0.5")
    expect(page.get_by_label("Lyrics of the section")).to_have_value("other words")
    expect(page.get_by_role("radio", name="Choose take 2")).to_be_checked()


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [("1.5", "1", "after the beginning"), ("-1", "1", "From 0 to 2"), ("1", "9", "From 0 to 2")],
)
def test_a_section_that_is_none_is_told_and_not_sent(
    page: Page, stack: Stack, song_id: str, start: str, end: str, words: str
):
    open_song(page, stack, song_id)
    page.get_by_role("button", name="Choose a section").click()
    page.get_by_label("From", exact=True).fill(start)
    page.get_by_label("To", exact=True).fill(end)
    expect(page.get_by_role("alert")).to_contain_text(words)
    for name in ("Redo section", "Keep only the section", "Repeat the section"):
        # A request would be refused, and the refusal be an error in the console.
        page.get_by_role("button", name=name).click()
        expect(page.get_by_label("To", exact=True)).to_be_focused()


def test_a_section_that_was_typed_before_the_waveform_came_stays_as_it_was_typed(
    page: Page, stack: Stack, song_id: str
):
    waiting: list[Route] = []
    page.route("**/peaks?*", lambda route: waiting.append(route))
    open_song(page, stack, song_id)
    page.get_by_role("button", name="Choose a section").click()
    page.get_by_label("From", exact=True).fill("-1")
    for route in waiting:
        route.continue_()
    expect(page.locator(".waveform [part~=shown]")).to_be_attached()
    expect(page.get_by_label("From", exact=True)).to_have_value("-1")


def test_a_number_that_was_deleted_is_asked_for(page: Page, stack: Stack, song_id: str):
    open_song(page, stack, song_id)
    page.get_by_role("button", name="Choose a section").click()
    page.get_by_label("From", exact=True).fill("")
    page.get_by_role("button", name="Redo section").click()
    expect(page.get_by_label("From", exact=True)).to_be_focused()
    expect(page.get_by_role("alert")).to_have_text("Enter a number.")


def test_the_seconds_to_add_are_a_number_that_a_song_can_have(
    page: Page, stack: Stack, song_id: str
):
    open_song(page, stack, song_id)
    for text, name in (("1", "Continue by 1 second"), ("2.5", "Continue by 2.5 seconds")):
        page.get_by_label("Seconds to add").fill(text)
        expect(page.get_by_role("button", name=name, exact=True)).to_be_enabled()
    for text in ("0", "-3", "999"):
        page.get_by_label("Seconds to add").fill(text)
        expect(page.get_by_role("alert")).to_contain_text("up to 600 seconds")
        page.get_by_role("button", name="Continue by").click()
        expect(page.get_by_label("Seconds to add")).to_be_focused()


def test_the_key_of_the_search_works_on_every_screen(page: Page, stack: Stack, song_id: str):
    for place in ("songs", f"songs/{song_id}", "new", "queue", "settings"):
        page.goto(f"{stack.url}/#/{place}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.get_by_role("heading", level=1).click()
        page.keyboard.press("/")
        expect(page.get_by_role("searchbox", name="Search songs")).to_be_focused()


def test_a_mistake_under_advanced_is_shown_and_has_the_focus(page: Page):
    page.get_by_role("link", name="New song").first.click()
    page.get_by_text("Advanced").click()
    page.get_by_label("Seed", exact=True).fill("-5")
    page.get_by_text("Advanced").click()
    page.get_by_role("button", name="Sing it").click()
    expect(page.get_by_label("Seed", exact=True)).to_be_focused()
    expect(page.get_by_role("alert")).to_contain_text("A whole number from 0")


def test_only_words_that_are_sung_are_marked(page: Page):
    page.get_by_role("link", name="New song").first.click()
    words = "this is a long line of words that does not fit at all"
    page.get_by_role("textbox", name="Lyrics").fill(f"[Verse]\n🎵 {words}")
    page.get_by_label("Length").fill("1")
    expect(page.get_by_text("of 13 words fit into 1 second; they are marked")).to_be_visible()
    [marked] = page.locator(".lyrics-back mark").all_inner_texts()
    assert marked
    assert words.startswith(marked)


def test_long_names_of_versions_lie_below_each_other(
    page: Page, stack: Stack, client: JukeboxClient
):
    parent = song(client)
    for _ in range(8):
        client.create_and_wait(mode="splice", parts=[{"source": parent, "end_seconds": 1}])
    open_song(page, stack, parent)
    items = page.get_by_role("tree", name="Versions").get_by_role("treeitem")
    expect(items).to_have_count(9)
    places = [
        (item.locator(".version-name").bounding_box(), item.bounding_box()) for item in items.all()
    ]
    assert all(name["height"] <= row["height"] for name, row in places)  # type: ignore[index]


def test_a_button_that_is_pressed_twice_makes_one_version(
    page: Page, stack: Stack, client: JukeboxClient
):
    parent = song(client)
    open_song(page, stack, parent)
    page.get_by_label("Seconds to add").fill("1")
    page.get_by_role("button", name="Continue by 1 second").dblclick()
    items = page.get_by_role("tree", name="Versions").get_by_role("treeitem")
    expect(items.filter(has_text="Continues take 1")).to_be_visible()
    assert len(list(client.children(parent))) == 1
