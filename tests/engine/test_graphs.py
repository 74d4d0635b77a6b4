"""Captured steps draw what plain ones draw, or are not used. Captured on tape, see `tape.py`."""

import copy
import logging
import random

import pytest
import torch

from jukebox_core.engine import Engine, step_buffers
from jukebox_core.engine.cuda_graphs import capturer_maker
from jukebox_core.prior.native_step import reason_against_native_step
from jukebox_core.sampling import sampler
from jukebox_core.song import SamplingParams
from jukebox_core.step_kind import StepKind
from jukebox_core.units import Level
from tests.engine.tape import TapeCapturer
from tests.engine.windows import TOP_PRIORS, Draw, golden_priors, run_to_end

PRIORS = [(top, Level.TOP) for top in TOP_PRIORS] + [
    ("prior_5b", Level.MIDDLE),
    ("prior_5b", Level.BOTTOM),
]
FILTERS = [{}, {"top_k": 5}, {"top_p": 0.7}, {"top_k": 9, "top_p": 0.9, "temperature": 1.3}]


class GraphEngine(Engine):
    """An engine that captures on tape, and draws as many tokens in a turn as it may."""

    def __init__(self, priors, *, max_rows, capturer=TapeCapturer, **how):
        self.capturers = []
        super().__init__(
            priors, max_rows=max_rows, clock=lambda: 0.0, make_capturer=self._make, **how
        )
        self._capturer = capturer

    def _make(self):
        self.capturers.append(self._capturer())
        return self.capturers[-1]

    @property
    def num_captures(self):
        return sum(each.num_captures for each in self.capturers)

    @property
    def num_replays(self):
        return sum(each.num_replays for each in self.capturers)


def draws_of(top, level, num=5, **how):
    """Windows that stand at different places and end at different times, with filters or not."""
    return {
        f"{level.label} {n}": Draw(
            top,
            level,
            num_prefix=(0, 40, 9, 7, 1)[n % 5],
            num_new=(35, 24, 23, 3, 18)[n % 5],
            seed=n,
            params=SamplingParams(**FILTERS[n % len(FILTERS)]),
            **how,
        )
        for n in range(num)
    }


def submit(engine, draws, **how):
    for name, window in draws.items():
        sequence = window.sequence(name)
        for key, value in how.items():
            setattr(sequence, key, value)
        engine.submit(sequence)


def alone(draws):
    return {name: window.slowly() for name, window in draws.items()}


@pytest.mark.parametrize(("top", "level"), PRIORS)
def test_replays_draw_the_codes_of_plain_steps(top, level, caplog):
    draws = draws_of(top, level)
    engine = GraphEngine(golden_priors(top), max_rows=8)
    submit(engine, draws)
    assert run_to_end(engine) == alone(draws)
    assert engine.num_replays > engine.num_captures > 0
    assert "no captured steps" not in caplog.text


@pytest.mark.parametrize("params", FILTERS)
def test_windows_without_filters_and_with_each_are_captured_and_equal(params):
    draws = {
        f"{n}": Draw("prior_5b", Level.MIDDLE, num_new=30, seed=n, params=SamplingParams(**params))
        for n in range(2)
    }
    engine = GraphEngine(golden_priors("prior_5b"), max_rows=4)
    submit(engine, draws)
    assert run_to_end(engine) == alone(draws)
    # One token at a time while they came, then eight, then what was left.
    assert engine.num_captures == 2


@pytest.mark.parametrize("seed", range(2))
def test_windows_join_and_leave_between_replays_in_buckets_of_many_sizes(seed):
    top, shuffled = "prior_5b", random.Random(seed)
    draws = draws_of(top, Level.TOP, num=9) | draws_of(top, Level.MIDDLE, num=3)
    names = list(draws)
    shuffled.shuffle(names)
    engine, results = GraphEngine(golden_priors(top), max_rows=16), {}
    left = Draw(top, Level.TOP, num_new=60, seed=99)
    for name in names:
        submit(engine, {name: draws[name]})
        if name == names[3]:
            submit(engine, {"left": left})
        if name == names[6]:
            assert engine.cancel("left") or "left" in results
        for _ in range(shuffled.randrange(3)):
            for update in engine.step():
                results[update.id] = update.codes.tolist()
    run_to_end(engine, results)
    results.pop("left", None)
    assert results == alone(draws)


def test_a_song_does_not_depend_on_its_bucket():
    """With one row, too, since a CPU computes four at least."""
    window = Draw("prior_5b", Level.TOP, num_new=20)
    for max_rows in (1, 4, 12):
        engine = GraphEngine(golden_priors("prior_5b"), max_rows=max_rows)
        submit(engine, {"a": window})
        company = {f"{n}": Draw("prior_5b", Level.TOP, seed=n) for n in range(max_rows - 1)}
        submit(engine, company)
        rows = run_to_end(engine)
        if max_rows > 1:  # alone in its cache nothing can pad it
            assert rows["a"] == window.slowly()


