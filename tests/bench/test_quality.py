"""The measurement of reduced precision runs, and says what it promises to say."""

import copy

import pytest
import torch

from bench import quality
from bench.priors import PRECISIONS, in_precision
from tests.bench.last_line import last_line
from tests.prior.golden import expected, golden_prior


@pytest.fixture(scope="module")
def rows(tiny_model_dir):
    return last_line(quality.main, tiny_model_dir, "--songs", 1)["distances"]


def test_every_precision_has_its_distance_at_every_level(rows):
    assert [(row["level"], row["precision"]) for row in rows] == [
        (level, precision) for level in ("top", "middle", "bottom") for precision in PRECISIONS
    ]
    for row in rows:
        if row["precision"] == "fp32":
            assert row["kl_bits"] == row["argmax_differs"] == row["rise_bits"] == 0
        else:
            assert 0 < row["kl_bits"] < 0.1
            assert 0 <= row["argmax_differs"] < 0.5
        assert row["kl_bits_99th"] >= row["kl_bits"]
        assert row["bits_per_token"] > 0
        assert row["stack_mb"] < row["prior_mb"]


def test_the_stacks_take_less_the_lower_the_precision(rows):
    top = {row["precision"]: row["stack_mb"] for row in rows[: len(PRECISIONS)]}
    assert top["int8"] < top["bf16"] == top["fp16"] < top["fp32"]


def test_a_prior_that_says_the_same_is_not_far_and_one_with_other_weights_is():
    golden = expected()
    prior = golden_prior("prior_5b_lyrics")
    window = (golden["prior_5b_lyrics.z_0"], golden["prior_5b_lyrics.y_0"], None)
    spoilt = copy.deepcopy(prior)
    with torch.no_grad():
        spoilt.transformer.stack()[0].mlp.output.weight.neg_()
    int8 = in_precision(prior, "int8")
    same, near, other = quality.distances({"fp32": prior, "int8": int8, "other": spoilt}, [window])
    assert same["kl_bits"] == 0
    assert same["tokens"] == window[0].numel()
    assert other["kl_bits"] > 10 * near["kl_bits"] > 0
