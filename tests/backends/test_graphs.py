"""Captured steps draw what plain ones draw. Captured on tape, see `tape.py`."""

import copy
import random

import pytest
import torch

from jukebox_core.backends import step_buffers
from jukebox_core.backends.graphs.cuda_graphs import capturer_maker
from jukebox_core.backends.native.library import reason_against_compiling
from jukebox_core.engine import Engine
from jukebox_core.sampling import sampler
from jukebox_core.song import SamplingParams
from jukebox_core.units import Level
from tests.backends.graph_engine import FILTERS, PRIORS, GraphEngine, alone, draws_of, submit
from tests.engine.windows import Draw, golden_priors, run_to_end


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
    """Two backends of one prior, each in its own batch: neither moves the rows of the other."""
    if (reason := reason_against_compiling()) is not None:
        pytest.skip(reason)
    native = {f"n{n}": Draw("prior_5b", Level.TOP, num_new=40 + n, seed=n) for n in range(3)}
    plain = {f"p{n}": Draw("prior_5b", Level.TOP, num_new=30 + n, seed=9 + n) for n in range(2)}
    engine = GraphEngine(golden_priors("prior_5b"), max_rows=5)
    submit(engine, native, backend="native")
    submit(engine, plain, backend="torch")
    results = run_to_end(engine)
    assert {name: results[name] for name in plain} == alone(plain)
    only_native = Engine(golden_priors("prior_5b"), max_rows=5)
    submit(only_native, native, backend="native")
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
    assert Engine({}, max_rows=16, device=device, **how)._runners.min_rows == min_rows


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
