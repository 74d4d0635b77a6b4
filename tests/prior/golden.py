"""The golden numbers, and priors with the golden weights."""

import json
from functools import cache
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from jukebox_core.checkpoints import load_openai_prior
from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig
from jukebox_core.prior import JukeboxPrior

GOLDEN = Path(__file__).parents[1] / "golden"
TOPS = ("prior_5b", "prior_5b_lyrics", "prior_1b_lyrics")
UPSAMPLERS = ("upsampler_level_1", "upsampler_level_0")
PRIORS = TOPS + UPSAMPLERS


@cache
def case() -> dict:
    return json.loads((GOLDEN / "case.json").read_text())


@cache
def expected() -> dict[str, Tensor]:
    return load_file(GOLDEN / "expected.safetensors")


@cache
def config_of(name: str) -> JukeboxPriorConfig:
    top = name if name in TOPS else TOPS[0]
    priors = [case()["priors"][part] for part in (top, *UPSAMPLERS)]
    config = JukeboxConfig.from_openai(case()["vqvae"], priors)
    return config.priors[0 if name in TOPS else 1 + UPSAMPLERS.index(name)]


@cache
def golden_prior(name: str) -> JukeboxPrior:
    prior = load_openai_prior(GOLDEN / f"{name}.pth.tar", config_of(name))
    return prior.eval().requires_grad_(False)


def window_starts(name: str) -> tuple[int, int]:
    return (0, 40) if name in TOPS else (0, 32)


def upper_codes(name: str, start: int, codes: Tensor | None = None) -> Tensor | None:
    """Codes of the level above the window at `start`: of the encoded audio, unless given."""
    config = config_of(name)
    if config.level.upper is None:
        return None
    above = expected()[f"encode_{config.level + 1}"] if codes is None else codes
    return above[:, start // 4 : start // 4 + config.upper_context_tokens]
