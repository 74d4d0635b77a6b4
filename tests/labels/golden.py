"""The golden case: hyperparameters, songs, and the label vectors of the original."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from jukebox_core.config import JukeboxConfig
from jukebox_core.labels import JukeboxTokenizer, Vocabulary

GOLDEN = Path(__file__).parents[1] / "golden"
LABELS_DIR = GOLDEN / "labels"
TOP_PRIORS = ("prior_1b_lyrics", "prior_5b_lyrics", "prior_5b")


@cache
def golden_case() -> dict[str, Any]:
    return json.loads((GOLDEN / "case.json").read_text(encoding="utf-8"))


@cache
def golden_label_vectors() -> dict[str, np.ndarray]:
    expected = load_file(GOLDEN / "expected.safetensors")
    return {key: value for key, value in expected.items() if _is_label_vector(key)}


def _is_label_vector(key: str) -> bool:
    return ".y_" in key and ".y_cond" not in key


@cache
def golden_config(top: str) -> JukeboxConfig:
    case = golden_case()
    parts = (top, "upsampler_level_1", "upsampler_level_0")
    return JukeboxConfig.from_openai(case["vqvae"], [case["priors"][part] for part in parts])


@cache
def golden_tokenizer(top: str) -> JukeboxTokenizer:
    vocabularies = {v: Vocabulary.from_directory(LABELS_DIR, v) for v in ("v2", "v3")}
    return JukeboxTokenizer(vocabularies, golden_config(top))
