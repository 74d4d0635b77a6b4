"""From a seed to a song: tune, lyrics, voice, band and mix."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jukebox_core.errors import SongError
from jukebox_core.training.dataset.syllables import Syllable, syllables
from recipes.mini.synth import band, drums, voice
from recipes.mini.synth.artists import ARTIST_STYLES, ARTISTS, Artist
from recipes.mini.synth.genres import GENRE_STYLES, GENRES, Genre
from recipes.mini.synth.oscillator import Clock, Floats, Tone
from recipes.mini.synth.sections import write_song_with_sections
from recipes.mini.synth.song import SoundingChord, SungNote, SyntheticSong
from recipes.mini.synth.tune import Slot, Tune, write_tune
from recipes.mini.synth.voice import SungSyllable
from recipes.mini.synth.words import make_line

HELD_OUT_PAIRS: tuple[tuple[str, str], ...] = tuple(
    (genre, ARTISTS[(3 * number + 1) % len(ARTISTS)]) for number, genre in enumerate(GENRES)
)
"""Pairs of genre and artist that no training song has: one for each genre and for each artist."""

TRAINING_PAIRS: tuple[tuple[str, str], ...] = tuple(
    (genre, artist)
    for genre in GENRES
    for artist in ARTISTS
    if (genre, artist) not in HELD_OUT_PAIRS
)

DURATION_SEC = (8.0, 24.0)
"""How long a song is if nobody says."""

SECTIONS_DURATION_SEC = (12.0, 30.0)
"""The same of a song with sections."""

_SHORTEST_SEC, _LONGEST_SEC = 3.0, 300.0
_LOWEST_RATE_HZ = 8_000
_INSTRUMENTAL_SHARE = 0.04
_RMS = 0.1
_PEAK = 0.95
_ONSET_SEC = 0.045
_CODA_SEC = 0.040
_FADE_SEC = 0.45
_SECOND_VOICE = 0.4
# Which of a song's random numbers are whose: lyrics given or not, the tune stays the same.
_LABELS, _TUNE, _LYRICS = 0, 1, 2


def compose(
    seed: int,
    *,
    genre: str | None = None,
    artist: str | None = None,
    lyrics: str | None = None,
    duration_sec: float | None = None,
    sample_rate_hz: int = 16_000,
    sections: bool = False,
) -> SyntheticSong:
    """Make one song; the same arguments give the same sound.

    Args:
        seed: any non-negative number.
        genre: one of `GENRES`; None draws a pair of genre and artist that is not held out.
        artist: one of `ARTISTS`; None draws one.
        lyrics: any text, sung one syllable to a note as far as the time allows; "" is an
            instrumental. None makes up lyrics that fill the song, or now and then none.
        duration_sec: 3 to 300; None draws one, or takes as long as the given lyrics need.
        sample_rate_hz: of the sound, 8,000 or more.
        sections: an intro, verses and choruses, see `sections.py`. Given lyrics then do not decide
            how long the song is.

    Raises:
        SongError: a name is not known, or the duration or the rate is out of range.
    """
    labels_rng, tune_rng, lyrics_rng = (_rng(seed, part) for part in (_LABELS, _TUNE, _LYRICS))
    check_sound(duration_sec, sample_rate_hz)
    genre_name, artist_name = _pair(labels_rng, genre, artist)
    genre_style = GENRE_STYLES[GENRES.index(genre_name)]
    artist_style = ARTIST_STYLES[ARTISTS.index(artist_name)]
    if sections:
        drawn_sec = float(labels_rng.uniform(*SECTIONS_DURATION_SEC))
        tune = write_song_with_sections(
            tune_rng, genre_style, artist_style.register, duration_sec=duration_sec or drawn_sec
        )
    else:
        tune = write_tune(
            tune_rng,
            genre_style,
            artist_style.register,
            duration_sec=_duration(labels_rng, lyrics, duration_sec),
            num_syllables=None if lyrics is None else len(syllables(lyrics)),
        )
    if lyrics is None:
        lyrics = _make_lyrics(lyrics_rng, tune)
    sung = _set_to_music(syllables(lyrics), tune.slots)
    unsung = tune.slots[len(sung) :]
    played = (*tune.intro, *unsung)
    starts, ends = _character_times(lyrics, sung)
    clock = Clock(
        sample_rate_hz, round(tune.duration_sec * sample_rate_hz), round(0.005 * sample_rate_hz)
    )
    return SyntheticSong(
        audio=_perform(tune, genre_style, artist_style, sung, played, clock),
        sample_rate_hz=sample_rate_hz,
        genre=genre_name,
        artist=artist_name,
        lyrics=lyrics,
        character_start_sec=starts,
        character_end_sec=ends,
        notes=_played_notes(tune.intro)
        + tuple(
            SungNote(
                s.sound.vowel_start_sec, s.sound.vowel_end_sec, int(s.sound.midi), s.text.vowel
            )
            for s in sung
        )
        + _played_notes(unsung),
        chords=_sounding_chords(tune, genre_style),
        bar_start_sec=np.array(
            [bar * genre_style.steps_per_bar * tune.step_sec for bar in range(len(tune.chords))]
        ),
        seed=seed,
    )


def _played_notes(slots: Sequence[Slot]) -> tuple[SungNote, ...]:
    return tuple(SungNote(slot.start_sec, slot.end_sec, slot.midi, None) for slot in slots)


def check_sound(duration_sec: float | None, sample_rate_hz: int) -> None:
    """Refuse a length or a sample rate that no song can have.

    Raises:
        SongError: one of them is out of range.
    """
    if duration_sec is not None and not _SHORTEST_SEC <= duration_sec <= _LONGEST_SEC:
        raise SongError(
            f"duration_sec is {duration_sec:g}; wanted {_SHORTEST_SEC:g} to {_LONGEST_SEC:g}",
            field="duration_sec",
        )
    if sample_rate_hz < _LOWEST_RATE_HZ:
        raise SongError(
            f"sample_rate_hz is {sample_rate_hz}; wanted at least {_LOWEST_RATE_HZ}",
            field="sample_rate_hz",
        )


class _Sung(NamedTuple):
    text: Syllable
    sound: SungSyllable
    second_midi: int | None


def _rng(seed: int, part: int) -> np.random.Generator:
    if seed < 0:
        raise SongError(f"seed is {seed}; wanted 0 or more", field="seed")
    return np.random.Generator(np.random.PCG64([seed, part]))


def _pair(rng: np.random.Generator, genre: str | None, artist: str | None) -> tuple[str, str]:
    for field, name, known in (("genre", genre, GENRES), ("artist", artist, ARTISTS)):
        if name is not None and name not in known:
            raise SongError(
                f"no {field} is called {name!r}; there are {', '.join(known)}", field=field
            )
    choices = [
        pair for pair in TRAINING_PAIRS if genre in (None, pair[0]) and artist in (None, pair[1])
    ]
    if genre is not None and artist is not None:
        return genre, artist
    return choices[rng.integers(len(choices))]


def _duration(
    rng: np.random.Generator, lyrics: str | None, duration_sec: float | None
) -> float | None:
    drawn = float(rng.uniform(*DURATION_SEC))
    if duration_sec is None:
        return None if lyrics is not None and syllables(lyrics) else drawn
    return duration_sec


def _make_lyrics(rng: np.random.Generator, tune: Tune) -> str:
    """A line to each phrase; a refrain has the words that it had before, as far as they fit."""
    if rng.random() < _INSTRUMENTAL_SHARE:
        return ""
    invented = bool(rng.random() < 0.5)
    sizes = np.bincount([slot.phrase for slot in tune.slots])
    known: dict[tuple[str, int], str] = {}
    lines = []
    for number, size in enumerate(sizes):
        if not size:
            continue
        name = tune.line_names[number] if tune.line_names else ""
        refrain = (name, int(size))
        if not name.isupper() or refrain not in known:
            known[refrain] = make_line(rng, int(size), invented=invented)
        lines.append(known[refrain])
    return "\n".join(lines)


def _set_to_music(words: Sequence[Syllable], slots: Sequence[Slot]) -> list[_Sung]:
    """Syllables on notes: a vowel begins on the beat, its consonants just before it."""
    pairs = list(zip(words, slots, strict=False))
    onsets = [_consonant_sec(word.onset_sounds, slot, _ONSET_SEC) for word, slot in pairs]
    sung = []
    for index, (word, slot) in enumerate(pairs):
        end_sec = slot.end_sec
        if index + 1 < len(pairs):
            end_sec = min(end_sec, pairs[index + 1][1].start_sec - onsets[index + 1])
        coda_sec = _consonant_sec(word.coda_sounds, slot, _CODA_SEC)
        sound = SungSyllable(
            onset_start_sec=slot.start_sec - onsets[index],
            vowel_start_sec=slot.start_sec,
            vowel_end_sec=end_sec - coda_sec,
            end_sec=end_sec,
            midi=slot.midi,
            vowel=word.vowel,
            onset_sounds=word.onset_sounds[: _room(slot)],
            coda_sounds=word.coda_sounds[: _room(slot)],
        )
        sung.append(_Sung(word, sound, slot.second_midi))
    return sung


def _room(slot: Slot) -> int:
    """How many consonants a short note has time for on either side."""
    return 2 if slot.end_sec - slot.start_sec > 0.33 else 1


def _consonant_sec(sounds: tuple[str, ...], slot: Slot, each_sec: float) -> float:
    shorter = min(1.0, (slot.end_sec - slot.start_sec) / 0.33)
    return each_sec * shorter * min(len(sounds), _room(slot))


def _character_times(
    lyrics: str, sung: Sequence[_Sung]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    starts = np.full(len(lyrics), np.nan)
    ends = np.full(len(lyrics), np.nan)
    for text, sound, _ in sung:
        for indices, start_sec, end_sec in (
            (text.onset, sound.onset_start_sec, sound.vowel_start_sec),
            (text.nucleus, sound.vowel_start_sec, sound.vowel_end_sec),
            (text.coda, sound.vowel_end_sec, sound.end_sec),
        ):
            if indices and end_sec > start_sec:
                edges = np.linspace(start_sec, end_sec, len(indices) + 1)
                starts[list(indices)], ends[list(indices)] = edges[:-1], edges[1:]
    return starts, ends


def _sounding_chords(tune: Tune, genre: Genre) -> tuple[SoundingChord, ...]:
    """One chord to a bar, and the last from the end of the last bar on."""
    bar_sec = genre.steps_per_bar * tune.step_sec
    *bars, _ = tune.chords
    starts_sec = [bar * bar_sec for bar in range(len(bars))] + [tune.end_sec]
    ends_sec = [*starts_sec[1:], tune.duration_sec]
    return tuple(
        SoundingChord(start_sec, end_sec, tuple((tune.key_midi + tone) % 12 for tone in chord))
        for start_sec, end_sec, chord in zip(starts_sec, ends_sec, tune.chords, strict=True)
    )


def _perform(
    tune: Tune,
    genre: Genre,
    artist: Artist,
    sung: Sequence[_Sung],
    played: Sequence[Slot],
    clock: Clock,
) -> Floats:
    """Everything together, float32 [num_samples], faded out and at its proper loudness."""
    coarse = clock._replace(hop_samples=2 * clock.hop_samples)
    melody = [Tone(slot.start_sec, slot.end_sec - 0.02, slot.midi) for slot in played]
    behind, alone = band.lead(tune, genre, artist, coarse, melody)
    accompaniment: Floats = (
        _at_level(band.bass(tune, genre, artist, coarse), 0.55 * genre.bass_level)
        + _at_level(band.chords(tune, genre, artist, coarse), 0.55 * genre.chord_level)
        + _at_level(behind, 0.45 * artist.lead_level)
        + _at_level(drums.drum(tune, genre, clock), 0.45 * genre.drum_level)
    )
    singing = voice.sing([syllable.sound for syllable in sung], artist, clock)
    second = [
        syllable.sound._replace(midi=syllable.second_midi)
        for syllable in sung
        if syllable.second_midi is not None
    ]
    if second:
        singing += voice.sing(second, artist, clock) * np.float32(_SECOND_VOICE)
    singing += alone * np.float32(0.8)
    if tune.sections:
        accompaniment *= _dynamics(tune, clock)
    above = 10 ** (artist.voice_over_band_db / 20)
    sound = singing + _at_level(accompaniment, _rms(singing) / above)
    fade_samples = round(_FADE_SEC * clock.sample_rate_hz)
    sound[-fade_samples:] *= np.cos(np.linspace(0, np.pi / 2, fade_samples)).astype(np.float32) ** 2
    loudest = max(float(np.abs(sound).max()), 1e-9)
    return sound * np.float32(min(_RMS / _rms(sound), _PEAK / loudest))


def _dynamics(tune: Tune, clock: Clock) -> Floats:
    """Loudness of the band, float32 [num_samples]; it changes within a twentieth of a second."""
    points: list[float] = []
    levels: list[float] = []
    for section in tune.sections:
        first_sec = section.first_step * tune.step_sec
        points += [first_sec, (section.first_step + section.num_steps) * tune.step_sec - 0.05]
        levels += [section.loudness] * 2
    return clock.envelope([*points, tune.duration_sec], [*levels, levels[-1]])


def _rms(sound: Floats) -> float:
    return max(float(np.sqrt(np.mean(sound.astype(np.float64) ** 2))), 1e-9)


def _at_level(sound: Floats, rms: float) -> Floats:
    return sound * np.float32(rms / _rms(sound))
