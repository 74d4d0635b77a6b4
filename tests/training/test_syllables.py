"""Text as syllables: what is sung, with which vowel, and what is passed over."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jukebox_core.training.dataset.syllables import (
    CONSONANT_OF,
    VOWELS,
    syllables,
    vowels_of_characters,
)

pytestmark = pytest.mark.nightly("recipe")


def split(text):
    """Each syllable as onset-nucleus-coda, with the vowel that it sings."""
    return [
        (
            "-".join("".join(text[i] for i in part) for part in (s.onset, s.nucleus, s.coda)),
            s.vowel,
        )
        for s in syllables(text)
    ]


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("tako", [("t-a-", "a"), ("k-o-", "o")]),
        ("lantern", [("l-a-n", "a"), ("t-e-rn", "e")]),
        ("moon", [("m-oo-n", "u")]),
        ("sheep", [("sh-ee-p", "i")]),
        ("sky", [("sk-y-", "i")]),
        ("you", [("y-ou-", "o")]),
        ("don't", [("d-o-nt", "o")]),
    ],
)
def test_a_word_falls_into_syllables_round_its_vowels(word, wanted):
    assert split(word) == wanted


def test_a_silent_final_e_is_not_sung_but_an_only_e_is():
    assert split("make") == [("m-a-k", "a")]
    assert split("the") == [("th-e-", "e")]
    assert vowels_of_characters("make the") == (None, "a", None, None, None, None, None, "e")


def test_two_letters_for_one_consonant_are_sung_once_and_open_the_syllable():
    (syllable,) = syllables("shop")
    assert syllable.onset_sounds == ("sh",)
    assert [s.onset_sounds for s in syllables("nishu")] == [("n",), ("sh",)]


def test_digits_punctuation_and_other_scripts_are_passed_over():
    assert syllables("99, ... !? \n 日本") == ()
    assert [s.vowel for s in syllables("42 red\nboats!")] == ["e", "o"]


def test_every_letter_has_a_sound():
    letters = {chr(code) for code in range(ord("a"), ord("z") + 1)}
    assert letters - set(CONSONANT_OF) == set(VOWELS)


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_can_be_sung_each_character_at_most_once_and_in_order(text):
    indices = [i for s in syllables(text) for part in (s.onset, s.nucleus, s.coda) for i in part]
    assert indices == sorted(set(indices))
    assert all(0 <= index < len(text) for index in indices)
    assert all(s.vowel in VOWELS and s.nucleus for s in syllables(text))
