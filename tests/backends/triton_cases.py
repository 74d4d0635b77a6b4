"""The Triton backend against the reference: on a GPU, or else in Triton's interpreter.

Triton decides when it is imported whether kernels are interpreted, so these run in a process of
their own: `TRITON_INTERPRET=1 python -m pytest tests/backends/triton_cases.py`. `test_triton.py`
starts that.
"""

import logging
import os
import weakref

import numpy as np
import pytest
import torch
import triton.language as tl

from jukebox_core.backends.batch import SlotMemory
from jukebox_core.backends.make import make_backend
from jukebox_core.backends.torch import TorchBackend
from jukebox_core.backends.triton.backend import reason_against_kernels
from jukebox_core.backends.triton.kernels.statistics import row_statistics
from jukebox_core.backends.triton.stack import Launch, TritonStack, start
from jukebox_core.config import (
    AttentionKind,
    JukeboxPriorConfig,
    LyricConfig,
    TransformerConfig,
)
from jukebox_core.errors import ConfigError
from jukebox_core.prior import JukeboxPrior
from jukebox_core.prior.kv_cache import PriorCache
from jukebox_core.units import Level

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
ALL, ROW, COLUMN = AttentionKind.ALL, AttentionKind.ROW, AttentionKind.COLUMN
PREVIOUS_ROW = AttentionKind.PREVIOUS_ROW
ENCODER, PREFIX = AttentionKind.LYRIC_ENCODER, AttentionKind.LYRIC_PREFIX
if DEVICE == "cpu":
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    whole_dot = InterpreterBuilder.create_dot

    def create_dot(self, a, b, *rest):
        """The interpreter keeps bfloat16 as its bits, and would multiply those."""
        return whole_dot(self, widened(a), widened(b), *rest)

    def widened(handle):
        if not handle.dtype.scalar.is_bf16():
            return handle
        bits = handle.data.astype(np.uint32) << 16
        return TensorHandle(bits.view(np.float32), tl.float32)

    InterpreterBuilder.create_dot = create_dot

# On a GPU exponentials and roots are approximate, to some units in the last place.
SHARES = {
    torch.float32: 2e-6 if DEVICE == "cpu" else 2e-5,
    torch.float16: 4e-3,
    torch.bfloat16: 3e-2,
}
NUM_SLOTS = 5


def prior_of(
    kinds,
    *,
    heads=1,
    head_width=20,
    width=76,
    mlp_width_ratio=1.5,
    blocks=5,
    block=7,
    lyrics=6,
):
    """Random weights, norms and biases among them; lyrics are merged if a PREFIX layer is there."""
    num_prefix = lyrics if PREFIX in kinds else 0
    stack = TransformerConfig(
        width=width,
        num_heads=heads,
        # It is rounded down.
        attention_width_ratio=(heads * head_width + 0.5) / width,
        layers=tuple(kinds),
        num_blocks=blocks,
        context_tokens=blocks * block,
        mlp_width_ratio=mlp_width_ratio,
    )
    encoder = TransformerConfig(
        width=16, layers=(ROW,), num_heads=1, num_blocks=2, context_tokens=lyrics
    )
    lyric_config = LyricConfig(
        num_tokens=lyrics,
        num_characters=9,
        loss_weight=1.0,
        encoder=encoder if ENCODER in kinds else None,
    )
    config = JukeboxPriorConfig(
        level=Level.TOP,
        context_tokens=blocks * block - num_prefix,
        num_codes=30,
        sample_rate_hz=44_100,
        samples_per_token=128,
        transformer=stack,
        lyrics=lyric_config if {PREFIX, ENCODER} & set(kinds) else None,
    )
    prior = JukeboxPrior(config)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, weight in prior.named_parameters():
            std = 1.0 / weight.shape[0] ** 0.5 if weight.ndim == 2 else 0.3
            weight.normal_(float(name.endswith("norm.weight")), std, generator=generator)
    return prior.to(DEVICE).eval().requires_grad_(False)


