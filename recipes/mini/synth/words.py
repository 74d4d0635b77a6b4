"""Words to sing: plain ones, and words of an invented language, in lines of so many syllables."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jukebox_core.training.dataset.syllables import VOWELS, syllables
from recipes.mini.synth.plain_words import PLAIN_WORDS


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
