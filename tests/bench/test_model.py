"""What models take, in their small forms: sizes, loading, memory, precision, random weights."""

import copy

import pytest
import torch

from bench import linux, priors
from bench.model import quality, write
from bench.model.__main__ import main
from bench.priors import PRECISIONS, in_precision
from jukebox_core.checkpoints.convert import convert
from jukebox_core.config import AttentionKind
from jukebox_core.models.catalog import read_config
from jukebox_core.tiny import tiny_config
from tests.bench.last_line import last_line
from tests.prior.golden import expected, golden_prior


@pytest.fixture(scope="module")
def told():
    pytest.importorskip("triton")
    return last_line(main, "sizes", "--batch", 1, 64)


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
    (halved,) = last_line(main, "sizes", *few)["steps"]
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


@pytest.fixture(scope="module")
def rows(tiny_model_dir):
    return last_line(main, "quality", tiny_model_dir, "--songs", 1)["distances"]


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


def test_a_prior_is_loaded_and_steps_with_some_rows(tiny_model_dir):
    few = ("--level", "bottom", "--rows", 1, 2, "--steps", 1, "--repeats", 1)
    told = last_line(main, "load", tiny_model_dir, *few)
    assert (told["model"], told["level"], told["weights"]) == ("tiny", "bottom", "full")
    assert told["weight_bytes"] > 0 < told["stepped_mb"]["VmHWM"]
    for number in (1, 2):
        assert told[f"rows_{number}"]["tokens_per_second"] >= 0
    for kind in ("cold", "warm"):
        assert told[f"{kind}_load_gb_per_sec"] > 0 < told[f"{kind}_read_gb_per_sec"]
        assert told[f"{kind}_share"] > 0


def test_files_are_the_same_after_they_were_put_out_of_the_cache(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1_000_000)
    linux.evict([path])
    assert linux.read_through(path) == 1_000_000
    assert path.read_bytes() == b"x" * 1_000_000


def test_memory_is_told_for_plans_and_for_what_is_loaded(tiny_model_dir):
    told = last_line(main, "memory", tiny_model_dir, "--rows", 2, "--steps", 4)
    assert [row["free GB"] for row in told["plans"]] == [3, 4, 5, 6, 8, 12, 16, 24]
    assert {row["placement"] for row in told["plans"]} == {"resident"}
    assert [row["after"] for row in told["resident"]][:2] == ["started", "prior loaded"]
    assert told["half_precision"]["tokens"] == 4


def test_random_weights_of_one_prior_can_be_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "released_config", lambda _: tiny_config())
    few = ("--level", "bottom", "--precision", "int8")
    assert last_line(main, "write", tmp_path / "random", *few)["written"] == "random"
    told = last_line(main, "load", tmp_path / "random", "--level", "bottom", "--rows")
    assert told["weights"] == "int8"


def test_random_weights_make_a_model_directory_that_is_whole(tmp_path):
    config = tiny_config()
    convert(write.RandomWeights(config), tmp_path / "random", described_as="random weights")
    assert read_config(tmp_path / "random") == config
    names = (tmp_path / "random" / "labels" / "v2_artist_ids.txt").read_text(encoding="utf-8")
    assert "unknown;0" in names
