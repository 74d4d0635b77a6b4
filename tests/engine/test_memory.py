"""A device that is too small slows a song down and never changes or ends it, if one row fits."""

import copy
from contextlib import contextmanager

import pytest
import torch

from jukebox_core.backends.memory import is_out_of_memory
from jukebox_core.engine import Engine, runners
from jukebox_core.units import Level
from tests.engine.windows import Draw, golden_priors, run_to_end

TOP = "prior_5b_lyrics"


def windows(num, level=Level.TOP):
    return {f"{level.label} {n}": Draw(TOP, level, seed=n, num_new=9 + n) for n in range(num)}


def submit(engine, draws):
    for name, window in draws.items():
        engine.submit(window.sequence(name))


def alone(draws):
    return {name: window.slowly() for name, window in draws.items()}


@contextmanager
def limited(prior, method, fits):
    """`method` of `prior` lacks memory whenever `fits(its arguments)` is false."""
    real, seen = getattr(prior, method), []

    def limited_method(*args, **kwargs):
        seen.append(fits(*args))
        if not seen[-1]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(*args, **kwargs)

    setattr(prior, method, limited_method)
    try:
        yield seen
    finally:
        delattr(prior, method)


@pytest.fixture
def priors():
    return golden_priors(TOP)


@pytest.mark.parametrize("max_step_rows", [1, 2, 3, 5])
@pytest.mark.parametrize("max_rows", [6, 16])
def test_rows_that_are_too_many_step_in_smaller_batches(priors, max_step_rows, max_rows, caplog):
    draws = windows(6)
    engine = Engine(priors, max_rows=max_rows)
    submit(engine, draws)
    fits = lambda ids, positions, cache, slots: len(ids) <= max_step_rows  # noqa: E731
    with limited(priors[Level.TOP], "decode", fits) as seen:
        results = run_to_end(engine)
    assert results == alone(draws)
    # What did not fit once is not tried again while anybody sings.
    assert seen.count(False) <= 4
    assert "fewer rows step together" in caplog.text


def test_memory_that_comes_back_is_used_again(priors):
    engine = Engine(priors, max_rows=8)
    submit(engine, windows(4))
    fits = lambda ids, positions, cache, slots: len(ids) <= 2  # noqa: E731
    with limited(priors[Level.TOP], "decode", fits):
        run_to_end(engine)
    submit(engine, windows(4))
    with limited(priors[Level.TOP], "decode", lambda ids, *_: True) as seen:
        run_to_end(engine)
    # All four in one call again: 12 steps for the longest, and those who came one by one.
    assert len(seen) < 20


def test_a_cache_that_is_too_large_is_made_smaller(priors, caplog):
    draws = windows(6)
    engine = Engine(priors, max_rows=16)
    submit(engine, draws)
    with limited(priors[Level.TOP], "allocate_cache", lambda num_slots: num_slots <= 3):
        results = run_to_end(engine)
    assert results == alone(draws)
    assert "a window has to wait" in caplog.text


def test_a_newcomer_without_room_waits_until_the_others_have_finished(priors):
    draws = windows(7)
    engine = Engine(priors, max_rows=4)
    submit(engine, draws)
    num_prefills = 0

    def fits(codes, conditioning, cache, slots):
        nonlocal num_prefills
        num_prefills += 1
        # The third in a large cache is one too many; a cache of two slots leaves room.
        return cache.num_slots <= 2 or num_prefills <= 2

    with limited(priors[Level.TOP], "prefill", fits) as seen:
        results = run_to_end(engine)
    assert results == alone(draws)
    assert list(results) == sorted(draws)
    assert seen.count(False) == 1


def test_idle_caches_of_other_priors_are_given_up_first(priors, caplog):
    engine = Engine(priors, max_rows=4)
    submit(engine, windows(2))
    run_to_end(engine)
    draws = windows(4, Level.MIDDLE)
    submit(engine, draws)
    fits = lambda *_: Level.TOP not in engine._runners  # noqa: E731
    with limited(priors[Level.MIDDLE], "allocate_cache", fits):
        assert run_to_end(engine) == alone(draws)
    assert engine._scheduler.num_slots(Level.MIDDLE) == 4
    again = windows(3)
    submit(engine, again)
    assert run_to_end(engine) == alone(again)


@pytest.mark.parametrize("method", ["decode", "prefill", "allocate_cache"])
def test_a_song_of_which_not_even_one_row_fits_ends_with_a_sentence(priors, method, caplog):
    engine = Engine(priors, max_rows=4)
    others = windows(2, Level.BOTTOM)
    submit(engine, windows(3) | others)
    with limited(priors[Level.TOP], method, lambda *_: False):
        results = run_to_end(engine)
    for name, result in results.items():
        if name in others:
            assert result == others[name].slowly()
        else:
            assert isinstance(result, torch.OutOfMemoryError)
            assert "one window of the top prior alone does not fit" in str(result)
    submit(engine, windows(3))
    assert run_to_end(engine) == alone(windows(3))


def test_a_window_may_be_canceled_while_it_waits_for_room(priors):
    engine = Engine(priors, max_rows=4)
    draws = windows(3)
    submit(engine, draws)
    with limited(priors[Level.TOP], "prefill", lambda codes, _, cache, slots: cache.num_slots < 4):
        assert engine.step() == []
        assert engine.cancel("top 0")
        results = run_to_end(engine)
    assert results == alone({name: draws[name] for name in ("top 1", "top 2")})


def test_a_device_for_one_prior_draws_level_after_level():
    """Nothing is kept of the other priors: each is asked for anew when its turn comes."""
    reference, present = golden_priors(TOP), []

    class OneAtATime(dict):
        def __getitem__(self, level):
            present[:] = [level]
            return reference[level]

    engine = Engine(OneAtATime(reference), max_rows=3, one_level_at_a_time=True)
    draws = windows(4) | windows(3, Level.MIDDLE) | windows(2, Level.BOTTOM)
    submit(engine, draws)
    results = {}
    while engine.has_work:
        for update in engine.step():
            results[update.id] = update.codes.tolist()
        running = [level for level in Level if engine._scheduler.running(level)]
        assert running in ([], present)
        assert list(engine._runners) == present
    assert results == alone(draws)


def test_what_allocators_say_is_understood():
    with pytest.raises(RuntimeError) as refused:
        torch.empty(10**15)
    assert is_out_of_memory(refused.value)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_mapped_weights_are_given_back_while_another_level_is_sampled(priors, monkeypatch):
    """Int8 ones, which nobody trains; what runs beside is left as it is."""
    given_back = []
    monkeypatch.setattr(runners, "give_back", given_back.append)
    int8 = {level: copy.deepcopy(prior).use_int8_weights() for level, prior in priors.items()}
    engine = Engine(int8, max_rows=2)
    submit(engine, windows(1))
    run_to_end(engine)
    assert given_back == [], "nothing else was sampled"
    submit(engine, windows(1, Level.MIDDLE))
    run_to_end(engine)
    assert given_back == [int8[Level.TOP]]
    submit(engine, windows(1) | windows(1, Level.BOTTOM))
    run_to_end(engine)
    assert int8[Level.MIDDLE] in given_back[1:]
    assert int8[Level.BOTTOM] not in given_back
