"""The sound of one level, made while the level is still being drawn."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.units import Level
from jukebox_core.vqvae.chunks import (
    Chunk,
    decoder_reach_tokens,
    near_chunk_tokens,
    plan_chunks,
)
from worker.device.engine_thread import SlicedWork
from worker.device.models import LoadedModel
from worker.lease.lease import Hold
from worker.parts import WorkerParts

SLICE_SAMPLES = 2**17
"""Audio that a GPU decodes between two steps of the songs being drawn: 3 s at 44.1 kHz."""


class LevelSound:
    """Decodes a level of a claimed job piece by piece; a context manager that lets go of the rest.

    A piece is begun as soon as all the codes are there that it depends on, so that at the end of
    the level little is left to be waited for. The pieces are the same whenever they are made, and
    so is the sound.

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
        self._waiting = list(plan_chunks(num_tokens, chunk_tokens, reach_tokens))
        self._begun: list[list[SlicedWork]] = []

    def __enter__(self) -> "LevelSound":
        return self

    def __exit__(self, *_: object) -> None:
        for work in [work for piece in self._begun for work in piece]:
            self._worker.engine.cancel(work)

    def begin(self, codes: NDArray[np.int64], num_tokens: int) -> None:
        """The first `num_tokens` of codes int64 [num_samples, T] are final: decode what they allow.

        Pieces that are begun are not begun again.
        """
        while self._waiting and self._waiting[0].end <= num_tokens:
            chunk = self._waiting.pop(0)
            # Copies: the rest of the array is still being written to.
            rows = [torch.tensor(row[: chunk.end][chunk.start :]) for row in codes]
            self._begun.append([self._decode(row, chunk) for row in rows])

    def finish(self, codes: NDArray[np.int64]) -> list[Tensor]:
        """The sound of every sample, float32 [samples, 1], of codes int64 [num_samples, heard].

        Raises what `Hold.check` raises, and what stopped the decoder.
        """
        self.begin(codes, self._num_tokens)
        for work in [work for piece in self._begun for work in piece]:
            self._hold.wait(self._worker.engine, work)
        return [
            torch.cat([part for work in works for part in work.pieces()])
            for works in zip(*self._begun, strict=True)
        ]

    def _decode(self, row: Tensor, chunk: Chunk) -> SlicedWork:
        """Begin one piece of one sample, from codes int64 [chunk.end - chunk.start]."""
        level, start = self._level, chunk.keep_start - chunk.start

        def slices(model: LoadedModel) -> Iterator[Tensor]:
            end = start + chunk.keep_end - chunk.keep_start
            codes = row.to(model.device)[None]
            yield model.vqvae.decode_between(codes, level, start, end)[0].cpu()

        return self._worker.engine.run_beside(self._hold.claim.job.request.model, slices)
