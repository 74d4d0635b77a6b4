"""The simulation of fleets adds up, and moves as fleets do."""

import random
from collections import deque

import pytest

from bench.fleet.calibrate import Arrival, Measured, arrived, at_the_pace_of, predicted
from bench.fleet.inputs import CARDS, LENGTHS, Demand, Efficiency, Operation
from bench.fleet.planner import (
    LEVELS,
    HostPlan,
    LevelSpeed,
    LevelWork,
    PoolPlan,
    SimulatedSong,
    busy_sec,
    mean_busy_sec,
    rows_computed,
    rows_that_fit,
    song_work,
    songs_per_sec,
    speed_of,
)
from bench.fleet.predict import best_split
from bench.fleet.simulation import Fleet, arrivals

ONE_TOKEN_A_SECOND = LevelSpeed(step_sec=(1.0, 1.0, 1.0, 1.0), prefix_sec=0.0)


def songs(*tokens: int, at: float = 0.0, level: str = "top") -> list[SimulatedSong]:
    return [
        SimulatedSong(
            arrived_at=at,
            levels=deque([(level, LevelWork(num_tokens=each, num_prefix=0, num_windows=4))]),
        )
        for each in tokens
    ]


def plan(speed: LevelSpeed = ONE_TOKEN_A_SECOND, levels=("top",), cards=1, **changes) -> PoolPlan:
    operation = {"min_cards": cards, "max_cards": cards, **changes.pop("operation", {})}
    return PoolPlan(
        name="test",
        levels=levels,
        speeds=dict.fromkeys(levels, speed),
        max_songs=changes.pop("max_songs", speed.max_rows),
        render_sec=changes.pop("render_sec", 0.0),
        operation=Operation(**operation),
        **changes,
    )


def run(plan: PoolPlan, queue: list[SimulatedSong], until: float | None = None) -> Fleet:
    fleet = Fleet([plan])
    fleet.run(queue, until)
    return fleet


def ends(queue: list[SimulatedSong]) -> list[float | None]:
    return [None if song.done_at is None else round(song.done_at, 6) for song in queue]


def test_rows_step_together_and_a_song_waits_for_a_place():
    queue = songs(10, 20, 10, 10, 5)
    run(plan(), queue)
    assert ends(queue) == [10, 20, 10, 10, 15]
    assert [song.waited_sec for song in queue] == [0, 0, 0, 0, 10]


def test_a_step_of_more_rows_takes_longer_for_all_of_them():
    speed = LevelSpeed(step_sec=(1.0, 1.5), prefix_sec=0.0)
    queue = songs(10, 20)
    run(plan(speed, operation={"is_deterministic": False}), queue)
    assert ends(queue) == [15, 25]
    queue = songs(10, 20)
    run(plan(speed, operation={"is_deterministic": True}), queue)
    assert ends(queue) == [15, 30]


def test_levels_of_a_worker_take_turns():
    queue = [*songs(10, level="top"), *songs(10, level="middle")]
    run(plan(levels=("top", "middle")), queue)
    assert ends(queue) == [20, 20]


@pytest.mark.parametrize(
    ("has_equal_turns", "expected"),
    # Three of four turns are for the three, or every second one.
    [(False, [30, 26.666667, 26.666667, 26.666667]), (True, [20, 30, 30, 30])],
)
def test_levels_have_turns_for_their_songs_or_of_equal_length(has_equal_turns, expected):
    queue = [*songs(10, level="top"), *songs(*[20] * 3, level="middle")]
    run(plan(levels=("top", "middle"), has_equal_turns=has_equal_turns), queue)
    assert ends(queue) == expected


def test_songs_without_a_row_wait_for_those_that_have_one():
    queue = songs(10, 10, 10, 10)
    run(plan(LevelSpeed(step_sec=(1.0, 1.0), prefix_sec=0.0), max_songs=4), queue)
    assert ends(queue) == [20, 20, 20, 20]
    assert [song.waited_sec for song in queue] == [0, 0, 0, 0]


def test_a_song_goes_from_pool_to_pool():
    work = LevelWork(num_tokens=10, num_prefix=0, num_windows=1)
    song = SimulatedSong(arrived_at=0.0, levels=deque([("top", work), ("bottom", work)]))
    fleet = Fleet([plan(), plan(levels=("bottom",), render_sec=3.0)])
    fleet.run([song])
    assert ends([song]) == [23]


