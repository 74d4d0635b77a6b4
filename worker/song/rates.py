"""How fast a model generates here: what is on record, what a job will take, what it took."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from jobs.errors import StoreUnavailable
from jobs.forecast import PartKind, SongCosts, song_costs
from jobs.model_figures import window_part
from jobs.record.job import Job, Stage
from jobs.record.songs import level_of
from jobs.store import Claim
from jukebox_core.sampling.step_cost import LevelWork, conditioner_products
from jukebox_core.song import Speed
from jukebox_core.units import Level
from worker.lease.lease import Lease
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


def costs_of(worker: WorkerParts, job: Job, song: JobSong) -> SongCosts:
    """What the song will take here.

    By songs of the model, else by the steps that were timed while the worker was idle, else by a
    guess.
    """
    card = worker.catalog.get(job.request.model)
    return song_costs(song.planned, job, rates_of(worker, job), worker.speed.speed_of(card))


def end_part(worker: WorkerParts, lease: Lease, kind: PartKind, level: Level | None) -> None:
    """A part of the song is there; what it took is kept for songs to come."""
    parts, job = lease.progress.parts, lease.claim.job
    label = None if level is None else level.label
    parts.end(kind, label)
    measured = parts.measured(kind, label)
    # What the parent's files had was not made.
    if measured is not None and job.parent_id is None:
        worker.speed.note_part(job.request.model, *measured)


def measure_windows(
    worker: WorkerParts, lease: Lease, song: JobSong, level: Level, work: LevelWork
) -> LevelWork:
    """The model of costs with what windows of a level took to begin, as far as was seen.

    It is kept for songs to come.
    """
    measured = lease.progress.measured_as(level.label, work)
    if measured is None:
        return work
    as_measured, work_sec = measured
    products = conditioner_products(song.config.prior(level))
    if products:
        seconds = work_sec * work.unit * work.costs.window
        worker.speed.note_part(
            lease.claim.job.request.model, window_part(level.label), seconds / products
        )
    return as_measured


def record_rate(
    worker: WorkerParts, claim: Claim, song: JobSong, work: LevelWork, spent: SamplingTime
) -> None:
    """The steps per second, of one row, that the level of a claim was sampled at.

    What waiting jobs will take is told from it. It follows from the model of costs, by which `work`
    weighs windows. That of songs whose segments are sampled side by side serves until an ordinary
    one is measured.
    """
    stage = claim.job.stage
    if spent.tokens_per_second <= 0.0:
        return
    if song.song.speed is not Speed.EXACT and rates_of(worker, claim.job).get(stage):
        return
    plan = song.plan.levels[level_of(stage)]
    missing_tokens = (plan.total_tokens - plan.kept_tokens) * work.num_rows
    steps = plan.total_work(replace(work, unit=1.0)) * spent.num_tokens / missing_tokens
    try:
        worker.store.record_rate(claim.job.request.model, stage, steps / spent.seconds)
    except StoreUnavailable as error:
        log.warning("a speed is not recorded: %s", error, extra={"job_id": claim.job.id})
