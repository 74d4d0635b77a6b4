"""The sound of one level, made while the level is still being drawn."""

from collections.abc import Iterator
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.audio.files import PcmBlock, to_pcm
from jukebox_core.units import Level
from jukebox_core.vqvae.chunks import (
    Chunk,
    decoder_grid_tokens,
    decoder_reach_tokens,
    near_chunk_tokens,
    plan_chunks,
)
from worker.device.engine_thread import SlicedWork
from worker.device.models import LoadedModel
from worker.lease.lease import Hold
from worker.parts import WorkerParts

_SPOOL_BLOCK_BYTES = 1 << 20
SLICE_SAMPLES = 2**17
"""Audio that a GPU decodes between two steps of the songs being drawn: 3 s at 44.1 kHz."""


class SpooledSound:
    """One sample's sound while it is made: 16-bit samples in a nameless file, a piece in memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.num_samples = 0

    def append(self, piece: Tensor) -> None:
        """Add float32 [samples, 1]. Raises OSError when the disk refuses."""
        self._file.write(to_pcm(piece[:, 0].numpy()).tobytes())
        self.num_samples += len(piece)

    def blocks(self) -> Iterator[PcmBlock]:
        """Everything that was added, int16 [n] at a time."""
        self._file.seek(0)
        while data := self._file.read(_SPOOL_BLOCK_BYTES):
            yield np.frombuffer(data, dtype=np.int16)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class LevelSound:
    """Decodes a level of a claimed job piece by piece; a context manager that lets go of the rest.

    A piece is begun as soon as all the codes are there that it depends on, so that at the end of
    the level little is left to be waited for. The pieces are the same whenever they are made, and
    so is the sound. What is made lies on the disk, not in memory, however long the level and many
    the samples are.

    num_tokens  of the level that are heard
    """

    def __init__(self, worker: WorkerParts, hold: Hold, level: Level, num_tokens: int) -> None:
        self._worker, self._hold, self._level = worker, hold, level
        self._num_tokens = num_tokens
        config = worker.catalog.get(hold.claim.job.request.model).config.vqvae
        chunk_tokens = max(SLICE_SAMPLES // config.samples_per_token[level], 1)
        if worker.device_name == "cpu":
            chunk_tokens = near_chunk_tokens(config, level)
        reach_tokens = decoder_reach_tokens(config, level)
        grid_tokens = decoder_grid_tokens(config, level)
        self._waiting = list(plan_chunks(num_tokens, chunk_tokens, reach_tokens, grid_tokens))
        self._begun: list[list[SlicedWork]] = []
        self._num_spooled = 0
        self._sounds: list[SpooledSound] = []

    def __enter__(self) -> "LevelSound":
        return self

    def __exit__(self, *_: object) -> None:
        for work in [work for piece in self._begun for work in piece]:
            self._worker.engine.cancel(work)
        for sound in self._sounds:
            sound.close()

    def begin(self, codes: NDArray[np.int64], num_tokens: int) -> None:
        """The first `num_tokens` of codes int64 [num_samples, T] are final: decode what they allow.

        Pieces that are begun are not begun again. Raises OSError when the disk refuses those that
        are made.
        """
        while self._is_next_made():
            self._spool_next()
        while self._waiting and self._waiting[0].end <= num_tokens:
            chunk = self._waiting.pop(0)
            # Copies: the rest of the array is still being written to.
            rows = [torch.tensor(row[: chunk.end][chunk.start :]) for row in codes]
            self._begun.append([self._decode(row, chunk) for row in rows])

    def finish(self, codes: NDArray[np.int64]) -> list[SpooledSound]:
        """The sound of every sample of codes int64 [num_samples, heard], until the block ends.

        Raises what `Hold.check` raises, and what stopped the decoder or the disk.
        """
        self.begin(codes, self._num_tokens)
        while self._num_spooled < len(self._begun):
            for work in self._begun[self._num_spooled]:
                self._hold.wait(self._worker.engine, work)
            self._spool_next()
        return self._sounds

    def _is_next_made(self) -> bool:
        if self._num_spooled == len(self._begun):
            return False
        return all(work.has_ended and not work.error for work in self._begun[self._num_spooled])

    def _spool_next(self) -> None:
        """Write the first piece that is still in memory behind those before it."""
        works = self._begun[self._num_spooled]
        while len(self._sounds) < len(works):
            self._sounds.append(SpooledSound(self._worker.artifacts.nameless_file()))
        for sound, work in zip(self._sounds, works, strict=True):
            for piece in work.pieces():
                sound.append(piece)
        self._begun[self._num_spooled] = []
        self._num_spooled += 1

    def _decode(self, row: Tensor, chunk: Chunk) -> SlicedWork:
        """Begin one piece of one sample, from codes int64 [chunk.end - chunk.start]."""
        level, start = self._level, chunk.keep_start - chunk.start

        def slices(model: LoadedModel) -> Iterator[Tensor]:
            end = start + chunk.keep_end - chunk.keep_start
            codes = row.to(model.device)[None]
            yield model.vqvae.decode_between(codes, level, start, end)[0].cpu()

        return self._worker.engine.run_beside(self._hold.claim.job.request.model, slices)
