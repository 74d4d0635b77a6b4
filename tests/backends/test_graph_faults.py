"""Captured steps that fail, lie, or lose their memory: no song is lost, and none is another one."""

import copy
import logging

import pytest
import torch

from jukebox_core.units import Level
from tests.backends.graph_engine import GraphEngine, alone, draws_of, submit
from tests.backends.tape import TapeCapturer
from tests.engine.windows import Draw, golden_priors, run_to_end


class Refusing(TapeCapturer):
    def capture(self, run):
        super().capture(run)
        raise RuntimeError("operation not permitted when stream is capturing")


class Lying(TapeCapturer):
    """Replays work on memory as they should, and then leave something else."""

    spoil = None

    def capture(self, run):
        replay, output = super().capture(run)

        def lie():
            replay()
            type(self).spoil()

        return lie, output


def check_goes_on_without(capturer, caplog, top="prior_5b_lyrics"):
    draws = draws_of(top, Level.TOP)
    engine = GraphEngine(golden_priors(top), max_rows=8, capturer=capturer)
    with caplog.at_level(logging.WARNING):
        submit(engine, draws)
        results = run_to_end(engine)
    assert results == alone(draws)
    assert engine.num_captures == 1
    warnings = [record.message for record in caplog.records]
    assert len(warnings) == 1
    return warnings[0]


def test_a_capture_that_fails_costs_no_song_and_is_not_tried_again(caplog):
    message = check_goes_on_without(Refusing, caplog)
    assert "no captured steps any more: RuntimeError: operation not permitted" in message


@pytest.mark.parametrize("what", ["last_ids", "positions", "places"])
def test_a_graph_that_goes_another_way_is_not_used(what, caplog):
    class Liar(Lying):
        def warm_up(self, run):
            Liar.spoil = lambda: getattr(buffers_of(run), what).add_(1)
            return super().warm_up(run)

    message = check_goes_on_without(Liar, caplog)
    assert "ids and positions differ from those of the reference" in message


def buffers_of(run):
    """Those that the captured function steps in."""
    return next(
        cell.cell_contents for cell in run.__closure__ if hasattr(cell.cell_contents, "places")
    )


def test_a_graph_with_other_logits_is_not_used(caplog):
    class OtherLogits(TapeCapturer):
        def capture(self, run):
            replay, output = super().capture(run)

            def other():
                replay()
                output.mul_(1.001)

            return other, output

    message = check_goes_on_without(OtherLogits, caplog)
    assert "logits differ by 0.001, and 2e-05 is rounding" in message


def test_logits_that_are_no_numbers_prove_nothing(caplog):
    class NoNumbers(TapeCapturer):
        def capture(self, run):
            replay, output = super().capture(run)
            return (lambda: (replay(), output.fill_(float("nan")))), output

    assert "logits differ by nan" in check_goes_on_without(NoNumbers, caplog)


def test_a_step_that_waits_for_the_device_is_refused_and_drawn_plainly(caplog, monkeypatch):
    priors = golden_priors("prior_5b_lyrics")
    real = priors[Level.TOP].decode

    def asking(ids, *args, **how):
        logits = real(ids, *args, **how)
        return logits * (1 if logits[0, 0].item() < 1e9 else 2)

    monkeypatch.setattr(priors[Level.TOP], "decode", asking)
    draws = draws_of("prior_5b_lyrics", Level.TOP, num=2)
    engine = GraphEngine(priors, max_rows=4)
    submit(engine, draws)
    results = run_to_end(engine)
    assert "item waits for the device" in caplog.text
    monkeypatch.undo()
    assert results == alone(draws)


def test_a_broken_device_is_no_reason_to_go_on(caplog):
    class Broken(Refusing):
        def settle(self):
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    draws = draws_of("prior_5b", Level.TOP, num=2)
    engine = GraphEngine(golden_priors("prior_5b"), max_rows=4, capturer=Broken)
    submit(engine, draws)
    results = run_to_end(engine)
    assert all(isinstance(each, torch.AcceleratorError) for each in results.values())


# ---- memory that moves, or is short ----


def test_weights_that_move_are_captured_anew():
    prior = copy.deepcopy(golden_priors("prior_5b")[Level.TOP])
    engine = GraphEngine({Level.TOP: prior}, max_rows=4)
    draws = draws_of("prior_5b", Level.TOP, num=3)
    submit(engine, draws)
    assert run_to_end(engine) == alone(draws)
    before = engine.num_captures
    away = {name: weight.clone() for name, weight in prior.state_dict().items()}
    prior.load_state_dict(away, assign=True)
    submit(engine, draws)
    assert engine.step() == engine.step() == []
    assert engine.num_captures > before
    before = engine.num_captures
    for weight in prior.parameters():  # also in the middle of a window
        weight.data = weight.data.clone()
    assert run_to_end(engine) == alone(draws)
    assert engine.num_captures > before


