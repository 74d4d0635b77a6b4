"""Lyrics as something that can be sung: syllables, their sounds, and words to draw from.

Letters sing what they look like: five vowels and nine kinds of consonant. Any text can be sung;
digits, punctuation and other scripts are passed over in silence.
"""

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jukebox_core.synth.plain_words import PLAIN_WORDS

VOWELS = "aeiou"

CONSONANT_OF: dict[str, str] = (
    {letter: "p" for letter in "pb"}
    | {letter: "t" for letter in "td"}
    | {letter: "k" for letter in "kcgqx"}
    | {letter: "s" for letter in "sz"}
    | {letter: "f" for letter in "fvh"}
    | {letter: "sh" for letter in "j"}
    | {letter: "m" for letter in "m"}
    | {letter: "n" for letter in "n"}
    | {letter: "l" for letter in "lrwy"}
)
"""Letter -> kind of consonant; the digraphs sh and ch sing "sh"."""

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
_VOWEL_GROUP = re.compile(r"[aeiouy]+")
_SILENT_E = re.compile(r"[^aeiouy]e$")


@dataclass(frozen=True)
class Syllable:
    """One note's worth of text; the numbers are character indices of the lyrics."""

    vowel: str
    """One of a, e, i, o, u."""
    onset: tuple[int, ...]
    """Consonants before the vowel."""
    nucleus: tuple[int, ...]
    """Letters of the vowel group."""
    coda: tuple[int, ...]
    """Consonants after it, at the end of a word or before more consonants."""
    onset_sounds: tuple[str, ...]
    coda_sounds: tuple[str, ...]


def syllables(text: str) -> tuple[Syllable, ...]:
    """The syllables of any text in the order they are sung; empty if it has no vowel."""
    found: list[Syllable] = []
    for word in _WORD.finditer(text.lower()):
        found.extend(_syllables_of_word(word.group(), word.start()))
    return tuple(found)


def vowels_of_characters(text: str) -> tuple[str | None, ...]:
    """For every character of a lyrics text the vowel it sings, or None."""
    sung: list[str | None] = [None] * len(text)
    for syllable in syllables(text):
        for index in syllable.nucleus:
            sung[index] = syllable.vowel
    return tuple(sung)


def make_line(rng: np.random.Generator, num_syllables: int, *, invented: bool) -> str:
    """A line of verse with exactly so many syllables: plain words, or words of a made-up tongue."""
    words: list[str] = []
    missing = num_syllables
    while missing > 0:
        if invented:
            size = min(missing, int(rng.integers(1, 4)))
            word = "".join(
                rng.choice(_INVENTED_CONSONANTS) + _invented_vowel(rng, last=place == size - 1 > 0)
                for place in range(size)
            )
        else:
            size = min(missing, _SIZES[rng.integers(len(_SIZES))])
            word = str(rng.choice(_WORDS_BY_SIZE[size], p=_WORD_WEIGHTS[size]))
        words.append(word)
        missing -= size
    return " ".join(words)


def _invented_vowel(rng: np.random.Generator, *, last: bool) -> str:
    # An e at the end of a longer word would be silent.
    vowels = VOWELS.replace("e", "") if last else "aeeiou"
    return vowels[rng.integers(len(vowels))]


def _syllables_of_word(word: str, offset: int) -> list[Syllable]:
    groups = [(match.start(), match.end()) for match in _vowel_groups(word)]
    if not groups:
        return []
    borders = [0]
    for (_, end), (start, _) in itertools.pairwise(groups):
        # One consonant between two vowels opens the second; of more, the first closes the first.
        borders.append(end if start - end <= 1 or _is_digraph(word[end:start]) else end + 1)
    borders.append(len(word))
    found = []
    for (start, end), low, high in zip(groups, borders, borders[1:], strict=False):
        onset = tuple(index + offset for index in range(low, start) if word[index] != "'")
        coda = tuple(index + offset for index in range(end, high) if word[index] != "'")
        if high == len(word) and _SILENT_E.search(word) and end < len(word):
            coda = coda[:-1]
        found.append(
            Syllable(
                vowel=_vowel_sound(word[start:end]),
                onset=onset,
                nucleus=tuple(range(start + offset, end + offset)),
                coda=coda,
                onset_sounds=_sounds(word[low:start]),
                coda_sounds=_sounds("".join(word[index - offset] for index in coda)),
            )
        )
    return found


def _vowel_groups(word: str) -> list[re.Match[str]]:
    groups = list(_VOWEL_GROUP.finditer(word))
    if groups and groups[0].group()[0] == "y" and len(groups[0].group()) > 1:
        # "yes", "you": a y that opens a word before a vowel is a consonant.
        groups[0] = re.compile(r"[aeiouy]+").match(word, groups[0].start() + 1) or groups[0]
    if len(groups) > 1 and _SILENT_E.search(word):
        groups.pop()
    return groups


def _vowel_sound(group: str) -> str:
    if group.startswith("ee"):
        return "i"
    if group.startswith("oo"):
        return "u"
    return "i" if group[0] == "y" else group[0]


def _is_digraph(letters: str) -> bool:
    return letters in ("sh", "ch", "th", "ph", "ck")


def _sounds(letters: str) -> tuple[str, ...]:
    """Kinds of consonant of a cluster; doubled and two-letter ones sound once."""
    letters = letters.replace("'", "").replace("sh", "j").replace("ch", "j")
    letters = letters.replace("th", "t").replace("ph", "f").replace("ck", "k").replace("gh", "")
    sounds: list[str] = []
    for letter in letters:
        kind = CONSONANT_OF.get(letter)
        if kind is not None and (not sounds or sounds[-1] != kind):
            sounds.append(kind)
    return tuple(sounds)


_INVENTED_CONSONANTS: Sequence[str] = (
    "p",
    "b",
    "t",
    "d",
    "k",
    "g",
    "s",
    "f",
    "sh",
    "m",
    "n",
    "l",
    "r",
)


_SIZES = (1, 1, 1, 2, 2, 3)


def _by_size() -> dict[int, tuple[str, ...]]:
    sizes: dict[int, list[str]] = {1: [], 2: []}
    for word in PLAIN_WORDS:
        sizes.setdefault(len(syllables(word)), []).append(word)
    return {size: tuple(words) for size, words in sizes.items()}


def _weights(words: Sequence[str]) -> NDArray[np.float64]:
    """Words with rare vowels come more often, so all five are sung about equally."""
    sung = [[syllable.vowel for syllable in syllables(word)] for word in words]
    counts = Counter(vowel for vowels in sung for vowel in vowels)
    weights = np.array([np.mean([counts[vowel] ** -1.6 for vowel in vowels]) for vowels in sung])
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


_WORDS_BY_SIZE = _by_size()
_WORD_WEIGHTS = {size: _weights(words) for size, words in _WORDS_BY_SIZE.items()}
