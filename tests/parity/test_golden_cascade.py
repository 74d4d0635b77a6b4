"""The whole model against numbers of the original computation, see `tests/golden/README.md`."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from jukebox_core.config import JukeboxConfig
from jukebox_core.labels import JukeboxTokenizer, Labels
from jukebox_core.model import JukeboxModel
from jukebox_core.sampling.ancestral import LevelTask, SongTiming, draw_level
from jukebox_core.sampling.cascade import LevelPlan
from jukebox_core.sampling.noise import TableNoise
from jukebox_core.sampling.windows import plan_windows
from jukebox_core.song import SamplingParams
from jukebox_core.units import COARSE_TO_FINE, Level

GOLDEN = Path(__file__).parents[1] / "golden"
CASE = json.loads((GOLDEN / "case.json").read_text())
TOPS = ("prior_1b_lyrics", "prior_5b_lyrics", "prior_5b")
NUM_SONGS = len(CASE["metas"])
SONG_DURATION_SEC = CASE["metas"][0]["total_length"] / 44_100


@cache
def expected() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "expected.safetensors")


@cache
def model_with(top: str) -> JukeboxModel:
    priors = [CASE["priors"][name] for name in (top, "upsampler_level_1", "upsampler_level_0")]
    return JukeboxModel.from_openai(
        JukeboxConfig.from_openai(CASE["vqvae"], priors),
        vqvae=GOLDEN / "vqvae.pth.tar",
        top=GOLDEN / f"{top}.pth.tar",
        middle=GOLDEN / "upsampler_level_1.pth.tar",
        bottom=GOLDEN / "upsampler_level_0.pth.tar",
        labels_dir=GOLDEN / "labels",
    )


def labels_of_both_songs(tokenizer: JukeboxTokenizer) -> Labels:
    metas = CASE["metas"]
    return tokenizer(
        [meta["artist"] for meta in metas],
        [meta["genre"] for meta in metas],
        [meta["lyrics"] for meta in metas],
    )


def golden_sampling(top: str) -> dict[Level, SamplingParams]:
    filters = CASE["filters"][top]
    return {
        level: SamplingParams(
            temperature=filters.get("temp", 1.0),
            top_k=filters.get("top_k", 0),
            top_p=filters.get("top_p", 0.0),
            hop_fraction=CASE["hop_fraction"][str(int(level))],
        )
        for level in COARSE_TO_FINE
    }


def golden_noise(top: str) -> TableNoise:
    return TableNoise(
        {
            (level, song): expected()[f"noise.{top}.{int(level)}.{song}"]
            for level in Level
            for song in range(NUM_SONGS)
        }
    )


@cache
def sampled(top: str) -> list[torch.Tensor]:
    model = model_with(top)
    return model.ancestral_sample(
        labels_of_both_songs(model.tokenizer),
        duration_sec=CASE["lengths"][top]["2"] * 128 / 44_100,
        song_duration_sec=SONG_DURATION_SEC,
        sampling=golden_sampling(top),
        noise=golden_noise(top),
    )


@pytest.mark.parametrize("level", COARSE_TO_FINE)
@pytest.mark.parametrize("top", TOPS)
def test_every_sampled_code_equals_the_original(top, level):
    codes = sampled(top)[COARSE_TO_FINE.index(level)]
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
        duration_sec=CASE["lengths"][top]["2"] * 128 / 44_100,
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
    num_given = int((tables[Level.TOP, 0] < 0).sum())
    prior = model.prior(Level.TOP)
    # These codes were drawn without the filters of `case.json`, at the original's own temperature.
    params = SamplingParams(temperature=0.99)
    hop = int(CASE["hop_fraction"]["2"] * prior.config.context_tokens)
    total = golden.shape[1]
    task = LevelTask(
        prior=prior,
        plan=LevelPlan(
            total_tokens=total,
            heard_tokens=total,
            windows=plan_windows(total, prior.config.context_tokens, hop, done_tokens=num_given),
            hop_tokens=hop,
        ),
        songs=[songs[0] for songs in labels_of_both_songs(model.tokenizer).songs],
        timing=SongTiming(total_samples=CASE["metas"][0]["total_length"]),
        params=params,
        noise=TableNoise(tables),
    )
    prompt = expected()["encode_2"][:, :num_given]
    with torch.inference_mode():
        codes = draw_level(task, prompt=prompt)
    assert torch.equal(codes[:, :num_given], prompt)
    assert torch.equal(codes, golden)


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
        duration_sec=CASE["lengths"][top]["2"] * 128 / 44_100,
        song_duration_sec=SONG_DURATION_SEC,
        sampling=golden_sampling(top),
        noise=golden_noise(top),
        levels=(Level.TOP,),
    )
    assert torch.equal(codes[0], sampled(top)[0])
