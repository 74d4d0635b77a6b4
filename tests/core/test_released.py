import pytest

from jukebox_core.errors import ConfigError
from jukebox_core.released import RELEASED_MODELS, released_config
from jukebox_core.units import Level


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
