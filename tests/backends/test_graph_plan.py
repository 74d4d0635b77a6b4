"""Which captured steps serve a turn, from numbers alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jukebox_core.backends.graphs.graph_plan import REPLAY_STEPS, bucket_rows, buckets, replay_steps

slots = st.integers(1, 1024)


@pytest.mark.parametrize(
    ("num_slots", "expected"),
    [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (200, (1, 2, 4, 8, 16, 32, 64, 128, 200))],
)
def test_there_is_a_bucket_for_every_power_of_two_and_one_for_all_slots(num_slots, expected):
    assert buckets(num_slots) == expected


@given(slots, st.data())
def test_a_batch_takes_the_smallest_bucket_with_room_for_it(num_slots, data):
    num_rows = data.draw(st.integers(1, num_slots))
    size = bucket_rows(num_rows, min_rows=1, num_slots=num_slots)
    assert num_rows <= size <= num_slots
    assert not any(num_rows <= other < size for other in buckets(num_slots))


@given(slots, st.data())
def test_with_all_rows_at_least_there_is_one_bucket(num_slots, data):
    sizes = {
        bucket_rows(num_rows, min_rows=max(num_slots, 9), num_slots=num_slots)
        for num_rows in data.draw(st.sets(st.integers(1, num_slots), min_size=1))
    }
    assert sizes == {num_slots}


@given(st.integers(1, 500))
def test_replays_draw_exactly_what_was_asked_for(num_steps):
    parts = []
    while sum(parts) < num_steps:
        parts.append(replay_steps(num_steps - sum(parts)))
    assert sum(parts) == num_steps
    assert set(parts) <= set(REPLAY_STEPS)
    assert parts.count(1) < REPLAY_STEPS[0]
