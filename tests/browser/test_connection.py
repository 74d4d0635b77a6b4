"""A service that goes away and comes back: nothing that was typed is lost."""

import time

import pytest
from playwright.sync_api import Page, expect

from cli.local.stack import Stack
from tests.browser.conftest import SINGING_MS

LYRICS = "half a line that"


def the_api(stack: Stack):
    return next(child for child in stack._children if child.name == "api")


def open_form(page: Page) -> None:
    page.get_by_role("link", name="New song").first.click()
    page.get_by_role("textbox", name="Lyrics").fill(LYRICS)


def test_a_reload_in_the_middle_of_typing_loses_nothing(page: Page):
    open_form(page)
    page.get_by_role("combobox", name="Artist").fill("Nobody")
    page.get_by_label("Length").fill("7")
    page.reload()
    expect(page.get_by_role("textbox", name="Lyrics")).to_have_value(LYRICS)
    expect(page.get_by_role("combobox", name="Artist")).to_have_value("Nobody")
    expect(page.get_by_label("Length")).to_have_value("7")


@pytest.mark.allowed_errors("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED", "Failed to load")
def test_a_lost_connection_is_told_and_comes_back_by_itself(page: Page, stack: Stack):
    open_form(page)
    api = the_api(stack)
    api.ask_to_stop()
    api.wait_or_kill(time.monotonic() + 60)
    alert = page.get_by_role("alert").filter(has_text="Connection lost")
    expect(alert).to_be_visible()
    page.get_by_role("textbox", name="Lyrics").press_sequentially(" goes on")
    api.restart()
    expect(alert).to_be_hidden(timeout=SINGING_MS)
    expect(page.get_by_role("textbox", name="Lyrics")).to_have_value(f"{LYRICS} goes on")


def test_two_tabs_keep_their_own_drafts(page: Page, stack: Stack):
    open_form(page)
    other = page.context.new_page()
    other.goto(f"{stack.url}/#/new")
    other.get_by_role("textbox", name="Lyrics").fill("other words")
    expect(page.get_by_role("textbox", name="Lyrics")).to_have_value(LYRICS)
    page.reload()
    expect(page.get_by_role("textbox", name="Lyrics")).to_have_value(LYRICS)
