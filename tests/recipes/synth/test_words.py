"""Lines to sing: as many syllables as there are notes, and all vowels about equally."""

import numpy as np
import pytest

from jukebox_core.training.dataset.syllables import VOWELS, syllables
from recipes.mini.synth.plain_words import PLAIN_WORDS
from recipes.mini.synth.words import make_line


@pytest.mark.parametrize("invented", [True, False])
def test_a_line_has_exactly_as_many_syllables_as_there_are_notes(invented):
    rng = np.random.default_rng(0)
    for size in range(1, 16):
        assert len(syllables(make_line(rng, size, invented=invented))) == size


@pytest.mark.parametrize("invented", [True, False])
def test_all_vowels_are_sung_about_equally(invented):
    rng = np.random.default_rng(0)
    line = make_line(rng, 3000, invented=invented)
    shares = np.bincount([VOWELS.index(s.vowel) for s in syllables(line)]) / 3000
    assert shares.min() > 0.12
    assert shares.max() < 0.32


def test_plain_words_are_many_and_none_comes_twice():
    assert len(PLAIN_WORDS) > 400
    assert len(set(PLAIN_WORDS)) == len(PLAIN_WORDS)
