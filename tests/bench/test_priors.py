"""The plan of memory and steps is what is known of the released priors; nothing is allocated."""

import pytest
import torch

from bench import priors
from jukebox_core.config import AttentionKind
from tests.bench.last_line import last_line


@pytest.fixture(scope="module")
def told():
    pytest.importorskip("triton")
    return last_line(priors.main, "--batch", 1, 64)


def test_one_song_takes_what_its_attention_can_still_read(told):
    """983 to 338 MB and not the 1.0 to 3.1 GB of keeping all, at full size in half precision."""
    rows = {row["prior"]: row for row in told["memory"]}
    kept = {name: row["keys_and_values_mb"] for name, row in rows.items()}
    assert kept == {"1b_lyrics": 337.8, "5b_lyrics": 983.0, "upsampler": 386.3}
    for row in rows.values():
        assert row["all_kept_mb"] > 2.5 * row["keys_and_values_mb"]
        assert row["weights_int8_mb"] < row["weights_fp16_mb"] < row["weights_fp32_mb"]


def test_a_step_reads_all_weights_once_and_keys_and_values_for_each_row(told):
    one, many = (row for row in told["steps"] if row["prior"] == "upsampler")
    assert one["launches"] == many["launches"] == 361
    # 7.4 MB of keys and values for each row, beside 1,601 MB of the stack and the logits.
    assert many["read_mb"] - one["read_mb"] == pytest.approx(63 * 7.4, rel=0.01)
    assert one["read_mb"] == pytest.approx(1619, abs=5)
    assert one["floor_ms"] == pytest.approx(one["read_mb"] / 4300, rel=0.01)
    assert one["floor_ms"] < one["predicted_ms"] < many["predicted_ms"]


def test_int8_weights_are_planned_with_half_of_the_bytes(told):
    few = ("--prior", "upsampler", "--batch", 1, "--precision", "int8")
    (halved,) = last_line(priors.main, *few)["steps"]
    full = next(row for row in told["steps"] if row["prior"] == "upsampler")
    assert halved["read_mb"] == pytest.approx(full["read_mb"] / 2, rel=0.05)


@pytest.mark.parametrize("name", priors.PRIORS)
def test_a_prior_of_full_size_is_made_in_half_precision_where_it_is_needed(name):
    prior = priors.random_prior(priors.released_prior(name), torch.device("meta"), "fp16")
    assert prior.compute_dtype == torch.float16
    assert prior.token_embedding.weight.dtype == torch.float32


@pytest.mark.parametrize("name", priors.PRIORS)
def test_a_small_prior_has_the_lyric_layers_of_the_released_one(name):
    small, released = priors.small_prior(name, 64), priors.released_prior(name)
    assert set(small.transformer.layers) == set(released.transformer.layers) - {AttentionKind.ALL}
    assert small.context_tokens == 1024
