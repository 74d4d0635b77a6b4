"""What the settings of API, worker and webhook process have in common."""

import os
import tempfile
from pathlib import Path

from pydantic import ValidationError

_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


class InvalidSettings(Exception):
    """The environment asks for what cannot be; the message names every variable at fault."""


def settings_faults(error: ValidationError) -> str:
    """All faults in one line, each after the name of its variable where it is of one alone."""
    faults = []
    for entry in error.errors():
        sentence = entry["msg"].removeprefix("Value error, ")
        sentence = sentence.replace("Field required", "is not set")
        faults.append(": ".join([*map(str, entry["loc"][:1]), sentence]))
    return "; ".join(faults)


def check_redis_url(url: str) -> str:
    """Raises ValueError for a URL that no Redis client takes."""
    if not url.startswith(_REDIS_SCHEMES):
        raise ValueError(f"must start with {', '.join(_REDIS_SCHEMES)}")
    if "#" in url:  # parsers drop the rest of the URL without a word
        raise ValueError("holds a #, which a URL cannot: write %23 for it, and %3F for a ?")
    return url


def split_words(value: object) -> object:
    """Words of a variable, with commas or blanks between them; anything else as it is."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def default_health_file() -> Path:
    """A file of this user in the folder for temporary files, which also a container has."""
    return Path(tempfile.gettempdir()) / f"jukebox-worker-{os.getuid()}.alive"
