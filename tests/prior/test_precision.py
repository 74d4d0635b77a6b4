"""Half precision: what is half, what is not, and how far the logits move."""

import copy

import pytest
import torch

from jukebox_core.prior import JukeboxPrior
from tests.prior.golden import PRIORS, config_of, expected, golden_prior, upper_codes

HALVES = [torch.float16, torch.bfloat16]


def _half_prior(name, dtype):
    return copy.deepcopy(golden_prior(name)).set_compute_dtype(dtype)


@pytest.mark.parametrize("name", PRIORS)
def test_only_the_projections_of_the_stacks_are_half(name):
    prior = _half_prior(name, torch.float16)
    for key, weight in prior.state_dict().items():
        in_projection = ".attention." in key or ".mlp." in key
        assert weight.dtype == (torch.float16 if in_projection else torch.float32), key
    assert prior.compute_dtype == torch.float16
    cache = prior.allocate_cache(1)
    assert {strips.dtype for strips in cache.layers} == {torch.float16}
    assert cache.position_embedding.dtype == torch.float32


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", PRIORS)
def test_half_logits_are_float32_and_stay_near(name, dtype):
    golden = expected()
    prior = _half_prior(name, dtype)
    codes, labels, upper = golden[f"{name}.z_0"], golden[f"{name}.y_0"], upper_codes(name, 0)
    logits = prior(codes, labels, upper).logits
    assert logits.dtype == torch.float32
    want = golden[f"{name}.preds_0"]
    tolerance = {torch.float16: 0.01, torch.bfloat16: 0.08}[dtype]
    assert (logits - want).abs().max() < tolerance * want.abs().max()


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", PRIORS)
def test_a_half_cache_stays_near_the_half_window(name, dtype):
    golden = expected()
    prior = _half_prior(name, dtype)
    codes, labels, upper = golden[f"{name}.z_0"], golden[f"{name}.y_0"], upper_codes(name, 0)
    whole = prior(codes, labels, upper).logits[:, prior.config.num_prefix_tokens :]
    cache, slots = prior.allocate_cache(2), torch.tensor([1, 0])
    steps = [prior.prefill(codes[:, :7], prior.condition(labels, upper), cache, slots)]
    for position in range(8, 64):
        ids = prior.codes_to_ids(codes[:, position - 1])
        steps.append(prior.decode(ids, torch.full_like(slots, position), cache, slots))
    found = torch.stack(steps, dim=1)
    assert found.dtype == torch.float32
    tolerance = {torch.float16: 0.01, torch.bfloat16: 0.08}[dtype]
    assert (found - whole[:, 7:]).abs().max() < tolerance * whole.abs().max()


def test_the_policy_holds_on_the_meta_device_and_can_be_undone():
    with torch.device("meta"):
        prior = JukeboxPrior(config_of("prior_5b_lyrics"))
    before = {key: value.dtype for key, value in prior.state_dict().items()}
    assert prior.set_compute_dtype(torch.bfloat16).compute_dtype == torch.bfloat16
    assert prior.lyric_encoder.transformer.compute_dtype == torch.bfloat16
    prior.set_compute_dtype(torch.float32)
    assert {key: value.dtype for key, value in prior.state_dict().items()} == before
