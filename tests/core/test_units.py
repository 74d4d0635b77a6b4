import pytest
from hypothesis import given
from hypothesis import strategies as st

from jukebox_core.errors import ConfigError
from jukebox_core.units import COARSE_TO_FINE, Level, TimeBase

RELEASED = TimeBase(sample_rate_hz=44_100, samples_per_token=(8, 32, 128))


def test_levels_are_numbered_as_in_the_paper_and_sampled_coarse_to_fine():
    assert [level.label for level in COARSE_TO_FINE] == ["top", "middle", "bottom"]
    assert (int(Level.TOP), int(Level.BOTTOM)) == (2, 0)
    assert Level.BOTTOM.upper is Level.MIDDLE
    assert Level.TOP.upper is None


def test_a_level_is_found_by_its_label_and_nothing_else():
    assert Level.from_label("middle") is Level.MIDDLE
    with pytest.raises(ValueError, match="top, middle or bottom"):
        Level.from_label("high")


def test_a_minute_takes_the_tokens_that_the_original_counts():
    assert [RELEASED.seconds_to_tokens(60, level) for level in COARSE_TO_FINE] == [
        20_671,
        82_684,
        330_736,
    ]


def test_binary_fractions_do_not_cost_a_sample():
    assert RELEASED.seconds_to_samples(0.58) == 25_578


@given(st.floats(0.0, 600.0))
def test_all_levels_cover_the_same_audio(duration_sec):
    covered = {
        RELEASED.tokens_to_samples(RELEASED.seconds_to_tokens(duration_sec, level), level)
        for level in Level
    }
    assert len(covered) == 1
    assert covered.pop() <= duration_sec * 44_100 + 1


@given(st.integers(1, 200_000), st.sampled_from(list(Level)))
def test_whole_tokens_survive_the_way_through_seconds(num_top_tokens, level):
    duration_sec = RELEASED.tokens_to_seconds(num_top_tokens, Level.TOP)
    wanted = num_top_tokens * RELEASED.tokens_per_top_token(level)
    assert RELEASED.seconds_to_tokens(duration_sec, level) == wanted


@pytest.mark.parametrize("hops", [(8, 12, 128), (128, 32, 8), (0, 32, 128)])
def test_hops_that_do_not_divide_each_other_are_refused(hops):
    with pytest.raises(ConfigError, match="whole factors"):
        TimeBase(sample_rate_hz=44_100, samples_per_token=hops)
