"""Lyrics as characters, and the few hundred of them that one window of music hears.

The rules are those of `text_processor.py` and `data/labels.py` of the original.
"""

import string
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from unidecode import unidecode

from jukebox_core.config import LabelVersion
from jukebox_core.errors import LabelError

PADDING_ID = 0
"""Stands before lyrics that are shorter than the window; no character has this id."""

PADDING_INDEX = -1
"""The index, in the lyrics, of a padding character."""

_LETTERS_AND_DIGITS = string.ascii_uppercase + string.ascii_lowercase + string.digits
_CHARACTERS: dict[LabelVersion, str] = {
    # v3 (1b_lyrics) was trained without "+"; everything after it has one id less there.
    "v2": _LETTERS_AND_DIGITS + ".,:;!?-+" + "'\"()[] \t\n",
    "v3": _LETTERS_AND_DIGITS + ".,:;!?-" + "'\"()[] \t\n",
}


class LyricAlphabet:
    """The characters that priors of one label version can read; ids count from 1."""

    def __init__(self, version: LabelVersion) -> None:
        self.version = version
        self._characters = _CHARACTERS[version]
        self._ids = {character: id_ for id_, character in enumerate(self._characters, start=1)}

    @property
    def num_characters(self) -> int:
        """Ids in use, counting padding: 80 in v2, 79 in v3."""
        return len(self._characters) + 1

    def normalize(self, text: str) -> str:
        """`text` in the characters of this alphabet.

        Other scripts are transliterated to ASCII, a backslash becomes a line break, and what is
        still unknown is dropped.
        """
        # Half of a surrogate pair, which JSON can smuggle in, is no character; unidecode warns.
        text = text.encode("utf-8", errors="ignore").decode("utf-8")
        ascii_text = unidecode(text).replace("\\", "\n")
        return "".join(character for character in ascii_text if character in self._ids)

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of the normalized text; empty for an instrumental."""
        return tuple(self._ids[character] for character in self.normalize(text))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; padding is left out.

        Raises:
            LabelError: an id is outside the alphabet.
        """
        return "".join(self._character(id_) for id_ in ids)

    def _character(self, id_: int) -> str:
        if id_ == PADDING_ID:
            return ""
        if not 0 < id_ < self.num_characters:
            raise LabelError(
                f"lyric id {id_} is outside the {self.version} alphabet, "
                f"whose ids are 0 to {self.num_characters - 1}"
            )
        return self._characters[id_ - 1]


class LyricWindow(NamedTuple):
    """The characters that one window of music hears, both tuples of the prior's `num_tokens`.

    `indices` tells where each stands in the whole lyrics; padding has `PADDING_INDEX`.
    """

    ids: tuple[int, ...]
    indices: tuple[int, ...]


def lyric_window(
    lyric_ids: Sequence[int],
    num_tokens: int,
    *,
    total_samples: int,
    offset_samples: int,
    duration_samples: int,
) -> LyricWindow:
    """The `num_tokens` characters around the middle of a window, as if sung at an even pace.

    Lyrics shorter than the window are padded on the left and are heard whole, wherever the window
    lies. `num_tokens` is even; lengths are audio samples of the whole song, from its beginning to
    the window, and of the window.

    Raises:
        LabelError: the window does not begin inside the song.
    """
    if not 0 <= offset_samples < total_samples:
        raise LabelError(
            f"a window that begins at sample {offset_samples} is outside a song of "
            f"{total_samples} samples"
        )
    num_missing = num_tokens - len(lyric_ids)
    if num_missing > 0:
        ids = (PADDING_ID,) * num_missing + tuple(lyric_ids)
        return LyricWindow(ids, (PADDING_INDEX,) * num_missing + tuple(range(len(lyric_ids))))
    half = num_tokens // 2
    middle = _middle_character(len(lyric_ids), total_samples, offset_samples, duration_samples)
    start = min(max(middle, half), len(lyric_ids) - half) - half
    end = start + num_tokens
    return LyricWindow(tuple(lyric_ids[start:end]), tuple(range(start, end)))


def _middle_character(
    num_characters: int, total_samples: int, offset_samples: int, duration_samples: int
) -> int:
    # In float32, like the original, which reads these lengths from a tensor of labels: in float64
    # some windows would move by one character.
    middle_samples = np.float32(offset_samples) + np.float32(duration_samples) / np.float32(2.0)
    return int(np.float32(num_characters) * middle_samples / np.float32(total_samples))
