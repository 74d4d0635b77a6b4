"""How far filtered sound is from the true one. Waveforms are float32 [B, T], losses float32 []."""

import math
from functools import cache

import torch
from torch import Tensor

from jukebox_core.training.codec.losses import SpectralResolution, magnitudes

NUM_MELS = 80
_MEL_N_FFT = 1024
_FLOOR = 0.003
"""Magnitudes below it are alike: higher, and the filter would gate what is only quiet."""


def resolutions(sample_rate_hz: int) -> tuple[SpectralResolution, ...]:
    """Four windows from a long one, which tells partials apart, to one as short as an attack.

    They last 100, 50, 20 and 6 ms, whatever the rate.
    """
    windows = [max(round(seconds * sample_rate_hz), 8) for seconds in (0.1, 0.05, 0.02, 0.006)]
    return tuple(
        SpectralResolution(2 ** math.ceil(math.log2(window)), window // 3, window)
        for window in windows
    )


def spectral_losses(target: Tensor, output: Tensor, sample_rate_hz: int) -> tuple[Tensor, Tensor]:
    """Convergence and difference of logarithms of magnitudes, means over the resolutions."""
    convergences, differences = [], []
    for resolution in resolutions(sample_rate_hz):
        with torch.no_grad():
            wanted = magnitudes(target, resolution)
        found = magnitudes(output, resolution)
        distances = (found - wanted).flatten(1).norm(dim=1)
        convergences.append((distances / wanted.flatten(1).norm(dim=1).clamp_min(1e-2)).mean())
        differences.append(_log_difference(wanted, found))
    return torch.stack(convergences).mean(), torch.stack(differences).mean()


def mel_loss(target: Tensor, output: Tensor, sample_rate_hz: int) -> Tensor:
    """Mean difference of the logarithms of `NUM_MELS` bands."""
    resolution = SpectralResolution(_MEL_N_FFT, _MEL_N_FFT // 4, _MEL_N_FFT)
    bands = _mel_bands(sample_rate_hz).to(target.device)
    with torch.no_grad():
        wanted = bands @ magnitudes(target, resolution)
    return _log_difference(wanted, bands @ magnitudes(output, resolution))


def waveform_loss(target: Tensor, output: Tensor) -> Tensor:
    """mean |output - target| / mean |target|."""
    return (output - target).abs().mean() / target.abs().mean().clamp_min(1e-4)


def _log_difference(wanted: Tensor, found: Tensor) -> Tensor:
    return ((found + _FLOOR).log() - (wanted + _FLOOR).log()).abs().mean()


@cache
def _mel_bands(sample_rate_hz: int) -> Tensor:
    """float32 [NUM_MELS, bins]: triangles that overlap, evenly spaced in mel (O'Shaughnessy's)."""
    top = 2595.0 * math.log10(1.0 + sample_rate_hz / 2 / 700.0)
    edges_hz = 700.0 * (10.0 ** (torch.linspace(0.0, top, NUM_MELS + 2) / 2595.0) - 1.0)
    bins_hz = torch.linspace(0.0, sample_rate_hz / 2, _MEL_N_FFT // 2 + 1)
    # A band narrower than a bin would be empty.
    widths_hz = (edges_hz[1:] - edges_hz[:-1]).clamp_min(sample_rate_hz / _MEL_N_FFT)
    rising = 1.0 + (bins_hz - edges_hz[1:-1, None]) / widths_hz[:-1, None]
    falling = 1.0 - (bins_hz - edges_hz[1:-1, None]) / widths_hz[1:, None]
    return torch.minimum(rising, falling).clamp_min(0.0)
