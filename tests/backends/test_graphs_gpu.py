"""Real CUDA graphs: what `test_graphs.py` holds on tape, where a device runs on its own.

    python -m pytest -m gpu tests/engine tests/prior

It needs a CUDA device and nothing else, and takes the golden priors.
"""

import copy
import logging

import pytest
import torch

from jukebox_core.backends.graphs.cuda_graphs import CudaCapturer
from jukebox_core.backends.triton.backend import reason_against_kernels
from jukebox_core.engine import Engine
from jukebox_core.song import SamplingParams
from jukebox_core.units import Level
from tests.backends.graph_engine import PRIORS, alone, draws_of, submit
from tests.engine.windows import Draw, golden_priors, run_to_end

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

DEVICE = torch.device("cuda")
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def on_gpu(top, level, dtype=torch.float32):
    prior = copy.deepcopy(golden_priors(top)[level]).set_compute_dtype(dtype)
    return {level: prior.to(DEVICE)}


def capturing(priors, max_rows=8, **how):
    """An engine that captures, and draws eight tokens and more in a turn from the first on."""
    return Engine(
        priors,
        max_rows=max_rows,
        device=DEVICE,
        clock=lambda: 0.0,
        make_capturer=lambda: CudaCapturer(DEVICE),
        **how,
    )


def drawn(engine, draws, **how):
    submit(engine, draws, **how)
    return run_to_end(engine)


def graphs_of(engine, level):
    return engine._runners[level].graphs


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("top", "level"), PRIORS)
def test_replays_draw_the_codes_of_plain_steps(top, level, dtype, caplog):
    priors, draws = on_gpu(top, level, dtype), draws_of(top, level)
    engine = capturing(priors)
    with caplog.at_level(logging.WARNING):
        results = drawn(engine, draws)
    assert caplog.text == ""
    assert graphs_of(engine, level).num_captured > 1
    assert results == drawn(Engine(priors, max_rows=8, device=DEVICE), draws)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("top", "level"), PRIORS)
def test_replays_of_fused_steps_draw_their_codes(top, level, dtype, caplog):
    if (reason := reason_against_kernels()) is not None:
        pytest.skip(reason)
    priors, draws = on_gpu(top, level, dtype), draws_of(top, level)
    engine, plain = capturing(priors), Engine(priors, max_rows=8, device=DEVICE)
    with caplog.at_level(logging.WARNING):
        results = drawn(engine, draws, backend="triton")
    assert caplog.text == ""
    assert graphs_of(engine, level)._inner.reason_against is None
    assert results == drawn(plain, draws, backend="triton")


def test_int8_weights_are_captured():
    priors, draws = on_gpu("prior_5b_lyrics", Level.TOP), draws_of("prior_5b_lyrics", Level.TOP)
    priors[Level.TOP].use_int8_weights()
    engine = capturing(priors)
    assert drawn(engine, draws) == drawn(Engine(priors, max_rows=8, device=DEVICE), draws)
    assert graphs_of(engine, Level.TOP).num_captured > 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("top", "level"), PRIORS)
def test_a_song_is_the_same_in_any_company_where_steps_have_one_shape(top, level, dtype):
    priors, draws = on_gpu(top, level, dtype), draws_of(top, level, num=10)
    together = drawn(capturing(priors), draws)
    for name, window in draws.items():
        assert drawn(capturing(priors), {name: window}) == {name: together[name]}


@pytest.mark.parametrize("max_rows", [1, 3, 8])
def test_smaller_steps_are_captured_for_fewer_songs(max_rows):
    priors, draws = on_gpu("prior_5b", Level.MIDDLE), draws_of("prior_5b", Level.MIDDLE)
    engine = capturing(priors, max_rows, deterministic=False)
    results = drawn(engine, draws)
    assert set(results) == set(draws)
    # The last one draws alone.
    assert any(key.num_rows == 1 for key in graphs_of(engine, Level.MIDDLE)._replays)


def test_replays_wait_for_nothing_and_take_no_memory():
    priors = on_gpu("prior_5b", Level.MIDDLE)
    engine = capturing(priors)
    warm = {f"{n}": Draw("prior_5b", Level.MIDDLE, num_new=64, seed=n) for n in range(8)}
    drawn(engine, warm)
    submit(engine, warm)
    for _ in range(8):
        engine.step()  # one begins in each
    torch.cuda.synchronize()
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    runner, rows = engine._runners[Level.MIDDLE], engine._scheduler.running(Level.MIDDLE)
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert runner.decode(rows, max_rows=8, num_steps=17) == 17
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before


def test_a_capture_that_fails_leaves_device_and_stream_as_they_were(caplog, monkeypatch):
    priors, draws = on_gpu("prior_5b_lyrics", Level.TOP), draws_of("prior_5b_lyrics", Level.TOP)
    expected = drawn(Engine(priors, max_rows=8, device=DEVICE), draws)
    real, stream = priors[Level.TOP].decode, torch.cuda.current_stream()

    def asking(ids, *args, **how):
        logits = real(ids, *args, **how)
        return logits * (1.0 if logits[0, 0].item() < 1e9 else 2.0)

    monkeypatch.setattr(priors[Level.TOP], "decode", asking)
    engine = capturing(priors)
    assert drawn(engine, draws) == expected
    assert "no captured steps any more" in caplog.text
    assert torch.cuda.current_stream() == stream
    monkeypatch.undo()
    # Another engine in the same process captures all the same.
    after = capturing(priors)
    assert drawn(after, draws) == expected
    assert graphs_of(after, Level.TOP).num_captured > 1


def test_weights_that_move_are_captured_anew():
    priors, draws = on_gpu("prior_5b", Level.TOP), draws_of("prior_5b", Level.TOP, num=3)
    engine = capturing(priors)
    expected = drawn(engine, draws)
    home = {name: weight.cpu() for name, weight in priors[Level.TOP].state_dict().items()}
    priors[Level.TOP].load_state_dict(home, assign=True)
    there = {name: weight.to(DEVICE) for name, weight in home.items()}
    priors[Level.TOP].load_state_dict(there, assign=True)
    assert drawn(engine, draws) == expected


def test_the_memory_of_graphs_comes_back():
    priors, draws = on_gpu("prior_5b", Level.TOP), draws_of("prior_5b", Level.TOP)
    engine = capturing(priors)
    drawn(engine, draws)
    graphs = graphs_of(engine, Level.TOP)
    held = torch.cuda.memory_reserved()
    assert graphs.give_up("out of memory")
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() < held
    assert drawn(engine, draws).keys() == draws.keys()


def test_settings_of_rows_change_without_another_capture():
    priors = on_gpu("prior_5b", Level.TOP)
    engine = capturing(priors)
    for temperature in (0.7, 1.0, 1.5):
        params = SamplingParams(temperature=temperature, top_k=7)
        draws = {"a": Draw("prior_5b", Level.TOP, num_new=40, params=params)}
        plain = Engine(priors, max_rows=8, device=DEVICE)
        assert drawn(engine, draws) == drawn(plain, draws)
    assert graphs_of(engine, Level.TOP).num_captured == 2


def test_in_float32_a_gpu_draws_nearly_what_a_cpu_draws():
    """Rounding differs, so a window may go another way; not many of these short ones do."""
    draws = {f"{n}": Draw("prior_5b", Level.MIDDLE, num_new=24, seed=n) for n in range(12)}
    results, expected = drawn(capturing(on_gpu("prior_5b", Level.MIDDLE)), draws), alone(draws)
    assert sum(results[name] == expected[name] for name in draws) >= 10
