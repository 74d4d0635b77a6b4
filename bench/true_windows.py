"""Windows of songs that are made from seeds, as a prior reads them: true codes and true labels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from jukebox_core.model import JukeboxModel
from jukebox_core.sampling.window_inputs import SongTiming, window_label_rows, window_upper_codes
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae.long_audio import encode_chunked
from recipes.mini.synth import compose

FIRST_SEED = 7_000_000
"""Far from the seeds of the songs that models are trained and judged with."""


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Windows of one level.

    codes        int64 [N, context_tokens]
    labels       int64 [N, W], see `JukeboxPrior.condition`
    upper_codes  int64 [N, upper_context_tokens] | None
    """

    codes: Tensor
    labels: Tensor
    upper_codes: Tensor | None

    def rows(self, rows: slice | list[int]) -> "Windows":
        """Some of them."""
        upper = None if self.upper_codes is None else self.upper_codes[rows]
        return Windows(self.codes[rows], self.labels[rows], upper)


@torch.inference_mode()
def true_windows(model: JukeboxModel, num_songs: int) -> Mapping[Level, Windows]:
    """One window of each of `num_songs` songs at every level, at a place that the seed draws.

    The songs are a little longer than the longest window.
    """
    longest_samples = max(
        prior.context_tokens * model.config.time_base.samples_per_token[prior.level]
        for prior in model.config.priors
    )
    rate_hz = model.config.vqvae.sample_rate_hz
    duration_sec = max(1.5 * longest_samples / rate_hz, 3.0)
    songs = [_song_windows(model, FIRST_SEED + i, duration_sec) for i in range(num_songs)]
    return {level: _together([song[level] for song in songs]) for level in COARSE_TO_FINE}


def _song_windows(model: JukeboxModel, seed: int, duration_sec: float) -> Mapping[Level, Windows]:
    rate_hz = model.config.vqvae.sample_rate_hz
    song = compose(seed, duration_sec=duration_sec, sample_rate_hz=rate_hz)
    hop = model.config.time_base.samples_per_token[Level.TOP]
    audio = torch.from_numpy(np.array(song.audio[: len(song.audio) // hop * hop]))
    codes = {level: encode_chunked(model.vqvae, audio[None, :, None], level) for level in Level}
    labels = model.tokenizer(song.artist, song.genre, song.lyrics)
    generator = np.random.default_rng(seed)
    windows = {}
    for level in COARSE_TO_FINE:
        prior = model.prior(level)
        size, conditioner = prior.config.context_tokens, prior.config.conditioner
        step = 1 if conditioner is None else conditioner.upsampling
        start = int(generator.integers((codes[level].shape[1] - size) // step + 1)) * step
        windows[level] = Windows(
            codes[level][:, start : start + size],
            window_label_rows(
                prior, labels.for_level(level), SongTiming(total_samples=len(audio)), start
            ),
            window_upper_codes(prior, None if level.upper is None else codes[level.upper], start),
        )
    return windows


def _together(windows: list[Windows]) -> Windows:
    uppers = [window.upper_codes for window in windows if window.upper_codes is not None]
    return Windows(
        torch.cat([window.codes for window in windows]),
        torch.cat([window.labels for window in windows]),
        torch.cat(uppers) if uppers else None,
    )
