"""A window drawn in C, many tokens in a call, is the window that the slow loop draws."""

import shutil
from functools import partial

import pytest
import torch

from jukebox_core.sampling.sampler import RowSampling, draw
from jukebox_core.song import SamplingParams
from tests.prior.golden import PRIORS, expected, golden_prior
from tests.prior.test_native_step import native

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

PARAMS = [SamplingParams(temperature=1.1), SamplingParams(top_k=20, top_p=0.8)]


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def drawn(prior, num_tokens, num_given, **how):
    """Codes of two rows, and how many tokens of each were heard of at a time."""
    name = next(name for name in PRIORS if golden_prior(name).config == prior.config)
    golden, heard = expected(), []
    codes = golden[f"{name}.z_0"][:2, :num_given]
    num_upper = prior.config.upper_context_tokens
    upper = torch.arange(2 * num_upper).view(2, -1) % 32 if num_upper else None
    codes = prior.sample(
        num_tokens,
        golden[f"{name}.y_0"][:2],
        upper,
        prefix=codes,
        draw=partial(draw, rows=RowSampling.from_params(PARAMS)),
        uniforms=torch.rand(2, num_tokens, dtype=torch.float64, generator=seeded()),
        on_drawn=heard.append,
        **how,
    )
    return codes, heard


def seeded():
    return torch.Generator().manual_seed(11)


@pytest.mark.parametrize("num_given", [0, 9])
@pytest.mark.parametrize("name", PRIORS)
def test_codes_are_those_of_the_slow_loop(name, num_given, three_threads):
    prior = native(golden_prior(name))
    num_tokens = prior.config.context_tokens - num_given
    fast, _ = drawn(prior, num_tokens, num_given, params=PARAMS)
    one_by_one, _ = drawn(prior, num_tokens, num_given)
    in_torch, _ = drawn(golden_prior(name), num_tokens, num_given, params=PARAMS)
    assert torch.equal(fast, one_by_one)
    assert torch.equal(fast, in_torch)


def test_every_token_is_heard_of():
    prior = native(golden_prior("prior_5b"))
    assert drawn(prior, 1, 5, params=PARAMS)[1] == [1]
    assert drawn(golden_prior("prior_5b"), 7, 5, params=PARAMS)[1] == [1] * 7
    _, heard = drawn(prior, 50, 5, params=PARAMS)
    assert heard[0] == 1
    assert sum(heard) == 50
    assert len(heard) == 2
