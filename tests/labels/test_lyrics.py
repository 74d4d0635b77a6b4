from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jukebox_core.errors import LabelError
from jukebox_core.labels import LyricAlphabet, lyric_window

V2, V3 = LyricAlphabet("v2"), LyricAlphabet("v3")


@pytest.mark.parametrize(
    ("alphabet", "num_characters", "space"), [(V2, 80, 77), (V3, 79, 76)], ids=["v2", "v3"]
)
def test_ids_run_through_letters_digits_marks_and_blanks(alphabet, num_characters, space):
    assert alphabet.num_characters == num_characters
    assert alphabet.encode("AZaz09.") == (1, 26, 27, 52, 53, 62, 63)
    assert alphabet.encode(" \t\n") == (space, space + 1, space + 2)


def test_only_v2_has_a_plus():
    assert V2.encode("1+1") == (54, 70, 54)
    assert V3.encode("1+1") == (54, 54)
    assert (V2.encode("-'"), V3.encode("-'")) == ((69, 71), (69, 70))


@pytest.mark.parametrize("alphabet", [V2, V3], ids=["v2", "v3"])
@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("", ""),
        ("Keep Case [and] (brackets)", "Keep Case [and] (brackets)"),
        ("one\\two", "one\ntwo"),
        ("one\r\ntwo", "one\ntwo"),
        ("don\u2019t \u201cstop\u201d \u2014 naïve\u2026", 'don\'t "stop" -- naive...'),
        ("Привет", "Privet"),
        ("rock&roll */_@#%={}~", "rockroll "),
        ("☃🎵", ""),
        ("half a pair \ud83c.", "half a pair ."),
    ],
)
def test_lyrics_are_brought_into_the_alphabet(alphabet, text, normalized):
    assert alphabet.normalize(text) == normalized
    assert alphabet.decode(alphabet.encode(text)) == normalized


@given(st.text())
def test_whatever_is_sung_has_ids_of_the_alphabet(text):
    for alphabet in (V2, V3):
        ids = alphabet.encode(text)
        assert all(1 <= id_ < alphabet.num_characters for id_ in ids)
        assert alphabet.encode(alphabet.decode(ids)) == ids


def test_padding_decodes_to_nothing():
    assert V3.decode((0, 0, 1, 0, 2)) == "AB"


@pytest.mark.parametrize("id_", [79, -1])
def test_ids_outside_the_alphabet_are_refused(id_):
    with pytest.raises(LabelError, match=f"lyric id {id_} .* 0 to 78"):
        V3.decode((id_,))


def _window(num_lyrics, num_tokens, total, offset, duration):
    return lyric_window(
        range(100, 100 + num_lyrics),
        num_tokens,
        total_samples=total,
        offset_samples=offset,
        duration_samples=duration,
    )


def test_short_lyrics_are_padded_on_the_left_and_heard_whole_everywhere():
    for offset in (0, 500, 999):
        window = _window(3, 6, 1000, offset, 100)
        assert window.ids == (0, 0, 0, 100, 101, 102)
        assert window.indices == (-1, -1, -1, 0, 1, 2)


def test_an_instrumental_is_all_padding():
    window = _window(0, 4, 1000, 0, 100)
    assert window == ((0, 0, 0, 0), (-1, -1, -1, -1))


def test_lyrics_as_long_as_the_window_are_heard_whole():
    assert _window(6, 6, 1000, 900, 100).indices == tuple(range(6))


@pytest.mark.parametrize(
    ("offset", "first"),
    [(0, 0), (59, 0), (60, 1), (450, 40), (751, 70), (849, 79), (850, 80), (999, 80)],
)
def test_long_lyrics_are_heard_around_the_middle_of_the_window(offset, first):
    """100 characters over 1000 samples; the window of 100 samples hears 20 of them."""
    window = _window(100, 20, 1000, offset, 100)
    assert window.indices == tuple(range(first, first + 20))
    assert window.ids == tuple(100 + index for index in window.indices)


@given(
    num_lyrics=st.integers(0, 3000),
    half=st.integers(1, 256),
    total=st.integers(1, 26_460_000),
    place=st.fractions(0, 1).filter(lambda place: place < 1),
    duration=st.integers(1, 1_048_576),
)
def test_a_window_of_lyrics_is_a_piece_of_them_near_the_even_pace(
    num_lyrics, half, total, place, duration
):
    num_tokens, offset = 2 * half, int(place * total)
    window = _window(num_lyrics, num_tokens, total, offset, duration)
    assert len(window.ids) == len(window.indices) == num_tokens
    kept = [index for index in window.indices if index >= 0]
    assert kept == list(range(kept[0], kept[0] + len(kept))) if kept else num_lyrics == 0
    assert len(kept) == min(num_lyrics, num_tokens)
    if num_lyrics >= num_tokens:
        exact = num_lyrics * (offset + Fraction(duration, 2)) / total
        wanted = min(max(exact, half), num_lyrics - half)
        assert abs(kept[0] + half - wanted) < 1.01


def test_the_middle_is_rounded_in_float32_like_the_original():
    """Exactly, the middle is character 584.99997; with labels in a tensor it becomes 585."""
    num_lyrics, total, offset, duration = 1181, 180 * 44_100, 26_623 * 128, 8192 * 128
    assert int(num_lyrics * (offset + duration / 2) / total) == 584
    assert _window(num_lyrics, 512, total, offset, duration).indices[0] == 585 - 256


@pytest.mark.parametrize("offset", [-1, 1000, 5000])
@pytest.mark.parametrize("num_lyrics", [0, 3, 100])
def test_a_window_that_begins_outside_the_song_is_refused(offset, num_lyrics):
    with pytest.raises(LabelError, match=f"sample {offset} is outside a song of 1000"):
        _window(num_lyrics, 20, 1000, offset, 100)
