"""When the lyrics are sung, read off the top prior's attention once the top level is drawn."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.errors import ArtifactNotFound
from jobs.files.artifacts import alignment_name
from jobs.forecast import PartKind
from jobs.record.job import Job
from jukebox_core.alignment.attention import iter_alignment
from jukebox_core.alignment.formats import to_json
from jukebox_core.alignment.parts import join_times
from jukebox_core.alignment.times import LyricTimes, frame_tokens, iter_frames, lyric_times
from jukebox_core.backends.memory import is_out_of_memory
from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import JukeboxError
from jukebox_core.labels import LyricAlphabet, SongLabels
from jukebox_core.sampling.song_plan import SongTiming
from jukebox_core.sampling.windows import hop_tokens
from jukebox_core.units import Level
from worker.device.models import LoadedModel
from worker.lease.lease import Lease
from worker.parts import WorkerParts
from worker.song.job_song import JobSong

log = logging.getLogger(__name__)


def keep_lyric_times(
    worker: WorkerParts,
    lease: Lease,
    song: JobSong,
    top_codes: NDArray[np.int64],
    *,
    are_codes_new: bool,
) -> None:
    """Write `alignment-<sample>.json` of every sample, where lyrics are sung and can be timed.

    top_codes  int64 [num_samples, heard tokens]

    Files that are there already stay unless the codes are new: what they say depends on these
    alone. A song is not lost for the want of its times: a model or a device that cannot give them
    is only told in the log.

    Raises what `Lease.check` raises, and OSError when the disk refuses.
    """
    job = lease.claim.job
    if not _can_be_timed(song):
        return
    for sample, codes in enumerate(top_codes):
        if not are_codes_new and _is_there(worker, job, sample):
            continue
        try:
            times = _lyric_times(worker, lease, song, codes)
        except (JukeboxError, RuntimeError, MemoryError) as error:
            if not isinstance(error, JukeboxError) and not is_out_of_memory(error):
                raise
            log.warning("the lyrics have no times: %s", error, extra={"job_id": job.id})
            return
        lease.check()
        name, fence = alignment_name(sample), lease.claim.fence
        with worker.artifacts.new_file(job.id, name, fence=fence) as path:
            path.write_text(to_json(times), encoding="utf-8")


def has_alignment_head(config: JukeboxConfig) -> bool:
    """Whether the model's top prior was trained with lyrics, and its head for them is known."""
    lyrics = config.prior(Level.TOP).lyrics
    return (
        lyrics is not None
        and lyrics.alignment_layer is not None
        and lyrics.alignment_head is not None
    )


def _can_be_timed(song: JobSong) -> bool:
    (labels,) = song.labels.for_level(Level.TOP)
    return has_alignment_head(song.config) and bool(labels.lyric_ids)


def _is_there(worker: WorkerParts, job: Job, sample: int) -> bool:
    try:
        worker.artifacts.path(job.id, alignment_name(sample))
    except ArtifactNotFound:
        return False
    return True


def _lyric_times(
    worker: WorkerParts, lease: Lease, song: JobSong, codes: NDArray[np.int64]
) -> LyricTimes:
    tokens_per_second = song.config.time_base.tokens_per_second(Level.TOP)
    duration_sec = len(codes) / tokens_per_second
    job = lease.claim.job
    if job.request.mode == "splice":
        parts = _parts(song, codes)
        times = [(start_sec, _times(worker, lease, song, part)) for start_sec, part in parts]
        return join_times(times, duration_sec)
    (labels,) = song.labels.for_level(Level.TOP)
    whole = _Sung(
        codes,
        labels,
        SongTiming(total_samples=song.plan.total_samples, offset_samples=song.plan.offset_samples),
        joins_sec=[join / tokens_per_second for join in job.lyric_joins],
    )
    return _times(worker, lease, song, whole)


@dataclass(frozen=True, slots=True)
class _Sung:
    """Codes int64 [tokens] of the top, what they were sung with, and where they lie in that song.

    At `joins_sec` a continued song goes on.
    """

    codes: NDArray[np.int64]
    labels: SongLabels
    timing: SongTiming
    joins_sec: Sequence[float] = ()


def _parts(song: JobSong, codes: NDArray[np.int64]) -> list[tuple[float, _Sung]]:
    """The parts of a spliced song that have words, and the second at which each begins."""
    prior = song.config.prior(Level.TOP)
    starts = [span.start_samples // prior.samples_per_token for span in song.spans]
    found = []
    for span, (start, end) in zip(song.spans, pairwise([*starts, len(codes)]), strict=True):
        labels, timing = span.channels[0][0], span.timing_for(prior, start)
        place = timing.offset_samples + start * prior.samples_per_token
        if labels.lyric_ids:
            inside = SongTiming(total_samples=timing.total_samples, offset_samples=place)
            start_sec = song.config.time_base.tokens_to_seconds(start, Level.TOP)
            found.append((start_sec, _Sung(codes[start:end], labels, inside)))
    return found


def _times(worker: WorkerParts, lease: Lease, song: JobSong, sung: _Sung) -> LyricTimes:
    tokens_per_second = song.config.time_base.tokens_per_second(Level.TOP)
    tokens_per_frame = frame_tokens(tokens_per_second)
    frames = _attention(worker, lease, song, sung, tokens_per_frame)
    return lyric_times(
        frames,
        _text(song, sung.labels),
        tokens_per_second=tokens_per_second / tokens_per_frame,
        duration_sec=len(sung.codes) / tokens_per_second,
        joins_sec=sung.joins_sec,
    )


def _attention(
    worker: WorkerParts, lease: Lease, song: JobSong, sung: _Sung, tokens_per_frame: int
) -> NDArray[np.float32]:
    """float32 [frames, characters]; a device is borrowed for one window at a time."""
    hop = hop_tokens(song.config.prior(Level.TOP), None, 1)

    @torch.inference_mode()
    def slices(model: LoadedModel) -> Iterator[Tensor]:
        row = torch.as_tensor(sung.codes, device=model.device)
        blocks = iter_alignment(model.priors[Level.TOP], row, sung.labels, sung.timing, hop)
        for frames in iter_frames((block.numpy() for block in blocks), tokens_per_frame):
            yield torch.from_numpy(frames)

    work = worker.engine.run_beside(lease.claim.job.request.model, slices, level=Level.TOP)
    lease.progress.parts.watch(PartKind.LYRIC_TIMES, Level.TOP.label, work.time)
    lease.wait(worker.engine, work)
    return torch.cat(work.pieces()).numpy()


def _text(song: JobSong, labels: SongLabels) -> str:
    """The lyrics as the prior read them: one character for each column of an alignment."""
    config = song.config.prior(Level.TOP).labels
    return LyricAlphabet(config.version).decode(labels.lyric_ids) if config is not None else ""
