"""How far a rendered waveform is from the true one: the losses a VQ-VAE learns by.

Waveforms are float32 [B, T]; every loss is float32 []. "Bandwidths" bring losses of different
units to the same order: rendering silence has a loss of about 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class SpectralResolution:
    """One short-time Fourier transform; all three in samples."""

    n_fft: int
    hop: int
    window: int


ORIGINAL_RESOLUTIONS = (
    SpectralResolution(2048, 240, 1200),
    SpectralResolution(1024, 120, 600),
    SpectralResolution(512, 50, 240),
)
"""Those of the original's multispectral loss (`hparams.py`: STFT defaults)."""

BANDWIDTH_RESOLUTION = SpectralResolution(2048, 256, 1536)
"""At which the original measures how loud spectrograms are (`calculate_bandwidth`)."""


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """What the data is like: mean |x|, the variance of x, and the mean norm of its spectrograms.

    The original divides its losses by these constants, estimated once from the data. There is one
    for spectrograms of all resolutions.
    """

    l1: float
    l2: float
    spectral: float


def magnitudes(audio: Tensor, resolution: SpectralResolution) -> Tensor:
    """Magnitude spectrogram, Hann window: [B, T] -> [B, n_fft / 2 + 1, frames]."""
    window = torch.hann_window(resolution.window, device=audio.device)
    spectrum = torch.stft(
        audio,
        resolution.n_fft,
        resolution.hop,
        resolution.window,
        window=window,
        return_complex=True,
    )
    # The floor keeps the root's slope finite where there is nothing at all.
    return torch.view_as_real(spectrum).square().sum(dim=-1).clamp_min(1e-12).sqrt()


def spectrograms(audio: Tensor, resolutions: Sequence[SpectralResolution]) -> list[Tensor]:
    """`magnitudes` at each resolution."""
    return [magnitudes(audio, resolution) for resolution in resolutions]


def measure_bandwidth(audio: Tensor) -> Bandwidth:
    """The bandwidth of example waveforms [B, T]; silence counts as barely audible."""
    wide = audio.double()
    return Bandwidth(
        l1=max(wide.abs().mean().item(), 1e-4),
        l2=max(wide.var(correction=0).item(), 1e-8),
        spectral=max(_norms(magnitudes(audio, BANDWIDTH_RESOLUTION)).mean().item(), 1e-3),
    )


def l1_loss(target: Tensor, output: Tensor, bandwidth: Bandwidth) -> Tensor:
    """mean |output - target| / mean |x|."""
    return (output - target).abs().mean() / bandwidth.l1


def l2_loss(target: Tensor, output: Tensor, bandwidth: Bandwidth) -> Tensor:
    """mean (output - target) ** 2 / variance of x."""
    return (output - target).square().mean() / bandwidth.l2


def linf_loss(
    target: Tensor, output: Tensor, bandwidth: Bandwidth, num_largest: int = 2048
) -> Tensor:
    """The mean of the `num_largest` largest squared errors of each waveform / variance of x."""
    squares = (output - target).square()
    largest = squares.topk(min(num_largest, squares.shape[1]), dim=1).values
    return largest.mean() / bandwidth.l2


def multispectral_loss(
    targets: Sequence[Tensor], outputs: Sequence[Tensor], bandwidth: Bandwidth
) -> Tensor:
    """The original's: ||output - target|| of each spectrogram, over all bins and frames.

    The mean over batch and resolutions, divided by the one bandwidth of spectrograms.
    """
    distances = [
        _norms(output - target).mean() for target, output in zip(targets, outputs, strict=True)
    ]
    return torch.stack(distances).mean() / bandwidth.spectral


def log_magnitude_loss(
    targets: Sequence[Tensor], outputs: Sequence[Tensor], floor: float = 0.01
) -> Tensor:
    """mean |ln(output + floor) - ln(target + floor)| over bins, frames, batch and resolutions.

    Ours: it asks for timbre where the norm of differences sees only the loudest partials, and
    leaves the phase free.
    """
    distances = [
        ((output + floor).log() - (target + floor).log()).abs().mean()
        for target, output in zip(targets, outputs, strict=True)
    ]
    return torch.stack(distances).mean()


def commit_loss(vectors: Tensor, quantized: Tensor) -> Tensor:
    """mean (vector - code) ** 2, with gradients for the vectors alone. [B, width, T] both."""
    return (vectors - quantized.detach()).square().mean()


def _norms(spectrograms_: Tensor) -> Tensor:
    norms: Tensor = spectrograms_.flatten(1).norm(dim=1)
    return norms
