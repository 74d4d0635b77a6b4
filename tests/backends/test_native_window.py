"""A window sampled in C, many tokens in a call, is the window of the slow twin."""

import shutil

import numpy as np
import pytest
import torch

from jukebox_core.engine import Engine, Sequence
from jukebox_core.engine.drive import sample_windows
from jukebox_core.sampling.noise import CounterNoise
from jukebox_core.song import SamplingParams
from tests.prior.golden import PRIORS, expected, golden_prior
from tests.slow_twin import choose_with, sample_window, uniforms_of

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

PARAMS = [SamplingParams(temperature=1.1), SamplingParams(top_k=20, top_p=0.8)]
NOISE = CounterNoise(11)


def windows_of(name, num_given):
    """Two rows with settings of their own: labels, prefix and codes above, as tensors."""
    prior, golden = golden_prior(name), expected()
    num_upper = prior.config.upper_context_tokens
    upper = torch.arange(2 * num_upper).view(2, -1) % 32 if num_upper else None
    return golden[f"{name}.y_0"][:2], golden[f"{name}.z_0"][:2, :num_given], upper


def in_c(prior, name, num_given, num_threads):
    labels, prefix, upper = windows_of(name, num_given)
    sequences = [
        Sequence(
            id=f"{row}",
            level=prior.config.level,
            labels=tuple(labels[row].tolist()),
            prefix_codes=prefix[row].numpy(),
            upper_codes=None if upper is None else upper[row].numpy(),
            start_token=0,
            num_new=prior.config.context_tokens - num_given,
            sample=row,
            params=PARAMS[row],
            noise=NOISE,
        )
        for row in range(2)
    ]
    engine = Engine(
        {prior.config.level: prior}, max_rows=2, num_threads=num_threads, backend="native"
    )
    return sample_windows(engine, sequences)


def slowly(prior, name, num_given, row):
    labels, prefix, upper = windows_of(name, num_given)
    rows, end = slice(row, row + 1), prior.config.context_tokens
    codes = sample_window(
        prior,
        prefix[rows],
        labels[rows],
        None if upper is None else upper[rows],
        uniforms_of(NOISE, prior.config.level, row, num_given, end),
        choose_with(PARAMS[row]),
    )
    return codes[0, num_given:].numpy()


@pytest.mark.parametrize("num_given", [0, 9])
@pytest.mark.parametrize("name", PRIORS)
def test_codes_are_those_of_the_slow_twin_with_any_number_of_threads(name, num_given):
    prior = golden_prior(name)
    wanted = np.stack([slowly(prior, name, num_given, row) for row in range(2)])
    for num_threads in (1, 3):
        codes = in_c(prior, name, num_given, num_threads)
        np.testing.assert_array_equal(codes, wanted)
