"""Names found by what people type, in invented lists of a size like the released ones."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jukebox_core.labels import JukeboxTokenizer, Vocabulary
from jukebox_core.labels.search import LabelSearch, NameIndex
from jukebox_core.models.released import released_config

SYLLABLES = ("ba", "ce", "do", "fi", "gu", "ha", "je", "ko", "li", "mu", "na", "pe", "ro", "si")
EDITS = ("leave out", "put in", "change", "swap")


def invented_names(num_names):
    chance = random.Random(0)
    names = set()
    while len(names) < num_names:
        words = (
            "".join(chance.choices(SYLLABLES, k=chance.randint(1, 3)))
            for _ in range(chance.randint(1, 3))
        )
        names.add(" ".join(words))
    return sorted(names)


NAMES = invented_names(3000)
INDEX = NameIndex(NAMES)


def misspelt(name, edit, place, letter):
    head, tail = name[:place], name[place:]
    return {
        "leave out": head + tail[1:],
        "put in": head + letter + tail,
        "change": head + letter + tail[1:],
        "swap": head + tail[1:2] + tail[:1] + tail[2:],
    }[edit]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_misspelt_name_finds_itself(data):
    name = data.draw(st.sampled_from([name for name in NAMES if len(name) >= 6]))
    edit = data.draw(st.sampled_from(EDITS))
    place = data.draw(st.integers(0, len(name) - 1))
    letter = data.draw(st.sampled_from("aeioubcdfg"))
    found = [match for match, _ in INDEX.search(misspelt(name, edit, place, letter), 10)]
    assert name in found


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.integers(0, 20))
def test_any_text_is_answered_in_order_and_within_the_limit(text, limit):
    found = INDEX.search(text, limit)
    assert len(found) <= limit
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0.5 <= score <= 1.0 for score in scores)


@given(st.sampled_from(NAMES))
@settings(max_examples=40, deadline=None)
def test_a_name_itself_comes_first(name):
    assert INDEX.search(name.upper(), 3)[0] == (name, 1.0)


def test_the_beginning_of_a_name_is_enough():
    index = NameIndex(["the sawtooths", "sawdust", "square waves"])
    assert [name for name, _ in index.search("saw", 5)] == ["sawdust", "the sawtooths"]
    assert index.search("sawtoths", 1)[0][0] == "the sawtooths"


def test_accents_and_dots_are_no_mistakes():
    index = NameIndex(["béla", "r.e.d.", "ab"])
    assert index.search("Bela", 1) == [("béla", 1.0)]
    assert index.search("R E D", 1) == [("r.e.d.", 1.0)]


def test_nothing_alike_is_no_answer_and_no_text_is_all_of_them():
    assert INDEX.search("zzzzqqqq", 10) == []
    assert [name for name, _ in INDEX.search("  ", 5)] == NAMES[:5]


@pytest.fixture(scope="module")
def search():
    v2 = Vocabulary(
        "v2",
        {"unknown": 0, "various": 0, "": 0, "the_saws": 3, "r_e_d": 4, "lost_": 5, "only_v2": 6},
        {"unknown": 0, "hard": 7, "rock": 8, "drone": 9},
    )
    words = " ".join(["very", "long", "name", "of", "a", "style"])
    v3 = Vocabulary(
        "v3",
        {"unknown": 0, "the saws": 30, "r.e.d.": 40, "only v3": 50},
        {"unknown": 0, "hard rock": 70, "slow drone": 90, words: 91},
    )
    return LabelSearch(JukeboxTokenizer({"v2": v2, "v3": v3}, released_config("1b_lyrics")))


@pytest.mark.parametrize("text", ["🎵", " ...", "&", "!"])
def test_a_text_without_letters_is_like_no_name(text):
    assert NameIndex(["ab", "!!!"]).search(text, 5) == []


def test_a_name_without_letters_is_found_by_itself():
    assert NameIndex(["ab", "!!!"]).search(" !!! ", 5) == [("!!!", 1.0)]


def test_a_sign_between_words_is_no_word_of_a_genre(search):
    assert not search.genres("xqzt & 🎵", 5)


def test_a_name_of_both_versions_is_told_once_with_the_id_of_each_level(search):
    (match,) = search.artists("the saw", 5)
    assert match.name == "the saws"
    assert match.ids == {"top": (30,), "middle": (3,), "bottom": (3,)}


def test_a_name_that_one_version_does_not_know_says_so(search):
    found = {match.name: match.ids for match in search.artists("only", 5)}
    assert found == {
        "only v2": {"top": (), "middle": (6,), "bottom": (6,)},
        "only v3": {"top": (50,), "middle": (), "bottom": ()},
    }


def test_names_that_mean_nobody_or_that_no_spelling_reaches_are_not_offered(search):
    names = [match.name for match in search.artists("", 100)]
    assert names == ["only v2", "only v3", "r.e.d.", "the saws"]


def test_genres_are_found_whole_and_by_their_words(search):
    found = {match.name: match for match in search.genres("hard rok", 10)}
    assert next(iter(found)) == "hard rock"
    assert found["hard rock"].ids == {"top": (70,), "middle": (7, 8), "bottom": (7, 8)}
    assert found["rock"].ids == {"top": (), "middle": (8,), "bottom": (8,)}


def test_a_genre_of_more_words_than_a_prior_reads_is_not_offered(search):
    assert "very long name of a style" not in [match.name for match in search.genres("", 100)]


def test_every_name_that_is_offered_is_known_somewhere(search):
    offered = itertools.chain(search.artists("", 100), search.genres("", 100))
    assert all(any(match.ids.values()) for match in offered)