def test_reading_a_prefix_holds_all_rows_up():
    speed = LevelSpeed(step_sec=(1.0, 1.0), prefix_sec=0.5)
    queue = songs(10, 10)
    for song in queue:
        song.levels = deque([("top", LevelWork(num_tokens=10, num_prefix=4, num_windows=1))])
    run(plan(speed), queue)
    assert ends(queue) == [14, 14]


def test_songs_are_dealt_out_to_the_workers():
    queue = songs(10, 10, 10, 10)
    run(plan(LevelSpeed(step_sec=(1.0,), prefix_sec=0.0), cards=2), queue)
    assert ends(queue) == [10, 10, 20, 20]


def test_workers_that_share_a_core_are_slower_only_while_they_do():
    queue = songs(10, 20)
    one_song = LevelSpeed(step_sec=(1.0,), prefix_sec=0.0)
    run(plan(one_song, cards=2, host=HostPlan((1.0, 2.0))), queue)
    assert ends(queue) == [20, 30]


def test_workers_that_share_cores_wait_for_each_other_while_they_render_too():
    queue = songs(10, 30)
    one_song = LevelSpeed(step_sec=(1.0,), prefix_sec=0.0)
    run(plan(one_song, cards=2, host=HostPlan((1.0, 1.5)), render_sec=4.0), queue)
    # 10 tokens and 4 s at the slower pace; then 16 tokens and 4 s are left, at the faster one.
    assert ends(queue) == [21, 21 + 16 + 4]


def test_workers_of_different_hosts_do_not_hold_each_other_up():
    queue = songs(10, 10, 10)
    one_song = LevelSpeed(step_sec=(1.0,), prefix_sec=0.0)
    run(plan(one_song, cards=3, host=HostPlan((1.0, 2.0), num_workers=2)), queue)
    assert ends(queue) == [20, 20, 10]


def test_more_workers_than_were_measured_share_what_the_host_is_worth():
    host = HostPlan((1.0, 1.6))
    assert [host.slowdown(number) for number in (0, 1, 2, 4)] == [1.0, 1.0, 1.6, 3.2]


def test_a_pool_grows_after_a_delay_and_shrinks_when_it_is_idle():
    operation = {"max_cards": 3, "look_sec": 10.0, "start_sec": 40.0, "cooldown_sec": 60.0}
    queue = songs(*[100] * 3)
    one_song = LevelSpeed(step_sec=(1.0,), prefix_sec=0.0)
    fleet = run(plan(one_song, operation=operation), queue, until=1000.0)
    assert ends(queue) == [100, 150, 150]
    (pool,) = fleet.pools
    assert pool.figures.most_cards == 3
    assert len(pool.workers) == 1


def test_a_song_of_a_card_that_is_taken_away_goes_on_from_its_last_whole_window():
    operation = {"spot_mean_sec": 30.0, "start_sec": 0.0}
    queue = songs(100)
    fleet = run(plan(operation=operation), queue)
    (pool,) = fleet.pools
    assert pool.figures.num_preempted > 0
    (end,) = ends(queue)
    assert 100 < end <= 100 + 25 * pool.figures.num_preempted


def test_the_queue_of_one_server_is_as_long_as_queueing_theory_says():
    # M/D/1 at 70 %: the mean wait is load / (2 (1 - load)) times the service.
    rng, at, queue = random.Random(1), 0.0, []
    for _ in range(8000):
        at += rng.expovariate(0.7 / 10.0)
        queue += songs(10, at=at)
    run(plan(LevelSpeed(step_sec=(1.0,), prefix_sec=0.0)), queue)
    waited = sum(song.waited_sec for song in queue) / len(queue)
    assert waited == pytest.approx(10.0 * 0.7 / (2 * 0.3), rel=0.1)


def test_arrivals_are_as_many_as_the_day_has_and_most_at_noon():
    demand = Demand(songs_per_day=5000.0, lengths=LENGTHS, swing=0.6)
    found = list(arrivals("1b_lyrics", demand, 86_400.0, random.Random(0)))
    assert len(found) == pytest.approx(5000, rel=0.05)
    at_noon = sum(40_000 < song.arrived_at < 46_400 for song in found)
    at_midnight = sum(not 3_200 < song.arrived_at < 83_200 for song in found)
    assert at_noon > 3 * at_midnight
    drafts = sum(len(song.levels) == 1 for song in found) / len(found)
    assert drafts == pytest.approx(demand.draft_share, abs=0.03)
    assert songs_per_sec(demand, 43_200.0) == pytest.approx(1.6 * 5000 / 86_400)


