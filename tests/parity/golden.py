"""Models in the original's format and what the original draws with them."""

import json
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file

from jukebox_core.config import JukeboxConfig
from jukebox_core.labels import JukeboxTokenizer, Labels
from jukebox_core.model import JukeboxModel
from jukebox_core.song import SamplingParams
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.parity.table_noise import TableNoise

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


def golden_codes(top: str) -> list[torch.Tensor]:
    """What the original drew at every level, top first."""
    return [expected()[f"{top}.sample_{int(level)}"] for level in COARSE_TO_FINE]


def top_seconds(num_tokens: int) -> float:
    """How long so many top tokens sound."""
    return num_tokens * 128 / 44_100
