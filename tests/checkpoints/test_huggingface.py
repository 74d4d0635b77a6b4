"""Directories that transformers 4.57.6 writes."""

import hashlib
import json
from collections import Counter

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from jukebox_core.checkpoints import load_directory, load_prior_of, load_vqvae_of
from jukebox_core.config import AttentionKind
from jukebox_core.errors import CheckpointError
from jukebox_core.units import Level

pytestmark = pytest.mark.hf

CODEC = {
    "res_conv_width": 8,
    "res_conv_depth": 2,
    "embed_dim": 16,
    "nb_discrete_codes": 64,
    "sample_length": 16_384,
}
FACTORED = "raw_column_previous_row_attention"
PRIOR = {
    "hidden_size": 24,
    "n_heads": 2,
    "blocks": 8,
    "n_ctx": 64,
    "music_vocab_size": 64,
    "metadata_dims": [12, 41],
    "mask": True,
}
UPSAMPLER = {
    **PRIOR,
    "attention_pattern": FACTORED,
    "num_layers": 4,
    "merged_decoder": False,
    "is_encoder_decoder": False,
    "nb_relevant_lyric_tokens": 0,
    "res_conv_width": 16,
    "res_conv_depth": 4,
    "res_dilation_growth_rate": 3,
    "res_dilation_cycle": 2,
}
TOPS = {
    "like_1b_lyrics": {
        **PRIOR,
        "attention_pattern": "enc_dec_with_lyrics",
        "num_layers": 16,
        "merged_decoder": False,
        "is_encoder_decoder": True,
        "nb_relevant_lyric_tokens": 16,
        "lyric_vocab_size": 79,
        "alignment_layer": 15,
        "alignment_head": 1,
    },
    "like_5b_lyrics": {
        **PRIOR,
        "attention_pattern": "large_separated_enc_dec_w_lyrics",
        "num_layers": 19,
        "merged_decoder": True,
        "is_encoder_decoder": False,
        "nb_relevant_lyric_tokens": 16,
        "lyric_vocab_size": 80,
        "alignment_layer": 18,
        "alignment_head": 1,
        "encoder_config": {
            "hidden_size": 16,
            "num_layers": 3,
            "n_heads": 2,
            "blocks": 4,
            "attention_pattern": FACTORED,
            "merged_decoder": True,
            "mask": True,
        },
    },
    "like_5b": {
        **PRIOR,
        "attention_pattern": FACTORED,
        "num_layers": 4,
        "merged_decoder": True,
        "is_encoder_decoder": False,
        "nb_relevant_lyric_tokens": 0,
    },
}


# Every top prior and every way to write it, but not each with each.
CASES = [
    ("like_1b_lyrics", "bin"),
    ("like_1b_lyrics", "sharded safetensors"),
    ("like_5b_lyrics", "safetensors"),
    ("like_5b_lyrics", "sharded bin"),
    ("like_5b", "sharded safetensors"),
]


def build(top):
    """A model of transformers whose every tensor is random, norms and biases too."""
    from transformers import JukeboxConfig
    from transformers.models.deprecated.jukebox import JukeboxModel

    priors = [
        {**TOPS[top], "level": 0},
        {**UPSAMPLER, "level": 1, "conv_res_scale": True},
        {**UPSAMPLER, "level": 2},
    ]
    config = JukeboxConfig(
        vqvae_config=CODEC, prior_config_list=priors, timing_dims=16, min_duration=1.0
    )
    torch.manual_seed(0)
    model = JukeboxModel(config).eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.normal_(std=0.2)
    return model


def save(model, directory, how):
    if "safetensors" in how:
        # transformers itself refuses to write its tied tables as safetensors.
        for prior in model.priors:
            weight = prior.prior.fc_proj_out.weight
            prior.prior.fc_proj_out.weight = nn.Parameter(weight.detach().clone())
    model.save_pretrained(
        directory,
        safe_serialization="safetensors" in how,
        max_shard_size="200KB" if "sharded" in how else "5GB",
    )
    assert (len(list(directory.glob("*model*-of-*"))) > 1) == ("sharded" in how)


@pytest.fixture(scope="module", params=CASES, ids=" ".join)
def case(request, tmp_path_factory):
    """(their model, the directory it was saved to, what we load from there)"""
    directory = tmp_path_factory.mktemp("huggingface")
    top, how = request.param
    theirs = build(top)
    save(theirs, directory, how)
    return theirs, directory, load_directory(directory)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sharded")
    save(build("like_5b"), directory, "sharded safetensors")
    return directory


def fingerprints(tensors):
    return Counter(
        (tuple(tensor.shape), hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest())
        for tensor in tensors
    )


