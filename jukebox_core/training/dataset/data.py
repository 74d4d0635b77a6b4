"""Songs to train with: labels from the list, sound from a cache that is made once."""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jukebox_core.atomic_files import whole_file
from jukebox_core.audio import read_audio
from jukebox_core.errors import AudioError, TrainingError
from jukebox_core.training.dataset.manifest import (
    CharacterTimes,
    Chords,
    ManifestEntry,
    Melody,
    read_manifest,
)

CACHE_FOLDER = ".jukebox-cache"
"""Inside the data folder: sound at the model's rate, and codes. It may be deleted at any time."""

_REPORT_EVERY_SEC = 5.0
_SONGS_AT_A_TIME = 32
"""Read ahead of the file that is written: bounds the memory."""

Report = Callable[[str], None]
"""Takes one line about something that takes long."""


def silent(line: str) -> None:
    """Tell nobody."""


class Countdown:
    """Says now and then how many songs are left, and how long they will take."""

    def __init__(self, total: int, report: Report) -> None:
        self._total, self._report, self._done = total, report, 0
        self._began = self._told = time.monotonic()

    def one_more(self) -> None:
        """A song is done."""
        self._done += 1
        now = time.monotonic()
        if now - self._told > _REPORT_EVERY_SEC and self._done < self._total:
            left_sec = (now - self._began) / self._done * (self._total - self._done)
            self._report(f"{self._done:,} of {self._total:,} songs, about {left_sec:.0f} s left")
            self._told = now


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrainingSong:
    """One song: what it is called, and its sound at the model's rate.

    `index` is its place in the whole list, held-out songs counted. `character_times` tells when
    each character of `lyrics` is sung, and `bar_start_sec`, float64, when each bar begins; like
    `melody` and `chords` they are None where that is not known.
    """

    index: int
    name: str
    artist: str
    genre: str
    lyrics: str
    held_out: bool
    character_times: CharacterTimes | None
    bar_start_sec: NDArray[np.float64] | None
    melody: Melody | None
    chords: Chords | None
    sample_rate_hz: int
    samples: NDArray[np.float32]

    @property
    def num_samples(self) -> int:
        """Length of the sound."""
        return len(self.samples)

    @property
    def duration_sec(self) -> float:
        """Length of the sound."""
        return self.num_samples / self.sample_rate_hz

    def audio(self, start_sample: int = 0, num_samples: int | None = None) -> NDArray[np.float32]:
        """float32 [N], full scale at 1: the whole song, or `num_samples` (fewer at the end)."""
        end = None if num_samples is None else start_sample + num_samples
        return np.array(self.samples[start_sample:end])


class TrainingData:
    """The songs of a folder with a list of songs (`manifest.py`), mono at one sample rate.

    The first use reads every file, which takes a while and is told to `report`; from then on the
    sound is mapped from a file in the folder, and shared between processes. `fingerprint` changes
    when a sound does.

    Raises:
        TrainingError: the list is at fault, or a file cannot be read as sound.
    """

    def __init__(
        self, directory: Path | str, sample_rate_hz: int, *, report: Report = silent
    ) -> None:
        self.directory = Path(directory)
        self.sample_rate_hz = sample_rate_hz
        entries = read_manifest(self.directory)
        self.fingerprint = f"{sample_rate_hz}-{_fingerprint(entries)}"
        sounds = _cached_sound(self.directory, entries, self.fingerprint, sample_rate_hz, report)
        self._songs = tuple(
            TrainingSong(
                index=index,
                name=entry.name,
                artist=entry.artist,
                genre=entry.genre,
                lyrics=entry.lyrics,
                held_out=entry.held_out,
                character_times=entry.character_times,
                bar_start_sec=entry.bar_start_sec,
                melody=entry.melody,
                chords=entry.chords,
                sample_rate_hz=sample_rate_hz,
                samples=samples,
            )
            for index, (entry, samples) in enumerate(zip(entries, sounds, strict=True))
        )

    def songs(self, held_out: bool = False) -> Sequence[TrainingSong]:
        """The songs to train with, or those that are kept to measure with."""
        return tuple(song for song in self._songs if song.held_out == held_out)

    def all_songs(self) -> Sequence[TrainingSong]:
        """Every song, in the order of the list."""
        return self._songs

    @property
    def cache_directory(self) -> Path:
        """Where what is computed once about these songs is kept."""
        return self.directory / CACHE_FOLDER


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Only one process at a time works behind the same lock file; the others wait."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _cached_sound(
    directory: Path,
    entries: Sequence[ManifestEntry],
    fingerprint: str,
    sample_rate_hz: int,
    report: Report,
) -> list[NDArray[np.float32]]:
    folder = directory / CACHE_FOLDER
    stem = f"sound-{sample_rate_hz}"
    file = folder / f"sound-{fingerprint}.f32"
    index_file = file.with_suffix(".json")
    with locked(folder / f"{stem}.lock"):
        if not index_file.is_file():
            report(f"reading {len(entries):,} songs of {directory} once at {sample_rate_hz:,} Hz")
            lengths = _write_sound(file, entries, sample_rate_hz, report)
            # What an interrupted process left unfinished is hidden, and goes too.
            for old in folder.glob(f"*{stem}-*.*"):
                if old.stem != file.stem:
                    old.unlink()
            with whole_file(index_file) as unfinished:
                unfinished.write_text(json.dumps(lengths), encoding="utf-8")
    lengths = json.loads(index_file.read_bytes())
    samples = np.memmap(file, dtype=np.float32, mode="r")
    return np.split(samples, np.cumsum(lengths)[:-1])


def _fingerprint(entries: Sequence[ManifestEntry]) -> str:
    """Changes when a file is added, taken away, or written anew."""
    digest = hashlib.sha256()
    for entry in entries:
        status = entry.file.stat()
        digest.update(f"{entry.name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def _write_sound(
    file: Path, entries: Sequence[ManifestEntry], sample_rate_hz: int, report: Report
) -> list[int]:
    """All songs one after the other, as float32; their lengths in samples."""

    def read(entry: ManifestEntry) -> NDArray[np.float32]:
        try:
            sound = read_audio(entry.file, sample_rate_hz=sample_rate_hz)
        except AudioError as error:
            raise TrainingError(f"song {entry.name}: {error}") from error
        return sound[:, 0].numpy()

    lengths = []
    countdown = Countdown(len(entries), report)
    with (
        whole_file(file) as unfinished,
        unfinished.open("wb") as stream,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        for start in range(0, len(entries), _SONGS_AT_A_TIME):
            for sound in pool.map(read, entries[start : start + _SONGS_AT_A_TIME]):
                stream.write(sound.tobytes())
                lengths.append(len(sound))
                countdown.one_more()
    return lengths
