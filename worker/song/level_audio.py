"""The sound of one level, made while the level is still being drawn."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.files.growing_sound import GrowingSound
from jobs.forecast import PartKind
from jukebox_core.audio.files import PcmBlock, to_pcm
from jukebox_core.config.decoder_reach import decoder_reach_tokens
from jukebox_core.errors import AudioError
from jukebox_core.units import Level
from jukebox_core.vqvae.chunks import (
    Chunk,
    decoder_grid_tokens,
    near_chunk_tokens,
    plan_chunks,
)
from worker.device.models import LoadedModel
from worker.device.works import SlicedWork
from worker.lease.lease import Lease
from worker.parts import WorkerParts
from worker.song.parent_sound import ParentSound, open_parent_sound

log = logging.getLogger(__name__)

SLICE_SAMPLES = 2**17
"""Audio that a GPU decodes between two steps of the songs being drawn: 3 s at 44.1 kHz."""


class SpooledSound:
    """One row's sound while it is made: 16-bit samples in a file that others may read."""

    def __init__(self, file: GrowingSound) -> None:
        self._file = file
        self.num_samples = 0

    def append(self, piece: Tensor) -> None:
        """Add float32 [samples, 1]. Raises OSError when the disk refuses."""
        self._file.append(to_pcm(piece[:, 0].numpy()))
        self.num_samples += len(piece)

    def blocks(self) -> Iterator[PcmBlock]:
        """Everything that was added, int16 [n] at a time."""
        yield from self._file.blocks()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def interleaved(channels: Sequence[SpooledSound], num_channels: int) -> Iterator[PcmBlock]:
    """The sound of one sample, int16 [n] or [n, 2] at a time; one channel serves both sides."""
    if num_channels == 1:
        yield from channels[0].blocks()
        return
    for blocks in zip(*(channel.blocks() for channel in channels), strict=True):
        frames = np.stack(blocks, axis=1)
        yield np.broadcast_to(frames, (len(frames), num_channels))


@dataclass(slots=True, eq=False)
class _Piece:
    """A piece of every row, from codes int64 [chunk.end - chunk.start] of each.

    `works` decode it; there are none for a piece that is read from the parent's sound.
    """

    chunk: Chunk
    rows: list[Tensor]
    works: list[SlicedWork] = field(default_factory=list)


