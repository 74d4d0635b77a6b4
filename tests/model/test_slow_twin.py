"""Every fast path generates the song of the slow twin, which knows neither cache nor engine."""

import shutil
from functools import cache

import numpy as np
import pytest
import torch

from jukebox_core.song import SamplingParams
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.parity.golden import labels_of_both_songs, model_with, top_seconds
from tests.slow_twin import equals, sample_song

SHORT = 5  # top tokens: less than any upsampler's context, so all levels above have padding
LONG = 70  # top tokens: two windows of the top and the middle level
OPTIONS = {
    "seed": 7,
    "song_duration_sec": 62.0,
    "sampling": {level: SamplingParams(temperature=0.95, top_p=0.98) for level in Level},
}
MIDDLE = COARSE_TO_FINE[:2]


def model():
    return model_with("prior_5b_lyrics")


def labels(song=0):
    return labels_of_both_songs(model().tokenizer).song(song)


@cache
def twin(num_top_tokens, speed="exact", levels=COARSE_TO_FINE, song=0, sample=0):
    return sample_song(
        model(),
        labels(song),
        duration_sec=top_seconds(num_top_tokens),
        sample=sample,
        speed=speed,
        levels=levels,
        **OPTIONS,
    )


def generate(num_top_tokens, song_labels=None, n_samples=1, **options):
    return model().ancestral_sample(
        labels() if song_labels is None else song_labels,
        n_samples,
        duration_sec=top_seconds(num_top_tokens),
        **{**OPTIONS, **options},
    )


def test_a_song_of_all_levels_is_the_slow_twins():
    assert equals(generate(SHORT), twin(SHORT))


@pytest.mark.parametrize("speed", ["exact", "parallel"])
def test_a_song_of_several_windows_is_the_slow_twins(speed):
    codes = generate(LONG, speed=speed, levels=MIDDLE)
    assert equals(codes, twin(LONG, speed, MIDDLE))


@pytest.mark.parametrize("max_batch_size", [1, 2, 16])
def test_every_row_of_a_batch_is_the_slow_twins(max_batch_size):
    both = labels_of_both_songs(model().tokenizer)
    codes = generate(SHORT, both, max_batch_size=max_batch_size)
    for row in range(2):
        assert equals(codes, twin(SHORT, song=row, sample=row), row)


def test_a_song_that_is_resumed_anywhere_is_the_slow_twins():
    wanted = twin(LONG, levels=MIDDLE)
    kept = [torch.from_numpy(codes[None, :n]) for codes, n in zip(wanted, (41, 99), strict=True)]
    codes = model().continue_sample(
        kept, labels(), duration_sec=top_seconds(LONG), levels=MIDDLE, **OPTIONS
    )
    assert equals(codes, wanted)


def test_a_draft_that_is_upsampled_is_the_slow_twins():
    draft = [torch.from_numpy(np.array(twin(SHORT)[0])[None])]
    assert equals(model().upsample(draft, labels(), **OPTIONS), twin(SHORT))


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("speed", ["exact", "parallel"])
def test_the_native_backend_generates_the_slow_twins_song(speed):
    model().use_backend("native")
    try:
        codes = generate(LONG, speed=speed, levels=MIDDLE)
    finally:
        model().use_backend("torch")
    assert equals(codes, twin(LONG, speed, MIDDLE))
