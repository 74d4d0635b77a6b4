"""Infills: what is sampled again, where the old codes go on, and that nothing else changes."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jukebox_core.errors import SongError
from jukebox_core.sampling.infill import (
    JOIN_SEC,
    Infill,
    changed_tokens,
    plan_infills,
    section_infills,
    section_tokens,
)
from jukebox_core.sampling.windows import plan_windows
from jukebox_core.units import COARSE_TO_FINE, Level, TimeBase

MINI = TimeBase(sample_rate_hz=16_000, samples_per_token=(16, 64, 256))


@st.composite
def plans(draw):
    """Total, context, hop, given, and infills that lie in the stream."""
    total, context = draw(st.integers(1, 400)), draw(st.integers(1, 64))
    infills = []
    for _ in range(draw(st.integers(0, 4))):
        start, end, join_end = sorted(draw(st.integers(0, total)) for _ in range(3))
        if start < end:
            infills.append(Infill(start, end, join_end))
    hop = draw(st.integers(1, context))
    return total, context, hop, draw(st.integers(0, total)), infills


def drawn_places(windows):
    return [place for window in windows for place in range(window.first_new, window.end)]


@given(plans())
def test_every_infill_and_everything_that_is_missing_is_sampled_once_and_in_order(case):
    total, _, _, given_tokens, infills = case
    places = drawn_places(plan_infills(*case).windows)
    assert places == sorted(set(places))
    wanted = {place for each in infills for place in range(each.start, each.end)}
    assert wanted | set(range(given_tokens, total)) <= set(places)


@given(plans())
def test_nothing_is_sampled_outside_the_infills_and_behind_one_that_reaches_the_end(case):
    total, _, _, given_tokens, infills = case
    allowed = {place for first, end in changed_tokens(infills) for place in range(first, end)}
    for first, end in changed_tokens(infills):
        if end >= given_tokens:
            allowed |= set(range(first, total))
    assert set(drawn_places(plan_infills(*case).windows)) <= allowed | set(
        range(given_tokens, total)
    )


@given(plans())
def test_windows_fill_their_context_and_begin_inside_the_song(case):
    total, context, *_ = case
    plan = plan_infills(*case)
    for window in plan.windows:
        assert (
            0 <= window.start <= window.first_new < window.end <= min(window.start + context, total)
        )
    assert all(before.join_end <= after.start for before, after in pairwise(plan.infills))
    assert {each.join_end for each in plan.infills} <= {window.end for window in plan.windows}


@given(st.integers(1, 400), st.integers(1, 64), st.integers(0, 400))
def test_without_infills_the_windows_are_the_ordinary_ones(total, context, given_tokens):
    plan = plan_infills(total, context, context, min(given_tokens, total), [])
    assert plan.windows == plan_windows(total, context, context, min(given_tokens, total))
    assert plan.infills == ()


def test_the_join_is_where_new_and_old_agree_best():
    old = np.arange(2 * 100).reshape(2, 100)
    new = old + 1_000
    new[0, 70:74] = old[0, 70:74]
    new[1, 61:63] = old[1, 61:63]
    infill = Infill(20, 60, 80)
    np.testing.assert_array_equal(infill.join_places(new, old), [72, 62])
    joined = new.copy()
    infill.join(joined, old)
    np.testing.assert_array_equal(joined[0, 20:72], new[0, 20:72])
    np.testing.assert_array_equal(joined[0, 72:80], old[0, 72:80])
    np.testing.assert_array_equal(joined[1, 62:80], old[1, 62:80])


def test_streams_that_agree_nowhere_go_back_at_once_and_those_that_agree_everywhere_too():
    old = np.zeros((2, 64), dtype=np.int64)
    new = old + np.array([[1], [0]])
    assert list(Infill(8, 30, 50).join_places(new, old)) == [30, 30]


def test_an_infill_without_room_for_a_join_ends_where_it_ends():
    old = np.zeros((1, 64), dtype=np.int64)
    assert list(Infill(8, 30, 30).join_places(old + 1, old)) == [30]


@pytest.mark.parametrize("bounds", [(-1, 3, 4), (3, 3, 4), (2, 5, 4)])
def test_an_impossible_infill_is_refused(bounds):
    with pytest.raises(ValueError, match="start < end <= join_end"):
        Infill(*bounds)


def test_each_level_of_a_section_looks_for_its_join_behind_that_of_the_level_above():
    infills = section_infills(MINI, 100, 200, 1_000)
    top, middle, bottom = (infills[level][0] for level in COARSE_TO_FINE)
    assert (top.start, top.end, top.join_end) == (100, 200, 262)
    assert (middle.start, middle.end, middle.join_end) == (400, 4 * 262, 4 * (262 + 31))
    assert (bottom.start, bottom.end) == (1_600, 16 * (262 + 31))
    reach_sec = MINI.tokens_to_seconds(bottom.join_end, Level.BOTTOM) - 200 * 0.016
    assert reach_sec <= sum(JOIN_SEC.values())


@given(st.data(), st.integers(1, 2_000))
def test_a_section_stays_inside_the_song(data, total):
    first = data.draw(st.integers(0, total - 1))
    end = data.draw(st.integers(first + 1, total))
    for level, (infill,) in section_infills(MINI, first, end, total).items():
        assert infill.join_end <= total * MINI.tokens_per_top_token(level)
        for bound in (infill.start, infill.end, infill.join_end):
            assert bound % MINI.tokens_per_top_token(level) == 0


def test_a_section_is_moved_to_the_nearest_borders_of_tokens():
    assert section_tokens(MINI, 0.1, 0.2, 100) == (6, 13)
    assert section_tokens(MINI, 0.016, 0.032, 100) == (1, 2)
    assert section_tokens(MINI, 0.023, 0.041, 100) == (1, 3)
    assert section_tokens(MINI, 0.0, None, 100) == (0, 100)
    assert section_tokens(MINI, 1.5, 1.6004, 100) == (94, 100)
    assert section_tokens(MINI, 1.5, 1.6159, 100) == (94, 100), "a song of 1.6159 s ends there"


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (-1.0, 1.0, "start_sec"),
        (1.6, None, "start_sec"),
        (float("nan"), 1.0, "start_sec"),
        (0.5, 0.5, "end_sec"),
        (0.1, 0.101, "end_sec"),
        (0.5, 1.7, "end_sec"),
        (0.5, float("nan"), "end_sec"),
        (0.5, float("inf"), "end_sec"),
    ],
)
def test_a_section_outside_the_song_is_refused(start, end, field):
    with pytest.raises(SongError) as caught:
        section_tokens(MINI, start, end, 100)
    assert caught.value.field == field