class LevelSound:
    """Decodes a level of a claimed job piece by piece; a context manager that lets go of the rest.

    The rows of the level are its samples, and in stereo the channels of its samples
    (`jukebox_core/channels.py`).

    A piece is begun as soon as all the codes are there that it depends on, so that at the end of
    the level little is left to be waited for. The pieces are the same whenever they are made, and
    so is the sound. What is made lies on the disk, not in memory, however long the level and many
    the samples are.

    What a job shares with its parent is read from the parent's files. Its first piece is decoded
    all the same: unless it is the parent's to the bit, so are all others. Around a section that is
    redone the parent's samples are taken in any case.

    num_tokens  of the level that are heard
    """

    def __init__(self, worker: WorkerParts, lease: Lease, level: Level, num_tokens: int) -> None:
        self._worker, self._lease, self.level = worker, lease, level
        self._num_tokens = num_tokens
        config = worker.catalog.get(lease.claim.job.request.model).config.vqvae
        hop_samples = config.samples_per_token[level]
        chunk_tokens = max(SLICE_SAMPLES // hop_samples, 1)
        if worker.device_name == "cpu":
            chunk_tokens = near_chunk_tokens(config, level)
        reach_tokens = decoder_reach_tokens(config, level)
        cut = partial(
            plan_chunks,
            chunk_tokens=chunk_tokens,
            reach_tokens=reach_tokens,
            grid_tokens=decoder_grid_tokens(config, level),
        )
        self._waiting = list(cut(num_tokens))
        self._parent = open_parent_sound(
            worker, lease.claim.job, level, cut, hop_samples, reach_tokens
        )
        self._begun: list[_Piece] = []
        self._num_spooled = 0
        self._sounds: list[SpooledSound] = []

    def __enter__(self) -> "LevelSound":
        return self

    def __exit__(self, *_: object) -> None:
        for work in [work for piece in self._begun for work in piece.works]:
            self._worker.engine.cancel(work)
        if self._parent is not None:
            self._parent.close()
        for sound in self._sounds:
            sound.close()

    def begin(self, codes: NDArray[np.int64], num_tokens: int) -> None:
        """The first `num_tokens` of codes int64 [rows, T] are final: decode what they allow.

        Pieces that are begun are not begun again. Raises what `keep_made` raises.
        """
        self.keep_made()
        while self._waiting and self._waiting[0].end <= num_tokens:
            chunk = self._waiting.pop(0)
            # Copies: the rest of the array is still being written to.
            rows = [torch.tensor(row[: chunk.end][chunk.start :]) for row in codes]
            piece = _Piece(chunk, rows)
            if self._needs_decoder(chunk):
                self._decode(piece)
            self._begun.append(piece)

    @property
    def tokens_wanted(self) -> int | None:
        """With so many final codes the next piece can begin; None when all have."""
        return self._waiting[0].end if self._waiting else None

    def keep_made(self) -> None:
        """Put the pieces that are made where listeners find them. Raises OSError."""
        while self._is_next_made():
            self._spool_next()

    def finish(self, codes: NDArray[np.int64]) -> list[SpooledSound]:
        """The sound of every row of codes int64 [rows, heard], until the block ends.

        Raises what `Lease.check` raises, and what stopped the decoder or the disk.
        """
        self.begin(codes, self._num_tokens)
        while self._num_spooled < len(self._begun):
            for work in self._begun[self._num_spooled].works:
                self._lease.wait(self._worker.engine, work)
            self._spool_next()
        return self._sounds

    def _is_next_made(self) -> bool:
        if self._num_spooled == len(self._begun):
            return False
        works = self._begun[self._num_spooled].works
        return all(work.has_ended and not work.error for work in works)

    def _spool_next(self) -> None:
        """Write the first piece that is still in memory behind those before it."""
        piece = self._begun[self._num_spooled]
        while len(self._sounds) < len(piece.rows):
            self._sounds.append(SpooledSound(self._new_file(len(self._sounds))))
        made = self._read(piece)
        if not self._num_spooled:
            self._compare(piece.chunk, made)
        for sound, samples in zip(self._sounds, made, strict=True):
            sound.append(samples)
        self._begun[self._num_spooled] = _Piece(piece.chunk, [])
        self._num_spooled += 1

    def _needs_decoder(self, chunk: Chunk) -> bool:
        if self._parent is None or not self._is_parents(chunk):
            return True
        return self._parent.must_agree and not self._begun

    def _new_file(self, row: int) -> GrowingSound:
        claim = self._lease.claim
        return self._worker.artifacts.new_growing_sound(
            claim.job.id, level=self.level.label, row=row, fence=claim.fence
        )

    def _is_parents(self, chunk: Chunk) -> bool:
        return self._parent is not None and chunk in self._parent.shared

    def _read(self, piece: "_Piece") -> list[Tensor]:
        """The piece float32 [samples, 1] of every row, decoded or from the parent."""
        if self._parent is not None:
            try:
                return [self._read_row(self._parent, n, piece) for n in range(len(piece.rows))]
            except AudioError as error:
                extra = {"job_id": self._lease.claim.job.id}
                log.warning("decoding what the parent's files had: %s", error, extra=extra)
                self._give_up_parent()
                for work in piece.works:
                    self._lease.wait(self._worker.engine, work)
        return [torch.cat(work.pieces()) for work in piece.works]

    def _read_row(self, parent: ParentSound, row: int, piece: "_Piece") -> Tensor:
        """Raises AudioError when the parent's file is damaged."""
        if not piece.works:
            return parent.piece(row, piece.chunk)
        return parent.around_section(row, piece.chunk, torch.cat(piece.works[row].pieces()))

    def _compare(self, chunk: Chunk, made: list[Tensor]) -> None:
        """Decode everything if the first piece is not the parent's."""
        parent = self._parent
        if parent is None or not parent.must_agree or not self._is_parents(chunk):
            return
        if not all(parent.agrees(row, chunk, each) for row, each in enumerate(made)):
            self._give_up_parent()

    def _give_up_parent(self) -> None:
        if self._parent is None:
            return
        self._parent.close()
        self._parent = None
        for piece in self._begun[self._num_spooled :]:
            if not piece.works:
                self._decode(piece)

    def _decode(self, piece: "_Piece") -> None:
        piece.works = [self._decode_row(row, piece.chunk) for row in piece.rows]

    def _decode_row(self, row: Tensor, chunk: Chunk) -> SlicedWork:
        """Begin one piece of one row, from codes int64 [chunk.end - chunk.start]."""
        level, start = self.level, chunk.keep_start - chunk.start

        def slices(model: LoadedModel) -> Iterator[Tensor]:
            end = start + chunk.keep_end - chunk.keep_start
            codes = row.to(model.device)[None]
            yield model.vqvae.decode_between(codes, level, start, end)[0].cpu()

        work = self._worker.engine.run_beside(self._lease.claim.job.request.model, slices)
        self._lease.progress.parts.watch(PartKind.SOUND, level.label, work.time)
        return work
