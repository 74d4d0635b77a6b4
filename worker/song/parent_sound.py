"""The sound of a job's parent, as far as the job begins with the same codes.

A song that goes on keeps codes of its parent, and with them all the sound that no new code can
change. To decode that again takes much longer than to draw one second more. A section that is
redone is promised to change nothing around it, so there the parent's samples are taken even where
the decoder of this machine would make others.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jobs.errors import ArtifactNotFound, JobNotFound, RecordUnreadable, StoreUnavailable
from jobs.record.job import Job, LevelPlan, Output
from jukebox_core.audio.files import open_sound, to_pcm
from jukebox_core.errors import AudioError
from jukebox_core.units import Level
from jukebox_core.vqvae.chunks import Chunk
from worker.parts import WorkerParts

log = logging.getLogger(__name__)

Cut = Callable[[int], Iterable[Chunk]]
"""Cuts a number of tokens into the pieces that are decoded one by one."""


class ParentSound:
    """Pieces of a parent's sound files, which stay open; a file may be deleted meanwhile.

    sounds   an open `soundfile.SoundFile` for each row of the level, and the channel of it that
             the row is
    shared   the pieces whose codes are the same in both songs
    changed  the tokens [start, end) in a redone song that sound different; None for other songs
    """

    def __init__(
        self,
        sounds: Sequence[tuple[Any, int]],
        shared: Iterable[Chunk],
        hop_samples: int,
        files: ExitStack,
        changed: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self.shared, self.changed = frozenset(shared), changed
        self._sounds, self._hop_samples, self._files = sounds, hop_samples, files

    @property
    def must_agree(self) -> bool:
        """Whether it is only used where this machine would make the same sound."""
        return self.changed is None

    def around_section(self, row: int, chunk: Chunk, decoded: Tensor) -> Tensor:
        """A decoded piece, float32 [samples, 1], with the parent's samples where nothing changes.

        Raises AudioError when the file is damaged.
        """
        if self.changed is None:
            return decoded
        is_same = torch.ones(chunk.keep_end - chunk.keep_start, 1, dtype=torch.bool)
        for start, end in self.changed:
            is_same[max(start - chunk.keep_start, 0) : max(end - chunk.keep_start, 0)] = False
        if not is_same.any():
            return decoded
        mask = is_same.repeat_interleave(self._hop_samples, dim=0)
        return torch.where(mask, self.piece(row, chunk), decoded)

    def piece(self, row: int, chunk: Chunk) -> Tensor:
        """Float32 [samples, 1]. Raises AudioError when the file is damaged."""
        num_samples = (chunk.keep_end - chunk.keep_start) * self._hop_samples
        sound, channel = self._sounds[row]
        try:
            sound.seek(chunk.keep_start * self._hop_samples)
            frames = sound.read(num_samples, dtype="float32", always_2d=True)
        except RuntimeError as error:  # of libsndfile
            raise AudioError(f"the sound of the parent cannot be read: {error}") from error
        if len(frames) != num_samples or channel >= frames.shape[1]:
            raise AudioError("the sound of the parent is not that of its codes")
        return torch.from_numpy(frames[:, channel : channel + 1].copy())

    def agrees(self, row: int, chunk: Chunk, decoded: Tensor) -> bool:
        """Whether a piece that was decoded here is the parent's to the last bit of the file.

        It is not where another device, release or codec made it.
        """
        try:
            stored = self.piece(row, chunk)
        except AudioError:
            return False
        return bool((to_pcm(decoded.numpy()) == to_pcm(stored.numpy())).all())

    def close(self) -> None:
        """Let go of the files."""
        self._files.close()


def open_parent_sound(
    worker: WorkerParts, job: Job, level: Level, cut: Cut, hop_samples: int, reach_tokens: int
) -> ParentSound | None:
    """The sound of the parent at one level; None where there is none that could be used.

    A decoder looks `reach_tokens` to either side.
    """
    if job.parent_id is None or not job.plan[level.label].prompt_tokens:
        return None
    if job.request.mode == "splice":
        # What it has in common with a parent is somewhere else in that.
        return None
    plan = job.plan[level.label]
    try:
        parent = worker.store.get(job.parent_id)
        outputs = _outputs_of_rows(parent, job, level)
        chunks = cut(parent.plan[level.label].output_tokens)
        shared = {chunk for chunk in chunks if _is_shared(plan, chunk)}
        with ExitStack() as stack:
            sounds = [
                (stack.enter_context(open_sound(_checked_path(worker, parent, output))), channel)
                for output, channel in outputs
            ]
            changed = _changed(plan, reach_tokens)
            return ParentSound(sounds, shared, hop_samples, stack.pop_all(), changed)
    except (ArtifactNotFound, AudioError, JobNotFound, KeyError, RecordUnreadable) as error:
        reason = f"{type(error).__name__}: {error}"
    except StoreUnavailable as error:
        reason = str(error)
    log.info("the sound of the parent is decoded again: %s", reason, extra={"job_id": job.id})
    return None


def _is_shared(plan: LevelPlan, chunk: Chunk) -> bool:
    """Whether the parent has the same codes for a piece and its surroundings."""
    if not plan.infills:
        return chunk.end <= plan.prompt_tokens
    return chunk.end <= plan.given_tokens and all(
        chunk.end <= start or join_end <= chunk.start for start, _, join_end in plan.infills
    )


def _changed(plan: LevelPlan, reach_tokens: int) -> list[tuple[int, int]] | None:
    """The tokens [start, end) that infills may change the sound of; None where there are none."""
    if not plan.infills:
        return None
    return [
        (max(start - reach_tokens, 0), join_end + reach_tokens)
        for start, _, join_end in plan.infills
    ]


def _outputs_of_rows(parent: Job, job: Job, level: Level) -> list[tuple[Output, int]]:
    """The parent's file, and a channel of it, for each row of the job's level.

    A mono parent sounds the same on both sides. Raises KeyError where there is no file.
    """
    by_sample = {output.sample: output for output in parent.outputs if output.level == level.label}
    samples: Iterable[int] = range(job.request.num_samples)
    if job.parent_sample is not None:
        samples = [job.parent_sample] * job.request.num_samples
    elif parent.request.num_samples == 1:
        samples = [0] * job.request.num_samples
    outputs = [by_sample[sample] for sample in samples]
    return [
        (output, min(channel, output.channels - 1))
        for channel in range(job.channels_of(level.label))
        for output in outputs
    ]


def _checked_path(worker: WorkerParts, parent: Job, output: Output) -> Path:
    """Raises AudioError, ArtifactNotFound."""
    if worker.artifacts.fingerprint(parent.id, output.name)[0] != output.sha256:
        raise AudioError(f"{output.name} of {parent.id} was changed")
    return worker.artifacts.path(parent.id, output.name)
