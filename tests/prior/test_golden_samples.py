"""The slow twin samples the codes of the original from its numbers, window by window."""

import pytest
import torch
from torch.nn import functional as F

from tests.prior.golden import (
    TOPS,
    UPSAMPLERS,
    case,
    config_of,
    expected,
    golden_prior,
    upper_codes,
)
from tests.slow_twin import sample_window

# The golden prompts were continued with the original's default temperature and without filters:
# with those of `case.json` ten codes of prior_1b_lyrics come out differently.
PRIMED_FILTERS = {"temp": 0.99}


def _draw(filters):
    """A minimal sampler; the real one is tested on its own."""

    def draw(logits, uniforms):
        logits = logits / filters["temp"]
        if "top_k" in filters:
            least = logits.topk(filters["top_k"]).values[:, -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        if "top_p" in filters:
            ranked, order = logits.sort(descending=True)
            mass = ranked.softmax(-1).cumsum(-1)
            late = F.pad(mass > filters["top_p"], (1, 0))[:, :-1]
            logits = logits.masked_fill(late.gather(1, order.argsort()), -torch.inf)
        cumulative = logits.double().softmax(-1).cumsum(-1)
        return (cumulative > uniforms[:, None]).double().argmax(-1)

    return draw


def _uniforms(top, part, start, end):
    rows = [expected()[f"noise.{top}.{part}.{row}"] for row in (0, 1)]
    return torch.stack([row[start:end] for row in rows])


@pytest.mark.parametrize("top", TOPS)
def test_the_first_top_window_is_drawn_as_by_the_original(top):
    golden = expected()
    want = golden[f"{top}.sample_2"][:, :64]
    uniforms = _uniforms(top, 2, 0, want.shape[1])
    prior = golden_prior(top)
    prefix = want[:, :0]
    drawn = sample_window(
        prior, prefix, golden[f"{top}.y_0"], None, uniforms, _draw(case()["filters"][top])
    )
    assert drawn.equal(want)


@pytest.mark.parametrize("top", ["prior_5b_lyrics", "prior_1b_lyrics"])
def test_a_prompt_is_continued_as_by_the_original(top):
    golden = expected()
    num_prompt = int((golden[f"noise.{top}.primed.0"] < 0).sum())
    assert num_prompt > 0
    drawn = sample_window(
        golden_prior(top),
        golden["encode_2"][:, :num_prompt],
        golden[f"{top}.y_0"],
        None,
        _uniforms(top, "primed", num_prompt, 64),
        _draw(PRIMED_FILTERS),
    )
    assert drawn.equal(golden[f"{top}.primed_2"][:, :64])


@pytest.mark.parametrize("start", [0, 32])
@pytest.mark.parametrize("upsampler", UPSAMPLERS)
@pytest.mark.parametrize("top", TOPS)
def test_upsampled_windows_are_drawn_as_by_the_original(top, upsampler, start):
    golden = expected()
    level = config_of(upsampler).level
    want = golden[f"{top}.sample_{level}"][:, start : start + 64]
    # The second window begins with the half that the first has drawn.
    num_given = 32 if start else 0
    drawn = sample_window(
        golden_prior(upsampler),
        want[:, :num_given],
        golden[f"{upsampler}.y_{start}"],
        upper_codes(upsampler, start, golden[f"{top}.sample_{level + 1}"]),
        _uniforms(top, int(level), start + num_given, start + 64),
        _draw(case()["filters"][top]),
    )
    assert drawn.equal(want)
