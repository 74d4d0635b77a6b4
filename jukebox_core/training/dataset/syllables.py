"""The syllables of a text and the vowels they are sung on, from their spelling; no torch.

Letters sing what they look like: five vowels and nine kinds of consonant. Any text can be sung;
digits, punctuation and other scripts are passed over in silence.
"""

import itertools
import re
from dataclasses import dataclass

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
