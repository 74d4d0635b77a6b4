"""A song as a state machine: laws that hold for any plan, with codes that say where they belong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jukebox_core.engine.overlap import finest_to_begin, levels_to_begin
from jukebox_core.engine.song_run import SongInputs, SongRun
from jukebox_core.labels import SongLabels
from jukebox_core.models.catalog import BUNDLED_MODELS, read_config
from jukebox_core.sampling.cascade import default_song_duration_sec, plan_song
from jukebox_core.sampling.infill import section_infills
from jukebox_core.sampling.noise import CounterNoise
from jukebox_core.sampling.step_cost import LevelWork, SampledWork, StepCosts
from jukebox_core.song import Song, Speed, default_sampling
from jukebox_core.units import COARSE_TO_FINE, Level

CONFIG = read_config(BUNDLED_MODELS / "mini")
NUM_ROWS = 2
LABELS = (SongLabels(artist_id=1, genre_ids=(1,)),) * 3


def run_of(
    duration_sec, *, speed=Speed.EXACT, done_tokens=None, levels=COARSE_TO_FINE, infills=None
):
    song = Song(
        artist="",
        genre="",
        duration_sec=duration_sec,
        song_duration_sec=default_song_duration_sec(CONFIG, duration_sec, 0.0),
        speed=speed,
        levels=levels,
    )
    plan = plan_song(CONFIG, song, done_tokens, padded=True, infills=infills)
    run = SongRun(
        SongInputs(
            id="song",
            config=CONFIG,
            plan=plan,
            sampling=default_sampling(),
            labels=[LABELS] * NUM_ROWS,
            noise=CounterNoise(0),
        )
    )
    for level in levels:
        run.open(level, codes_of(level, range((done_tokens or {}).get(level, 0))))
    return run


def codes_of(level, places):
    """Codes that tell their level, row and place."""
    rows = np.arange(NUM_ROWS)[:, None]
    return (np.asarray(places, dtype=np.int64)[None] * 10 + rows) * 10 + level


def finish(window, upper_total):
    """Give a window the codes of its places; its prefix and the codes above were those, too."""
    level, sampled = window.level.level, window.segment.next_sampled
    for row, sequence in enumerate(window.sequences):
        read = range(sampled.start, sampled.first_new)
        np.testing.assert_array_equal(sequence.prefix_codes, codes_of(level, read)[row])
        if level.upper is not None:
            first = sampled.start // CONFIG.time_base.tokens_per_upper_token(level)
            above = np.arange(first, first + CONFIG.prior(level).upper_context_tokens)
            # A segment may read beyond the end, where the song begins again.
            above %= upper_total
            np.testing.assert_array_equal(sequence.upper_codes, codes_of(level.upper, above)[row])
    window.segment.take(codes_of(level, range(sampled.first_new, sampled.end)))


def generated(run, choose, random):
    """Windows in the order in which they ended, which is chance among those under way."""
    under_way, ended = [], []
    while not run.is_done:
        for level in choose(run.states(run.levels)):
            under_way += run.begin(level)
        window = under_way.pop(random.randrange(len(under_way)))
        upper = window.level.level.upper
        finish(window, None if upper is None else run[upper].plan.total_tokens)
        ended.append(window)
    assert not under_way
    return ended


ORDERS = {
    "level after level": lambda states: levels_to_begin(states, 1),
    "two levels at once": lambda states: levels_to_begin(states, 2),
    "three levels at once": lambda states: levels_to_begin(states, 3),
    "the finest first": finest_to_begin,
}


@pytest.mark.parametrize("choose", ORDERS.values(), ids=ORDERS)
@given(
    seconds=st.floats(0.2, 40.0),
    speed=st.sampled_from(Speed),
    random=st.randoms(use_true_random=False),
)
def test_a_song_is_complete_in_any_order_and_every_window_read_what_it_should(
    choose, seconds, speed, random
):
    run = run_of(seconds, speed=speed)
    ended = generated(run, choose, random)
    for level in run.levels:
        np.testing.assert_array_equal(
            level.codes, codes_of(level.level, range(level.plan.total_tokens))
        )
        assert level.num_tokens == level.end == level.plan.total_tokens
        assert level.output_codes.shape == (NUM_ROWS, level.plan.output_tokens)
        work = LevelWork(costs=StepCosts(window=3.0), unit=2.0, num_rows=NUM_ROWS)
        done = level.sampled_work(work)
        assert done.beginnings >= 2.0 * NUM_ROWS * 3.0 * len(level.plan.windows)
        assert done.beginnings + done.tokens == pytest.approx(level.plan.total_work(work))
        assert done.begun == 0.0
        windows = [w.window for w in ended if w.level is level]
        assert sorted(windows, key=lambda window: window.end) == list(level.plan.windows)
    ids = [sequence.id for window in ended for sequence in window.sequences]
    assert len(set(ids)) == len(ids)


def test_what_is_given_stays_and_is_counted():
    run = run_of(12.0, done_tokens={Level.TOP: 20}, levels=(Level.TOP,))
    top = run[Level.TOP]
    assert (top.end, top.num_tokens, top.num_taken) == (20, 20, 0)
    (window,) = run.begin(Level.TOP)
    assert not run.begin(Level.TOP), "its next window waits for this one"
    for sequence in window.sequences:
        sequence.num_sampled = 3
    assert (top.end, top.num_tokens) == (20, 23)
    window.segment.give_up()
    assert (top.num_tokens, top.is_busy) == (20, False)
    (again,) = run.begin(Level.TOP)
    assert again.window == window.window


def test_the_finest_level_goes_first_wherever_it_can_and_the_beginning_is_early():
    class First:
        def randrange(self, _):
            return 0

    run = run_of(40.0)
    levels = [window.level.level for window in generated(run, finest_to_begin, First())]
    assert levels[:2] == [Level.TOP, Level.MIDDLE]
    assert Level.TOP in levels[levels.index(Level.BOTTOM) :]
    assert levels[-1] is Level.BOTTOM


def test_a_warm_up_is_sampled_and_not_counted_as_the_song():
    run = run_of(30.0, speed=Speed.PARALLEL)
    run.open(Level.TOP, codes_of(Level.TOP, range(run.inputs.plan.levels[Level.TOP].total_tokens)))
    top, middle = run[Level.TOP], run[Level.MIDDLE]
    for segment in top.segments:
        while not segment.is_done:
            segment.begin(())
            sampled = segment.next_sampled
            segment.take(codes_of(Level.TOP, range(sampled.first_new, sampled.end)))
    assert middle.is_segmented
    windows = run.begin(Level.MIDDLE)
    assert len(windows) == len(middle.segments)
    warm = next(window for window in windows if window.warm_up_tokens)
    work = LevelWork(costs=StepCosts(window=3.0), unit=1.0, num_rows=NUM_ROWS)
    begun = NUM_ROWS * 3.0
    assert middle.sampled_work(work) == SampledWork(begun=begun * len(windows))
    for sequence in warm.sequences:
        sequence.num_sampled = warm.warm_up_tokens
    assert middle.num_tokens == 0
    done = middle.sampled_work(work)
    assert done.beginnings == begun
    assert done.begun == begun * (len(windows) - 1)
    assert done.tokens > 0.0, "a warm-up is work"
    for sequence in warm.sequences:
        sequence.num_sampled += 5
    assert middle.num_tokens == 5


# Infills --------------------------------------------------------------------------------------

SECTIONS = st.tuples(st.integers(1, 1_000), st.integers(0, 999), st.integers(1, 999)).map(
    lambda case: (case[0], case[1] % case[0], min(case[1] % case[0] + case[2], case[0]))
)


@settings(max_examples=30)
@given(SECTIONS, st.sampled_from(sorted(ORDERS)), st.randoms(use_true_random=False))
def test_a_section_is_sampled_again_and_all_that_is_read_is_final(section, order, random):
    total, first, end = section
    base = CONFIG.time_base
    infills = section_infills(base, first, end, total)
    done = {level: total * base.tokens_per_top_token(level) for level in COARSE_TO_FINE}
    # A token more for the sake of fractions.
    run = run_of((total + 0.5) * 256 / 16_000, done_tokens=done, infills=infills)
    read = []
    under_way = []
    while not run.is_done:
        for level in ORDERS[order](run.states(run.levels)):
            under_way += run.begin(level)
        window = under_way.pop(random.randrange(len(under_way)))
        sampled = window.segment.next_sampled
        read.append((window.level, sampled, window.sequences))
        # Nothing of it is what was there, apart from a few codes by which to find a join.
        new = codes_of(window.level.level, range(sampled.first_new, sampled.end))
        new[:, ::7] += 1_000
        window.segment.take(new)
    for level, sampled, sequences in read:
        upper = None if level.level.upper is None else run[level.level.upper]
        for row, sequence in enumerate(sequences):
            if upper is not None:
                above = sampled.start // base.tokens_per_upper_token(level.level)
                np.testing.assert_array_equal(
                    sequence.upper_codes,
                    upper.codes[
                        row, above : above + CONFIG.prior(level.level).upper_context_tokens
                    ],
                )
    for level in COARSE_TO_FINE:
        old, (infill,) = codes_of(level, range(done[level])), infills[level]
        new = run[level].output_codes
        np.testing.assert_array_equal(new[:, : infill.start], old[:, : infill.start])
        np.testing.assert_array_equal(new[:, infill.join_end :], old[:, infill.join_end :])
        assert (new[:, infill.start] != old[:, infill.start]).all()
        assert run[level].num_tokens == run[level].plan.total_tokens
