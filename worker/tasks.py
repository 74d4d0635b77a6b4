"""One Celery task: one stage of one job, from the claim to the next message."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from jobs.errors import JobNotFound, LeaseLost, QueueUnavailable, StoreUnavailable
from jobs.job import LevelMetrics, Stage
from jobs.store import Claim
from jukebox_core.errors import LabelError
from jukebox_core.song import Speed
from jukebox_core.units import Level
from worker.drawing import LevelDrawer
from worker.hold import Hold, JobCanceled, WorkerDraining
from worker.level_sound import LevelSound
from worker.lyric_timing import keep_lyric_times
from worker.mapping import JobSong, level_of, to_job_error
from worker.parts import WorkerParts
from worker.progress import StageProgress
from worker.prompts import read_prompt
from worker.rendering import finish_song, write_sound
from worker.tidying import tidy

log = logging.getLogger(__name__)

Result = TypeVar("Result")

STORE_PATIENCE_SEC = 30.0
"""How long a claim or a last word waits for a store that is away; the reaper mends the rest."""
_RETRY_SEC = 0.5


def run_stage(worker: WorkerParts, job_id: str, stage: Stage) -> None:
    """Claim the job and do its stage, if there is anything to do. Raises nothing foreseeable."""
    if worker.draining.is_set():
        _publish(worker, job_id, stage)
        return
    claim = _claim(worker, job_id, stage)
    if claim is None:
        log.info("nothing to do", extra={"job_id": job_id, "stage": stage})
        # It may have ended by this very claim: as one that workers died with too often.
        tidy(worker, job_id)
        return
    extra = {"job_id": job_id, "stage": stage, "fence": claim.fence, "attempt": claim.job.attempt}
    log.info("stage begins", extra=extra)
    worker.metrics.begin_stage(claim)
    try:
        _run_claimed(worker, claim)
    finally:
        worker.metrics.leave_stage()
        worker.suspects.leave(job_id)


def _run_claimed(worker: WorkerParts, claim: Claim) -> None:
    job_id, stage = claim.job.id, claim.job.stage
    started = time.monotonic()
    try:
        _work(worker, claim)
        worker.metrics.end_stage(stage, time.monotonic() - started)
    except WorkerDraining:
        _last_word(worker, claim, worker.store.release)
        _publish(worker, job_id, stage)
    except JobCanceled:
        if _last_word(worker, claim, worker.store.cancel):
            worker.metrics.end_job("canceled")
        tidy(worker, job_id, fence=claim.fence)
    except LeaseLost as error:
        log.warning("stopped: %s", error, extra={"job_id": job_id, "stage": stage})
        tidy(worker, job_id, fence=claim.fence)
    except Exception as error:
        log.exception("stage failed", extra={"job_id": job_id, "stage": stage})
        reason = to_job_error(error)
        if _last_word(worker, claim, lambda claim: worker.store.fail(claim, reason)):
            worker.metrics.end_job("failed", reason.code)
        tidy(worker, job_id)


def _claim(worker: WorkerParts, job_id: str, stage: Stage) -> Claim | None:
    try:
        return _patiently(worker.draining, lambda: _try_to_claim(worker, job_id, stage))
    except StoreUnavailable as error:
        log.warning("cannot claim: %s", error, extra={"job_id": job_id, "stage": stage})
        return None


def _try_to_claim(worker: WorkerParts, job_id: str, stage: Stage) -> Claim | None:
    settings = worker.settings
    try:
        if not worker.suspects.admit(worker.store.get(job_id)):
            # The reaper will send it again, by when the other may be gone.
            return None
    except JobNotFound:
        return None
    claim = None
    try:
        claim = worker.store.claim(
            job_id, stage, worker=settings.name, lease_sec=settings.lease_sec
        )
    finally:
        if claim is None:
            worker.suspects.leave(job_id)
    return claim


def _work(worker: WorkerParts, claim: Claim) -> None:
    job = claim.job
    progress = StageProgress(job)
    with Hold(
        worker.store,
        claim,
        progress,
        lease_sec=worker.settings.lease_sec,
        heartbeat_sec=worker.settings.heartbeat_sec,
        draining=worker.draining,
    ) as hold:
        song = _song_of(worker, claim)
        if job.step is None:
            weights = worker.steps.weights
            hold.write(lambda: worker.store.record_means(claim, step=song.step, weights=weights))
        drawer = LevelDrawer(
            store=worker.store,
            artifacts=worker.artifacts,
            engine=worker.engine,
            hold=hold,
            song=song,
            read_prompt=lambda: read_prompt(worker, hold, song),
            on_window_kept=lambda level, num_tokens: _note_window(
                worker, job.id, level, num_tokens
            ),
        )
        if job.stage is Stage.RENDER:
            finish_song(worker, drawer, hold)
            hold.finish(lambda: worker.store.succeed(claim))
            worker.metrics.end_job("succeeded")
            log.info("song finished", extra={"job_id": job.id, "stage": job.stage})
        else:
            _draw_level(worker, drawer, hold, level_of(job.stage))


def _note_window(worker: WorkerParts, job_id: str, level: Level, num_tokens: int) -> None:
    worker.suspects.leave(job_id)
    worker.metrics.keep_tokens(level.label, num_tokens)


def _draw_level(worker: WorkerParts, drawer: LevelDrawer, hold: Hold, level: Level) -> None:
    """Draw, let it be heard, hand over to the next stage.

    The windows on disk keep the lead-out for the levels below; clients get what is heard.
    """
    num_heard = drawer.song.plan.levels[level].heard_tokens
    with LevelSound(worker, hold, level, num_heard) as sound:
        drawer.on_codes = _begin_sound(sound, level)
        _finish_level(worker, drawer, hold, level, sound)


def _begin_sound(
    sound: LevelSound, level: Level
) -> Callable[[Level, NDArray[np.int64], int], None]:
    def begin(drawn: Level, codes: NDArray[np.int64], num_tokens: int) -> None:
        if drawn is level:
            sound.begin(codes, num_tokens)

    return begin


def _finish_level(
    worker: WorkerParts, drawer: LevelDrawer, hold: Hold, level: Level, sound: LevelSound
) -> None:
    claim, job = hold.claim, hold.claim.job
    drawn = drawer.codes_through(level)
    codes = {each: drawer.song.heard(each, array) for each, array in drawn.items()}
    codes_name = worker.artifacts.write_all_codes(
        job.id,
        fence=claim.fence,
        codes={level.label: array for level, array in codes.items()},
        metadata={"model": job.request.model, "seed": str(job.request.seed)},
    )
    outputs = write_sound(worker, hold, level, sound.finish(codes[level]))
    hold.write(lambda: worker.store.record_outputs(claim, outputs))
    if level is Level.TOP:
        are_new = level in drawer.times
        keep_lyric_times(worker, hold, drawer.song, codes[level], are_codes_new=are_new)
    spent = drawer.times.get(level)
    metrics = LevelMetrics(
        seconds=spent.seconds if spent else 0.0,
        tokens_per_second=spent.tokens_per_second if spent else 0.0,
    )
    next_stage = job.next_stage() or Stage.RENDER
    hold.finish(
        lambda: worker.store.finish_stage(claim, next_stage, metrics=metrics, codes_name=codes_name)
    )
    _publish(worker, job.id, next_stage)
    worker.metrics.finish_level(job, level.label, metrics.tokens_per_second)
    if drawer.song.song.speed is Speed.EXACT:
        # What waiting jobs will take is told from the rate of the ordinary ones.
        _record_rate(worker, claim, metrics.tokens_per_second)


def _song_of(worker: WorkerParts, claim: Claim) -> JobSong:
    card = worker.catalog.get(claim.job.request.model)
    if card.tokenizer is None:
        raise LabelError(f"the model {card.name} has no label lists in {card.directory}/labels")
    step = worker.steps.for_job(claim.job, card.config)
    return JobSong.from_job(claim.job, card.config, card.tokenizer, step)


def _record_rate(worker: WorkerParts, claim: Claim, tokens_per_second: float) -> None:
    if tokens_per_second <= 0.0:
        return
    try:
        worker.store.record_rate(claim.job.request.model, claim.job.stage, tokens_per_second)
    except StoreUnavailable as error:
        log.warning("a speed is not recorded: %s", error, extra={"job_id": claim.job.id})


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
