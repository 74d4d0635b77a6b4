"""Where parts are cut and joined: every moment at the nearest top token, every code as it was."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jukebox_core.errors import SongError
from jukebox_core.sampling.splice import MAX_PARTS, Stretch, plan_splice
from jukebox_core.units import COARSE_TO_FINE, Level, TimeBase

TIME_BASES = [
    TimeBase(sample_rate_hz=16_000, samples_per_token=(16, 64, 256)),
    TimeBase(sample_rate_hz=44_100, samples_per_token=(8, 32, 128)),
    TimeBase(sample_rate_hz=22_050, samples_per_token=(8, 40, 240)),
]
TINY = TIME_BASES[0]


def whole(time_base, num_top, levels=COARSE_TO_FINE):
    return {level: num_top * time_base.tokens_per_top_token(level) for level in levels}


@st.composite
def wishes(draw):
    """A time base, sources of different lengths and depths, and stretches that lie in them."""
    time_base = draw(st.sampled_from(TIME_BASES))
    lengths = draw(st.lists(st.integers(1, 5000), min_size=1, max_size=4))
    depths = [draw(st.integers(1, 3)) for _ in lengths]
    stretches = []
    for _ in range(draw(st.integers(1, 8))):
        source = draw(st.integers(0, len(lengths) - 1))
        start = draw(st.integers(0, lengths[source] - 1))
        end = draw(st.integers(start + 1, lengths[source]))
        off = draw(st.floats(-0.49, 0.49))
        stretches.append(
            Stretch(
                source=str(source),
                num_tokens=whole(time_base, lengths[source], COARSE_TO_FINE[: depths[source]]),
                start_sec=max(time_base.tokens_to_seconds(1, Level.TOP) * (start + off), 0.0),
                end_sec=draw(st.sampled_from([None, time_base.tokens_to_seconds(end, Level.TOP)])),
            )
        )
    return time_base, stretches


@given(wishes())
def test_the_codes_of_a_splice_are_those_of_its_parts_one_after_the_other(wish):
    time_base, stretches = wish
    plan = plan_splice(time_base, stretches)
    for level in plan.levels:
        sources = {
            stretch.source: np.arange(stretch.num_tokens[level]) + 10_000_000 * int(stretch.source)
            for stretch in stretches
        }
        song = np.concatenate(
            [sources[part.source][part.tokens(time_base, level)] for part in plan.parts]
        )
        assert len(song) == plan.num_tokens(time_base)[level]
        ratio = time_base.tokens_per_top_token(level)
        for part, stretch in zip(plan.parts, stretches, strict=True):
            at = song[part.position * ratio : part.position_end * ratio]
            assert at[0] == sources[stretch.source][part.start * ratio]
            assert at[-1] == sources[stretch.source][part.end * ratio - 1]


@given(wishes())
def test_every_border_is_the_nearest_one_and_asking_for_it_again_moves_nothing(wish):
    time_base, stretches = wish
    plan = plan_splice(time_base, stretches)
    half_a_token_sec = time_base.tokens_to_seconds(1, Level.TOP) / 2
    rounded = []
    for part, stretch in zip(plan.parts, stretches, strict=True):
        start_sec, end_sec = (
            time_base.tokens_to_seconds(token, Level.TOP) for token in (part.start, part.end)
        )
        assert abs(start_sec - stretch.start_sec) <= half_a_token_sec + 1 / 8000
        rounded.append(
            Stretch(
                source=stretch.source,
                num_tokens=stretch.num_tokens,
                start_sec=start_sec,
                end_sec=end_sec,
            )
        )
    assert plan_splice(time_base, rounded) == plan


@given(wishes())
def test_the_levels_of_a_splice_are_those_that_all_parts_have(wish):
    time_base, stretches = wish
    fewest = min(len(stretch.num_tokens) for stretch in stretches)
    assert plan_splice(time_base, stretches).levels == COARSE_TO_FINE[:fewest]


@given(st.integers(0, 10_000), st.sampled_from(TIME_BASES))
def test_the_time_of_a_border_is_that_border(token, time_base):
    assert time_base.nearest_top_token(time_base.tokens_to_seconds(token, Level.TOP)) == token


def test_of_two_borders_that_are_equally_near_the_later_is_taken():
    assert TINY.nearest_top_token(127 / 16_000) == 0
    assert TINY.nearest_top_token(128 / 16_000) == 1


def test_a_level_that_was_drawn_only_in_part_counts_where_it_reaches():
    unfinished = {Level.TOP: 100, Level.MIDDLE: 240}
    plan = plan_splice(TINY, [Stretch(source="a", num_tokens=unfinished, end_sec=60 * 0.016)])
    assert plan.levels == (Level.TOP, Level.MIDDLE)
    plan = plan_splice(TINY, [Stretch(source="a", num_tokens=unfinished, end_sec=61 * 0.016)])
    assert plan.levels == (Level.TOP,)


def test_no_join_is_where_a_part_goes_on_as_in_its_source():
    num_tokens = whole(TINY, 100)

    def stretch(source, start, end):
        start_sec, end_sec = start * 0.016, end * 0.016
        return Stretch(source=source, num_tokens=num_tokens, start_sec=start_sec, end_sec=end_sec)

    plan = plan_splice(
        TINY, [stretch("a", 0, 10), stretch("a", 10, 20), stretch("b", 20, 30), stretch("b", 0, 1)]
    )
    assert plan.joins == (20, 30)


@pytest.mark.parametrize(
    ("start_sec", "end_sec", "field"),
    [
        (1.6, None, "start_sec"),
        (1.5999, None, "start_sec"),
        (99.0, 100.0, "start_sec"),
        (-0.1, None, "start_sec"),
        (float("nan"), None, "start_sec"),
        (0.0, 1.617, "end_sec"),
        (0.0, float("inf"), "end_sec"),
        (0.5, 0.5, "end_sec"),
        (0.5, 0.4, "end_sec"),
        (0.5, 0.502, "end_sec"),
        (0.0, 0.001, "end_sec"),
    ],
)
def test_a_part_that_is_not_inside_its_source_is_refused_by_name(start_sec, end_sec, field):
    good = Stretch(source="a", num_tokens=whole(TINY, 100))
    bad = Stretch(source="a", num_tokens=whole(TINY, 100), start_sec=start_sec, end_sec=end_sec)
    with pytest.raises(SongError) as refused:
        plan_splice(TINY, [good, bad])
    assert refused.value.field == f"parts.1.{field}"


def test_the_length_that_was_asked_for_is_the_end_of_a_source():
    """A song of 1.615 s has 100 tokens of 16 ms."""
    part = Stretch(source="a", num_tokens=whole(TINY, 100), start_sec=0.5, end_sec=1.6159)
    (placed,) = plan_splice(TINY, [part]).parts
    assert placed.end == 100


@pytest.mark.parametrize("number", [0, MAX_PARTS + 1])
def test_no_parts_or_too_many_are_refused(number):
    with pytest.raises(SongError) as refused:
        plan_splice(TINY, [Stretch(source="a", num_tokens=whole(TINY, 100))] * number)
    assert refused.value.field == "parts"
