import pytest
import torch

from jukebox_core.errors import ConfigError, ModelNotFound
from jukebox_core.models.released import (
    LABEL_FILES,
    LICENCE,
    RELEASED_MODELS,
    released_config,
    released_model,
)
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae import JukeboxVQVAE

UPSAMPLER_PARAMETERS = 981_298_176
TOP_PARAMETERS = {"5b": 5_060_452_800, "5b_lyrics": 5_640_506_800, "1b_lyrics": 942_643_200}


@pytest.mark.parametrize("name", RELEASED_MODELS)
def test_every_released_model_is_a_valid_configuration(name):
    config = released_config(name)
    assert config.name == name
    assert config.time_base.samples_per_token == (8, 32, 128)


def test_windows_of_the_released_models_are_as_long_as_the_paper_says():
    config = released_config("5b_lyrics")
    seconds = [prior.context_samples / 44_100 for prior in config.priors]
    assert [round(value, 2) for value in seconds] == [23.78, 5.94, 1.49]


def test_one_lyric_prefix_of_1b_lyrics_ends_64_tokens_into_the_music():
    assert released_config("1b_lyrics").prior(Level.TOP).lyric_prefix_positions == 448


def test_a_model_that_was_never_released_is_refused_with_the_names_that_were():
    with pytest.raises(ConfigError, match="5b, 5b_lyrics, 1b_lyrics"):
        released_config("10b")


def parts_without_weights(config):
    """The parts on the meta device, each in the type in which the original loads it."""
    with torch.device("meta"):
        priors = [
            JukeboxPrior(prior).set_weight_dtype(
                torch.float16 if prior.half_weights else torch.float32
            )
            for prior in config.priors
        ]
        return JukeboxVQVAE(config.vqvae), priors


@pytest.mark.parametrize("name", RELEASED_MODELS)
def test_every_released_part_has_as_many_parameters_as_the_original(name):
    vqvae, priors = parts_without_weights(released_config(name))
    found = [sum(tensor.numel() for tensor in prior.parameters()) for prior in priors]
    assert found == [TOP_PARAMETERS[name], UPSAMPLER_PARAMETERS, UPSAMPLER_PARAMETERS]
    assert sum(tensor.numel() for tensor in vqvae.parameters()) == 1_485_763


@pytest.mark.parametrize("name", RELEASED_MODELS)
def test_the_size_that_is_told_before_fetching_is_the_size_of_the_weights(name):
    model = released_model(name)
    vqvae, priors = parts_without_weights(model.config)
    found = sum(
        tensor.numel() * tensor.element_size()
        for module in (vqvae, *priors)
        for tensor in module.state_dict().values()
    )
    assert model.num_bytes == found


@pytest.mark.parametrize("name", RELEASED_MODELS)
def test_every_released_model_tells_its_terms(name):
    assert released_model(name).config.licence == LICENCE
    assert released_model(name).config.description


def test_all_models_share_codec_and_upsamplers_and_differ_in_the_top():
    models = [released_model(name) for name in RELEASED_MODELS]
    assert {model.vqvae_path for model in models} == {"5b/vqvae.pth.tar"}
    paths = {level: {model.prior_paths[level] for model in models} for level in COARSE_TO_FINE}
    assert [len(paths[level]) for level in COARSE_TO_FINE] == [3, 1, 1]


def test_label_lists_are_those_that_the_priors_were_trained_with():
    assert {name[:2] for name in released_model("5b").label_files} == {"v2"}
    assert {name[:2] for name in released_model("1b_lyrics").label_files} == {"v2", "v3"}
    assert set(released_model("1b_lyrics").label_files) == set(LABEL_FILES)


def test_only_released_models_can_be_fetched_by_name():
    with pytest.raises(ModelNotFound, match="5b, 5b_lyrics, 1b_lyrics"):
        released_model("10b")
