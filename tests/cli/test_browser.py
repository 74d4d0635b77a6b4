"""A browser is opened only where somebody sees it."""

import sys
import webbrowser

import pytest

from cli.terminal.browser import has_screen, open_page


@pytest.mark.parametrize(
    ("environment", "platform", "is_terminal", "expected"),
    [
        ({"DISPLAY": ":0"}, "linux", True, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True, True),
        ({}, "linux", True, False),
        ({}, "darwin", True, True),
        ({"DISPLAY": ":0"}, "linux", False, False),
        ({"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "a 1 b 2"}, "linux", True, False),
    ],
)
def test_a_screen_is_a_display_with_somebody_before_it(
    monkeypatch, environment, platform, is_terminal, expected
):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)
    assert has_screen(environment, platform) is expected


def test_a_machine_without_a_browser_is_no_error(monkeypatch):
    def none(_url):
        raise webbrowser.Error

    monkeypatch.setattr(webbrowser, "open", none)
    assert open_page("http://127.0.0.1:8000") is False
