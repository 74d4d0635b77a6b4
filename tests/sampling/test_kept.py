"""Plans of songs whose beginning is there already."""

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jukebox_core.errors import SongError
from jukebox_core.sampling.cascade import default_song_duration_sec, plan_song
from jukebox_core.sampling.kept import cut_tokens
from jukebox_core.song import Song
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.sampling.models import model_config

RELEASED = model_config()
SMALL = model_config(contexts=(64, 64, 64), song_range_sec=None)
TIME_BASE = SMALL.time_base
TOP, MIDDLE, BOTTOM = COARSE_TO_FINE


def a_song(config, num_top_tokens, **rest) -> Song:
    duration_sec = config.time_base.tokens_to_seconds(num_top_tokens, Level.TOP)
    values = {
        "artist": "a",
        "genre": "b",
        "duration_sec": duration_sec,
        "song_duration_sec": default_song_duration_sec(config, duration_sec, 0.0),
    }
    return Song(**{**values, **rest})


def refused(config, song, done, **how) -> tuple[str, str]:
    with pytest.raises(SongError) as caught:
        plan_song(config, song, done, **how)
    return caught.value.field, str(caught.value)


def planned(config, song, done, **how):
    try:
        return plan_song(config, song, done, **how)
    except SongError as error:
        return error


def drawn_positions(level_plan) -> list[int]:
    return [p for window in level_plan.windows for p in range(window.first_new, window.end)]


