"""Makes the pictures of the tour: every screen of the studio, as a browser shows it.

`python docs/studio_pictures.py` (a minute or two; needs Chromium and the packages of `.[dev]`)
starts a service of its own, makes songs in it, and writes `docs/pictures/studio-*.jpg`.
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from cli.local.signals import StopSignals
from cli.local.stack import StackSettings, free_port, running_stack
from jukebox_client import JukeboxClient

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOLDER = Path(__file__).resolve().parent / "pictures"
LYRICS = "\n".join(
    [
        "The rain is on the window",
        "and the band is in the hall",
        "sing another summer",
        "or do not sing at all",
    ]
)
SONGS = (
    {"title": "Coin row", "artist": "bromgard", "genre": "fernjig", "levels": ["top"]},
    {"title": "Another summer", "artist": "orlavane", "genre": "sawtoths", "tags": ["demo"]},
    {"title": "Window", "artist": "voltahn", "genre": "fernjig", "favorite": True},
    {"title": "Rain", "artist": "orlavane", "genre": "tidedub", "num_samples": 3, "tags": ["slow"]},
)
SIZES: Mapping[str, tuple[int, int]] = {"": (1280, 800), "-phone": (390, 780)}
QUALITY = 82


def main() -> None:
    """Make every picture anew."""
    with tempfile.TemporaryDirectory() as folder:
        settings = StackSettings(
            data_dir=Path(folder) / "data",
            models_dir=Path(folder) / "models",
            port=free_port(),
            isolated=True,
        )
        with running_stack(settings, StopSignals()) as stack, sync_playwright() as playwright:
            _make_songs(stack.url)
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            _take_pictures(browser, stack.url)
            browser.close()


def _make_songs(url: str) -> None:
    with JukeboxClient(url) as client:
        for song in SONGS:
            request = {"model": "mini", "lyrics": LYRICS, "duration_seconds": 10, "seed": 7, **song}
            client.wait_for_job(client.create_job(request).id)


def _take_pictures(browser: "Browser", url: str) -> None:
    screens: Mapping[str, Callable[[Page], None]] = {
        "songs": lambda page: None,
        "new": _fill_form,
        "song": _play_song,
    }
    for theme in ("light", "dark"):
        for suffix, (width, height) in SIZES.items():
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=theme
            )
            for screen, act in screens.items():
                page = context.new_page()
                page.goto(url)
                page.get_by_role("link", name="Rain").first.wait_for()
                act(page)
                page.wait_for_timeout(1500)
                path = FOLDER / f"studio-{screen}{suffix}-{theme}.jpg"
                page.screenshot(path=path, type="jpeg", quality=QUALITY)
                page.close()
            context.close()


def _fill_form(page: "Page") -> None:
    page.get_by_role("link", name="New song").first.click()
    page.get_by_role("combobox", name="Artist").fill("orlavane")
    page.get_by_role("combobox", name="Genre").fill("tidedub")
    page.get_by_role("textbox", name="Lyrics").fill(f"{LYRICS}\n\n{LYRICS}")


def _play_song(page: "Page") -> None:
    page.get_by_role("link", name="Rain", exact=False).first.click()
    page.get_by_role("button", name="Play take 2").click()
    page.wait_for_timeout(2500)
    page.get_by_role("button", name="Pause").click()
    page.evaluate("scrollTo(0, 0)")


if __name__ == "__main__":
    main()
