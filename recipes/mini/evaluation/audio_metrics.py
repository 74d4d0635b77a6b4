"""How far one sound is from another, and whether a sound is sane.

The distances are those of the trials that the codec's sizes were chosen by, so that figures can be
compared: see `docs/explanation/mini.md`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jukebox_core.training.codec.measures import log_spectral_distance_db, spectral_convergence
from recipes.mini.evaluation.statistics import rounded

_CLIPPED = 0.999
_SILENT_DB = -60.0
_FRAME_SAMPLES = 512


@dataclass(frozen=True, slots=True)
class SoundDistance:
    """How a reconstruction differs from its original.

    `snr_db`                   signal over difference, in the waveform; more is closer
    `spectral_convergence`     norm of the difference of magnitudes over that of the original
    `log_spectral_distance_db` mean absolute difference of levels
    """

    snr_db: float
    spectral_convergence: float
    log_spectral_distance_db: float

    def to_json(self) -> dict[str, Any]:
        """The three figures under their names."""
        return {
            "snr_db": rounded(self.snr_db),
            "spectral_convergence": rounded(self.spectral_convergence),
            "log_spectral_distance_db": rounded(self.log_spectral_distance_db),
        }


def sound_distance(original: Tensor, other: Tensor) -> SoundDistance:
    """Distance of two sounds, both float32 [samples] of the same length."""
    difference = (original - other).square().sum().clamp(min=1e-12)
    snr_db = 10.0 * torch.log10(original.square().sum().clamp(min=1e-12) / difference)
    pair = original[None], other[None]
    return SoundDistance(
        snr_db=float(snr_db),
        spectral_convergence=float(spectral_convergence(*pair)),
        log_spectral_distance_db=float(log_spectral_distance_db(*pair)),
    )


def soundness(audio: Tensor) -> dict[str, float]:
    """Loudness and what should hardly occur, of a batch float32 [songs, samples].

    `rms_db` below full scale, `clipped_share` of samples at full scale, `silent_share` of frames of
    512 samples below -60 dB.
    """
    num_frames = audio.shape[1] // _FRAME_SAMPLES
    frames = audio[:, : num_frames * _FRAME_SAMPLES].reshape(len(audio), -1, _FRAME_SAMPLES)
    frame_db = 10.0 * torch.log10(frames.square().mean(dim=-1).clamp(min=1e-12))
    return {
        "rms_db": round(float(10.0 * torch.log10(audio.square().mean().clamp(min=1e-12))), 2),
        "clipped_share": round(float((audio.abs() >= _CLIPPED).float().mean()), 6),
        "silent_share": round(float((frame_db < _SILENT_DB).float().mean()), 4),
    }
