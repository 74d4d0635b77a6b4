"""How this program is called from here: what hints must print so that they work as printed."""

import os
import shlex
import shutil
import sys
from pathlib import Path

_NAME = "jukebox"
_MAKE_GOALS = frozenset({"demo", "serve"})


def command(words: str) -> str:
    """`jukebox WORDS` as it can be typed in this folder; `make WORDS` where make called this."""
    if is_called_by_make() and words in _MAKE_GOALS:
        return f"make {words}"
    return f"{_program()} {words}"


def serve_on(port: int) -> str:
    """The command that starts the service on another port."""
    return f"make serve PORT={port}" if is_called_by_make() else command(f"serve --port {port}")


def is_called_by_make() -> bool:
    """Whether a goal of this project's Makefile runs this command."""
    try:
        makefile = Path("Makefile").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return "MAKELEVEL" in os.environ and f"/{_NAME} serve" in makefile


def _program() -> str:
    started = Path(sys.argv[0])
    if started.name != _NAME or not started.is_file():
        return _NAME
    found = shutil.which(_NAME)
    if found is not None and os.path.samefile(found, started):
        return _NAME
    try:
        path = os.path.relpath(started)
    except ValueError:  # another drive
        path = str(started)
    if path.startswith(os.pardir) or os.sep not in path:
        path = str(started.absolute())
    return shlex.quote(path)
