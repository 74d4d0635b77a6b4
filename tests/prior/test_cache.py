"""Prefill and decode give the logits of the teacher-forced pass, whoever shares the cache."""

import pytest
import torch

from jukebox_core.models.released import released_config
from jukebox_core.prior import JukeboxPrior
from tests.prior.golden import (
    PRIORS,
    config_of,
    expected,
    golden_prior,
    upper_codes,
    window_starts,
)

CLOSE = {"atol": 2e-5, "rtol": 0}


class Window:
    """Two golden songs of one window, and their teacher-forced logits [2, context, V]."""

    def __init__(self, name, start):
        golden = expected()
        self.prior = golden_prior(name)
        self.codes = golden[f"{name}.z_{start}"]
        self.labels = golden[f"{name}.y_{start}"]
        self.upper = upper_codes(name, start)
        logits = self.prior(self.codes, self.labels, self.upper).logits
        self.logits = logits[:, self.prior.config.num_prefix_tokens :]

    def prefill(self, row, num_tokens, cache, slot):
        upper = None if self.upper is None else self.upper[row : row + 1]
        conditioning = self.prior.condition(self.labels[row : row + 1], upper)
        codes = self.codes[row : row + 1, :num_tokens]
        return self.prior.prefill(codes, conditioning, cache, torch.tensor([slot]))[0]

    def decode(self, rows, positions, cache, slots):
        ids = self.prior.codes_to_ids(self.codes[rows, positions - 1])
        return self.prior.decode(ids, positions, cache, slots)


def poison(cache):
    for buffer in (*cache.layers, cache.position_embedding):
        buffer.fill_(torch.nan)


def check_every_prefix_and_position(window, cache, seed):
    """One slot for every prefix length; then all of them decode together to their ends."""
    num_tokens = window.codes.shape[1]
    slots = torch.randperm(num_tokens, generator=torch.Generator().manual_seed(seed))
    rows = torch.arange(num_tokens) % 2
    for prefix in range(num_tokens):
        logits = window.prefill(rows[prefix], prefix, cache, slots[prefix])
        torch.testing.assert_close(logits, window.logits[rows[prefix], prefix], **CLOSE)
    for step in range(1, num_tokens):
        positions = torch.arange(num_tokens - step) + step
        still = rows[: len(positions)]
        logits = window.decode(still, positions, cache, slots[: len(positions)])
        torch.testing.assert_close(logits, window.logits[still, positions], **CLOSE)


@pytest.mark.parametrize("name", PRIORS)
def test_prefill_and_decode_equal_the_whole_window_from_every_prefix(name):
    first, second = window_starts(name)
    window = Window(name, first)
    cache = window.prior.allocate_cache(window.codes.shape[1])
    poison(cache)
    check_every_prefix_and_position(window, cache, seed=0)
    # The same slots again, for other sequences, in another order.
    check_every_prefix_and_position(Window(name, second), cache, seed=1)


@pytest.mark.parametrize("name", PRIORS)
def test_a_slot_heals_after_a_broken_sequence_and_ignores_broken_neighbors(name):
    window = Window(name, 0)
    cache = window.prior.allocate_cache(3)
    poison(cache)
    window.prefill(1, 20, cache, 1)
    for position in range(21, 60):
        at = torch.tensor([position])
        logits = window.decode(torch.tensor([1]), at, cache, torch.tensor([1]))
        torch.testing.assert_close(logits[0], window.logits[1, position], **CLOSE)


def test_rows_of_one_prefill_equal_the_same_rows_alone():
    window = Window("prior_1b_lyrics", 40)
    cache = window.prior.allocate_cache(4)
    conditioning = window.prior.condition(window.labels)
    slots = torch.tensor([3, 0])
    logits = window.prior.prefill(window.codes[:, :33], conditioning, cache, slots)
    torch.testing.assert_close(logits, window.logits[:, 33], **CLOSE)
    at = torch.tensor([34, 34])
    logits = window.decode(torch.tensor([0, 1]), at, cache, slots)
    torch.testing.assert_close(logits, window.logits[:, 34], **CLOSE)


@pytest.mark.parametrize("name", PRIORS)
def test_decoding_allocates_nothing_that_stays(name):
    window = Window(name, 0)
    cache = window.prior.allocate_cache(2)
    before = [(buffer.data_ptr(), buffer.shape) for buffer in cache.layers], cache.num_bytes
    window.prefill(0, 5, cache, 1)
    for position in range(6, 30):
        window.decode(torch.tensor([0]), torch.tensor([position]), cache, torch.tensor([1]))
    assert before == (
        [(buffer.data_ptr(), buffer.shape) for buffer in cache.layers],
        cache.num_bytes,
    )


@pytest.mark.parametrize("name", PRIORS)
def test_prefill_and_decode_never_ask_what_a_tensor_holds(name):
    # Tensors on the meta device hold nothing: any question to one of them raises.
    config = config_of(name)
    with torch.device("meta"):
        prior = JukeboxPrior(config)
        labels = torch.zeros(2, expected()[f"{name}.y_0"].shape[1], dtype=torch.int64)
        upper = torch.zeros(2, config.upper_context_tokens, dtype=torch.int64)
        slots = torch.zeros(2, dtype=torch.int64)
        cache = prior.allocate_cache(3)
        conditioning = prior.condition(labels, upper if config.conditioner else None)
        logits = prior.prefill(torch.zeros(2, 9, dtype=torch.int64), conditioning, cache, slots)
        assert logits.shape == (2, config.vocabulary_size)
        logits = prior.decode(slots, slots + 1, cache, slots)
        assert logits.shape == (2, config.vocabulary_size)


def test_a_slot_of_a_released_upsampler_is_as_small_as_its_patterns_allow():
    config = released_config("5b_lyrics").priors[2]
    with torch.device("meta"):
        cache = JukeboxPrior(config).allocate_cache(1, dtype=torch.float16)
    kept = sum(strips.nbytes for strips in cache.layers)
    assert kept == pytest.approx(386e6, rel=0.01)
