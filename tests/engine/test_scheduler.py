"""The scheduler alone: plain Python, checked by property."""

import random
from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jukebox_core.engine.scheduler import Scheduler
from jukebox_core.engine.sequence import Sequence, SequenceStatus
from jukebox_core.engine.turn_order import TurnOrder, turn_shares
from jukebox_core.errors import SamplingError
from jukebox_core.song import SamplingParams
from jukebox_core.units import COARSE_TO_FINE, Level


class Silence:
    """Noise that a scheduler never asks for."""

    def uniform(self, level, sample, position):
        raise NotImplementedError


def a_sequence(name="a", level=Level.TOP, num_new=3):
    return Sequence(
        id=name,
        level=level,
        labels=(),
        prefix_codes=np.empty(0, dtype=np.int64),
        upper_codes=None,
        start_token=0,
        num_new=num_new,
        sample=0,
        params=SamplingParams(),
        noise=Silence(),
    )


def run_turn(scheduler):
    """What an engine does with a turn, without a model."""
    turn = scheduler.next_turn()
    if turn is None:
        return None, ()
    running = scheduler.running(turn.level)
    for sequence in running:
        sequence.num_sampled += 1
        if sequence.is_complete:
            scheduler.remove(sequence)
    return turn, running


arrivals = st.lists(
    st.tuples(st.sampled_from(COARSE_TO_FINE), st.integers(1, 9), st.integers(0, 5)), max_size=30
)


@given(arrivals, st.integers(1, 5))
def test_everybody_ends_first_come_first_served_and_no_slot_is_shared(jobs, max_rows):
    scheduler = Scheduler(max_rows)
    late = deque()
    for number, (level, num_new, pause) in enumerate(jobs):
        late.append((pause, a_sequence(f"{number}", level, num_new)))
    admitted = {level: [] for level in COARSE_TO_FINE}
    everybody = [sequence for _, sequence in late]
    turns = 0
    while late or scheduler.has_work:
        if late and turns >= late[0][0]:
            scheduler.submit(late.popleft()[1])
        turn, running = run_turn(scheduler)
        turns += 1
        if turn is None:
            continue
        if turn.admitted is not None:
            admitted[turn.level].append(turn.admitted)
        held = [s.slot for s in scheduler.running(turn.level)]
        assert len(set(held)) == len(held)
        assert len(running) <= max_rows
        assert all(0 <= slot < max_rows for slot in held)
        assert turns < 10_000
    for level in COARSE_TO_FINE:
        assert admitted[level] == [s for s in everybody if s.level is level]
    assert all(s.status is SequenceStatus.FINISHED and s.slot is None for s in everybody)
    assert all(s.num_sampled == s.num_new for s in everybody)


numbers = st.dictionaries(
    st.sampled_from(COARSE_TO_FINE), st.integers(1, 60), min_size=1, max_size=3
)


@given(numbers)
def test_a_level_gets_turns_for_its_sequences_and_never_less_than_an_eighth(num_sequences):
    scheduler = Scheduler(max_rows=8)
    for level, number in num_sequences.items():
        for each in range(number):
            scheduler.submit(a_sequence(f"{level} {each}", level, num_new=10_000))
    served = [scheduler.next_turn().level for _ in range(200)]
    shares = turn_shares(num_sequences)
    assert sum(shares.values()) == pytest.approx(1.0)
    for level, share in shares.items():
        assert share >= 1 / 8
        assert abs(served.count(level) - 200 * share) <= len(num_sequences)


def test_most_turns_go_where_most_songs_are():
    shares = turn_shares({Level.TOP: 1, Level.MIDDLE: 1, Level.BOTTOM: 54})
    assert shares[Level.BOTTOM] > 0.7
    assert shares[Level.TOP] == shares[Level.MIDDLE] == pytest.approx(1 / 8, abs=0.005)
    assert turn_shares({Level.TOP: 3, Level.BOTTOM: 3}) == {Level.TOP: 0.5, Level.BOTTOM: 0.5}
    assert turn_shares({Level.TOP: 0, Level.BOTTOM: 3}) == {Level.BOTTOM: 1.0}


@given(
    st.lists(
        st.tuples(*[st.sampled_from((0, 0, 1, 7, 50)) for _ in COARSE_TO_FINE]),
        min_size=1,
        max_size=200,
    )
)
def test_no_level_with_work_waits_long_however_the_others_come_and_go(looks):
    order, waited = TurnOrder(COARSE_TO_FINE), dict.fromkeys(COARSE_TO_FINE, 0)
    for look in looks:
        num_sequences = dict(zip(COARSE_TO_FINE, look, strict=True))
        level = order.next(num_sequences)
        assert (level is None) == (not any(look))
        for each, number in num_sequences.items():
            waited[each] = waited[each] + 1 if number and each is not level else 0
            assert waited[each] <= 24
        assert level is None or num_sequences[level]


class RoundRobin:
    """Equal turns for all levels with work."""

    def __init__(self, levels):
        self.levels = deque(levels)

    def next(self, num_sequences):
        self.levels.rotate(-1)
        while not num_sequences[self.levels[0]]:
            self.levels.rotate(-1)
        return self.levels[0]


