"""The whole model against numbers of the original computation, see `tests/golden/README.md`."""

import shutil
from functools import cache

import pytest
import torch

from jukebox_core.model import JukeboxModel
from jukebox_core.song import SamplingParams
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.parity.golden import (
    CASE,
    NUM_SONGS,
    SONG_DURATION_SEC,
    TOPS,
    expected,
    golden_codes,
    golden_noise,
    golden_sampling,
    labels_of_both_songs,
    model_with,
    top_seconds,
)
from tests.parity.table_noise import TableNoise


@cache
def sampled(top: str) -> list[torch.Tensor]:
    model = model_with(top)
    return model.ancestral_sample(
        labels_of_both_songs(model.tokenizer),
        duration_sec=top_seconds(CASE["lengths"][top]["2"]),
        song_duration_sec=SONG_DURATION_SEC,
        sampling=golden_sampling(top),
        noise=golden_noise(top),
    )


@pytest.mark.parametrize("level", COARSE_TO_FINE)
@pytest.mark.parametrize("top", TOPS)
def test_every_sampled_code_equals_the_original(top, level):
    codes = sampled(top)[COARSE_TO_FINE.index(level)]
    assert torch.equal(codes, expected()[f"{top}.sample_{int(level)}"])


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("top", TOPS)
def test_the_step_in_c_samples_the_codes_of_the_original(top):
    model_with(top).use_backend("native")
    try:
        sampled_in_c = sampled.__wrapped__(top)
    finally:
        model_with(top).use_backend("torch")
    for level, codes in zip(COARSE_TO_FINE, sampled_in_c, strict=True):
        assert torch.equal(codes, expected()[f"{top}.sample_{int(level)}"])


@pytest.mark.parametrize("level", COARSE_TO_FINE)
@pytest.mark.parametrize("top", TOPS)
def test_the_sampled_codes_sound_like_the_original(top, level):
    codes = sampled(top)[: COARSE_TO_FINE.index(level) + 1]
    audio = model_with(top).decode(codes)
    torch.testing.assert_close(audio, expected()[f"{top}.audio_{int(level)}"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("top", TOPS)
def test_songs_drawn_one_by_one_equal_the_batch(top):
    model = model_with(top)
    one_by_one = model.ancestral_sample(
        labels_of_both_songs(model.tokenizer),
        duration_sec=top_seconds(CASE["lengths"][top]["2"]),
        song_duration_sec=SONG_DURATION_SEC,
        sampling=golden_sampling(top),
        noise=golden_noise(top),
        levels=(Level.TOP, Level.MIDDLE),
        max_batch_size=1,
    )
    for codes, batched in zip(one_by_one, sampled(top), strict=False):
        assert torch.equal(codes, batched)


@pytest.mark.parametrize("top", ["prior_1b_lyrics", "prior_5b_lyrics"])
def test_continued_codes_equal_the_original(top):
    model, golden = model_with(top), expected()[f"{top}.primed_2"]
    tables = {
        (Level.TOP, song): expected()[f"noise.{top}.primed.{song}"] for song in range(NUM_SONGS)
    }
    prompt = expected()["encode_2"][:, : int((tables[Level.TOP, 0] < 0).sum())]
    # These codes were drawn without the filters of `case.json`, at the original's own temperature.
    params = SamplingParams(temperature=0.99, hop_fraction=CASE["hop_fraction"]["2"])
    (codes,) = model.continue_sample(
        [prompt],
        labels_of_both_songs(model.tokenizer),
        duration_sec=top_seconds(golden.shape[1]),
        song_duration_sec=SONG_DURATION_SEC,
        sampling={Level.TOP: params},
        noise=TableNoise(tables),
        levels=(Level.TOP,),
    )
    assert torch.equal(codes[:, : prompt.shape[1]], prompt)
    assert torch.equal(codes, golden)


@pytest.mark.parametrize("top", TOPS)
def test_upsampling_the_top_codes_of_the_original_gives_its_other_codes(top):
    """A middle level that stopped inside a window is gone on with, and the bottom is drawn."""
    model, golden = model_with(top), golden_codes(top)
    codes = model.upsample(
        [golden[0], golden[1][:, :101]],
        labels_of_both_songs(model.tokenizer),
        song_duration_sec=SONG_DURATION_SEC,
        sampling=golden_sampling(top),
        noise=golden_noise(top),
    )
    assert all(torch.equal(stream, want) for stream, want in zip(codes, golden, strict=True))


@pytest.mark.parametrize("song", range(NUM_SONGS))
def test_one_chosen_song_of_the_original_is_upsampled_as_it_was_among_others(song):
    top = "prior_5b_lyrics"
    model, golden = model_with(top), golden_codes(top)
    codes = model.upsample(
        golden[:1],
        labels_of_both_songs(model.tokenizer).song(song),
        row=song,
        song_duration_sec=SONG_DURATION_SEC,
        sampling=golden_sampling(top),
        noise=golden_noise(top),
    )
    for stream, want in zip(codes, golden, strict=True):
        assert torch.equal(stream, want[song : song + 1])


@pytest.mark.parametrize("top", ["prior_1b_lyrics", "prior_5b_lyrics"])
def test_lyrics_align_like_the_original(top):
    model = model_with(top)
    metas = CASE["metas"]
    # The golden lyrics were not transliterated: what is not ASCII was dropped. The windows of these
    # short songs end before the first such character, so only the number of columns depends on it.
    labels = model.tokenizer(
        [meta["artist"] for meta in metas],
        [meta["genre"] for meta in metas],
        [meta["lyrics"].encode("ascii", "ignore").decode() for meta in metas],
    )
    alignments = model.align(
        expected()[f"{top}.sample_2"],
        labels,
        song_duration_sec=SONG_DURATION_SEC,
        hop_fraction=CASE["hop_fraction"]["2"],
    )
    for song, alignment in enumerate(alignments):
        golden = expected()[f"{top}.align_{song}"]
        torch.testing.assert_close(alignment, golden, atol=1e-5, rtol=0)


@pytest.mark.parametrize("top", TOPS)
def test_a_saved_model_sings_the_same_song(top, tmp_path):
    model = model_with(top)
    model.save_pretrained(tmp_path / top)
    again = JukeboxModel.from_pretrained(tmp_path / top)
    codes = again.ancestral_sample(
        labels_of_both_songs(again.tokenizer),
        duration_sec=top_seconds(CASE["lengths"][top]["2"]),
        song_duration_sec=SONG_DURATION_SEC,
        sampling=golden_sampling(top),
        noise=golden_noise(top),
        levels=(Level.TOP,),
    )
    assert torch.equal(codes[0], sampled(top)[0])
