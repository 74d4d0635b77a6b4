"""The lyrics of a section: their place in the text, and that the prior reads them in their time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jukebox_core.labels.lyrics import lyric_window
from jukebox_core.sampling.section_lyrics import (
    MAX_PACED_CHARACTERS,
    SectionText,
    paced,
    section_of,
    with_lyrics,
)

TEXT = "one two three\nfour five six\nseven eight nine"
WORDS = st.text(alphabet="ab \n", max_size=80)
SHARES = st.tuples(st.integers(0, 99), st.integers(1, 100)).map(
    lambda pair: (pair[0] / 100, min(pair[0] + pair[1], 100) / 100)
)


def test_the_words_of_a_section_are_those_of_its_time():
    assert section_of(TEXT, 1 / 3, 2 / 3).lyrics == "four five six\n"
    assert section_of(TEXT, 0.0, 1.0).lyrics == TEXT
    assert section_of("", 0.2, 0.4) == SectionText("", 0, 0)


def test_other_words_take_their_place_in_lines_of_their_own():
    new = with_lyrics(section_of(TEXT, 1 / 3, 2 / 3), " la la\n")
    assert new.text == "one two three\nla la\nseven eight nine"
    assert new.lyrics == "la la"
    assert with_lyrics(section_of(TEXT, 0.0, 1.0), "la").text == "la"
    assert with_lyrics(section_of("", 0.4, 0.6), "la") == SectionText("la", 0, 2)
    assert (
        with_lyrics(section_of(TEXT, 1 / 3, 2 / 3), " ").text == "one two three\nseven eight nine"
    )


@given(WORDS, SHARES)
def test_a_section_never_cuts_a_word(text, shares):
    section = section_of(text, *shares)
    assert 0 <= section.start <= section.end <= len(text)
    for border in (section.start, section.end):
        inside = 0 < border < len(text)
        assert not inside or text[border - 1].isspace()


@given(WORDS, SHARES, st.text(alphabet="xyz ", min_size=1, max_size=60).filter(str.strip))
def test_the_rest_of_the_text_stays(text, shares, lyrics):
    old = section_of(text, *shares)
    new = with_lyrics(old, lyrics)
    assert new.lyrics == lyrics.strip()
    assert new.text[: new.start].split() == text[: old.start].split()
    assert new.text[new.end :].split() == text[old.end :].split()


@given(WORDS, SHARES, st.integers(1, 200), st.integers(1, 60).map(lambda half: 2 * half))
def test_a_window_in_the_middle_of_the_section_reads_the_middle_of_its_lyrics(
    text, shares, length, window
):
    section = with_lyrics(section_of(text, *shares), "x" * length)
    read = paced(section, *shares, window)
    assert "x" * length in read
    if len(read) <= window:
        return
    total = 1_000_000
    middle = round(total * (shares[0] + shares[1]) / 2)
    heard = lyric_window(
        range(1, len(read) + 1),
        window,
        total_samples=total,
        offset_samples=max(middle - 1, 0),
        duration_samples=2,
    )
    first = read.index("x" * length)
    middle_character = first + length / 2
    # Half a character is rounded at each of three borders.
    assert heard.indices[0] - 3 <= middle_character <= heard.indices[-1] + 3


def test_no_section_is_so_short_that_its_lyrics_make_an_endless_text():
    section = with_lyrics(section_of(TEXT, 0.5, 0.5), "x" * 20_000)
    for end_share in (0.5, 0.500001, 0.51):
        assert len(paced(section, 0.5, end_share, 512)) <= MAX_PACED_CHARACTERS + 20_000


def test_nothing_is_read_where_nothing_is_sung():
    assert paced(with_lyrics(section_of(TEXT, 1 / 3, 2 / 3), " "), 1 / 3, 2 / 3, 8) == ""


@pytest.mark.parametrize("window", [128, 512])
def test_a_text_that_the_prior_reads_whole_is_not_padded(window):
    section = with_lyrics(section_of(TEXT, 1 / 3, 2 / 3), "la la la la la la la la")
    assert paced(section, 1 / 3, 2 / 3, window) == section.text
