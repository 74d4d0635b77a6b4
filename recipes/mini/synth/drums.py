"""The drum kit: every piece struck once, then laid out by the pattern of the genre.

In a song with sections a fill ends each of them, and an intro may be without drums.
"""

from functools import cache

import numpy as np

from recipes.mini.synth.genres import Genre
from recipes.mini.synth.noise_bands import noise_band
from recipes.mini.synth.oscillator import Clock, Floats
from recipes.mini.synth.tune import Tune

_SOFT = 0.45
_FILL_PIECE = 1

# From and to which pitch in Hz, and for how long in seconds.
_THUMPS = {"kick": (130.0, 48.0, 0.22), "tom": (190.0, 105.0, 0.20)}
# Two pitches in Hz, seconds.
_KNOCKS = {"rim": ((1650.0, 2400.0), 0.035), "block": ((820.0, 1310.0), 0.07)}
# Loudness, band in Hz, length and attack in seconds.
_HISSES = {
    "clap": (1.0, (900.0, 2800.0), 0.11, 0.002),
    "hat": (0.7, (5200.0, 7400.0), 0.04, 0.002),
    "open": (0.7, (4800.0, 7400.0), 0.13, 0.002),
    "shaker": (0.6, (3600.0, 6800.0), 0.06, 0.02),
    "brush": (0.6, (1800.0, 5200.0), 0.16, 0.03),
    "crash": (0.8, (2800.0, 7400.0), 0.7, 0.002),
}


def drum(tune: Tune, genre: Genre, clock: Clock) -> Floats:
    """The drums of a song, float32 [num_samples]; they stop at the last chord."""
    sound = np.zeros(clock.num_samples, np.float32)
    for piece, pattern, level in genre.drums:
        hit = _struck(piece, clock.sample_rate_hz)
        for step in range(tune.num_steps):
            mark = _mark(tune, genre, piece, pattern, step)
            if mark == ".":
                continue
            start = round(tune.time_of(step) * clock.sample_rate_hz)
            count = min(len(hit), len(sound) - start)
            loudness = np.float32(level * (1.0 if mark == "x" else _SOFT))
            sound[start : start + count] += hit[:count] * loudness
    last = _struck(genre.drums[0][0], clock.sample_rate_hz)
    start = round(tune.end_sec * clock.sample_rate_hz)
    count = max(0, min(len(last), len(sound) - start))
    sound[start : start + count] += last[:count] * np.float32(genre.drums[0][2])
    return sound


def _mark(tune: Tune, genre: Genre, piece: str, pattern: str, step: int) -> str:
    """What a piece does in a step: its pattern, or in a fill the second piece's roll."""
    section = tune.section_at(step)
    if section is not None and not section.has_drums:
        return "."
    if section is not None:
        left = section.first_step + section.num_steps - step
        if left <= max(genre.steps_per_bar // 2, 2) and piece == genre.drums[_FILL_PIECE][0]:
            return "x" if left % 2 else "o"
    return pattern[step % len(pattern)]


@cache
def _struck(piece: str, sample_rate_hz: int) -> Floats:
    """One blow, float32 [samples], peak about 1, silent at both ends."""
    if piece in _THUMPS:
        return _thump(sample_rate_hz, *_THUMPS[piece])
    if piece in _KNOCKS:
        return _knock(sample_rate_hz, *_KNOCKS[piece])
    if piece == "snare":
        skin = np.float32(0.6) * _thump(sample_rate_hz, 260.0, 180.0, 0.14)
        return skin + np.float32(0.7) * _hiss(sample_rate_hz, (1200.0, 5500.0), 0.14, 0.002)
    level, band_hz, length_sec, attack_sec = _HISSES[piece]
    return np.float32(level) * _hiss(sample_rate_hz, band_hz, length_sec, attack_sec)


def _fall(num_samples: int, attack_samples: int) -> Floats:
    """A quick rise and an exponential fall that ends in silence."""
    time = np.arange(num_samples) / num_samples
    rise = np.minimum(1.0, np.arange(num_samples) / max(attack_samples, 1))
    return (rise * np.exp(-4.5 * time) * np.minimum(1.0, (1.0 - time) * 8)).astype(np.float32)


def _thump(sample_rate_hz: int, from_hz: float, to_hz: float, length_sec: float) -> Floats:
    count = round(length_sec * sample_rate_hz)
    time_sec = np.arange(count) / sample_rate_hz
    pitch_hz = to_hz + (from_hz - to_hz) * np.exp(-time_sec / 0.03)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / sample_rate_hz
    return np.sin(phase).astype(np.float32) * _fall(count, round(0.003 * sample_rate_hz))


def _hiss(
    sample_rate_hz: int, band_hz: tuple[float, float], length_sec: float, attack_sec: float
) -> Floats:
    count = round(length_sec * sample_rate_hz)
    noise = noise_band(*band_hz, sample_rate_hz)[:count] * np.float32(0.4)
    return noise * _fall(count, round(attack_sec * sample_rate_hz))


def _knock(sample_rate_hz: int, tones_hz: tuple[float, float], length_sec: float) -> Floats:
    count = round(length_sec * sample_rate_hz)
    time_sec = np.arange(count) / sample_rate_hz
    tones = sum(np.sin(2 * np.pi * tone_hz * time_sec) for tone_hz in tones_hz)
    shape = _fall(count, round(0.001 * sample_rate_hz))
    return (0.5 * np.asarray(tones)).astype(np.float32) * shape
