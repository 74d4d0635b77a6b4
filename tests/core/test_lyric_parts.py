"""Lyrics of a song in parts: what each part sings, at its time, as often as it is sung."""

import numpy as np

from jukebox_core.alignment.parts import join_times
from jukebox_core.alignment.times import lyric_times

TEXT = "one\ntwo\nthree"


def sung(first: int, last: int, num_frames: int = 40):
    """Times of a part in which the characters [first, last) are sung at an even pace."""
    alignment = np.zeros((num_frames, len(TEXT)), np.float32)
    for frame in range(num_frames):
        alignment[frame, first + frame * (last - first) // num_frames] = 1.0
    return lyric_times(alignment, TEXT, tokens_per_second=20.0)


def test_each_part_has_the_lines_that_are_sung_in_it_at_its_time():
    joined = join_times([(0.0, sung(0, 3)), (2.0, sung(4, 13)), (4.0, sung(0, 3))], 6.0)
    assert joined.text == "one\ntwo\nthree\none"
    assert [line.text for line in joined.lines] == ["one", "two", "three", "one"]
    starts = [line.start_sec for line in joined.lines]
    assert starts == sorted(starts)
    assert (starts[0], starts[1], starts[3]) == (0.0, 2.0, 4.0)
    for each in (*joined.characters, *joined.words, *joined.lines):
        end = each.first_character + len(each.text)
        assert joined.text[each.first_character : end] == each.text
    assert joined.lines[-1].end_sec <= joined.duration_sec == 6.0


def test_a_part_in_which_nothing_is_sung_has_no_words():
    silent = lyric_times(np.zeros((10, len(TEXT)), np.float32), TEXT, tokens_per_second=20.0)
    joined = join_times([(0.0, silent), (0.5, sung(4, 7))], 3.0)
    assert joined.text == "two"
    assert joined.words[0].start_sec == 0.5
    assert join_times([], 1.0).text == ""
