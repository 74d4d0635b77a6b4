"""Bass, chords and lead: the patterns are the genre's, the sound is the artist's."""

from functools import cache

import numpy as np

from recipes.mini.synth.artists import Artist, Timbre
from recipes.mini.synth.genres import Genre
from recipes.mini.synth.oscillator import (
    Clock,
    Doubles,
    Floats,
    Tone,
    below_limit,
    midi_to_hz,
    num_harmonics,
    oscillate,
)
from recipes.mini.synth.tune import Tune

_BASS_LOWEST_MIDI = 33
_ATTACK_SEC = 0.008
_RELEASE_SEC = 0.02
_MAX_HARMONICS = 40
_SLOW_DECAY_PER_SEC = 2.0


def bass(tune: Tune, genre: Genre, artist: Artist, clock: Clock) -> Floats:
    """The bass of a song, float32 [num_samples]."""
    above_root = {"r": 0, "f": 7, "o": 12, "t": 4, "u": -2}
    tones = []
    for step, length, mark in _marks(genre.bass, tune):
        chord = _chord_at(tune, genre, step)
        root = _folded(tune.key_midi + chord[0], _BASS_LOWEST_MIDI)
        if mark == "f":
            root += (chord[2] - chord[0]) % 12
        else:
            root += above_root[mark]
        tones.append(Tone(tune.time_of(step), tune.time_of(step + length) - 0.01, root))
    root = _folded(tune.key_midi, _BASS_LOWEST_MIDI)
    tones.append(Tone(tune.end_sec, tune.duration_sec, root))
    return play(tones, artist.bass, clock, decay_per_sec=1.5)


def chords(tune: Tune, genre: Genre, artist: Artist, clock: Clock) -> Floats:
    """The chords of a song, float32 [num_samples]."""
    lines: list[list[Tone]] = [[], [], []]
    decay = genre.chord_decay_per_sec
    lowest = 12 * genre.chord_octave
    for step, length, mark in _marks(genre.chord_steps, tune, ring=decay > 0):
        pitches = sorted(_folded(tune.key_midi + p, lowest) for p in _chord_at(tune, genre, step))
        start, end = tune.time_of(step), tune.time_of(step + length) - 0.005
        if mark == "x":
            for line, pitch in zip(lines, pitches, strict=True):
                line.append(Tone(start, end, pitch))
        else:
            lines[0].append(Tone(start, end, [*pitches, pitches[0] + 12][int(mark) - 1]))
    for line, pitch in zip(lines, tune.chords[-1], strict=True):
        line.append(Tone(tune.end_sec, tune.duration_sec, _folded(tune.key_midi + pitch, lowest)))
    sound = np.zeros(clock.num_samples, np.float32)
    for line in lines:
        sound += play(line, artist.chords, clock, decay_per_sec=decay)
    return sound * _tremolo(artist, clock)


def lead(
    tune: Tune, genre: Genre, artist: Artist, clock: Clock, melody: list[Tone]
) -> tuple[Floats, Floats]:
    """What the lead plays behind the voice, and alone; both float32 [num_samples].

    Args:
        tune: of the song.
        genre: decides the pattern behind the voice.
        artist: decides the instrument.
        clock: of the song.
        melody: notes that nobody sings, for the lead to play.
    """
    lowest = 12 * artist.lead_octave
    behind = []
    for step, length, mark in _marks(genre.lead_steps, tune, ring=True):
        pitches = sorted(_folded(tune.key_midi + p, lowest) for p in _chord_at(tune, genre, step))
        number = 2 if mark == "x" else int(mark) - 1
        pitch = [*pitches, pitches[0] + 12][number]
        behind.append(Tone(tune.time_of(step), tune.time_of(step + length) - 0.005, pitch))
    shake = _tremolo(artist, clock)
    alone = [tone._replace(midi=tone.midi + _octaves_to(tone.midi, lowest)) for tone in melody]
    return (
        play(behind, artist.lead, clock, decay_per_sec=1.0) * shake,
        play(alone, artist.lead, clock, decay_per_sec=0.6) * shake,
    )