def turns_for_songs(num_songs, *, songs_at_once, max_rows):
    """Turns until songs of three levels and random lengths are done, each window after the last."""
    scheduler, lengths = Scheduler(max_rows), random.Random(1)
    to_come: dict[str, deque[Sequence]] = {}
    turns = begun = 0
    while begun < num_songs or scheduler.has_work:
        while begun < num_songs and len(to_come) < songs_at_once:
            name, seconds = f"{begun}", lengths.choice((1, 1, 1, 2, 2, 6))
            to_come[name] = deque(
                a_sequence(name, level, num_new=16)
                for level, windows in zip(COARSE_TO_FINE, (1, 4, 16), strict=True)
                for _ in range(windows * seconds)
            )
            scheduler.submit(to_come[name].popleft())
            begun += 1
        _, moved = run_turn(scheduler)
        turns += 1
        for ended in (each for each in moved if each.is_complete):
            if to_come[ended.id]:
                scheduler.submit(to_come[ended.id].popleft())
            else:
                del to_come[ended.id]
    return turns


def test_rows_fill_up_where_more_songs_are_in_hand_than_there_are_rows(monkeypatch):
    by_songs = turns_for_songs(150, songs_at_once=16, max_rows=8)
    monkeypatch.setattr("jukebox_core.engine.scheduler.TurnOrder", RoundRobin)
    assert by_songs < 0.85 * turns_for_songs(150, songs_at_once=16, max_rows=8)


def test_only_one_newcomer_joins_in_a_turn():
    scheduler = Scheduler(max_rows=4)
    for name in "abc":
        scheduler.submit(a_sequence(name, num_new=50))
    assert [scheduler.next_turn().admitted.id for _ in range(3)] == ["a", "b", "c"]
    assert scheduler.next_turn().admitted is None


def test_a_slot_that_comes_free_goes_to_the_next_in_line():
    scheduler = Scheduler(max_rows=1)
    first, second = a_sequence("first"), a_sequence("second")
    scheduler.submit(first)
    scheduler.submit(second)
    scheduler.next_turn()
    assert scheduler.next_turn().admitted is None
    scheduler.remove(first)
    assert scheduler.next_turn().admitted is second
    assert second.slot == 0


def test_a_waiting_sequence_can_be_removed():
    scheduler = Scheduler(max_rows=1)
    first, second, third = (a_sequence(name) for name in "abc")
    for sequence in (first, second, third):
        scheduler.submit(sequence)
    scheduler.next_turn()
    scheduler.remove(second)
    scheduler.remove(first)
    assert scheduler.next_turn().admitted is third


def test_nothing_to_do_is_said_plainly():
    scheduler = Scheduler(max_rows=2)
    assert scheduler.next_turn() is None
    assert not scheduler.has_work


def test_a_scheduler_without_rows_is_refused():
    with pytest.raises(SamplingError, match="at least 1"):
        Scheduler(max_rows=0)


@given(arrivals, st.integers(1, 4))
def test_one_level_at_a_time_finishes_what_it_began_and_starves_nobody(jobs, max_rows):
    scheduler = Scheduler(max_rows, one_level_at_a_time=True)
    everybody = [a_sequence(f"{n}", level, num_new) for n, (level, num_new, _) in enumerate(jobs)]
    for sequence in everybody:
        scheduler.submit(sequence)
    turns, level_before, switches = 0, None, 0
    while scheduler.has_work:
        turn, _ = run_turn(scheduler)
        others = [level for level in COARSE_TO_FINE if level is not turn.level]
        assert not any(scheduler.running(level) for level in others)
        switches += turn.level is not level_before
        level_before = turn.level
        turns += 1
        assert turns <= sum(sequence.num_new for sequence in everybody)
    assert all(sequence.status is SequenceStatus.FINISHED for sequence in everybody)
    assert switches <= len(everybody)


def test_one_level_at_a_time_fills_its_rows_while_no_other_level_waits():
    scheduler = Scheduler(max_rows=3, one_level_at_a_time=True)
    for name in "abc":
        scheduler.submit(a_sequence(name, num_new=50))
    for _ in range(2):
        run_turn(scheduler)
    assert len(scheduler.running(Level.TOP)) == 2
    scheduler.submit(a_sequence("other", Level.BOTTOM))
    for _ in range(3):
        run_turn(scheduler)
    assert len(scheduler.running(Level.TOP)) == 2


def test_a_prior_is_lent_unless_windows_of_another_run_on_a_device_for_one():
    scheduler = Scheduler(2, one_level_at_a_time=True)
    assert scheduler.is_free_for(Level.TOP)
    scheduler.submit(a_sequence("a", Level.MIDDLE))
    assert scheduler.is_free_for(Level.TOP)
    scheduler.next_turn()
    assert scheduler.is_free_for(Level.MIDDLE)
    assert not scheduler.is_free_for(Level.TOP)


def test_a_prior_is_always_lent_where_all_fit():
    scheduler = Scheduler(2)
    scheduler.submit(a_sequence("a", Level.MIDDLE))
    scheduler.next_turn()
    assert scheduler.is_free_for(Level.TOP)


@given(st.lists(st.integers(1, 80), min_size=1, max_size=5), st.integers(1, 64))
def test_a_turn_ends_no_row_early_and_draws_no_more_than_it_may(lefts, limit):
    scheduler = Scheduler(max_rows=5)
    rows = [a_sequence(f"{n}", num_new=left + 3) for n, left in enumerate(lefts)]
    for row in rows:
        scheduler.submit(row)
        scheduler.next_turn()
        row.num_sampled = 3
    assert scheduler.num_steps(rows, limit) == min(limit, *lefts)


def test_those_who_arrive_together_wait_for_each_other():
    scheduler = Scheduler(max_rows=2)
    for name in "abc":
        scheduler.submit(a_sequence(name, num_new=50))
    scheduler.next_turn()
    assert scheduler.num_steps(scheduler.running(Level.TOP), 16) == 1
    scheduler.next_turn()
    # The third has no slot to join in, and is not waited for.
    assert scheduler.num_steps(scheduler.running(Level.TOP), 16) == 16
