"""Windows of the golden priors, drawn by an engine or one by one by the simple loop."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from jukebox_core.checkpoints import load_openai
from jukebox_core.config import JukeboxConfig
from jukebox_core.engine import Sequence
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.noise import CounterNoise
from jukebox_core.song import SamplingParams
from jukebox_core.units import Level
from tests.slow_twin import choose_with, sample_window, uniforms_of

GOLDEN_DIR = Path(__file__).parent.parent / "golden"
DEFAULT_PARAMS = SamplingParams()
TOP_PRIORS = ("prior_1b_lyrics", "prior_5b_lyrics", "prior_5b")
UPSAMPLERS = {Level.MIDDLE: "upsampler_level_1", Level.BOTTOM: "upsampler_level_0"}


@cache
def golden_config(top: str) -> JukeboxConfig:
    case = json.loads((GOLDEN_DIR / "case.json").read_text())
    names = (top, *UPSAMPLERS.values())
    return JukeboxConfig.from_openai(case["vqvae"], [case["priors"][name] for name in names])


@cache
def golden_priors(top: str) -> dict[Level, JukeboxPrior]:
    parts = load_openai(
        golden_config(top),
        vqvae=GOLDEN_DIR / "vqvae.pth.tar",
        priors={
            level: GOLDEN_DIR / f"{name}.pth.tar"
            for level, name in {Level.TOP: top, **UPSAMPLERS}.items()
        },
        labels_dir=None,
        device="cpu",
        dtype=torch.float32,
    )
    return {prior.config.level: prior for prior in parts.priors}


@cache
def golden_numbers() -> dict[str, np.ndarray]:
    return load_file(GOLDEN_DIR / "expected.safetensors")


@dataclass(frozen=True)
class Draw:
    """What makes a window: enough to draw it in two ways."""

    top: str
    level: Level
    song: int = 0
    num_prefix: int = 0
    num_new: int = 12
    start_token: int = 0
    sample: int = 0
    seed: int = 0
    params: SamplingParams = DEFAULT_PARAMS

    @property
    def prior(self) -> JukeboxPrior:
        return golden_priors(self.top)[self.level]

    def sequence(self, name: str) -> Sequence:
        return Sequence(
            id=name,
            level=self.level,
            labels=tuple(int(number) for number in self._labels()),
            prefix_codes=self._codes(self.num_prefix, salt=1),
            upper_codes=self._upper(),
            start_token=self.start_token,
            num_new=self.num_new,
            sample=self.sample,
            params=self.params,
            noise=CounterNoise(self.seed),
        )

    def slowly(self) -> list[int]:
        """The new codes as the slow twin samples them, alone."""
        first = self.start_token + self.num_prefix
        noise = CounterNoise(self.seed)
        upper = self._upper()
        codes = sample_window(
            self.prior,
            torch.as_tensor(self._codes(self.num_prefix, salt=1))[None],
            torch.as_tensor(self._labels())[None],
            None if upper is None else torch.as_tensor(upper)[None],
            uniforms_of(noise, self.level, self.sample, first, first + self.num_new),
            choose_with(self.params),
        )
        return codes[0, self.num_prefix :].tolist()

    def _labels(self) -> np.ndarray:
        name = self.top if self.level is Level.TOP else UPSAMPLERS[self.level]
        return golden_numbers()[f"{name}.y_0"][self.song].astype(np.int64)

    def _upper(self) -> np.ndarray | None:
        num_upper = self.prior.config.upper_context_tokens
        return self._codes(num_upper, salt=2) if num_upper else None

    def _codes(self, num_tokens: int, salt: int) -> np.ndarray:
        random = np.random.default_rng([self.seed, self.sample, salt])
        return random.integers(0, self.prior.config.num_codes, num_tokens)


def run_to_end(engine, results=None):
    """Step until there is nothing left; codes or errors by sequence id."""
    results = {} if results is None else results
    while engine.has_work:
        for update in engine.step():
            results[update.id] = update.error or update.codes.tolist()
    return results
