"""One Celery task: one claim of a job, and the stages that are done under it."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from jobs.errors import (
    JobNotFound,
    LeaseLost,
    QueueUnavailable,
    RecordUnreadable,
    StoreUnavailable,
)
from jobs.files.download_names import file_name
from jobs.forecast import PartKind, SongCosts
from jobs.record.job import LevelMetrics, Stage, stages_of
from jobs.record.songs import level_of
from jobs.store import Claim
from jukebox_core.codes_file import codebook_metadata
from jukebox_core.engine.overlap import OverlapMode
from jukebox_core.errors import LabelError
from jukebox_core.sampling.step_cost import LevelWork
from jukebox_core.units import Level
from worker.lease.lease import JobCanceled, Lease, WorkerDraining
from worker.lease.progress import StageProgress
from worker.metrics import SongPart
from worker.parts import WorkerParts
from worker.song.cleanup import tidy
from worker.song.codec import drawn_codebooks, loaded_codebooks
from worker.song.generate import SongGenerator
from worker.song.job_errors import to_job_error
from worker.song.job_song import JobSong
from worker.song.level_audio import LevelSound
from worker.song.lyric_timing import keep_lyric_times
from worker.song.prompt import read_prompt
from worker.song.rates import costs_of, end_part, measure_windows, record_rate
from worker.song.render import finish_song, write_sound

log = logging.getLogger(__name__)

Result = TypeVar("Result")

STORE_PATIENCE_SEC = 30.0
"""How long a claim or a last word waits for a store that is away; the reaper mends the rest."""
_RETRY_SEC = 0.5


def run_song(
    worker: WorkerParts, job_id: str, stage: Stage, *, following: frozenset[Stage] | None = None
) -> None:
    """Claim the job and do its stage, if there is anything to do, and then the following ones.

    Those are done without a message as far as they are in `following`, by default all that this
    worker serves; meanwhile levels may be sampled before their stage. Raises nothing foreseeable.
    """
    if following is None:
        following = frozenset(worker.settings.stages)
    if worker.draining.is_set():
        _publish(worker, job_id, stage)
        return
    if worker.held.renew(job_id):
        log.info("held here already", extra={"job_id": job_id, "stage": stage})
        return
    claim = _claim(worker, job_id, stage)
    if claim is None:
        log.info("nothing to do", extra={"job_id": job_id, "stage": stage})
        # It may have ended by this very claim: as one that workers died with too often.
        tidy(worker, job_id)
        return
    lease = Lease(
        worker.store,
        claim,
        StageProgress(claim.job),
        lease_sec=worker.settings.lease_sec,
        heartbeat_sec=worker.settings.heartbeat_sec,
        draining=worker.draining,
    )
    with _settled(worker, lease), worker.held.keeping(lease), lease:
        _work(worker, lease, following)


@contextmanager
def _settled(worker: WorkerParts, lease: Lease) -> Iterator[None]:
    """However the work on a claim ends, the store and the files say so afterwards."""
    claim, job_id = lease.claim, lease.claim.job.id
    try:
        yield
    except WorkerDraining:
        _last_word(worker, lease.claim, worker.store.release)
        _publish(worker, job_id, lease.claim.job.stage)
    except JobCanceled:
        if _last_word(worker, lease.claim, worker.store.cancel):
            worker.metrics.end_job("canceled")
        tidy(worker, job_id, fence=claim.fence)
    except LeaseLost as error:
        log.warning("stopped: %s", error, extra=_extra(lease))
        tidy(worker, job_id, fence=claim.fence)
    except Exception as error:
        log.exception("stage failed", extra=_extra(lease))
        reason = to_job_error(error)
        if _last_word(worker, lease.claim, lambda claim: worker.store.fail(claim, reason)):
            worker.metrics.end_job("failed", reason.code)
        tidy(worker, job_id)
    finally:
        worker.quarantine.leave(job_id)


def _extra(lease: Lease) -> dict[str, object]:
    job = lease.claim.job
    return {
        "job_id": job.id,
        "stage": job.stage,
        "fence": lease.claim.fence,
        "attempt": job.attempt,
    }


def _claim(worker: WorkerParts, job_id: str, stage: Stage) -> Claim | None:
    try:
        return _patiently(worker.draining, lambda: _try_to_claim(worker, job_id, stage))
    except StoreUnavailable as error:
        log.warning("cannot claim: %s", error, extra={"job_id": job_id, "stage": stage})
        return None


def _try_to_claim(worker: WorkerParts, job_id: str, stage: Stage) -> Claim | None:
    settings = worker.settings
    try:
        if not worker.quarantine.admit(worker.store.get(job_id)):
            # The reaper will send it again, by when the other may be gone.
            return None
    except (JobNotFound, RecordUnreadable):
        return None
    claim = None
    try:
        claim = worker.store.claim(
            job_id, stage, worker=settings.worker_name, lease_sec=settings.lease_sec
        )
    finally:
        if claim is None:
            worker.quarantine.leave(job_id)
    return claim


def _work(worker: WorkerParts, lease: Lease, following: frozenset[Stage]) -> None:
    """The claimed stage, and those of `following` that come next."""
    song = _song_of(worker, lease.claim)
    job = lease.claim.job
    costs = costs_of(worker, job, song)
    lease.progress.set_works(costs.tokens, costs.unit_sec, costs.parts, costs.beginnings)
    for stage in stages_of(job.request):
        if stage is job.stage:
            break
        lease.progress.parts.end_level(stage)
    if lease.claim.job.step is None:
        lease.write(
            lambda: worker.store.record_backend(
                lease.claim, step=song.backend, weights=song.weights
            )
        )
    with SongGenerator(
        worker,
        lease,
        song,
        works=costs.levels,
        ahead=[] if worker.row_budget.mode is OverlapMode.OFF else _levels_ahead(lease, following),
        read_prompt=lambda: _read_prompt(worker, lease, song),
        on_window_kept=lambda level, num_tokens: _note_window(
            worker, lease.claim.job.id, level, num_tokens
        ),
    ) as drawer:
        while lease.claim.job.stage is not Stage.RENDER:
            with _counted(worker, lease):
                is_going_on = _draw_level(worker, drawer, lease, costs, following)
            if not is_going_on:
                return
        with _counted(worker, lease), worker.metrics.part(SongPart.RENDERING):
            finish_song(worker, drawer, lease)
            lease.finish(lambda: worker.store.succeed(lease.claim))
    worker.metrics.end_job("succeeded")
    log.info("song finished", extra=_extra(lease))


@contextmanager
def _counted(worker: WorkerParts, lease: Lease) -> Iterator[None]:
    """One stage, for the metrics."""
    started, stage = time.monotonic(), lease.claim.job.stage
    log.info("stage begins", extra=_extra(lease))
    worker.metrics.begin_stage(lease.claim)
    try:
        yield
        worker.metrics.end_stage(stage, time.monotonic() - started)
    finally:
        worker.metrics.leave_stage()


def _levels_ahead(lease: Lease, following: frozenset[Stage]) -> list[Level]:
    """Levels below the present one, as far down as this worker will go on.

    None for a song that a worker died with: were it one that kills, windows of the level above
    would be kept meanwhile, and no two crashes be counted in a row.
    """
    if lease.claim.job.crashes:
        return []
    stages = stages_of(lease.claim.job.request)
    later = stages[stages.index(lease.claim.job.stage) + 1 :]
    served = itertools.takewhile(lambda stage: stage in following, later)
    return [level_of(stage) for stage in served if stage is not Stage.RENDER]


def _note_window(worker: WorkerParts, job_id: str, level: Level, num_tokens: int) -> None:
    worker.quarantine.leave(job_id)
    worker.metrics.keep_tokens(level.label, num_tokens)


def _draw_level(
    worker: WorkerParts,
    drawer: SongGenerator,
    lease: Lease,
    costs: SongCosts,
    following: frozenset[Stage],
) -> bool:
    """Draw the present level, let it be heard, and go on to the next stage: or else False.

    The windows on disk keep the lead-out for the levels below; clients get what is heard.
    """
    level = level_of(lease.claim.job.stage)
    num_output = drawer.song.plan.levels[level].output_tokens
    with LevelSound(worker, lease, level, num_output) as sound:
        drawer.sound = sound
        with worker.metrics.part(SongPart.DRAWING):
            codes = drawer.codes_through(level)
        # From here on another thread sees to it.
        drawer.sound = None
        codes_name = drawer.draw_beside(lambda: _finish_files(worker, drawer, lease, codes, sound))
    with worker.metrics.part(SongPart.HANDING_OVER):
        return _hand_over(worker, drawer, lease, costs.levels[level], codes_name, following)


def _finish_files(
    worker: WorkerParts,
    drawer: SongGenerator,
    lease: Lease,
    drawn: Mapping[Level, NDArray[np.int64]],
    sound: LevelSound,
) -> str:
    """Everything that a level leaves besides its windows, which are on record when this returns.

    Returns the name of the file with all codes so far. The next level is drawn meanwhile.
    """
    claim = lease.claim
    codes = {each: drawer.song.heard(each, array) for each, array in drawn.items()}
    level = next(reversed(codes))
    names: list[str] = []
    loaded = loaded_codebooks(worker, lease)
    codebooks = drawn_codebooks(worker, claim.job, level, loaded)
    drawer.keep(lambda: names.append(_write_codes(worker, claim, codes, codebooks)))
    part = worker.metrics.part
    with part(SongPart.SOUND):
        audio = sound.finish(codes[level])
        end_part(worker, lease, PartKind.SOUND, level)
    with part(SongPart.FILES), lease.progress.part(PartKind.FILES, level.label):
        outputs = write_sound(worker, lease, level, audio)
        lease.write(lambda: worker.store.record_outputs(claim, outputs))
    if level is Level.TOP:
        are_new = drawer.time_of(level).num_tokens > 0
        with part(SongPart.LYRIC_TIMES):
            keep_lyric_times(worker, lease, drawer.song, codes[level], are_codes_new=are_new)
            end_part(worker, lease, PartKind.LYRIC_TIMES, level)
    with part(SongPart.KEEPING):
        drawer.wait_kept()
    return names[0]


def _write_codes(
    worker: WorkerParts,
    claim: Claim,
    codes: Mapping[Level, NDArray[np.int64]],
    codebooks: Mapping[str, str],
) -> str:
    request = claim.job.request
    metadata = {"model": request.model, "seed": str(request.seed), **codebook_metadata(codebooks)}
    if request.channels > 1:
        metadata["channels"] = str(request.channels)
    return worker.artifacts.write_all_codes(
        claim.job.id,
        fence=claim.fence,
        codes={level.label: array for level, array in codes.items()},
        metadata=metadata,
        download_name=file_name(claim.job, "safetensors"),
    )


def _read_prompt(
    worker: WorkerParts, lease: Lease, song: JobSong
) -> Mapping[Level, NDArray[np.int64]]:
    with worker.metrics.part(SongPart.PROMPT):
        prompt = read_prompt(worker, lease, song)
    end_part(worker, lease, PartKind.PROMPT, None)
    return prompt


def _hand_over(
    worker: WorkerParts,
    drawer: SongGenerator,
    lease: Lease,
    work: LevelWork,
    codes_name: str,
    following: frozenset[Stage],
) -> bool:
    """Say that a level is done; keep the job if this worker goes on with it, or else False."""
    level = level_of(lease.claim.job.stage)
    claim, job, spent = lease.claim, lease.claim.job, drawer.time_of(level)
    metrics = LevelMetrics(seconds=spent.seconds, tokens_per_second=spent.tokens_per_second)
    next_stage = job.next_stage() or Stage.RENDER
    is_going_on = next_stage in following
    if is_going_on:
        lease.go_on(
            lambda: worker.store.go_on(
                claim,
                next_stage,
                metrics=metrics,
                codes_name=codes_name,
                lease_sec=worker.settings.lease_sec,
            )
        )
    else:
        lease.finish(
            lambda: worker.store.finish_stage(
                claim, next_stage, metrics=metrics, codes_name=codes_name
            )
        )
        _publish(worker, job.id, next_stage)
    worker.metrics.finish_level(job, level.label, metrics.tokens_per_second)
    measured = measure_windows(worker, lease, drawer.song, level, work)
    drawer.keep(lambda: record_rate(worker, claim, drawer.song, measured, spent))
    return is_going_on


def _song_of(worker: WorkerParts, claim: Claim) -> JobSong:
    card = worker.catalog.get(claim.job.request.model)
    if card.tokenizer is None:
        raise LabelError(f"the model {card.name} has no label lists in {card.directory}/labels")
    return JobSong.from_job(
        claim.job,
        card.config,
        card.tokenizer,
        worker.backends.for_job(claim.job, card.config, card.weights),
        worker.backends.weights_for(card.config, card.weights),
    )


def _publish(worker: WorkerParts, job_id: str, stage: Stage) -> None:
    try:
        worker.queue.publish(job_id, stage)
    except QueueUnavailable as error:
        log.warning("left to the reaper: %s", error, extra={"job_id": job_id, "stage": stage})


def _last_word(worker: WorkerParts, claim: Claim, write: Callable[[Claim], None]) -> bool:
    """Write how the stage ended. When that fails, the lease runs out and somebody goes on."""
    try:
        _patiently(worker.draining, lambda: write(claim))
    except (LeaseLost, StoreUnavailable) as error:
        log.warning("not recorded: %s", error, extra={"job_id": claim.job.id})
        return False
    return True


def _patiently(draining: threading.Event, change: Callable[[], Result]) -> Result:
    deadline = time.monotonic() + STORE_PATIENCE_SEC
    while True:
        try:
            return change()
        except StoreUnavailable:
            if draining.is_set() or time.monotonic() > deadline:
                raise
        draining.wait(_RETRY_SEC)
