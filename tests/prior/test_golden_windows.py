"""Whole windows give the numbers of the original computation."""

import pytest
import torch

from tests.prior.golden import PRIORS, expected, golden_prior, upper_codes, window_starts

WINDOWS = [(name, start) for name in PRIORS for start in window_starts(name)]


@pytest.mark.parametrize(("name", "start"), WINDOWS)
def test_conditioning_equals_the_original(name, start):
    prior, golden = golden_prior(name), expected()
    found = prior.condition(golden[f"{name}.y_{start}"], upper_codes(name, start))
    close = {"atol": 1e-5, "rtol": 0}
    torch.testing.assert_close(
        found.start_embedding, golden[f"{name}.y_cond_{start}"][:, 0], **close
    )
    torch.testing.assert_close(found.position_embedding, golden[f"{name}.x_cond_{start}"], **close)


@pytest.mark.parametrize(("name", "start"), WINDOWS)
def test_logits_and_losses_equal_the_original(name, start):
    prior, golden = golden_prior(name), expected()
    output = prior(
        golden[f"{name}.z_{start}"], golden[f"{name}.y_{start}"], upper_codes(name, start)
    )
    torch.testing.assert_close(output.logits, golden[f"{name}.preds_{start}"], atol=3e-5, rtol=0)
    for ours, theirs in (
        ("loss", "loss"),
        ("music_loss", "gen_loss"),
        ("lyric_loss", "prime_loss"),
    ):
        want = golden[f"{name}.{theirs}_{start}"].squeeze()
        torch.testing.assert_close(getattr(output, ours), want, atol=1e-5, rtol=0)
