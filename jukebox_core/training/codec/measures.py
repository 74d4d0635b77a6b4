"""How well a level renders unheard songs, and how much of its codebook it uses."""

import torch
from torch import Tensor

from jukebox_core.training.codec.codebook_learning import perplexity
from jukebox_core.training.codec.losses import (
    ORIGINAL_RESOLUTIONS,
    SpectralResolution,
    spectrograms,
)

LOG_FLOOR = 0.01
"""Magnitudes below are taken as this much: a difference in silence is no difference."""
LOG_RESOLUTIONS = tuple(SpectralResolution(n, n // 4, n) for n in (256, 1024, 2048))


class Reconstruction:
    """Adds up pieces, and says in the end

    snr_db                signal to noise of the waveform; below 0 where the phase is free
    spectral_convergence  ||output - target|| / ||target|| of magnitudes, three resolutions
    log_spectral_distance_db  mean |difference of magnitudes in dB|; 0 is equal
    perplexity, codes_used    of the codes of all pieces
    """

    def __init__(self, num_codes: int) -> None:
        self._counts = torch.zeros(num_codes)
        self._signal = self._noise = 0.0
        self._convergence: list[Tensor] = []
        self._log_distance: list[Tensor] = []

    def add(self, target: Tensor, output: Tensor, codes: Tensor) -> None:
        """Waveforms float32 [B, T], codes int64 [B, tokens]."""
        self._counts += torch.bincount(codes.flatten().cpu(), minlength=len(self._counts))
        self._signal += target.square().sum().item()
        self._noise += (output - target).square().sum().item()
        self._convergence.append(spectral_convergence(target, output))
        self._log_distance.append(log_spectral_distance_db(target, output))

    def figures(self) -> dict[str, float]:
        """The means over all pieces."""
        signal, noise = torch.tensor([self._signal, self._noise]).clamp_min(1e-12)
        return {
            "snr_db": (10 * (signal / noise).log10()).item(),
            "spectral_convergence": torch.stack(self._convergence).mean().item(),
            "log_spectral_distance_db": torch.stack(self._log_distance).mean().item(),
            "perplexity": perplexity(self._counts).item(),
            "codes_used": float((self._counts > 0).sum()),
        }


def spectral_convergence(target: Tensor, output: Tensor) -> Tensor:
    """||output - target|| / ||target|| of magnitudes of [B, T], mean over three resolutions."""
    pairs = zip(
        spectrograms(target, ORIGINAL_RESOLUTIONS),
        spectrograms(output, ORIGINAL_RESOLUTIONS),
        strict=True,
    )
    return torch.stack([(b - a).norm() / a.norm().clamp_min(1e-6) for a, b in pairs]).mean()


def log_spectral_distance_db(target: Tensor, output: Tensor) -> Tensor:
    """Mean |20 log10| distance of magnitudes (at least 0.01), over three resolutions."""
    pairs = zip(
        spectrograms(target, LOG_RESOLUTIONS), spectrograms(output, LOG_RESOLUTIONS), strict=True
    )
    distances = [
        (b.clamp_min(LOG_FLOOR).log10() - a.clamp_min(LOG_FLOOR).log10()).abs().mean() * 20
        for a, b in pairs
    ]
    return torch.stack(distances).mean()