def test_other_weights_in_the_same_place_are_known_to_be_others():
    """A replay would read memory that somebody else has by now."""
    prior = copy.deepcopy(golden_priors("prior_5b")[Level.TOP])
    engine = GraphEngine({Level.TOP: prior}, max_rows=4)
    draws = draws_of("prior_5b", Level.TOP, num=2)
    submit(engine, draws)
    run_to_end(engine)
    for module in prior.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            # A new parameter with the storage of the old one.
            setattr(module, name, torch.nn.Parameter(weight.data, requires_grad=False))
    before = engine.num_captures
    submit(engine, draws)
    assert run_to_end(engine) == alone(draws)
    assert engine.num_captures == 2 * before


@pytest.mark.parametrize("method", ["prefill", "decode"])
def test_where_memory_is_short_captured_steps_are_the_first_to_go(method, caplog, monkeypatch):
    priors = golden_priors("prior_5b_lyrics")
    engine = GraphEngine(priors, max_rows=8)
    draws = draws_of("prior_5b_lyrics", Level.TOP, num=6)
    real, num_calls = getattr(priors[Level.TOP], method), 0

    def lacking(*args, **how):
        nonlocal num_calls
        num_calls += 1
        graphs = engine._runners[Level.TOP].graphs
        if num_calls > 2 and graphs.reason_against is None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(*args, **how)

    monkeypatch.setattr(priors[Level.TOP], method, lacking)
    submit(engine, draws)
    results = run_to_end(engine)
    monkeypatch.undo()
    assert results == alone(draws)
    assert engine._scheduler.num_slots(Level.TOP) == 8
    assert engine._scheduler.step_rows(Level.TOP) == 8
    assert "no captured steps any more: out of memory" in caplog.text
    assert engine._runners[Level.TOP].graphs.num_captured == 0


def test_a_smaller_cache_has_captured_steps_of_its_own(monkeypatch):
    priors = golden_priors("prior_5b")
    real = priors[Level.TOP].allocate_cache

    def allocate(num_slots, **how):
        if num_slots > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(num_slots, **how)

    monkeypatch.setattr(priors[Level.TOP], "allocate_cache", allocate)
    engine = GraphEngine(priors, max_rows=12, min_rows=1)
    draws = draws_of("prior_5b", Level.TOP, num=4)
    submit(engine, draws)
    results = run_to_end(engine)
    monkeypatch.undo()
    assert set(results) == set(draws)
    assert engine.num_replays > 0
    assert engine._runners[Level.TOP].num_slots == 3


def test_on_a_device_for_one_prior_captured_steps_leave_with_its_cache():
    reference, homes = golden_priors("prior_5b"), []

    class OneAtATime(dict):
        def __getitem__(self, level):
            homes.append(level)
            return reference[level]

    engine = GraphEngine(OneAtATime(reference), max_rows=4, one_level_at_a_time=True)
    draws = {}
    for level in Level:
        draws |= draws_of("prior_5b", level, num=2)
    submit(engine, draws)
    assert run_to_end(engine) == alone(draws)
    assert len(engine._runners) == 1
    # Who borrows another prior between two songs sends this one home.
    last = next(iter(engine._runners))
    homes.clear()
    again = draws_of("prior_5b", last, num=1)
    submit(engine, again)
    assert run_to_end(engine) == alone(again)
    assert homes == [last]


# ---- a turn of several tokens that fails in the middle ----


class FailingOnce:
    """Stands in for `decode` and fails at one call, as a fault that passes."""

    def __init__(self, real, call):
        self.real, self.call, self.num_calls = real, call, 0

    def __call__(self, *args, **how):
        self.num_calls += 1
        if self.num_calls == self.call:
            raise ArithmeticError("a cosmic ray")
        return self.real(*args, **how)


@pytest.mark.parametrize("capturer", [TapeCapturer, Refusing])
@pytest.mark.parametrize("call", [4, 7, 12, 15])
def test_what_fails_in_the_middle_of_a_turn_is_drawn_again(capturer, call, caplog, monkeypatch):
    """Rows of the golden windows hold eight tokens, so that turns go beyond them."""
    priors = golden_priors("prior_5b")
    draws = {f"{n}": Draw("prior_5b", Level.TOP, num_new=40, seed=n) for n in range(2)}
    failing = FailingOnce(priors[Level.TOP].decode, call)
    monkeypatch.setattr(priors[Level.TOP], "decode", failing)
    engine = GraphEngine(priors, max_rows=4, capturer=capturer)
    submit(engine, draws)
    results = run_to_end(engine)
    monkeypatch.undo()
    assert failing.num_calls > call
    assert results == alone(draws)
