"""Who decides which levels are drawn at the same time: laws that hold whatever the song."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jukebox_core.engine.overlap import (
    LevelState,
    OverlapMode,
    RowBudget,
    levels_to_begin,
    plan_levels_at_once,
    upper_tokens_needed,
)
from jukebox_core.models.catalog import BUNDLED_MODELS, read_config
from jukebox_core.sampling.cascade import default_song_duration_sec, plan_song
from jukebox_core.song import SamplingParams, Song
from jukebox_core.units import COARSE_TO_FINE, Level

CONFIG = read_config(BUNDLED_MODELS / "mini")


def song_of(seconds, hop_fraction):
    sampling = {level: SamplingParams(hop_fraction=hop_fraction) for level in COARSE_TO_FINE}
    whole_sec = default_song_duration_sec(CONFIG, seconds, 0.0)
    return Song(
        artist="",
        genre="",
        lyrics="",
        duration_sec=seconds,
        song_duration_sec=whole_sec,
        sampling=sampling,
    )


class Simulated:
    """A song whose windows end in an order that chance gives."""

    def __init__(self, plan):
        self.plan = plan
        self.num_sampled = Counter()
        self.busy = set()

    def window(self, level):
        return self.plan.levels[level].windows[self.num_sampled[level]]

    def is_done(self, level):
        return self.num_sampled[level] == len(self.plan.levels[level].windows)

    def end(self, level):
        windows, drawn = self.plan.levels[level].windows, self.num_sampled[level]
        return windows[drawn - 1].end if drawn else windows[0].first_new

    def has_upper(self, level):
        if level.upper is None:
            return True
        total = self.plan.levels[level.upper].total_tokens
        return upper_tokens_needed(CONFIG, level, self.window(level), total) <= self.end(
            level.upper
        )

    def states(self):
        return [
            LevelState(
                level=level,
                is_done=self.is_done(level),
                is_busy=level in self.busy,
                can_begin=not self.is_done(level)
                and level not in self.busy
                and self.has_upper(level),
            )
            for level in COARSE_TO_FINE
        ]

    def due(self):
        return next((level for level in COARSE_TO_FINE if not self.is_done(level)), None)


@given(
    seconds=st.floats(6.0, 60.0),
    hop_fraction=st.sampled_from([0.25, 0.5]),
    max_rows=st.integers(1, 4),
    choices=st.randoms(use_true_random=False),
)
def test_every_song_is_drawn_and_what_is_due_never_waits(seconds, hop_fraction, max_rows, choices):
    song = Simulated(plan_song(CONFIG, song_of(seconds, hop_fraction), padded=True))
    while song.due() is not None:
        begun = levels_to_begin(song.states(), max_rows)
        for level in begun:
            assert level not in song.busy
            assert song.has_upper(level)
        song.busy |= set(begun)
        assert song.due() in song.busy
        assert len(song.busy) <= max(max_rows, 1)
        ended = choices.choice(sorted(song.busy))
        song.busy.remove(ended)
        song.num_sampled[ended] += 1
    assert song.num_sampled == {
        level: len(plan.windows) for level, plan in song.plan.levels.items() if plan.windows
    }


def state(level, *, is_done=False, is_busy=False, can_begin=False):
    return LevelState(level=level, is_done=is_done, is_busy=is_busy, can_begin=can_begin)


def test_the_finest_that_can_comes_before_others_that_are_not_due():
    states = [
        state(Level.TOP, is_busy=True),
        state(Level.MIDDLE, can_begin=True),
        state(Level.BOTTOM, can_begin=True),
    ]
    assert levels_to_begin(states, 1) == ()
    assert levels_to_begin(states, 2) == (Level.BOTTOM,)
    assert levels_to_begin(states, 3) == (Level.BOTTOM, Level.MIDDLE)


def test_the_segments_of_a_level_that_is_due_are_begun_while_others_run():
    states = [state(Level.TOP, is_done=True), state(Level.MIDDLE, is_busy=True, can_begin=True)]
    assert levels_to_begin(states, 1) == (Level.MIDDLE,)


@given(max_rows=st.integers(1, 64), own=st.integers(1, 32), others=st.integers(0, 64))
def test_no_lane_is_given_away_that_a_song_needs_for_what_is_due(max_rows, own, others):
    at_once = plan_levels_at_once(OverlapMode.AUTO, max_rows, own, own + others)
    ahead_rows = (at_once - 1) * own
    assert ahead_rows >= 0
    assert ahead_rows == 0 or ahead_rows + own + others <= max_rows
    assert ahead_rows + own > max_rows - own - others, "none is left idle that would be of use"
    assert plan_levels_at_once(OverlapMode.ON, max_rows, own, own + others) == len(COARSE_TO_FINE)
    assert plan_levels_at_once(OverlapMode.OFF, max_rows, own, own + others) == 1


def test_a_song_draws_ahead_until_others_need_the_lanes():
    budget = RowBudget(OverlapMode.AUTO, max_rows=2)
    assert budget.num_levels_for("mine", 1, shares_rows=True) == 2
    assert budget.num_levels_for("yours", 1, shares_rows=True) == 1
    assert budget.num_levels_for("mine", 1, shares_rows=True) == 1
    budget.leave("yours")
    assert budget.num_levels_for("mine", 1, shares_rows=True) == 2
    assert budget.num_levels_for("mine", 1, shares_rows=False) == 1, "levels take turns"
    assert budget.num_levels_for("mine", 2, shares_rows=True) == 1, "two takes have both lanes"


@pytest.mark.parametrize("level", [Level.MIDDLE, Level.BOTTOM])
def test_a_window_needs_the_codes_above_that_its_prior_reads(level):
    plan = plan_song(CONFIG, song_of(20.0, 0.5), padded=True)
    first, *_, last = plan.levels[level].windows
    total = plan.levels[level.upper].total_tokens
    context = CONFIG.prior(level).upper_context_tokens
    assert upper_tokens_needed(CONFIG, level, first, total) == context
    assert upper_tokens_needed(CONFIG, level, last, total) == total
