"""Hiss of a chosen color, the same on every run."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@cache
def noise_band(
    low_hz: float, high_hz: float, sample_rate_hz: int, duration_sec: float = 1.0
) -> Floats:
    """Noise between two frequencies, float32 [samples] with RMS 1; begins as it ends.

    The edges are soft: they fall over a fifth of the band.
    """
    num_samples = round(duration_sec * sample_rate_hz)
    rng = np.random.Generator(np.random.PCG64([int(low_hz), int(high_hz)]))
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    frequencies_hz = np.fft.rfftfreq(num_samples, 1.0 / sample_rate_hz)
    high_hz = min(high_hz, 0.47 * sample_rate_hz)
    low_hz = min(low_hz, 0.6 * high_hz)
    edge_hz = 0.2 * (high_hz - low_hz)
    distance = np.minimum(frequencies_hz - low_hz, high_hz - frequencies_hz)
    spectrum *= np.clip(distance / edge_hz, 0.0, 1.0)
    noise = np.fft.irfft(spectrum, n=num_samples)
    levelled: Floats = (noise / np.sqrt(np.mean(noise**2))).astype(np.float32)
    levelled.flags.writeable = False
    return levelled