class State:
    """A cache full of numbers, and rows at random places of it."""

    def __init__(self, prior, *, num_rows=3, num_slots=NUM_SLOTS, seed=6):
        generator = torch.Generator().manual_seed(seed)
        stack = prior.config.transformer
        self.prior, self.cache = prior, prior.allocate_cache(num_slots)
        for strips in self.cache.layers:
            strips.copy_(torch.randn(strips.shape, generator=generator))
        x = 2 * torch.randn(num_slots, stack.width, generator=generator)
        # As residual streams are: one channel far from all others, none of them around 0.
        x[:, 3] += 50
        x += 5
        positions = torch.randint(0, stack.context_tokens, (num_slots,), generator=generator)
        # Both ends, and both sides of the first end of a row.
        block = stack.block_tokens
        ends = torch.tensor([stack.context_tokens - 1, 0, block - 1, block])
        positions[: len(ends)] = ends[:num_slots]
        rows = torch.randperm(num_slots, generator=generator)[:num_rows]
        self.x, self.positions = x[rows].to(DEVICE), positions[rows].to(DEVICE)
        self.slots = torch.randperm(num_slots, generator=generator)[:num_rows].to(DEVICE)

    def plain(self, rows=slice(None)):
        plan = self.cache.plan(self.positions[rows], self.slots[rows])
        return self.prior.transformer.decode(self.x[rows], self.cache, plan)

    def fused(self, rows=slice(None)):
        stack = TritonStack(self.prior.transformer, self.cache)
        return stack.decode(self.x[rows].clone(), self.positions[rows], self.slots[rows])

    def copies(self):
        return [strips.clone() for strips in self.cache.layers]


def check_agreement(prior, share, **state):
    """States and cache of both steps; what neither writes stays as it was."""
    with torch.inference_mode():
        state = State(prior, **state)
        before = state.copies()
        wanted = state.plain()
        plain_strips = state.copies()
        for strips, kept in zip(state.cache.layers, before, strict=True):
            strips.copy_(kept)
        found = state.fused()
    assert found.dtype is torch.float32
    error = (found - wanted).norm() / (wanted - state.x).norm()
    assert error < share
    for strips, plain, kept in zip(state.cache.layers, plain_strips, before, strict=True):
        untouched = plain == kept
        assert torch.equal(strips[untouched], kept[untouched])
        torch.testing.assert_close(strips, plain, atol=8 * share, rtol=8 * share)


SELF_KINDS = (ROW, COLUMN, PREVIOUS_ROW, ALL)
EVERY_KIND = (*SELF_KINDS, ENCODER)


@pytest.mark.parametrize("is_int8", [False, True], ids=["full", "int8"])
@pytest.mark.parametrize("dtype", SHARES, ids=str)
def test_every_kind_of_layer_gives_what_the_plain_step_gives(dtype, is_int8):
    if is_int8 and dtype is torch.bfloat16 and DEVICE == "cpu":
        pytest.skip("the interpreter turns no whole numbers into bfloat16")
    prior = prior_of(EVERY_KIND, heads=2, head_width=19).set_compute_dtype(dtype)
    prior = prior.use_int8_weights() if is_int8 else prior
    check_agreement(prior, SHARES[dtype])


def test_a_prefix_in_the_same_sequence_is_read_and_later_positions_are_lost():
    prior = prior_of((PREFIX, ROW, PREFIX), heads=2, head_width=8)
    check_agreement(prior, SHARES[torch.float32], num_rows=5)


@pytest.mark.parametrize(("heads", "head_width"), [(1, 480), (2, 150), (2, 64), (4, 7)])
def test_heads_of_any_width(heads, head_width):
    prior = prior_of((COLUMN,), heads=heads, head_width=head_width, width=24)
    check_agreement(prior, SHARES[torch.float32], num_rows=2)


@pytest.mark.parametrize("width", [16, 100, 528])
def test_any_width_of_the_residual_stream(width):
    prior = prior_of((ROW,), head_width=8, width=width, mlp_width_ratio=0.25)
    check_agreement(prior, SHARES[torch.float32], num_rows=2)


def test_strips_of_several_parts_are_put_together():
    """The last of them full, partly seen, and not at all."""
    prior = prior_of((ALL, ENCODER), heads=2, head_width=10, blocks=3, block=100, lyrics=140)
    check_agreement(prior, SHARES[torch.float32], num_rows=4)


def test_a_row_is_the_same_to_the_bit_in_any_company_and_any_slot():
    prior = prior_of(EVERY_KIND, heads=2, head_width=19).set_compute_dtype(torch.float16)
    with torch.inference_mode():
        state = State(prior, num_rows=NUM_SLOTS)
        together = state.fused()
        for rows in ([0], [4, 1]):
            assert torch.equal(state.fused(rows), together[rows])
        other = State(prior, num_rows=NUM_SLOTS)
        for strips, own in zip(other.cache.layers, state.cache.layers, strict=True):
            by_slot = own.view(NUM_SLOTS, -1)
            strips.view(NUM_SLOTS, -1)[(other.slots + 2) % NUM_SLOTS] = by_slot[state.slots]
        other.slots = (other.slots + 2) % NUM_SLOTS
        assert torch.equal(other.fused(), together)


