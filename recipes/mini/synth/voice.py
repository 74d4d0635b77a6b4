"""A voice: pulses shaped by three formants for the vowels, hums and bursts for the consonants.

Formants are further apart than those of a speaker, and sit well above the noise between them:
what is sung must survive a small codec.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recipes.mini.synth.artists import Artist
from recipes.mini.synth.noise_bands import noise_band
from recipes.mini.synth.oscillator import (
    Clock,
    Doubles,
    Floats,
    below_limit,
    midi_to_hz,
    num_harmonics,
    oscillate,
)

FORMANTS_HZ: dict[str, tuple[float, float, float]] = {
    "a": (880.0, 1420.0, 2750.0),
    "e": (470.0, 2000.0, 2800.0),
    "i": (270.0, 2500.0, 3400.0),
    "o": (560.0, 940.0, 2450.0),
    "u": (280.0, 570.0, 2200.0),
}
"""First three formants of a middle-sized throat."""

_DULLNESS = {"e": -0.4, "i": -0.9, "u": 0.6}
"""How much of the upper formants a vowel lacks; below 0 it has more. Sets i, u and o apart."""

_BANDWIDTHS_HZ = (110.0, 150.0, 220.0)
_FORMANT_GAINS = (1.0, 0.85, 0.40)
_BETWEEN_FORMANTS = 0.012


class _Consonant(NamedTuple):
    formants_hz: tuple[float, float, float]
    dull: float
    """How much of the upper formants is missing while it sounds."""
    hum: float
    """Loudness of the voice during it."""
    band_hz: tuple[float, float]
    hiss: float
    """Loudness of its noise."""
    burst: bool
    """The noise is a burst after a silence, not held."""


_CONSONANTS: dict[str, _Consonant] = {
    "p": _Consonant((300.0, 700.0, 2200.0), 0.5, 0.0, (350.0, 1300.0), 1.1, True),
    "t": _Consonant((300.0, 1800.0, 2900.0), 0.5, 0.0, (3200.0, 5600.0), 0.7, True),
    "k": _Consonant((300.0, 2000.0, 2300.0), 0.5, 0.0, (1500.0, 2500.0), 1.0, True),
    "s": _Consonant((300.0, 1700.0, 2800.0), 0.5, 0.0, (4600.0, 7400.0), 0.45, False),
    "f": _Consonant((300.0, 1000.0, 2300.0), 0.5, 0.0, (900.0, 6800.0), 0.25, False),
    "sh": _Consonant((300.0, 1900.0, 2500.0), 0.5, 0.0, (2100.0, 4000.0), 0.55, False),
    "m": _Consonant((250.0, 900.0, 2200.0), 0.96, 0.6, (0.0, 0.0), 0.0, False),
    "n": _Consonant((280.0, 1550.0, 2600.0), 0.82, 0.6, (0.0, 0.0), 0.0, False),
    "l": _Consonant((360.0, 1150.0, 2900.0), 0.45, 0.65, (0.0, 0.0), 0.0, False),
}


class SungSyllable(NamedTuple):
    """A syllable with its place in time; consonants lie around the vowel."""

    onset_start_sec: float
    vowel_start_sec: float
    vowel_end_sec: float
    end_sec: float
    midi: float
    vowel: str
    onset_sounds: tuple[str, ...]
    coda_sounds: tuple[str, ...]


class _Sound(NamedTuple):
    start_sec: float
    end_sec: float
    consonant: _Consonant


def sing(syllables: list[SungSyllable], artist: Artist, clock: Clock) -> Floats:
    """The voice of `artist`, float32 [num_samples]; RMS about 0.7 while it sings."""
    if not syllables:
        return np.zeros(clock.num_samples, np.float32)
    frequencies_hz = _pitch(syllables, artist, clock)
    amplitudes = _timbre(frequencies_hz, _formant_tracks(syllables, clock), artist, clock)
    loudness = _loudness(syllables, clock)
    voice = oscillate(frequencies_hz, amplitudes, clock) * loudness
    if artist.breath:
        hiss = noise_band(1800.0, 6500.0, clock.sample_rate_hz, 1.9)
        voice += np.resize(hiss, clock.num_samples) * loudness * np.float32(artist.breath)
    for syllable in syllables:
        for sound in _consonants_of(syllable):
            _add_noise(voice, sound, clock)
    return voice


def _consonants_of(syllable: SungSyllable) -> list[_Sound]:
    return _shared_out(
        syllable.onset_sounds, syllable.onset_start_sec, syllable.vowel_start_sec
    ) + _shared_out(syllable.coda_sounds, syllable.vowel_end_sec, syllable.end_sec)


def _shared_out(sounds: tuple[str, ...], start_sec: float, end_sec: float) -> list[_Sound]:
    edges = np.linspace(start_sec, end_sec, len(sounds) + 1)
    return [
        _Sound(float(edges[index]), float(edges[index + 1]), _CONSONANTS[name])
        for index, name in enumerate(sounds)
    ]


def _pitch(syllables: list[SungSyllable], artist: Artist, clock: Clock) -> Doubles:
    """Pitch per frame in Hz: steps rounded by the artist's glide, and vibrato on held vowels."""
    times = clock.frame_times_sec()
    starts = np.array([syllable.onset_start_sec for syllable in syllables])
    which = np.clip(np.searchsorted(starts, times, side="right") - 1, 0, None)
    midi = np.array([syllable.midi for syllable in syllables])[which]
    width = max(1, round(artist.glide_sec * clock.sample_rate_hz / clock.hop_samples))
    kernel = np.hanning(width + 2)[1:-1]
    padded = np.pad(midi, (width // 2, width - 1 - width // 2), mode="edge")
    midi = np.convolve(padded, kernel / kernel.sum(), mode="valid")
    vowels = np.array([syllable.vowel_start_sec for syllable in syllables])
    depth = np.clip((times - vowels[which] - 0.10) / 0.15, 0.0, 1.0) * artist.vibrato_cents / 100.0
    return midi_to_hz(midi + depth * np.sin(2 * np.pi * artist.vibrato_hz * times))


def _formant_tracks(syllables: list[SungSyllable], clock: Clock) -> NDArray[np.float64]:
    """First three formants in Hz and the dullness per frame, float64 [4, num_frames]."""
    times: list[float] = []
    values: list[tuple[float, float, float, float]] = []

    def point(time_sec: float, formants_hz: tuple[float, float, float], dull: float) -> None:
        times.append(time_sec)
        values.append((*formants_hz, dull))

    for syllable in syllables:
        formants_hz = FORMANTS_HZ[syllable.vowel]
        dull = _DULLNESS.get(syllable.vowel, 0.0)
        glide_sec = min(0.03, 0.25 * (syllable.vowel_end_sec - syllable.vowel_start_sec))
        for sound in _shared_out(
            syllable.onset_sounds, syllable.onset_start_sec, syllable.vowel_start_sec
        ):
            point(sound.start_sec + 0.004, sound.consonant.formants_hz, sound.consonant.dull)
            point(sound.end_sec - 0.004, sound.consonant.formants_hz, sound.consonant.dull)
        point(syllable.vowel_start_sec + glide_sec, formants_hz, dull)
        point(syllable.vowel_end_sec - 0.4 * glide_sec, formants_hz, dull)
        for sound in _shared_out(syllable.coda_sounds, syllable.vowel_end_sec, syllable.end_sec):
            point(sound.start_sec + 0.008, sound.consonant.formants_hz, sound.consonant.dull)
            point(sound.end_sec, sound.consonant.formants_hz, sound.consonant.dull)
    frames = clock.frame_times_sec()
    ordered = np.maximum.accumulate(np.array(times))
    return np.stack([np.interp(frames, ordered, track) for track in np.array(values).T])


def _timbre(
    frequencies_hz: Doubles, tracks: NDArray[np.float64], artist: Artist, clock: Clock
) -> Floats:
    """Amplitudes of harmonics, float32 [num_frames, harmonics], of equal power in every frame."""
    count = num_harmonics(frequencies_hz, clock.sample_rate_hz)
    pitch = frequencies_hz.astype(np.float32)[:, None]
    heights_hz: Floats = pitch * np.arange(1, count + 1).astype(np.float32)
    formants = (tracks[:3] * artist.formant_scale).astype(np.float32)[:, :, None]
    bright = (1.0 - tracks[3]).astype(np.float32)[:, None]
    response = np.full_like(heights_hz, _BETWEEN_FORMANTS)
    for number, (width_hz, gain) in enumerate(zip(_BANDWIDTHS_HZ, _FORMANT_GAINS, strict=True)):
        # A first formant below the pitch would leave nothing to sing with.
        center = np.maximum(formants[number], pitch) if number == 0 else formants[number]
        distance = (heights_hz - center) * np.float32(1.0 / width_hz)
        peak = np.float32(gain) / (1.0 + distance * distance)
        response += peak if number == 0 else peak * bright
    slope = np.exp(np.log(heights_hz * np.float32(1 / 300.0)) * np.float32(-0.55 * artist.tilt))
    amplitudes: Floats = response * slope * below_limit(heights_hz, clock.sample_rate_hz)
    power = np.sqrt(np.einsum("fh,fh->f", amplitudes, amplitudes))
    amplitudes /= np.maximum(power, np.float32(1e-6))[:, None]
    return amplitudes


def _loudness(syllables: list[SungSyllable], clock: Clock) -> Floats:
    """How loud the vocal cords are, float32 [num_samples]."""
    times: list[float] = []
    levels: list[float] = []

    def hold(start_sec: float, end_sec: float, level: float, ramp_sec: float) -> None:
        ramp_sec = min(ramp_sec, 0.3 * (end_sec - start_sec))
        times.extend([start_sec + ramp_sec, end_sec - ramp_sec])
        levels.extend([level, level])

    previous_end_sec = -1.0
    for syllable in syllables:
        if syllable.onset_start_sec - previous_end_sec > 0.02:
            times.append(syllable.onset_start_sec)
            levels.append(0.0)
        for sound in _shared_out(
            syllable.onset_sounds, syllable.onset_start_sec, syllable.vowel_start_sec
        ):
            hold(sound.start_sec, sound.end_sec, sound.consonant.hum, 0.006)
        hold(syllable.vowel_start_sec, syllable.vowel_end_sec, 1.0, 0.014)
        for sound in _shared_out(syllable.coda_sounds, syllable.vowel_end_sec, syllable.end_sec):
            hold(sound.start_sec, sound.end_sec, sound.consonant.hum, 0.006)
        times.append(syllable.end_sec + 0.012)
        levels.append(0.75 if not syllable.coda_sounds else levels[-1])
        times.append(syllable.end_sec + 0.03)
        levels.append(0.0)
        previous_end_sec = syllable.end_sec
    return clock.envelope(*_in_order(times, levels))


def _in_order(times: list[float], levels: list[float]) -> tuple[list[float], list[float]]:
    """Drop points that a following syllable has already overtaken."""
    kept_times: list[float] = []
    kept_levels: list[float] = []
    for time_sec, level in zip(times, levels, strict=True):
        while kept_times and kept_times[-1] > time_sec:
            kept_times.pop()
            kept_levels.pop()
        kept_times.append(time_sec)
        kept_levels.append(level)
    return kept_times, kept_levels


def _add_noise(voice: Floats, sound: _Sound, clock: Clock) -> None:
    consonant = sound.consonant
    if not consonant.hiss:
        return
    length_sec = sound.end_sec - sound.start_sec
    # A burst comes after a short silence and runs a little into the vowel.
    start_sec = sound.start_sec + 0.55 * length_sec if consonant.burst else sound.start_sec
    end_sec = sound.end_sec + 0.006
    start = max(0, round(start_sec * clock.sample_rate_hz))
    count = min(round((end_sec - start_sec) * clock.sample_rate_hz), len(voice) - start)
    if count < 8:
        return
    shape = np.interp(np.arange(count), [0, 0.15 * count, 0.6 * count, count], [0.0, 1.0, 0.8, 0.0])
    band = noise_band(*consonant.band_hz, clock.sample_rate_hz)
    offset = start % (len(band) - count)
    voice[start : start + count] += (
        band[offset : offset + count] * shape.astype(np.float32) * np.float32(consonant.hiss)
    )