def test_a_song_is_planned_as_the_service_plans_it():
    work = song_work("5b_lyrics", 60.0)
    assert list(work) == list(LEVELS)
    # A window of the top level lasts 8,192 tokens, and the next begins 1,024 later.
    assert work["top"].num_tokens == 20_671
    assert work["top"].num_windows == 14
    assert work["bottom"].num_tokens == 16 * 20_671
    assert list(song_work("5b_lyrics", 60.0, is_draft=True)) == ["top"]


def test_predicted_steps_are_those_of_the_page_on_performance():
    assumed = Efficiency(product_share=1.0)
    card = CARDS["h200"].__class__(
        name="page",
        memory_bytes=141e9,
        bytes_per_sec=4.3e12,
        flop_per_sec=1e18,
        usd_per_hour=1.0,
        spot_usd_per_hour=1.0,
    )
    for model, level, num_rows, expected_ms in (
        ("5b_lyrics", "top", 1, 3.978),
        ("5b_lyrics", "top", 128, 5.735),
        ("1b_lyrics", "top", 32, 1.642),
        ("5b_lyrics", "bottom", 128, 1.710),
    ):
        speed = speed_of(card, model, level, 128, assumed)
        assert 1e3 * speed.step_sec[num_rows - 1] == pytest.approx(expected_ms, rel=0.003)


def test_rows_are_computed_as_needed_or_all():
    assert [rows_computed(n, 55, is_deterministic=False) for n in (1, 2, 3, 5, 33, 55)] == [
        *(1, 2, 4, 8, 55, 55)
    ]
    assert rows_computed(1, 55, is_deterministic=True) == 55


def test_the_best_split_is_the_fastest_of_those_that_cost_nearly_as_little():
    splits = {
        "dear": {"usd_per_song": 0.02, "song_sec": {"p50": 100.0}},
        "slow": {"usd_per_song": 0.0100, "song_sec": {"p50": 900.0}},
        "fast": {"usd_per_song": 0.0102, "song_sec": {"p50": 500.0}},
    }
    assert best_split(splits) == "fast"


def test_fewer_levels_leave_room_for_more_songs():
    card, efficiency = CARDS["h200"], Efficiency()
    together = rows_that_fit(card, "5b_lyrics", LEVELS, efficiency)
    assert 0 < together < rows_that_fit(card, "5b_lyrics", ["top"], efficiency)
    assert rows_that_fit(CARDS["l4"], "5b_lyrics", ["top"], efficiency) < together
    speeds = {level: speed_of(card, "5b_lyrics", level, together, efficiency) for level in LEVELS}
    busy = mean_busy_sec("5b_lyrics", Demand(songs_per_day=1.0, lengths={60.0: 1.0}), speeds)
    work = song_work("5b_lyrics", 60.0)
    assert busy["bottom"] == pytest.approx(0.8 * busy_sec(speeds["bottom"], work["bottom"]))


def test_a_burst_is_predicted_from_what_one_worker_takes():
    speeds = {level: LevelSpeed(step_sec=(0.01, 0.01), prefix_sec=0.0) for level in LEVELS}
    measured = Measured(
        speeds=speeds,
        tokens_per_sec=dict.fromkeys(LEVELS, 100.0),
        render_sec=1.0,
    )
    host, burst = HostPlan((1.0,)), [Arrival(0.0, 1.0)] * 4
    waits = [song.waited_sec for song in predicted(measured, 1, host, burst)]
    assert waits == pytest.approx([0.0, 0.0, 4.0, 4.0])
    slower = at_the_pace_of(6.0, measured, 1, host, burst)
    assert slower.slowdowns == pytest.approx((1.5,))


def test_songs_arrive_in_the_simulation_when_they_were_posted():
    jobs = [
        {"created_at": f"2026-01-01T00:00:0{second}+00:00", "duration_seconds": 4.0 + second}
        for second in (3, 1)
    ]
    assert arrived(jobs) == [Arrival(0.0, 5.0), Arrival(2.0, 7.0)]
