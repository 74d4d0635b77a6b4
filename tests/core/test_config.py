import dataclasses
import json
from pathlib import Path

import pytest

from jukebox_core.config import AttentionKind, JukeboxConfig, LyricConfig, attention_layers
from jukebox_core.errors import ConfigError
from jukebox_core.units import Level

CASE = json.loads((Path(__file__).parents[1] / "golden" / "case.json").read_text())
FACTORED = [AttentionKind.ROW, AttentionKind.COLUMN, AttentionKind.PREVIOUS_ROW]


def golden_config(top: str = "prior_5b_lyrics") -> JukeboxConfig:
    names = (top, "upsampler_level_1", "upsampler_level_0")
    return JukeboxConfig.from_openai(CASE["vqvae"], [CASE["priors"][name] for name in names])


def test_the_79_layers_of_5b_lyrics_are_factored_with_seven_looks_at_the_lyrics():
    layers = FACTORED * 3 + (FACTORED * 3 + [AttentionKind.LYRIC_ENCODER]) * 7
    assert attention_layers(10, 79) == tuple(layers)


def test_every_sixteenth_layer_of_1b_lyrics_looks_at_the_lyrics_or_at_everything():
    layers = attention_layers(12, 72)
    special = {i: kind for i, kind in enumerate(layers) if kind not in FACTORED}
    prefix = AttentionKind.LYRIC_PREFIX
    assert special == {15: prefix, 31: prefix, 47: AttentionKind.ALL, 63: prefix}


@pytest.mark.parametrize("attn_order", [3, 4, 5, 13])
def test_attention_over_summaries_of_rows_is_refused(attn_order):
    with pytest.raises(ConfigError, match=f"attn_order={attn_order} is not supported"):
        attention_layers(attn_order, 3)


@pytest.mark.parametrize("top", ["prior_1b_lyrics", "prior_5b_lyrics", "prior_5b"])
def test_a_configuration_survives_json(top):
    config = golden_config(top)
    assert JukeboxConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_priors_may_come_in_any_order_and_end_top_first():
    names = ("upsampler_level_0", "prior_5b", "upsampler_level_1")
    config = JukeboxConfig.from_openai(CASE["vqvae"], [CASE["priors"][name] for name in names])
    assert [prior.level for prior in config.priors] == [Level.TOP, Level.MIDDLE, Level.BOTTOM]
    assert config == golden_config("prior_5b")


def test_lyric_prefix_layers_also_see_the_first_music_tokens():
    # 384 lyric tokens and 64 rows make 448 positions in the released 1b_lyrics.
    assert golden_config("prior_1b_lyrics").priors[0].lyric_prefix_positions == 24


def test_a_merged_vocabulary_puts_characters_before_codes():
    prior = golden_config("prior_1b_lyrics").priors[0]
    assert prior.merged_vocabulary
    assert (prior.music_offset, prior.vocabulary_size) == (79, 79 + 64)


def test_a_missing_hyperparameter_is_named():
    broken = {key: value for key, value in CASE["vqvae"].items() if key != "emb_width"}
    with pytest.raises(ConfigError, match="'emb_width' is missing"):
        JukeboxConfig.from_openai(broken, list(CASE["priors"].values())[:3])


def test_two_priors_of_one_level_are_refused():
    names = ("prior_5b", "prior_5b_lyrics", "upsampler_level_0")
    with pytest.raises(ConfigError, match=r"found \[0, 2, 2\]"):
        JukeboxConfig.from_openai(CASE["vqvae"], [CASE["priors"][name] for name in names])


def test_a_prior_that_does_not_fit_the_codec_is_refused():
    config = golden_config()
    broken = dataclasses.replace(config.priors[0], num_codes=65)
    with pytest.raises(ConfigError, match="but the VQ-VAE has"):
        dataclasses.replace(config, priors=(broken, *config.priors[1:]))


def test_an_unknown_field_is_refused_by_name():
    values = golden_config().to_dict()
    values["color"] = "blue"
    with pytest.raises(ConfigError, match="color"):
        JukeboxConfig.from_dict(values)


@pytest.mark.parametrize(
    "path",
    [
        ("vqvae",),
        ("priors", 0),
        ("priors", 0, "labels"),
        ("priors", 0, "lyrics"),
        ("priors", 0, "lyrics", "encoder"),
        ("priors", 1, "conditioner"),
        ("priors", 2, "transformer"),
    ],
)
def test_an_unknown_field_of_a_part_is_refused_by_name(path):
    values = golden_config().to_dict()
    part = values
    for key in path:
        part = part[key]
    part["color"] = "blue"
    with pytest.raises(ConfigError, match="color"):
        JukeboxConfig.from_dict(values)


def test_a_field_of_a_wrong_type_or_a_missing_one_is_named():
    values = golden_config().to_dict()
    values["priors"][0]["transformer"]["num_heads"] = "many"
    with pytest.raises(ConfigError, match="num_heads"):
        JukeboxConfig.from_dict(values)
    del values["priors"][0]["transformer"]["num_heads"]
    with pytest.raises(ConfigError, match="num_heads"):
        JukeboxConfig.from_dict(values)


def test_what_earlier_versions_do_not_know_is_written_only_where_it_says_something():
    config = golden_config()
    values = config.to_dict()
    stacks = [prior["transformer"] for prior in values["priors"]]
    stacks.append(values["priors"][0]["lyrics"]["encoder"])
    assert not [stack for stack in stacks if "scale_residuals" in stack]
    later = {"dilation_cycle", "reverse_decoder_dilations", "post_filter"}
    assert not later & set(values["vqvae"])
    assert "exact_positions" not in values["priors"][0]["labels"]
    vqvae = dataclasses.replace(config.vqvae, dilation_cycle=2, reverse_decoder_dilations=False)
    top, *others = config.priors
    encoder = dataclasses.replace(top.lyrics.encoder, scale_residuals=True)
    stack = dataclasses.replace(top.transformer, scale_residuals=True)
    lyrics = dataclasses.replace(top.lyrics, encoder=encoder)
    labels = dataclasses.replace(top.labels, exact_positions=True)
    top = dataclasses.replace(top, labels=labels, lyrics=lyrics, transformer=stack)
    changed = dataclasses.replace(config, vqvae=vqvae, priors=(top, *others))
    assert JukeboxConfig.from_dict(json.loads(json.dumps(changed.to_dict()))) == changed


def test_an_odd_number_of_lyric_tokens_is_refused():
    with pytest.raises(ConfigError, match="even"):
        LyricConfig(num_tokens=15, num_characters=80, loss_weight=0.4)
