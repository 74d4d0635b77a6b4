"""The codes of all songs, computed once for each encoder and mapped from files after that."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from jukebox_core.atomic_files import whole_file
from jukebox_core.config import JukeboxVQVAEConfig
from jukebox_core.training.dataset.data import (
    Countdown,
    Report,
    TrainingData,
    TrainingSong,
    locked,
    silent,
)
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae import JukeboxVQVAE
from jukebox_core.vqvae.long_audio import encode_chunked

_CHUNK_SAMPLES = 65_536
"""Audio encoded at a time: its activations stay near the processor."""


@dataclass(frozen=True, slots=True, eq=False)
class SongCodes:
    """The codes of one level of all songs, int16 one song behind the other.

    `starts` int64 [songs + 1] tells where each begins. Every level covers the whole top tokens of
    a song and nothing more, so that the levels fit each other.
    """

    level: Level
    flat: NDArray[np.int16]
    starts: NDArray[np.int64]

    def of(self, song: TrainingSong) -> NDArray[np.int16]:
        """The codes of one song, int16 [tokens]."""
        return self.flat[self.starts[song.index] : self.starts[song.index + 1]]


def song_codes(
    data: TrainingData, vqvae: JukeboxVQVAE, level: Level, *, report: Report = silent
) -> SongCodes:
    """The codes of one level, from the cache in the data folder or put into it now.

    The cache goes by the weights of this level's encoder and by the sound of the songs; it is safe
    to be asked by several processes at once.
    """
    time_base = vqvae.config.time_base
    lengths = [_num_tokens(song, vqvae.config, level) for song in data.all_songs()]
    starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    name = f"codes-{level.label}-{_fingerprint(data, vqvae, level)}"
    file = data.cache_directory / f"{name}.npy"
    with locked(file.with_suffix(".lock")):
        if not file.is_file():
            minutes = sum(song.duration_sec for song in data.all_songs()) / 60
            length = f"{minutes:.1f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
            rate = time_base.tokens_per_second(level)
            report(f"encoding {length} of songs, {level.label}: {rate:g} codes a second")
            _encode_into(file, data.all_songs(), vqvae, level, starts, report)
    return SongCodes(level, np.load(file, mmap_mode="r"), starts)


def encode_all(
    data: TrainingData, vqvae: JukeboxVQVAE, *, report: Report = silent
) -> dict[Level, SongCodes]:
    """The codes of all three levels, the coarsest first; see `song_codes`."""
    return {level: song_codes(data, vqvae, level, report=report) for level in COARSE_TO_FINE}


def _num_tokens(song: TrainingSong, config: JukeboxVQVAEConfig, level: Level) -> int:
    num_top_tokens = song.num_samples // config.samples_per_token[Level.TOP]
    return num_top_tokens * config.time_base.tokens_per_top_token(level)


def _fingerprint(data: TrainingData, vqvae: JukeboxVQVAE, level: Level) -> str:
    digest = hashlib.sha256(data.fingerprint.encode())
    for part in (vqvae.encoders[level], vqvae.codebooks[level]):
        for name, tensor in part.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _encode_into(
    file: Path,
    songs: Sequence[TrainingSong],
    vqvae: JukeboxVQVAE,
    level: Level,
    starts: NDArray[np.int64],
    report: Report,
) -> None:
    tell = Countdown(len(songs), report)
    with whole_file(file) as unfinished:
        flat = np.lib.format.open_memmap(
            unfinished, mode="w+", dtype=np.int16, shape=(int(starts[-1]),)
        )

        def encode(song: TrainingSong) -> None:
            start, end = starts[song.index], starts[song.index + 1]
            if end > start:
                flat[start:end] = _encode(song, vqvae, level, int(end - start))

        with _a_thread_for_each_song(vqvae) as map_songs:
            for _ in map_songs(encode, songs):
                tell.one_more()
        flat.flush()


def _encode(
    song: TrainingSong, vqvae: JukeboxVQVAE, level: Level, num_tokens: int
) -> NDArray[np.int16]:
    hop = vqvae.config.samples_per_token[level]
    audio = torch.from_numpy(song.audio(0, num_tokens * hop)).view(1, -1, 1)
    codes = encode_chunked(vqvae, audio, level, max(_CHUNK_SAMPLES // hop, 1))
    return codes[0].cpu().numpy().astype(np.int16)


MapSongs = Callable[[Callable[[TrainingSong], None], Sequence[TrainingSong]], Iterator[None]]


@contextmanager
def _a_thread_for_each_song(vqvae: JukeboxVQVAE) -> Iterator[MapSongs]:
    """On a CPU, several songs at once on one core each take less time than one on all cores."""
    if next(vqvae.parameters()).device.type != "cpu":
        yield map
        return
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(num_threads) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(num_threads)