@st.composite
def begun_songs(draw):
    """(config, song, kept tokens of each level), all sizes around the contexts."""
    contexts = tuple(4 * draw(st.integers(1, 24)) for _ in COARSE_TO_FINE)
    config = model_config(contexts=contexts, song_range_sec=None)
    total = draw(st.integers(1, 60))
    levels = COARSE_TO_FINE[: draw(st.integers(1, 3))]
    done: dict[Level, int] = {}
    covered = total * 128
    for level in levels:
        done[level] = draw(st.integers(0, covered // config.vqvae.samples_per_token[level]))
        covered = done[level] * config.vqvae.samples_per_token[level]
    song_duration_sec = draw(st.floats(1.0, 20.0))
    return config, a_song(config, total, levels=levels, song_duration_sec=song_duration_sec), done


@given(begun_songs(), st.booleans())
def test_exactly_the_missing_codes_are_drawn_in_order(begun, padded):
    config, song, done = begun
    plan = planned(config, song, done, padded=padded)
    if isinstance(plan, SongError):
        assert not padded or plan.field == "song_duration_sec"
        return
    for level, level_plan in plan.levels.items():
        if not level_plan.windows:
            assert done[level] == level_plan.total_tokens
        assert drawn_positions(level_plan) == list(range(done[level], level_plan.total_tokens))


@given(begun_songs())
def test_short_songs_get_a_full_window_above_every_window_that_is_drawn(begun):
    """And not one token more than that takes, in whole top tokens."""
    config, song, done = begun
    plan = plan_song(config, replace(song, song_duration_sec=1000.0), done, padded=True)
    needed_samples = plan.num_audio_samples
    for level in reversed(song.levels):
        level_plan, prior = plan.levels[level], config.prior(level)
        samples_per_token = prior.samples_per_token
        assert level_plan.output_tokens * samples_per_token == plan.num_audio_samples
        assert level_plan.total_tokens * samples_per_token == needed_samples
        if level_plan.windows and level is not Level.TOP:
            needed_samples = max(needed_samples, math.ceil(prior.context_samples / 128) * 128)
        for window in level_plan.windows:
            if level is not Level.TOP:
                ratio = config.time_base.tokens_per_upper_token(level)
                assert window.start % ratio == 0
                upper_end = window.start // ratio + prior.upper_context_tokens
                assert upper_end <= plan.levels[level.upper].total_tokens


@given(begun_songs())
def test_a_song_that_is_long_enough_has_no_lead_out(begun):
    config, song, done = begun
    plan = planned(config, song, done)
    if isinstance(plan, SongError):
        return
    assert plan == plan_song(config, song, done, padded=True)
    for level_plan in plan.levels.values():
        assert level_plan.output_tokens == level_plan.total_tokens


def test_one_second_of_a_released_model_is_led_out_to_a_window_of_the_middle_level():
    song = a_song(RELEASED, 344)
    plan = plan_song(RELEASED, song, padded=True)
    totals = [plan.levels[level].total_tokens for level in COARSE_TO_FINE]
    heard = [plan.levels[level].output_tokens for level in COARSE_TO_FINE]
    assert heard == [344, 4 * 344, 16 * 344]
    # 8192 middle tokens take 2048 top tokens; 8192 bottom tokens take 2048 middle tokens.
    assert totals == [2048, 2048, 16 * 344]
    assert all(len(level_plan.windows) == 1 for level_plan in plan.levels.values())
    assert refused(RELEASED, song, {})[0] == "duration_sec"


def test_a_draft_needs_no_lead_out():
    plan = plan_song(RELEASED, a_song(RELEASED, 344, levels=(Level.TOP,)), padded=True)
    assert plan.levels[TOP].total_tokens == 344


def test_upsampling_a_short_draft_draws_its_lead_out_only():
    plan = plan_song(SMALL, a_song(SMALL, 10), {TOP: 10}, padded=True)
    assert drawn_positions(plan.levels[TOP]) == [10, 11, 12, 13, 14, 15]
    assert drawn_positions(plan.levels[MIDDLE]) == list(range(40))


def test_a_level_that_is_complete_asks_for_no_lead_out_above():
    done = {TOP: 10, MIDDLE: 40, BOTTOM: 160}
    plan = plan_song(SMALL, a_song(SMALL, 10), done, padded=True)
    assert [len(level_plan.windows) for level_plan in plan.levels.values()] == [0, 0, 0]


def test_even_with_a_lead_out_a_song_has_one_top_token():
    song = a_song(SMALL, 0, song_duration_sec=10.0)
    assert refused(SMALL, song, {}, padded=True) == (
        "duration_sec",
        "duration_sec=0 is shorter than one token of the top level: ask for at least 0.003 s",
    )


def test_a_lead_out_whose_windows_begin_after_the_song_is_refused():
    """Four tokens a window at the top, and the middle level needs sixteen of them."""
    config = model_config(contexts=(4, 64, 64), song_range_sec=None)
    song = a_song(config, 2)
    field, message = refused(config, song, {}, padded=True)
    assert field == "song_duration_sec"
    assert "the top level draws 14 tokens more than are heard" in message
    assert message.endswith("make the song at least 0.035 s long, or begin earlier")
    plan_song(config, replace(song, song_duration_sec=0.035), padded=True)


# Kept codes that fit nothing ----------------------------------------------------------------


def test_a_song_cannot_be_shorter_than_what_is_kept():
    field, message = refused(SMALL, a_song(SMALL, 20), {TOP: 21})
    assert field == "duration_sec"
    assert "21 codes of the top level are there already: ask for at least 0.061 s" in message
    shortest = a_song(SMALL, 21, duration_sec=0.061, song_duration_sec=1.0)
    plan_song(SMALL, shortest, {TOP: 21})


def test_codes_below_need_the_codes_above_them():
    field, message = refused(SMALL, a_song(SMALL, 40), {TOP: 10, MIDDLE: 41})
    assert field == "codes"
    assert "cover 1312 samples and those above them only 1280" in message
    assert refused(SMALL, a_song(SMALL, 40), {TOP: 10, BOTTOM: 1})[0] == "codes"
    assert refused(SMALL, a_song(SMALL, 40), {TOP: -1})[0] == "codes"


def test_codes_of_a_level_that_is_not_asked_for_are_not_dropped_in_silence():
    song = a_song(SMALL, 40, levels=(Level.TOP,))
    field, message = refused(SMALL, song, {TOP: 10, MIDDLE: 40})
    assert field == "levels"
    assert "only the levels ['top'] are asked for" in message


# Cutting ------------------------------------------------------------------------------------


def test_a_cut_keeps_the_same_time_at_all_levels():
    seconds = TIME_BASE.tokens_to_seconds(10, Level.TOP)
    whole = {TOP: 100, MIDDLE: 400, BOTTOM: 1600}
    assert cut_tokens(TIME_BASE, whole, seconds) == {TOP: 10, MIDDLE: 40, BOTTOM: 160}
    assert cut_tokens(TIME_BASE, whole) == whole


def test_a_song_that_was_stopped_keeps_what_each_level_has():
    stopped = {TOP: 100, MIDDLE: 64}
    assert cut_tokens(TIME_BASE, stopped) == stopped
    assert cut_tokens(TIME_BASE, stopped, 0.05) == {TOP: 17, MIDDLE: 64}
    assert cut_tokens(TIME_BASE, {TOP: 10, MIDDLE: 400, BOTTOM: 1600}) == {
        TOP: 10,
        MIDDLE: 40,
        BOTTOM: 160,
    }


@given(st.integers(1, 700), st.floats(0.0, 1.0))
def test_what_a_cut_keeps_can_be_gone_on_with(num_top_tokens, fraction):
    has_sec = TIME_BASE.tokens_to_seconds(num_top_tokens, Level.TOP)
    whole = {level: num_top_tokens * TIME_BASE.tokens_per_top_token(level) for level in Level}
    assert cut_tokens(TIME_BASE, whole, has_sec) == whole
    keep_sec = fraction * has_sec
    assume(keep_sec >= TIME_BASE.tokens_to_seconds(1, Level.TOP))
    kept = cut_tokens(TIME_BASE, whole, keep_sec)
    assert TIME_BASE.tokens_to_seconds(kept[TOP], Level.TOP) <= keep_sec + 1e-9
    plan_song(SMALL, a_song(SMALL, num_top_tokens), kept, padded=True)


def test_the_length_that_was_asked_for_keeps_all():
    """The codes of a song are the whole top tokens inside its length."""
    assert cut_tokens(TIME_BASE, {TOP: 100}, 0.2931) == {TOP: 100}


@pytest.mark.parametrize("keep_sec", [0.0, -1.0, 0.0028, 0.2932, math.nan, math.inf])
def test_a_cut_outside_the_song_is_refused(keep_sec):
    with pytest.raises(SongError, match=r"between one token .* and the end") as caught:
        cut_tokens(TIME_BASE, {TOP: 100}, keep_sec)
    assert caught.value.field == "keep_sec"


@pytest.mark.parametrize("has", [{}, {TOP: 0}, {MIDDLE: 40}])
def test_nothing_can_be_gone_on_with_without_top_codes(has):
    with pytest.raises(SongError) as caught:
        cut_tokens(TIME_BASE, has)
    assert caught.value.field == "codes"
