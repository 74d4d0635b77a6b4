"""A service with API keys: the key is typed once, and appears nowhere."""

import pytest
from playwright.sync_api import Page, expect

from jobs.api_keys import ApiKeyFile, Scope
from tests.browser.conftest import draft, wait_until_plays


def sign_in(page: Page, url: str, key: str) -> None:
    page.goto(url)
    form = page.get_by_role("form", name="Sign in with a key")
    expect(form).to_be_visible()
    form.get_by_label("API key").fill(key)
    form.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Songs", exact=True)).to_be_visible()


@pytest.fixture(scope="module")
def keys(stack) -> dict[str, str]:
    file = ApiKeyFile(stack.settings.data_dir)
    return {
        name: file.create(name, scopes)[1]
        for name, scopes in {
            "ann": [Scope.READ, Scope.SUBMIT],
            "bob": [Scope.READ, Scope.SUBMIT],
            "eve": [Scope.READ],
        }.items()
    }


@pytest.mark.allowed_errors("401")
def test_a_wrong_key_is_told_at_the_field(new_page, stack, keys):
    page = new_page()
    page.goto(stack.url)
    page.get_by_label("API key").fill("jbx_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("No such API key")).to_be_visible()


def test_after_signing_in_songs_are_made_and_heard_and_the_key_is_nowhere(new_page, stack, keys):
    page = new_page()
    sign_in(page, stack.url, keys["ann"])
    draft(page, takes=1)
    page.get_by_role("button", name="Play take 1").click()
    wait_until_plays(page)
    key = keys["ann"]
    assert not any(key in url for url in page.watched.requests)
    assert key not in page.evaluate(
        "JSON.stringify([location.href, {...localStorage}, {...sessionStorage}])"
    )
    assert key not in page.content()
    for log in stack.logs_dir.iterdir():
        assert key not in log.read_text(encoding="utf-8", errors="replace"), log.name


def test_two_callers_see_their_own_songs_and_drafts(new_page, stack, keys):
    ann, bob = new_page(), new_page()
    sign_in(ann, stack.url, keys["ann"])
    sign_in(bob, stack.url, keys["bob"])
    expect(bob.get_by_text("No songs yet")).to_be_visible()
    expect(ann.get_by_text("No songs yet")).to_be_hidden()
    bob.get_by_role("button", name="Make your first song").click()
    bob.get_by_role("textbox", name="Lyrics").fill("words of bob")
    ann.get_by_role("link", name="New song").first.click()
    expect(ann.get_by_role("textbox", name="Lyrics")).not_to_have_value("words of bob")


def test_a_key_that_may_only_read_is_offered_nothing_else(new_page, stack, keys):
    page = new_page()
    sign_in(page, stack.url, keys["eve"])
    expect(page.get_by_text("Your key may listen, but not make songs.")).to_be_visible()
    expect(page.get_by_role("button", name="Make your first song")).to_be_hidden()


def test_signing_out_asks_for_a_key_again(new_page, stack, keys):
    page = new_page()
    sign_in(page, stack.url, keys["ann"])
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("form", name="Sign in with a key")).to_be_visible()
    page.reload()
    expect(page.get_by_role("form", name="Sign in with a key")).to_be_visible()


def test_the_next_caller_in_the_same_tab_sees_nothing_of_the_one_before(new_page, stack, keys):
    page = new_page()
    sign_in(page, stack.url, keys["ann"])
    draft(page, takes=1, lyrics="only ann knows")
    page.get_by_role("button", name="Play take 1").click()
    wait_until_plays(page)
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("button", name="Sign out").click()
    form = page.get_by_role("form", name="Sign in with a key")
    form.get_by_label("API key").fill(keys["eve"])
    form.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()
    expect(page.get_by_role("region", name="Player")).to_be_hidden()
    page.get_by_role("link", name="Songs", exact=True).click()
    expect(page.get_by_text("No songs yet")).to_be_visible()
    expect(page.get_by_text("only ann knows")).to_have_count(0)
