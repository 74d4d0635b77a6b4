"""The kernels of the Triton backend: interpreted, compiled for GPUs that are absent, run on one."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from jukebox_core.backends.batch import SlotMemory
from jukebox_core.backends.choose import Target, choose_backend
from jukebox_core.backends.make import make_backend
from jukebox_core.backends.triton.backend import reason_against_kernels
from jukebox_core.backends.triton.kernels import tiles
from jukebox_core.config import AttentionKind
from jukebox_core.errors import ConfigError
from jukebox_core.models.released import released_config
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import Level

CASES = Path(__file__).with_name("triton_cases.py")
LARGEST_SHARED_BYTES = {80: 163 * 1024, 90: 227 * 1024}


def run_cases(**env):
    """Triton decides once for a process whether kernels are interpreted."""
    pytest.importorskip("triton")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
    run = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.nightly("kernels")
def test_interpreted_kernels_give_what_the_plain_step_gives():
    run_cases(TRITON_INTERPRET="1", OMP_NUM_THREADS="1")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_kernels_on_the_gpu_give_what_the_plain_step_gives():
    run_cases(TRITON_INTERPRET="0")


@cache
def released_prior(name):
    model, level = {"upsampler": ("5b", Level.BOTTOM)}.get(name, (name, Level.TOP))
    return released_config(model).prior(level)


def compiled(name, *, capability, kernels=None, **launch_options):
    """Of the launches of a step of a released prior, one of each kernel and kind of product."""
    pytest.importorskip("triton")
    from jukebox_core.backends.triton.launches import compile_launch, distinct, step_launches

    chosen = {}
    for launch in distinct(step_launches(released_prior(name), **launch_options)):
        constants = launch.constants
        sizes = {"STRIP_POSITIONS", "DEPTH"} & set(constants)
        key = (launch.kernel.__name__, *(constants[size] > 512 for size in sorted(sizes)))
        if kernels is None or launch.kernel.__name__ in kernels:
            chosen.setdefault(key, launch)
    assert chosen
    return [compile_launch(launch, capability=capability) for launch in chosen.values()]


def check_fit(kernels, capability):
    for kernel in kernels:
        assert f".target sm_{capability}" in kernel.ptx
        assert kernel.spill_bytes == 0, kernel.name
        assert kernel.shared_bytes <= LARGEST_SHARED_BYTES[capability], kernel.name


PRODUCTS = ("project_query_key_value", "project_hidden", "project_onto_residual")
HALF, BRAIN = torch.float16, torch.bfloat16


@pytest.mark.nightly("kernels")
@pytest.mark.parametrize(
    ("name", "capability", "options"),
    [
        ("upsampler", 90, {"num_rows": 1, "dtype": HALF}),
        ("1b_lyrics", 80, {"num_rows": 16, "dtype": BRAIN}),
        ("5b_lyrics", 90, {"num_rows": 64, "dtype": HALF, "kernels": PRODUCTS}),
        ("5b_lyrics", 80, {"num_rows": 20, "dtype": BRAIN, "is_int8": True, "kernels": PRODUCTS}),
        ("upsampler", 80, {"num_rows": 128, "dtype": torch.float32, "kernels": PRODUCTS}),
    ],
)
def test_kernels_of_released_sizes_compile_without_spilling(name, capability, options):
    check_fit(compiled(name, capability=capability, **options), capability)


@pytest.mark.nightly("kernels")
@pytest.mark.parametrize("num_rows", [1, 32, 64])
def test_rows_meet_the_same_instruction_in_tiles_of_any_number(num_rows):
    """Of tensor cores; and weights are on their way while others are multiplied."""
    for kernel in compiled("upsampler", capability=90, num_rows=num_rows, kernels=PRODUCTS[1:]):
        # It would add in the order of a layout.
        assert "tt.reduce" not in kernel.ttgir
        kinds = set(re.findall(r"mma\.sync\S+", kernel.ptx))
        assert kinds == {"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"}
        assert "wgmma" not in kernel.ptx
        assert "cp.async.cg.shared.global" in kernel.ptx


def test_a_step_is_five_launches_per_layer():
    pytest.importorskip("triton")
    from jukebox_core.backends.triton.launches import step_launches

    counts = {
        name: len(step_launches(released_prior(name), num_rows=1))
        for name in ("upsampler", "5b_lyrics", "1b_lyrics")
    }
    # And one for the statistics of the first norm; long strips are put together by one more.
    assert counts == {"upsampler": 361, "5b_lyrics": 1 + 5 * 79 + 7, "1b_lyrics": 1 + 5 * 72 + 4}


def test_how_deep_products_go_and_parts_of_strips_do_not_depend_on_rows():
    for num_rows in (1, 16, 17, 64, 500):
        for is_float32 in (False, True):
            tile = tiles.product_tile(
                1920,
                1440,
                num_rows=num_rows,
                weight_bytes=2,
                input_bytes=4,
                is_float32=is_float32,
            )
            assert tile.depths == (32 if is_float32 else 128)
            assert tile.columns in (16, 32)
            rows, columns = tile.grid(num_rows, 1440)
            assert rows * tile.rows >= num_rows
            assert columns * tile.columns >= 1440


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_machine_without_a_gpu_hears_what_is_missing():
    reason = reason_against_kernels()
    assert reason is not None
    assert reason.startswith("the triton backend needs ")
    target = Target(device_type="cuda", is_float32=False)
    with pytest.raises(ConfigError, match=re.escape(reason)):
        choose_backend(released_config("5b"), target, "triton")


def one_full_layer(name, kind, device="cuda"):
    """A prior of the released width with a single layer and random weights."""
    config = released_prior(name)
    stack = replace(config.transformer, layers=(kind,))
    has_encoder = config.lyrics is not None and config.lyrics.encoder is not None
    is_read = kind is AttentionKind.LYRIC_ENCODER or not has_encoder
    lyrics = config.lyrics if is_read else None
    # Only the stack counts: as a top prior it needs no codes from above.
    config = replace(config, level=Level.TOP, transformer=stack, conditioner=None, lyrics=lyrics)
    with torch.device(device):
        prior = JukeboxPrior(config)
    with torch.no_grad():
        for weight in prior.transformer.parameters():
            weight.normal_(0.0, weight.shape[0] ** -0.5 if weight.ndim == 2 else 0.3)
        for layer in prior.transformer.stack():
            layer.attention_norm.weight.add_(1.0)
            layer.mlp_norm.weight.add_(1.0)
    return prior.eval().requires_grad_(False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("is_int8", [False, True], ids=["full", "int8"])
@pytest.mark.parametrize("dtype", [torch.float32, HALF, BRAIN], ids=str)
@pytest.mark.parametrize("name", ["upsampler", "5b_lyrics", "1b_lyrics"])
def test_a_layer_of_full_width_agrees_and_is_the_same_to_the_bit_in_any_company(
    name, dtype, is_int8
):
    from jukebox_core.backends.triton.stack import TritonStack

    share = {torch.float32: 1e-5, HALF: 5e-3, BRAIN: 4e-2}[dtype]
    for kind in sorted(set(released_prior(name).transformer.layers)):
        prior = one_full_layer(name, kind).set_compute_dtype(dtype)
        prior = prior.use_int8_weights() if is_int8 else prior
        with torch.inference_mode():
            cache = prior.allocate_cache(40)
            for strips in cache.layers:
                strips.normal_()
            x = torch.randn(40, prior.config.transformer.width, device="cuda")
            positions = torch.randint(1, prior.config.context_tokens, (40,), device="cuda")
            slots = torch.randperm(40, device="cuda")
            wanted = prior.transformer.decode(x, cache, cache.plan(positions, slots))
            stack = TritonStack(prior.transformer, cache)
            together = stack.decode(x.clone(), positions, slots)
            assert (together - wanted).norm() / (wanted - x).norm() < share
            for rows in ([7], [3, 20, 11], list(range(30))):
                alone = stack.decode(x[rows], positions[rows], slots[rows])
                assert torch.equal(alone, together[rows])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_captured_step_gives_what_a_launched_one_gives():
    prior = one_full_layer("upsampler", released_prior("upsampler").transformer.layers[1])
    prior.set_compute_dtype(HALF)
    backend = make_backend("triton", prior, SlotMemory(prior, 2, torch.device("cuda")))
    ids = torch.tensor([5, 6], device="cuda")
    slots = torch.tensor([1, 0], device="cuda")
    wanted = backend.decode(ids, ids, slots)
    assert backend.reason_against is None
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = backend.decode(ids, ids, slots)
    graph.replay()
    torch.testing.assert_close(captured, wanted, atol=1e-5, rtol=0)
