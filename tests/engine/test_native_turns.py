"""Turns of many tokens on several cores: the same codes, and the same memory to the bit."""

import copy
import random
import shutil
import threading
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jukebox_core.backends.native.backend import NativeBackend
from jukebox_core.engine import Engine
from jukebox_core.engine.turn_length import Pace
from jukebox_core.song import SamplingParams
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.engine.windows import Draw, golden_priors, run_to_end

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

TOP = "prior_5b_lyrics"


class AnyPace(Pace):
    """Takes as many tokens for a turn as a list says, whatever the clock."""

    def __init__(self, turns):
        super().__init__()
        self._turns = iter(turns)
        self.record(0, 0.0)

    def record(self, num_steps, seconds):
        self.num_steps = next(self._turns, 64)


class NativeEngine(Engine):
    def __init__(self, priors, **how):
        super().__init__(priors, backend="native", **how)


@pytest.fixture
def priors():
    return golden_priors(TOP)


@cache
def slowly(window):
    """With the step in torch, alone."""
    return window.slowly()


def draws_of_all_levels():
    return {
        f"{level.label} {number}": window
        for level in COARSE_TO_FINE
        for number, window in enumerate(
            [
                Draw(TOP, level, num_new=33),
                Draw(TOP, level, song=1, num_prefix=20, num_new=24, start_token=40, seed=1),
                Draw(TOP, level, num_prefix=63, num_new=1, start_token=8, sample=1),
                Draw(TOP, level, num_prefix=7, num_new=30, seed=2, params=WARM),
                Draw(TOP, level, song=1, num_new=21, seed=3, params=FILTERED),
            ]
        )
    }


WARM = SamplingParams(temperature=1.4)
FILTERED = SamplingParams(top_k=50, top_p=0.7)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(1, 40), max_size=30),
    st.integers(1, 4),
    st.sampled_from([1, 2, 5]),
    st.randoms(use_true_random=False),
)
def test_codes_depend_on_no_pace_no_company_and_no_cores(
    turns, num_threads, max_rows, shuffled: random.Random
):
    engine = NativeEngine(
        golden_priors(TOP),
        max_rows=max_rows,
        num_threads=num_threads,
        make_pace=lambda: AnyPace(turns),
    )
    draws, results = draws_of_all_levels(), {}
    names = list(draws)
    shuffled.shuffle(names)
    gone = names[0]
    for name in names:
        engine.submit(draws[name].sequence(name))
        for _ in range(shuffled.randrange(4)):
            for update in engine.step():
                results[update.id] = update.codes.tolist()
    if engine.cancel(gone):
        del draws[gone]
    run_to_end(engine, results)
    assert results == {name: slowly(window) for name, window in draws.items()}


def memory_after(priors, level, window, num_neighbors, **how):
    """Ids, and keys and values of the first slot, when a window and its neighbors are drawn."""
    # Two tokens in a turn, or the first would have ended and left its slot before all are there.
    engine = NativeEngine(
        {level: priors[level]}, max_rows=8, make_pace=lambda: AnyPace([2] * 99), **how
    )
    engine.submit(window.sequence("mine"))
    for number in range(num_neighbors):
        engine.submit(Draw(TOP, level, seed=number + 9, num_new=25).sequence(f"{number}"))
    run_to_end(engine)
    runner = engine._runners[level]
    strips = [strip.view(8, -1)[0] for strip in runner.memory.cache.layers]
    return [runner.memory.ids[0], *strips]


@pytest.mark.parametrize("level", COARSE_TO_FINE)
def test_the_memory_of_a_row_is_the_same_to_the_bit_in_any_company(priors, level):
    window = Draw(TOP, level, num_prefix=5, num_new=25)
    alone = memory_after(priors, level, window, 0, num_threads=1)
    for num_neighbors, num_threads in [(0, 2), (1, 1), (3, 2), (7, 1), (7, 3), (7, 8)]:
        together = memory_after(priors, level, window, num_neighbors, num_threads=num_threads)
        assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_levels_that_run_are_drawn_in_one_call(priors, monkeypatch):
    calls = []
    real = NativeBackend.run_parts

    def spy(groups, num_threads):
        calls.append(([len(group.rows) for group in groups], num_threads))
        return real(groups, num_threads)

    monkeypatch.setattr(NativeBackend, "run_parts", staticmethod(spy))
    engine = NativeEngine(priors, max_rows=4, num_threads=2, make_pace=lambda: AnyPace([2] * 99))
    for level in (Level.MIDDLE, Level.BOTTOM):
        engine.submit(Draw(TOP, level, num_new=40).sequence(level.label))
    for number in range(4):
        engine.submit(Draw(TOP, Level.TOP, num_new=60).sequence(f"{number}"))
    run_to_end(engine)
    assert sorted(sizes for sizes, _ in calls)[-1] == [4, 1, 1]
    # When the others have ended, both cores draw what is left.
    assert [2, 2] in [sizes for sizes, _ in calls]


