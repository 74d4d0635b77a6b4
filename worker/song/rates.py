"""How fast the levels of a model are drawn here: what is on record, guessed, and recorded."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from jobs.errors import StoreUnavailable
from jobs.model_figures import seconds_of_music
from jobs.record.job import Job, Stage
from jobs.record.songs import level_of
from jobs.store import Claim
from jukebox_core.backends.choose import is_small
from jukebox_core.sampling.step_cost import CPU_WEIGHTS_PER_SEC, step_weights, token_cost
from jukebox_core.song import Speed
from jukebox_core.units import Level
from worker.parts import WorkerParts
from worker.song.generate import SamplingTime
from worker.song.job_song import JobSong

log = logging.getLogger(__name__)


def rates_of(worker: WorkerParts, job: Job) -> Mapping[Stage, float]:
    """What is known of the speed of its levels; nothing while the store is away."""
    try:
        return worker.store.rates(job.request.model)
    except StoreUnavailable:
        return {}


def work_sec(
    worker: WorkerParts, job: Job, song: JobSong, rates: Mapping[Stage, float]
) -> float | None:
    """Seconds of one unit of work (`JobSong.level_works`) before any is done; None where nobody
    can tell.

    By songs of the model, else by the steps that were timed while the worker was idle, else by a
    guess.
    """
    if song.is_measured(rates):
        return 1.0
    timed = worker.speed.seconds().get(job.request.model)
    if timed is not None:
        return _timed_work_sec(song, *timed)
    if worker.device_name != "cpu" or is_small(song.config):
        return None
    return 1.0 / CPU_WEIGHTS_PER_SEC[song.weights]


def _timed_work_sec(song: JobSong, exact_sec: float, parallel_sec: float) -> float:
    """The same where a second of music is known to take so long."""
    works = {level: float(step_weights(song.config.prior(level))) for level in Level}
    exact, in_parallel = seconds_of_music(song.config, works)
    is_exact = song.song.speed is Speed.EXACT
    return exact_sec / exact if is_exact else parallel_sec / in_parallel


def record_rate(worker: WorkerParts, claim: Claim, song: JobSong, spent: SamplingTime) -> None:
    """What the level of a claim was drawn at, as the speed of a song of one take.

    What waiting jobs will take is told from it. That of songs whose segments are drawn side by
    side follows from the model of costs, and serves until an ordinary one is measured.
    """
    if spent.tokens_per_second <= 0.0:
        return
    stage, num_rows = claim.job.stage, song.song.num_samples
    if song.song.speed is Speed.EXACT:
        rate = spent.tokens_per_second / num_rows
        rate *= token_cost(1.0, num_rows=num_rows, num_segments=1)
    elif rates_of(worker, claim.job).get(stage):
        return
    else:
        level = level_of(stage)
        work, plan = song.level_works({})[level], song.plan.levels[level]
        missing_tokens = (plan.total_tokens - plan.kept_tokens) * work.num_rows
        drawn_share = spent.num_tokens / missing_tokens
        rate = plan.total_work(replace(work, unit=1.0)) * drawn_share / spent.seconds
    try:
        worker.store.record_rate(claim.job.request.model, stage, rate)
    except StoreUnavailable as error:
        log.warning("a speed is not recorded: %s", error, extra={"job_id": claim.job.id})
