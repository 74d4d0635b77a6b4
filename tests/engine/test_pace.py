"""Tokens per turn, decided from numbers alone: no clock runs here."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from jukebox_core.engine.turn_length import Pace

seconds = st.floats(0.0, 10.0)


def turns_of(pace, sec_per_step, num_turns):
    """Tokens of each turn where every token lasts equally long."""
    taken = []
    for _ in range(num_turns):
        taken.append(pace.num_steps)
        pace.record(pace.num_steps, pace.num_steps * sec_per_step)
    return taken


def test_turns_grow_until_they_last_as_long_as_others_can_wait():
    assert turns_of(Pace(turn_sec=15 / 1024, max_steps=64), 1 / 1024, 6) == [1, 2, 4, 8, 15, 15]


def test_slow_tokens_are_drawn_one_by_one():
    assert turns_of(Pace(turn_sec=0.015), 0.1, 3) == [1, 1, 1]


def test_there_is_an_end_to_what_a_turn_may_draw():
    assert turns_of(Pace(max_steps=64), 0.0, 8)[-2:] == [64, 64]


def test_a_turn_that_had_little_left_to_draw_slows_nobody_down():
    pace = Pace(turn_sec=49 / 4096, max_steps=64)
    turns_of(pace, 1 / 4096, 10)
    before = pace.num_steps
    pace.record(1, 1 / 4096)
    assert pace.num_steps == before == 49


def test_one_slow_turn_is_made_up_for_soon():
    pace = Pace(turn_sec=49 / 4096, max_steps=64)
    turns_of(pace, 1 / 4096, 10)
    pace.record(49, 1.0)
    assert turns_of(pace, 1 / 4096, 8)[-1] == 49


@given(st.lists(st.tuples(st.integers(1, 64), seconds), max_size=20), st.integers(1, 64))
def test_every_turn_draws_at_least_one_token_and_never_too_many(turns, max_steps):
    pace = Pace(max_steps=max_steps)
    for num_steps, lasted in turns:
        before = pace.num_steps
        pace.record(min(num_steps, before), lasted)
        assert 1 <= pace.num_steps <= min(2 * before, max_steps)


@given(st.floats(1e-6, 1.0))
def test_a_steady_turn_lasts_no_longer_than_wanted_or_is_one_token(sec_per_step):
    pace = Pace(turn_sec=0.015, max_steps=64)
    for num_steps in itertools.islice(turns_of(pace, sec_per_step, 20), 1, None):
        assert num_steps == 1 or num_steps * sec_per_step <= 0.015 * (1 + 1e-9)
