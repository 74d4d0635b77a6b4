"""What a sequence may hold is checked before it can hurt anybody."""

import numpy as np
import pytest

from jukebox_core.config import JukeboxConfig
from jukebox_core.engine.sequence import Sequence, check_sequence
from jukebox_core.errors import SamplingError
from jukebox_core.song import SamplingParams
from jukebox_core.units import Level
from tests.engine.windows import golden_config


@pytest.fixture(scope="module")
def config() -> JukeboxConfig:
    return golden_config("prior_5b_lyrics")


def a_window(config, own_level, **changes):
    prior = config.prior(own_level)
    lyric_ids = (0,) * prior.lyrics.num_tokens if prior.lyrics else ()
    values = {
        "id": "a",
        "level": own_level,
        "labels": (2_734_200, 0, 8192, 557, 51, 14, -1, -1, -1, *lyric_ids),
        "prefix_codes": np.zeros(8, dtype=np.int64),
        "upper_codes": np.zeros(16, dtype=np.int64) if own_level is not Level.TOP else None,
        "start_token": 0,
        "num_new": 56,
        "sample": 0,
        "params": SamplingParams(),
        "noise": None,
    }
    return Sequence(**(values | changes))


@pytest.mark.parametrize("level", list(Level))
def test_a_fitting_window_passes(config, level):
    check_sequence(config.prior(level), a_window(config, level))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"level": Level.MIDDLE}, "a middle window on a top prior"),
        ({"num_new": 0}, "room for 1 to 56"),
        ({"num_new": 57}, "57 new tokens after a prefix of 8"),
        ({"upper_codes": np.zeros(16, dtype=np.int64)}, "16 codes of the level above"),
        ({"prefix_codes": np.array([3, 64])}, r"prefix codes must lie in \[0, 64\), found 64"),
        ({"prefix_codes": np.array([-1])}, "found -1"),
        ({"labels": (1, 2, 3)}, "label vector of 3 numbers.*reads 25"),
        ({"labels": (0, 0, 0, 4111, *[0] * 21)}, "artist id must lie.*found 4111"),
        ({"labels": (0, 0, 0, 0, 120, *[0] * 20)}, "genre ids must lie.*found 120"),
        ({"labels": (0, 0, 0, 0, *[-1] * 5, *[80] * 16)}, "lyric ids must lie.*found 80"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_found_and_wanted(config, changes, sentence):
    with pytest.raises(SamplingError, match=sentence):
        check_sequence(config.prior(Level.TOP), a_window(config, Level.TOP, **changes))


def test_an_upsampler_without_codes_above_is_refused(config):
    window = a_window(config, Level.BOTTOM, upper_codes=None)
    with pytest.raises(SamplingError, match=r"0 codes of the level above.*needs 16"):
        check_sequence(config.prior(Level.BOTTOM), window)
