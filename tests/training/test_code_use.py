"""A codec that uses one code has collapsed, one that uses few is poor."""

import numpy as np
import pytest

from jukebox_core.training.dataset.code_use import code_use
from jukebox_core.training.dataset.codes_cache import SongCodes
from jukebox_core.units import Level


def use_of(codes, num_codes=1024):
    flat = np.asarray(codes, dtype=np.int16)
    return code_use(SongCodes(Level.TOP, flat, np.array([0, len(flat)])), num_codes)


def test_codes_that_come_equally_often_count_fully():
    use = use_of(np.tile(np.arange(1024), 3))
    assert (use.used, use.perplexity) == (1024, pytest.approx(1024))
    assert not use.is_poor
    assert not use.is_collapsed


@pytest.mark.parametrize("codes", [[7] * 500, [7] * 500 + [8, 9, 10], []])
def test_one_code_and_a_few_strays_are_a_collapse(codes):
    assert use_of(codes).is_collapsed
    assert use_of(codes).is_poor


def test_few_codes_are_poor_and_told_in_a_sentence():
    use = use_of(np.tile(np.arange(12), 50))
    assert use.is_poor
    assert not use.is_collapsed
    assert use.sentence == (
        "the top level of the codec uses 12 of 1,024 codes (worth 12.0 evenly used ones)"
    )
