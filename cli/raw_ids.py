"""Artists and genres given by number on the command line: `7`, `v2=7,v3=12`, `v2=3+5`."""

import re
from typing import Annotated, cast

import typer

from cli.errors import UsageError
from jukebox_core.config import LabelVersion

_NUMBER = re.compile(r"[0-9]{1,18}")

ArtistIdOption = Annotated[
    str | None,
    typer.Option(
        "--artist-id",
        help="Artist id, instead of a name: 7, or v2=7,v3=12 if the levels of the model use "
        "different label versions.",
    ),
]
GenreIdsOption = Annotated[
    str | None,
    typer.Option("--genre-ids", help="Genre ids, joined by +: 3+5, or v2=3+5,v3=40."),
]


def artist_id(text: str | None) -> int | dict[LabelVersion, int] | None:
    """What `--artist-id` means: one number, or one for each label version that is named.

    Raises:
        UsageError: it is written in another way.
    """
    numbers = _ids(text, "--artist-id")
    if isinstance(numbers, dict):
        return {version: _one(ids, text) for version, ids in numbers.items()}
    return None if numbers is None else _one(numbers, text)


def genre_ids(text: str | None) -> list[int] | dict[LabelVersion, list[int]] | None:
    """What `--genre-ids` means: some numbers, or some for each label version that is named.

    Raises:
        UsageError: it is written in another way.
    """
    return _ids(text, "--genre-ids")


def _ids(text: str | None, option: str) -> list[int] | dict[LabelVersion, list[int]] | None:
    if text is None:
        return None
    if "=" not in text:
        return _numbers(text, option)
    found: dict[LabelVersion, list[int]] = {}
    for part in text.split(","):
        version, _, numbers = part.partition("=")
        if version not in ("v2", "v3") or version in found:
            raise UsageError(f"{option} {text!r} does not have the form v2=7,v3=12")
        found[cast(LabelVersion, version)] = _numbers(numbers, option)
    return found


def _one(ids: list[int], text: str | None) -> int:
    if len(ids) != 1:
        raise UsageError(f"--artist-id {text!r} names several artists; a song has one")
    return ids[0]


def _numbers(text: str, option: str) -> list[int]:
    words = text.split("+")
    if not all(_NUMBER.fullmatch(word) for word in words):
        raise UsageError(f"{option} {text!r} is not a number, or numbers joined by +")
    return [int(word) for word in words]
