"""Opening a page in the browser of the person at this machine, if somebody sits there."""

import os
import sys
import webbrowser
from collections.abc import Mapping


def has_screen(environment: Mapping[str, str] | None = None, platform: str = sys.platform) -> bool:
    """Whether a browser that is opened here is seen by whoever typed the command.

    Not in a pipe or a container, and not over SSH, whose user sits at another machine.
    """
    environment = os.environ if environment is None else environment
    if not sys.stdout.isatty() or "SSH_CONNECTION" in environment:
        return False
    if platform in ("darwin", "win32"):
        return True
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def open_page(url: str) -> bool:
    """Open a page; False if there is no browser."""
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
