"""Sounds with a pitch, without aliasing: one cycle per moment from its harmonics, read in phase.

For every frame the inverse Fourier transform of the harmonics below half the sample rate gives one
cycle; each sample is read between the two nearest frames at the phase that the pitch has reached.
Harmonics keep their phases from frame to frame, so any change of timbre is smooth.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

HIGHEST_HZ = 7_000.0
"""No harmonic goes above it, whatever the sample rate."""


class Tone(NamedTuple):
    """One note of an instrument."""

    start_sec: float
    end_sec: float
    midi: float
    level: float = 1.0


class Clock(NamedTuple):
    """The samples of one song, and the frames at which its timbres are worked out."""

    sample_rate_hz: int
    num_samples: int
    hop_samples: int

    @property
    def num_frames(self) -> int:
        """One more than the hops that cover the song."""
        return -(-self.num_samples // self.hop_samples) + 1

    def frame_times_sec(self) -> Doubles:
        """float64 [num_frames]."""
        return np.arange(self.num_frames, dtype=np.float64) * (
            self.hop_samples / self.sample_rate_hz
        )

    def to_samples(self, frames: Doubles) -> Floats:
        """Values per frame [num_frames] as straight lines between them, float32 [num_samples]."""
        slope = np.diff(frames)[:, None] * (np.arange(self.hop_samples) / self.hop_samples)
        lines = (frames[:-1, None] + slope).astype(np.float32)
        return lines.reshape(-1)[: self.num_samples]

    def envelope(self, times_sec: list[float], levels: list[float]) -> Floats:
        """Straight lines between points in time, float32 [num_samples]; 0 before and after."""
        if not times_sec:
            return np.zeros(self.num_samples, np.float32)
        times = np.maximum.accumulate(np.asarray(times_sec)) * self.sample_rate_hz
        samples = np.arange(self.num_samples)
        return np.interp(samples, times, levels, left=0.0, right=0.0).astype(np.float32)


def midi_to_hz(midi: Doubles) -> Doubles:
    """Equal temperament, A4 = MIDI 69 = 440 Hz."""
    return 440.0 * 2.0 ** ((np.asarray(midi, dtype=np.float64) - 69.0) / 12.0)


def num_harmonics(frequencies_hz: Doubles, sample_rate_hz: int) -> int:
    """How many harmonics the lowest pitch has below the limit."""
    limit_hz = min(HIGHEST_HZ, 0.45 * sample_rate_hz)
    return max(1, int(limit_hz / max(float(frequencies_hz.min()), 20.0)))


def below_limit(harmonics_hz: Floats, sample_rate_hz: int) -> Floats:
    """1 for harmonics that may sound, 0 above the limit, a slope before it."""
    limit_hz = min(HIGHEST_HZ, 0.45 * sample_rate_hz)
    slope = (limit_hz - harmonics_hz) * np.float32(1.0 / (0.1 * limit_hz))
    factors: Floats = np.clip(slope, np.float32(0.0), np.float32(1.0))
    return factors


def oscillate(frequencies_hz: Doubles, amplitudes: Floats, clock: Clock) -> Floats:
    """Sound of a pitch and a timbre that change from frame to frame.

    Args:
        frequencies_hz: float64 [num_frames].
        amplitudes: float32 [num_frames, harmonics], the first harmonic being the pitch itself.
        clock: of the song.

    Returns:
        float32 [num_samples].
    """
    size = 256
    while size < 12 * amplitudes.shape[1]:
        size *= 2
    cycles = _cycles(amplitudes, size)
    step = clock.to_samples(frequencies_hz).astype(np.float64) / clock.sample_rate_hz
    phase = np.cumsum(step)
    place = ((phase - np.floor(phase)) * size).astype(np.float32)
    index = np.minimum(place.astype(np.int32), size - 1)
    between = place - index.astype(np.float32)
    frame = np.arange(clock.num_samples, dtype=np.int32) // clock.hop_samples
    ramp = (np.arange(clock.hop_samples) / clock.hop_samples).astype(np.float32)
    blend = np.tile(ramp, clock.num_frames)[: clock.num_samples]
    flat = cycles.reshape(-1)
    at = frame * (size + 1) + index
    now = flat[at] + (flat[at + 1] - flat[at]) * between
    at += size + 1
    then = flat[at] + (flat[at + 1] - flat[at]) * between
    sound: Floats = now + (then - now) * blend
    return sound


def _cycles(amplitudes: Floats, size: int) -> Floats:
    """One cycle per frame, float32 [frames, size + 1]; the last sample repeats the first."""
    harmonics = np.arange(1, amplitudes.shape[1] + 1)
    # Quadratic phases spread the cycle's energy: a cosine sum of equal phases would be all spikes.
    phases = np.exp(-1j * np.pi * harmonics * (harmonics - 1) / max(amplitudes.shape[1], 8))
    spectrum = np.zeros((len(amplitudes), size // 2 + 1), np.complex64)
    spectrum[:, 1 : amplitudes.shape[1] + 1] = amplitudes * phases.astype(np.complex64)
    cycles = np.fft.irfft(spectrum, n=size, axis=1) * np.float32(size / 2)
    return np.concatenate([cycles, cycles[:, :1]], axis=1)
