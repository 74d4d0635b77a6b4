"""A folder of synthetic songs, ready to train on."""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jukebox_core.audio.files import to_pcm, write_blocks
from jukebox_core.child_processes import spawning_environment
from jukebox_core.errors import SongError
from recipes.mini.synth.artists import ARTISTS
from recipes.mini.synth.compose import DURATION_SEC, TRAINING_PAIRS, check_sound, compose
from recipes.mini.synth.genres import GENRES

MANIFEST = "songs.json"
SHORT_SONG_SEC = 12.0
"""Longest of the songs that `short_share` counts."""
_SONGS_PER_SEED = 1_000_000
_DURATION, _ORDER = 3, 4


def write_songs(
    out: Path,
    num_songs: int,
    seed: int,
    *,
    workers: int = 1,
    duration_sec: tuple[float, float] = DURATION_SEC,
    sample_rate_hz: int = 16_000,
    held_out_pairs: bool = False,
    sections_share: float = 0.0,
    short_share: float = 0.0,
    on_song: Callable[[int], None] | None = None,
) -> Path:
    """Write `audio/song_00000.wav` ... and the manifest `songs.json` that training reads.

    Every allowed pair of genre and artist comes equally often, in an order drawn from the seed.
    The files do not depend on the number of workers.

    Args:
        out: made if it is not there.
        num_songs: 1 to 1,000,000.
        seed: songs of different seeds differ.
        workers: processes.
        duration_sec: shortest and longest song.
        sample_rate_hz: of the files.
        held_out_pairs: also use `HELD_OUT_PAIRS`, which training songs must not have.
        sections_share: share of songs with an intro, verses and choruses, 0 to 1.
        short_share: share of songs made to end within `SHORT_SONG_SEC`, for priors to learn how
            songs end, 0 to 1.
        on_song: called with the number of songs written so far.

    Returns:
        Path of the manifest; it is written last, once every song is there.

    Raises:
        SongError: a number is out of range.
    """
    _check_numbers(num_songs, duration_sec, sample_rate_hz)
    _check_shares(sections_share=sections_share, short_share=short_share)
    (out / "audio").mkdir(parents=True, exist_ok=True)
    pairs = _pairs_in_order(num_songs, seed, held_out_pairs=held_out_pairs)
    write = partial(
        _write_song,
        out,
        seed,
        duration_sec=duration_sec,
        sample_rate_hz=sample_rate_hz,
        sections_share=sections_share,
        short_share=short_share,
    )
    rows: list[dict[str, Any]] = []
    if workers > 1:
        with (
            spawning_environment(),
            ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        ):
            written = pool.map(write, range(num_songs), pairs, chunksize=8)
            _collect(rows, written, on_song)
    else:
        _collect(rows, map(write, range(num_songs), pairs), on_song)
    manifest = out / MANIFEST
    manifest.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", "utf-8")
    return manifest


def _check_numbers(num_songs: int, duration_sec: tuple[float, float], sample_rate_hz: int) -> None:
    """Raises SongError."""
    if not 1 <= num_songs <= _SONGS_PER_SEED:
        raise SongError(
            f"num_songs is {num_songs}; wanted 1 to {_SONGS_PER_SEED}", field="num_songs"
        )
    for end_sec in duration_sec:
        check_sound(end_sec, sample_rate_hz)
    if duration_sec[0] > duration_sec[1]:
        raise SongError(
            f"durations are {duration_sec[0]:g} to {duration_sec[1]:g} s; wanted shortest first",
            field="duration_sec",
        )


def _check_shares(**shares: float) -> None:
    """Raises SongError."""
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise SongError(f"{name} is {share:g}; wanted 0 to 1", field=name)


def _collect(
    rows: list[dict[str, Any]],
    written: Iterable[dict[str, Any]],
    on_song: Callable[[int], None] | None,
) -> None:
    for row in written:
        rows.append(row)
        if on_song is not None:
            on_song(len(rows))


def _pairs_in_order(num_songs: int, seed: int, *, held_out_pairs: bool) -> list[tuple[str, str]]:
    pairs = list(TRAINING_PAIRS)
    if held_out_pairs:
        pairs = [(genre, artist) for genre in GENRES for artist in ARTISTS]
    rng = np.random.Generator(np.random.PCG64([seed, _ORDER]))
    rounds = -(-num_songs // len(pairs))
    order = np.concatenate([rng.permutation(len(pairs)) for _ in range(rounds)])
    return [pairs[index] for index in order[:num_songs]]


def _write_song(
    out: Path,
    seed: int,
    number: int,
    pair: tuple[str, str],
    *,
    duration_sec: tuple[float, float],
    sample_rate_hz: int,
    sections_share: float,
    short_share: float,
) -> dict[str, Any]:
    """Write one song; returns its row of the manifest."""
    song_seed = seed * _SONGS_PER_SEED + number
    rng = np.random.Generator(np.random.PCG64([song_seed, _DURATION]))
    duration_of_song_sec = float(rng.uniform(*duration_sec))
    has_sections = bool(rng.random() < sections_share)
    if rng.random() < short_share:
        shortest_sec, longest_sec = duration_sec
        duration_of_song_sec = float(rng.uniform(shortest_sec, min(longest_sec, SHORT_SONG_SEC)))
    song = compose(
        song_seed,
        genre=pair[0],
        artist=pair[1],
        duration_sec=duration_of_song_sec,
        sample_rate_hz=sample_rate_hz,
        sections=has_sections,
    )
    file = f"audio/song_{number:05}.wav"
    write_blocks(out / file, [to_pcm(song.audio)], sample_rate_hz=sample_rate_hz)
    return {
        "file": file,
        "artist": song.artist,
        "genre": song.genre,
        "lyrics": song.lyrics,
        "character_start_sec": _json_times(song.character_start_sec),
        "character_end_sec": _json_times(song.character_end_sec),
        "bar_start_sec": _json_times(song.bar_start_sec),
        "seed": song_seed,
        "notes": [
            [round(note.start_sec, 4), round(note.end_sec, 4), note.midi, note.vowel]
            for note in song.notes
        ],
        "chords": [
            [round(chord.start_sec, 4), round(chord.end_sec, 4), list(chord.pitch_classes)]
            for chord in song.chords
        ],
    }


def _json_times(times_sec: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(time_sec) else round(float(time_sec), 4) for time_sec in times_sec]