def play(tones: list[Tone], timbre: Timbre, clock: Clock, *, decay_per_sec: float) -> Floats:
    """One line of an instrument, one tone at a time, float32 [num_samples].

    A tone that lasts longer than a second dies away slowly, whatever `decay_per_sec` says.
    """
    if not tones:
        return np.zeros(clock.num_samples, np.float32)
    times = clock.frame_times_sec()
    starts = np.array([tone.start_sec for tone in tones])
    # A frame that lies between two tones looks forward, so a tone begins with its own timbre.
    lookahead_sec = clock.hop_samples / clock.sample_rate_hz
    which = np.clip(np.searchsorted(starts, times + lookahead_sec, side="right") - 1, 0, None)
    frequencies_hz = midi_to_hz(np.array([tone.midi for tone in tones])[which])
    age_sec = np.maximum(times - starts[which], 0.0)
    lengths_sec = np.array([tone.end_sec - tone.start_sec for tone in tones])
    decay = np.where(lengths_sec > 1.0, min(decay_per_sec, _SLOW_DECAY_PER_SEC), decay_per_sec)
    amplitudes = _timbre(timbre, frequencies_hz, age_sec, decay[which] * age_sec, clock)
    points: list[float] = []
    levels: list[float] = []
    following = [*(tone.start_sec for tone in tones[1:]), clock.num_samples / clock.sample_rate_hz]
    for tone, next_start_sec in zip(tones, following, strict=True):
        end_sec = min(tone.end_sec, next_start_sec)
        ramp_sec = min(0.3 * (end_sec - tone.start_sec), _ATTACK_SEC)
        release_sec = min(0.3 * (end_sec - tone.start_sec), _RELEASE_SEC)
        points += [tone.start_sec, tone.start_sec + ramp_sec, end_sec - release_sec, end_sec]
        levels += [0.0, tone.level, tone.level, 0.0]
    return oscillate(frequencies_hz, amplitudes, clock) * clock.envelope(points, levels)


def _timbre(
    timbre: Timbre, frequencies_hz: Doubles, age_sec: Doubles, fall: Doubles, clock: Clock
) -> Floats:
    """Amplitudes of harmonics, float32 [num_frames, harmonics]; loudness falls as exp(-fall)."""
    count = min(num_harmonics(frequencies_hz, clock.sample_rate_hz), _MAX_HARMONICS)
    spectrum = _spectrum(timbre.kind, timbre.tilt, count)
    heights_hz: Floats = frequencies_hz.astype(np.float32)[:, None] * np.arange(
        1, count + 1
    ).astype(np.float32)
    amplitudes: Floats = spectrum * below_limit(heights_hz, clock.sample_rate_hz)
    if timbre.body_hz:
        distance = np.log(heights_hz * np.float32(1.0 / timbre.body_hz))
        amplitudes *= np.float32(0.35) + np.exp(distance * distance * np.float32(-1.6))
    age = age_sec.astype(np.float32)[:, None]
    if timbre.damping:
        heights = np.arange(count, dtype=np.float32)
        amplitudes *= np.exp(-np.float32(timbre.damping) * heights * age)
    power = np.sqrt(np.mean(np.sum(amplitudes * amplitudes, axis=1)))
    loudness = np.exp(-fall).astype(np.float32) / max(power, np.float32(1e-6))
    amplitudes *= loudness[:, None]
    return amplitudes


@cache
def _spectrum(kind: str, tilt: float, count: int) -> Floats:
    """Loudness of harmonics, float32 [count], as the instrument plays an even tone."""
    number = np.arange(1, count + 1, dtype=np.float64)
    match kind:
        case "odd":
            spectrum = np.where(number % 2 == 1, 1.0, 0.03)
        case "flute":
            spectrum = np.exp(-1.6 * (number - 1)) + 0.02
        case "glass":
            spectrum = np.isin(number, (1, 4, 7, 10)).astype(np.float64)
        case "organ":
            spectrum = np.isin(number, (1, 2, 3, 6, 8, 12)).astype(np.float64)
        case "pulse":
            spectrum = np.abs(np.sin(np.pi * number / 8)) / number * 2.5
        case "brass":
            spectrum = np.minimum(1.0, 0.5 + number / 6)
        case "string":
            spectrum = np.abs(np.sin(np.pi * number / 5.3)) + 0.1
        case _:
            spectrum = np.ones_like(number)
    return (spectrum * number**-tilt).astype(np.float32)


def _marks(pattern: str, tune: Tune, *, ring: bool = False) -> list[tuple[int, int, str]]:
    """Step, length in steps and mark of every tone; what rings lasts a step longer."""
    found = []
    for step in range(tune.num_steps):
        mark = pattern[step % len(pattern)]
        if mark in ".-":
            continue
        length = 1
        while pattern[(step + length) % len(pattern)] == "-":
            length += 1
        if ring and pattern[(step + length) % len(pattern)] == ".":
            length += 1
        found.append((step, min(length, tune.num_steps - step), mark))
    return found


def _chord_at(tune: Tune, genre: Genre, step: int) -> tuple[int, ...]:
    return tune.chords[min(step // genre.steps_per_bar, len(tune.chords) - 1)]


def _folded(midi: int, lowest: int) -> int:
    """The same note name within the octave above `lowest`."""
    return lowest + (midi - lowest) % 12


def _octaves_to(midi: float, lowest: int) -> float:
    return 12.0 * round((lowest + 6 - midi) / 12)


def _tremolo(artist: Artist, clock: Clock) -> Floats:
    if not artist.tremolo_hz:
        return np.ones(1, np.float32)
    times = clock.frame_times_sec()
    return clock.to_samples(0.78 + 0.22 * np.sin(2 * np.pi * artist.tremolo_hz * times))