def test_a_row_is_the_same_to_the_bit_in_tiles_of_any_number_of_rows():
    prior = prior_of((ROW,), head_width=16, width=48)
    with torch.inference_mode():
        state = State(prior, num_rows=70, num_slots=70)
        together = state.fused()
        for rows in ([5], list(range(40, 60))):
            error = (state.fused(rows) - together[rows]).abs().max()
            # A library multiplies the tiles of the interpreter, and may choose by their shape.
            assert error <= (0 if DEVICE == "cuda" else 1e-5)


def test_norms_bear_a_large_common_part():
    prior = prior_of((ROW,), width=100)
    with torch.inference_mode():
        state = State(prior)
        state.x += 3000
        exact = prior.double().transformer
        plan = state.cache.plan(state.positions, state.slots)
        for layer, strips in enumerate(state.cache.layers):
            state.cache.layers[layer] = strips.double()
        wanted = exact.layers[0].decode(state.x.double(), state.cache.layers[0], plan[ROW])
        prior.float()
        for layer, strips in enumerate(state.cache.layers):
            state.cache.layers[layer] = strips.float()
        found = state.fused()
    assert (found - wanted).norm() / (wanted - state.x).norm() < 1e-3


def test_a_step_of_one_size_always_uses_the_same_memory():
    prior, taken = prior_of((ROW, ENCODER)), []

    def note(launch: Launch) -> None:
        start(launch)
        taken.append([each.data_ptr() for each in launch.arguments if hasattr(each, "data_ptr")])

    with torch.inference_mode():
        state = State(prior)
        stack = TritonStack(prior.transformer, state.cache, start=note)
        x = state.x.clone()
        for _ in range(2):
            stack.decode(x, state.positions, state.slots)
    half = len(taken) // 2
    assert half == 1 + 2 * 5
    assert taken[:half] == taken[half:]


def computed(prior):
    """By Triton once it has agreed."""
    return make_backend("triton", prior, SlotMemory(prior, NUM_SLOTS, torch.device(DEVICE)))


def decode(backend):
    ids = torch.tensor([3, 4], device=DEVICE)
    with torch.inference_mode():
        return backend.decode(ids, ids + 5, ids - 2)


def in_torch(backend):
    return decode(TorchBackend(backend.prior, backend.memory))


def test_triton_is_taken_once_it_has_agreed(caplog):
    backend = computed(prior_of((ROW, COLUMN)).set_compute_dtype(torch.bfloat16))
    strips = backend.memory.cache.layers[0]
    wanted = in_torch(backend)
    before = strips.clone()
    for _ in range(2):
        torch.testing.assert_close(decode(backend), wanted, atol=0.1, rtol=0.05)
    assert not caplog.records
    assert backend.reason_against is None
    assert (strips != before).any()


def test_a_cache_that_nobody_holds_is_freed_at_once():
    backend = computed(prior_of((ROW,)))
    decode(backend)
    held = weakref.ref(backend.memory.cache)
    del backend
    assert held() is None


def test_weights_that_moved_are_tried_anew():
    backend = computed(prior_of((ROW,)))
    decode(backend)
    stack = backend.candidate._stack
    for weight in backend.prior.parameters():
        weight.data = 2 * weight.data
    torch.testing.assert_close(decode(backend), in_torch(backend), atol=1e-3, rtol=1e-4)
    assert backend.candidate._stack is not stack
    assert backend.reason_against is None


def break_kernel(launch):
    raise RuntimeError("device kernel image is invalid")


def forget_statistics(launch):
    start(launch)
    if launch.kernel is row_statistics:
        _, _, statistics, _ = launch.arguments
        statistics.fill_(1.0)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [(break_kernel, "kernel image is invalid"), (forget_statistics, "logits differ by")],
)
def test_kernels_that_fail_or_disagree_leave_the_reference_and_a_warning(
    broken, reason, monkeypatch, caplog
):
    class Broken(TritonStack):
        def __init__(self, transformer, kv_cache: PriorCache):
            super().__init__(transformer, kv_cache, start=broken)

    monkeypatch.setattr("jukebox_core.backends.triton.stack.TritonStack", Broken)
    backend = computed(prior_of((ROW, COLUMN)))
    wanted = in_torch(backend)
    strips = [each.clone() for each in backend.memory.cache.layers]
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert torch.equal(decode(backend), wanted)
    assert all(map(torch.equal, backend.memory.cache.layers, strips))
    (record,) = caplog.records
    assert reason in record.getMessage()


def test_a_cache_in_another_precision_is_refused_with_a_sentence():
    prior = prior_of((ROW,))
    with pytest.raises(ConfigError, match=r"with a cache in torch\.float16"):
        TritonStack(prior.transformer, prior.allocate_cache(NUM_SLOTS, dtype=torch.float16))


def test_this_process_interprets_or_has_a_device():
    assert (reason_against_kernels() is None) == (DEVICE == "cuda")