def test_the_draw_as_a_gpu_does_it_is_captured_too(monkeypatch):
    def compare(logits, uniforms, rows):
        filtered = sampler.filter_logits(sampler._tempered(logits, rows), rows)
        probabilities = filtered.softmax(dim=-1)
        return sampler.compare(probabilities, probabilities.cumsum(-1), uniforms.unsqueeze(-1))

    monkeypatch.setattr(step_buffers, "draw", compare)
    draws = draws_of("prior_5b", Level.TOP)
    engine = GraphEngine(golden_priors("prior_5b"), max_rows=8)
    submit(engine, draws)
    assert run_to_end(engine) == alone(draws)
    assert engine.num_replays > engine.num_captures > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("top", "level"), PRIORS[1:4:2])
def test_half_precision_is_captured_and_equal(top, level, dtype):
    prior = copy.deepcopy(golden_priors(top)[level]).set_compute_dtype(dtype)
    check_equal_to_plain({level: prior}, draws_of(top, level, num=4))


@pytest.mark.parametrize(("top", "level"), PRIORS[1:4:2])
def test_int8_weights_are_captured_and_equal(top, level):
    prior = copy.deepcopy(golden_priors(top)[level]).use_int8_weights()
    check_equal_to_plain({level: prior}, draws_of(top, level, num=4))


def check_equal_to_plain(priors, draws):
    results = []
    for engine in (Engine(priors, max_rows=4), GraphEngine(priors, max_rows=4)):
        submit(engine, draws)
        results.append(run_to_end(engine))
    assert results[0] == results[1]
    assert engine.num_replays > engine.num_captures > 0


def test_rows_that_another_step_holds_may_be_padding():
    """Two steps of one prior, each in its own batch: neither moves the rows of the other."""
    if (reason := reason_against_native_step()) is not None:
        pytest.skip(reason)
    native = {f"n{n}": Draw("prior_5b", Level.TOP, num_new=40 + n, seed=n) for n in range(3)}
    plain = {f"p{n}": Draw("prior_5b", Level.TOP, num_new=30 + n, seed=9 + n) for n in range(2)}
    engine = GraphEngine(golden_priors("prior_5b"), max_rows=5)
    submit(engine, native, step=StepKind.NATIVE)
    submit(engine, plain, step=StepKind.PLAIN)
    results = run_to_end(engine)
    assert {name: results[name] for name in plain} == alone(plain)
    only_native = Engine(golden_priors("prior_5b"), max_rows=5)
    submit(only_native, native, step=StepKind.NATIVE)
    assert {name: results[name] for name in native} == run_to_end(only_native)
    assert engine.num_replays > 0


def test_what_was_captured_serves_all_batches_of_its_size():
    engine = GraphEngine(golden_priors("prior_5b"), max_rows=4)
    for seed in range(6):
        draws = {f"{n}": Draw("prior_5b", Level.TOP, num_new=20, seed=seed + n) for n in range(2)}
        submit(engine, draws)
        assert run_to_end(engine) == alone(draws)
    assert engine.num_captures == 2
    graphs = engine._runners[Level.TOP].graphs
    assert graphs.num_captured == 2
    assert graphs.capture_sec > 0.0


# ---- whatever goes wrong, no song is lost ----


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
    assert "went another way than the plain step" in message


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
    assert "differs from the plain step by 0.001" in message


def test_logits_that_are_no_numbers_prove_nothing(caplog):
    class NoNumbers(TapeCapturer):
        def capture(self, run):
            replay, output = super().capture(run)
            return (lambda: (replay(), output.fill_(float("nan")))), output

    assert "differs from the plain step by nan" in check_goes_on_without(NoNumbers, caplog)


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


# ---- who captures, and how many rows a step computes ----


@pytest.mark.parametrize(
    ("device", "how", "min_rows"),
    [
        ("cpu", {}, 4),
        ("cpu", {"deterministic": False}, 4),
        ("cuda", {}, 16),
        ("cuda", {"deterministic": False}, 1),
        ("cuda", {"min_rows": 2}, 2),
    ],
)
def test_elsewhere_than_on_a_cpu_steps_have_one_shape_if_songs_are_to_be_the_same(
    device, how, min_rows
):
    assert Engine({}, max_rows=16, device=device, **how)._min_rows == min_rows


@pytest.mark.parametrize(
    ("device", "wanted", "weights_stay", "captures"),
    [
        ("cuda", "auto", True, True),
        ("cuda:1", "auto", True, True),
        ("cuda", "off", True, False),
        ("cuda", "auto", False, False),
        ("cpu", "auto", True, False),
        ("mps", "auto", True, False),
    ],
)
def test_steps_are_captured_on_cuda_where_weights_stay(device, wanted, weights_stay, captures):
    maker = capturer_maker(torch.device(device), wanted, weights_stay=weights_stay)
    assert (maker is not None) is captures
