"""The original's `.pth.tar` files."""

import json
from collections import Counter

import pytest
import torch

from jukebox_core.checkpoints import load_openai, load_openai_prior, load_openai_vqvae
from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import CheckpointError
from jukebox_core.units import Level

TOPS = ("prior_1b_lyrics", "prior_5b_lyrics", "prior_5b")


@pytest.fixture(scope="module")
def hps(golden_dir):
    return json.loads((golden_dir / "case.json").read_text())


def config_with(hps, top):
    names = (top, "upsampler_level_1", "upsampler_level_0")
    return JukeboxConfig.from_openai(hps["vqvae"], [hps["priors"][name] for name in names])


@pytest.fixture(scope="module")
def config(hps):
    return config_with(hps, "prior_5b_lyrics")


def read_model(path):
    return torch.load(path, weights_only=True)["model"]


def write_model(path, tensors):
    torch.save({"model": tensors, "step": 1, "hps": {}}, path)
    return path


def shapes(tensors):
    return Counter(tuple(tensor.shape) for tensor in tensors)


@pytest.mark.parametrize("top", TOPS)
def test_every_tensor_of_a_checkpoint_lands(golden_dir, hps, top):
    config = config_with(hps, top)
    files = {
        Level.TOP: golden_dir / f"{top}.pth.tar",
        Level.MIDDLE: golden_dir / "upsampler_level_1.pth.tar",
        Level.BOTTOM: golden_dir / "upsampler_level_0.pth.tar",
    }
    parts = load_openai(
        config,
        vqvae=golden_dir / "vqvae.pth.tar",
        priors=files,
        labels_dir=golden_dir / "labels",
    )
    for prior, file in zip(parts.priors, files.values(), strict=True):
        stored = read_model(file)
        if prior.config.tied_embeddings:
            del stored["prior.x_out.weight"]
        assert shapes(prior.state_dict().values()) == shapes(stored.values())
        assert sum(map(torch.sum, prior.state_dict().values())) == pytest.approx(
            float(sum(map(torch.sum, stored.values()))), rel=1e-4
        )
    assert parts.tokenizer.resolve("Alan Jackson", "Blues Rock")["middle"]["artist"]["known"]


def test_a_prefix_left_by_data_parallel_training_is_ignored(golden_dir, config, tmp_path):
    tensors = read_model(golden_dir / "prior_5b_lyrics.pth.tar")
    path = write_model(tmp_path / "p.pth.tar", {f"module.{k}": v for k, v in tensors.items()})
    prefixed = load_openai_prior(path, config.priors[0])
    plain = load_openai_prior(golden_dir / "prior_5b_lyrics.pth.tar", config.priors[0])
    assert all(map(torch.equal, prefixed.state_dict().values(), plain.state_dict().values()))


def test_one_error_names_all_tensors_that_do_not_fit(golden_dir, config, tmp_path):
    tensors = read_model(golden_dir / "prior_5b_lyrics.pth.tar")
    del tensors["prior.x_emb.weight"]
    del tensors["prime_state_ln.bias"]
    tensors["prior.transformer._attn_mods.0.attn.c_attn.w"] = torch.zeros(24, 17)
    tensors["prior.pos_emb.pos_emb"] = torch.zeros(64, 24, dtype=torch.int64)
    tensors["prior.transformer._attn_mods.99.ln_0.weight"] = torch.zeros(24)
    tensors["discriminator.w"] = torch.zeros(2)
    path = write_model(tmp_path / "bent.pth.tar", tensors)
    with pytest.raises(CheckpointError) as raised:
        load_openai_prior(path, config.priors[0])
    assert str(raised.value) == (
        f"{path} does not fit the model: "
        "unknown: discriminator.w, transformer.layers.99.attention_norm.weight; "
        "missing: token_embedding.weight, lyric_encoder.norm.bias; "
        "misshapen: position_embedding is (64, 24) of no floating-point type, wanted (64, 24), "
        "transformer.layers.0.attention.qkv.weight is (24, 17), wanted (24, 18)"
    )


def test_a_checkpoint_of_another_part_is_refused(golden_dir, config):
    with pytest.raises(CheckpointError, match=r"unknown: .*missing: "):
        load_openai_prior(golden_dir / "vqvae.pth.tar", config.priors[0])
    with pytest.raises(CheckpointError, match=r"unknown: .*missing: "):
        load_openai_vqvae(golden_dir / "prior_5b.pth.tar", config.vqvae)


def test_tied_tables_that_differ_are_refused(golden_dir, config, tmp_path):
    tensors = read_model(golden_dir / "upsampler_level_1.pth.tar")
    tensors["prior.x_out.weight"] = tensors["prior.x_out.weight"] + 1
    path = write_model(tmp_path / "torn.pth.tar", tensors)
    with pytest.raises(CheckpointError, match=r"one table .* two different ones"):
        load_openai_prior(path, config.priors[1])


@pytest.mark.parametrize("kept", ["prior.x_emb.weight", "prior.x_out.weight"])
def test_one_of_the_tied_tables_is_enough(golden_dir, config, tmp_path, kept):
    tensors = read_model(golden_dir / "upsampler_level_1.pth.tar")
    table = tensors.pop("prior.x_emb.weight")
    del tensors["prior.x_out.weight"]
    path = write_model(tmp_path / "one.pth.tar", {**tensors, kept: table})
    assert torch.equal(load_openai_prior(path, config.priors[1]).token_embedding.weight, table)


def test_half_weights_stay_half_where_the_arithmetic_is_half(golden_dir, config, tmp_path):
    tensors = read_model(golden_dir / "prior_5b_lyrics.pth.tar")
    path = write_model(tmp_path / "half.pth.tar", {k: v.half() for k, v in tensors.items()})
    kept = load_openai_prior(path, config.priors[0])
    widened = load_openai_prior(path, config.priors[0], dtype=torch.float32)
    layer = "transformer.layers.0.mlp.input.weight"
    assert kept.state_dict()[layer].dtype is torch.float16
    assert kept.compute_dtype is torch.float16
    assert kept.token_embedding.weight.dtype is torch.float32
    assert {tensor.dtype for tensor in widened.state_dict().values()} == {torch.float32}
    stored = read_model(path)["prior.transformer._attn_mods.0.mlp.c_fc.w"]
    assert torch.equal(widened.state_dict()[layer], stored.float())


def test_weights_can_be_asked_for_in_half(golden_dir, config):
    prior = load_openai_prior(
        golden_dir / "prior_5b_lyrics.pth.tar", config.priors[0], dtype=torch.bfloat16
    )
    assert prior.compute_dtype is torch.bfloat16
    assert prior.position_embedding.dtype is torch.float32