def test_every_tensor_lands_and_none_is_made_up(case):
    theirs, _, loaded = case
    tied = [
        f"priors.{index}.prior.fc_proj_out.weight"
        for index, prior in enumerate(loaded.config.priors)
        if prior.tied_embeddings
    ]
    wanted = [tensor for name, tensor in theirs.state_dict().items() if name not in tied]
    modules = (loaded.vqvae, *loaded.priors)
    ours = [tensor for module in modules for tensor in module.state_dict().values()]
    assert fingerprints(ours) == fingerprints(wanted)
    assert not any(module.training for module in modules)
    assert loaded.tokenizer is None


def test_parts_are_loaded_alone_like_together(case):
    _, saved, whole = case
    for level, prior in zip((Level.TOP, Level.MIDDLE, Level.BOTTOM), whole.priors, strict=True):
        assert_same(load_prior_of(saved, level), prior)
    assert_same(load_vqvae_of(saved), whole.vqvae)


def assert_same(one, other):
    found = other.state_dict()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, found[name]), name


def test_audio_is_encoded_and_decoded_alike(case):
    theirs, _, loaded = case
    torch.manual_seed(1)
    audio = torch.randn(2, 4096, 1)
    codes = loaded.vqvae.encode(audio)
    for level, (ours, wanted) in enumerate(zip(codes, theirs.vqvae.encode(audio), strict=True)):
        assert torch.equal(ours, wanted)
        wanted_audio = theirs.vqvae.decode(codes[level:], start_level=level)
        torch.testing.assert_close(loaded.vqvae.decode(codes[level:], level), wanted_audio)


def test_the_configuration_says_what_was_built(case):
    theirs, _, loaded = case
    config = loaded.config
    top, middle, bottom = config.priors
    assert config.vqvae.samples_per_token == (8, 32, 128)
    assert [prior.default_hop_fraction for prior in config.priors] == [0.125, 0.5, 0.5]
    assert {prior.labels.num_time_bins for prior in config.priors} == {16}
    assert {prior.labels.version for prior in config.priors} == {"v2"}
    assert (middle.conditioner.scale_residuals, bottom.conditioner.scale_residuals) == (True, False)
    assert not any(prior.half_weights for prior in config.priors)
    has_lyrics = theirs.config.prior_configs[0].nb_relevant_lyric_tokens > 0
    assert (top.lyrics is not None) == has_lyrics
    if has_lyrics:
        kind = top.transformer.layers[top.lyrics.alignment_layer]
        assert kind in (AttentionKind.LYRIC_PREFIX, AttentionKind.LYRIC_ENCODER)


def test_an_index_that_names_an_absent_shard_is_refused(sharded, tmp_path):
    missing = min(sharded.glob("model-*")).name
    link_all_but(missing, sharded, tmp_path)
    with pytest.raises(CheckpointError, match=f"no weights file .*{missing}"):
        load_directory(tmp_path)


def test_shards_without_an_index_are_found(sharded, tmp_path):
    link_all_but("model.safetensors.index.json", sharded, tmp_path)
    assert_same(load_directory(tmp_path).priors[0], load_directory(sharded).priors[0])


def test_a_lost_shard_without_an_index_is_told_by_its_tensors(sharded, tmp_path):
    missing = min(sharded.glob("model-*")).name
    link_all_but(missing, sharded, tmp_path)
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(CheckpointError, match=r"does not fit the model: missing: "):
        load_directory(tmp_path)


def test_tensors_of_no_part_are_named(sharded, tmp_path):
    link_all_but("nothing", sharded, tmp_path)
    (tmp_path / "model.safetensors.index.json").unlink()
    save_file({"lm.head": torch.zeros(2)}, tmp_path / "model-extra.safetensors")
    with pytest.raises(CheckpointError, match=r"unknown: lm\.head"):
        load_directory(tmp_path)


def test_the_label_files_of_a_directory_make_its_tokenizer(sharded, tmp_path):
    link_all_but("nothing", sharded, tmp_path)
    write_json(tmp_path / "artists.json", {"the sawtooths": 3, "the_sawtooths.v2": 4})
    write_json(tmp_path / "genres.json", {"slow waltz": 5, "waltz.v2": 6})
    tokenizer = load_directory(tmp_path).tokenizer
    resolved = tokenizer.resolve("The Sawtooths", "Slow Waltz")["top"]
    assert resolved["version"] == "v2"
    assert resolved["artist"]["id"] == 4
    assert [genre["id"] for genre in resolved["genres"]] == [0, 6]


def link_all_but(name, source, target):
    for file in source.iterdir():
        if file.name != name:
            (target / file.name).symlink_to(file)


def write_json(file, values):
    file.write_text(json.dumps(values))