def test_songs_are_drawn_while_a_newcomer_is_prefilled(priors, monkeypatch):
    """A core is left to him; with one core he is waited for."""
    seen = {}
    for num_threads in (1, 3):
        calls = seen[num_threads] = []
        engine = NativeEngine(priors, max_rows=4, num_threads=num_threads)

        def spy(groups, num_threads, calls=calls, engine=engine, real=NativeBackend.run_parts):
            calls.append((num_threads, sum(len(group.rows) for group in groups)))
            return real(groups, num_threads)

        with monkeypatch.context() as patch:
            patch.setattr(NativeBackend, "run_parts", staticmethod(spy))
            draws = {number: Draw(TOP, Level.TOP, num_new=60, seed=int(number)) for number in "123"}
            for name, window in draws.items():
                engine.submit(window.sequence(name))
            assert run_to_end(engine) == {name: slowly(window) for name, window in draws.items()}
    assert seen[1][:3] == [(1, 1), (1, 2), (1, 3)]
    assert seen[3][:4] == [(3, 1), (2, 1), (2, 2), (3, 3)]


def test_a_turn_that_fails_is_taken_again_by_each_prior_alone(priors, monkeypatch, caplog):
    real, failures = NativeBackend.run_parts, iter([False, True, False, True])

    def fail(groups, num_threads):
        if next(failures, False):
            raise MemoryError("tokens need more memory than there is")
        return real(groups, num_threads)

    monkeypatch.setattr(NativeBackend, "run_parts", staticmethod(fail))
    engine = NativeEngine(priors, max_rows=4, num_threads=2)
    draws = draws_of_all_levels()
    for name, window in draws.items():
        engine.submit(window.sequence(name))
    assert run_to_end(engine) == {name: slowly(window) for name, window in draws.items()}
    assert "is tried for each prior alone" in caplog.text


def test_a_prior_that_cannot_be_computed_in_c_goes_on_in_torch_and_takes_no_other_along(
    priors, caplog
):
    broken = dict(priors)
    broken[Level.MIDDLE] = copy.deepcopy(priors[Level.MIDDLE])
    weight = broken[Level.MIDDLE].transformer.stack()[0].mlp.input.weight
    weight.data = weight.data.T.contiguous().T
    engine = NativeEngine(broken, max_rows=2, num_threads=2)
    draws = {level.label: Draw(TOP, level, num_new=20) for level in (Level.MIDDLE, Level.BOTTOM)}
    for name, window in draws.items():
        engine.submit(window.sequence(name))
    assert run_to_end(engine) == {name: slowly(window) for name, window in draws.items()}
    (warning,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert warning.startswith("going on without the native backend: ConfigError: ")
    assert "contiguous" in warning


def newcomer_beside_another(priors):
    """An engine in which one window is drawn, and another begins in the next turn."""
    engine = NativeEngine(priors, max_rows=4, num_threads=2, make_pace=lambda: AnyPace([20] * 99))
    draws = {number: Draw(TOP, Level.TOP, num_new=60, seed=int(number)) for number in "12"}
    engine.submit(draws["1"].sequence("1"))
    assert engine.step() == []
    engine.submit(draws["2"].sequence("2"))
    return engine, {name: slowly(window) for name, window in draws.items()}


def test_a_newcomer_begins_where_no_thread_can_be_had(priors, monkeypatch):
    """As in a container that has as many as it may have: in line, and on no core of his own."""
    engine, expected = newcomer_beside_another(priors)

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert run_to_end(engine) == expected


def test_a_newcomer_that_breaks_the_engine_makes_nobody_draw_tokens_twice(priors, monkeypatch):
    """What several tokens wrote over in the cache, drawing them again would read."""
    engine, expected = newcomer_beside_another(priors)
    drawn_before = engine.progress("1")
    with monkeypatch.context() as patch:

        def break_down(sequence):
            raise KeyError("a bug")

        patch.setattr(engine, "_prefill", break_down)
        with pytest.raises(KeyError, match="a bug"):
            engine.step()
    assert engine.progress("1") > drawn_before
    engine.cancel("2")
    assert run_to_end(engine) == {"1": expected["1"]}
