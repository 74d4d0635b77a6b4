"""`config.json` of transformers, without transformers."""

import json

import pytest

from jukebox_core.checkpoints.huggingface import (
    read_huggingface_config,
    read_huggingface_vocabularies,
)
from jukebox_core.checkpoints.huggingface_config import config_from_huggingface
from jukebox_core.errors import ConfigError

UPSAMPLER = {
    "attention_pattern": "raw_column_previous_row_attention",
    "blocks": 128,
    "hidden_size": 1920,
    "init_scale": 0.4,
    "is_encoder_decoder": False,
    "lyric_vocab_size": 80,
    "merged_decoder": False,
    "metadata_dims": [120, 4111],
    "n_ctx": 8192,
    "n_heads": 1,
    "nb_relevant_lyric_tokens": 0,
    "res_conv_depth": 16,
    "res_conv_width": 1024,
    "res_dilation_cycle": 8,
    "res_dilation_growth_rate": 3,
}

# As on the hub: one key for each prior, and only what differs from the defaults.
LIKE_1B_LYRICS = {
    "model_type": "jukebox",
    "min_duration": 17.84,
    "prior_0": {"merged_decoder": False, "lyric_vocab_size": 79, "alignment_layer": 63},
    "prior_1": {**UPSAMPLER, "conv_res_scale": True},
    "prior_2": UPSAMPLER,
}


def test_the_released_model_is_the_released_model():
    config = config_from_huggingface(LIKE_1B_LYRICS)
    top, middle, bottom = config.priors
    assert config.vqvae.samples_per_token == (8, 32, 128)
    assert (top.context_tokens, top.transformer.context_tokens) == (6144, 6528)
    assert (top.vocabulary_size, top.lyric_prefix_positions) == (2127, 448)
    assert (top.labels.version, top.labels.max_genres, top.labels.num_time_bins) == ("v3", 1, 64)
    assert top.labels.min_duration_sec == 17.84
    assert top.tied_embeddings
    assert (middle.labels.version, middle.labels.max_genres) == ("v2", 5)
    assert (middle.upper_context_tokens, bottom.upper_context_tokens) == (2048, 2048)
    assert (middle.conditioner.scale_residuals, bottom.conditioner.scale_residuals) == (True, False)
    assert middle.conditioner.dilation_cycle == 8


def test_priors_in_a_list_are_read_like_priors_one_by_one():
    listed = {name: value for name, value in LIKE_1B_LYRICS.items() if "prior" not in name}
    listed["prior_config_list"] = [LIKE_1B_LYRICS[f"prior_{index}"] for index in range(3)]
    assert config_from_huggingface(listed) == config_from_huggingface(LIKE_1B_LYRICS)


def test_the_tokenizer_file_decides_the_label_version(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LIKE_1B_LYRICS))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"version": ["v2", "v2", "v2"]}))
    top = read_huggingface_config(tmp_path).priors[0]
    assert (top.labels.version, top.labels.max_genres) == ("v2", 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention_pattern": "all_at_once"}, "attention_pattern 'all_at_once' is not supported"),
        ({"act_fn": "swish"}, "act_fn is 'swish': only 'quick_gelu'"),
        (
            {
                "is_encoder_decoder": False,
                "attention_pattern": "large_separated_enc_dec_w_lyrics",
                "encoder_config": {
                    "act_fn": "relu",
                    "attention_pattern": "raw_column_previous_row_attention",
                },
            },
            "act_fn is 'relu': only 'quick_gelu'",
        ),
        ({"n_ctx": "many"}, "not a configuration of transformers 4"),
    ],
)
def test_what_cannot_be_computed_is_refused(change, message):
    values = {**LIKE_1B_LYRICS, "prior_0": {**LIKE_1B_LYRICS["prior_0"], **change}}
    with pytest.raises(ConfigError, match=message):
        config_from_huggingface(values)


def test_a_missing_prior_is_named():
    values = {name: value for name, value in LIKE_1B_LYRICS.items() if name != "prior_1"}
    with pytest.raises(ConfigError, match="prior_1"):
        config_from_huggingface(values)


def test_names_of_both_versions_share_a_file_and_are_told_apart(tmp_path):
    (tmp_path / "artists.json").write_text(json.dumps({"mx zero": 1, "mx_zero.v2": 2}))
    (tmp_path / "genres.json").write_text(json.dumps({"hum": 3, "hum.v2": 4}))
    vocabularies = read_huggingface_vocabularies(tmp_path)
    assert dict(vocabularies["v3"].artists) == {"mx zero": 1}
    assert dict(vocabularies["v2"].artists) == {"mx_zero": 2}
    assert (vocabularies["v3"].genres["hum"], vocabularies["v2"].genres["hum"]) == (3, 4)


def test_a_directory_without_label_files_has_no_vocabulary(tmp_path):
    assert read_huggingface_vocabularies(tmp_path) == {}
