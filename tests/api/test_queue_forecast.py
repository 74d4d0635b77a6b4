"""What jobs that wait are told: by the workers' figures, and by the jobs before them."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from api.views.queue_forecast import MAX_JOBS, QueueForecast
from jobs.model_figures import ModelSpeed
from jobs.record.job import Stage
from jobs.store import WorkerInfo
from jukebox_core.models.catalog import ModelCatalog
from tests.api.conftest import Service
from tests.jobs.records import new_job

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

STEPS = {"top": (0.5, 0.5), "middle": (0.1, 0.1), "bottom": (0.05, 0.05)}
# The codec of `tiny` is large beside its priors; here it is as quick as that of a large model.
QUICK = {"sound:top": 1e-12, "lyric_times:top": 1e-12}


@pytest.fixture(autouse=True)
def every_look_is_new(monkeypatch):
    monkeypatch.setattr("api.views.queue_forecast.FRESH_SEC", 0.0)


def announce(service, *, num_jobs=1, **speed):
    service.store.announce_worker(
        WorkerInfo(
            name="here",
            device="cpu",
            models=("tiny",),
            stages=tuple(Stage),
            seen_at=datetime.now(UTC),
            model_speeds={"tiny": ModelSpeed(**speed)},
            num_jobs=num_jobs,
        ),
        ttl_sec=600,
    )


async def etas(service, jobs):
    return [(await service.client.get(job["urls"]["self"])).json()["eta_seconds"] for job in jobs]


async def test_what_a_worker_measured_tells_a_job_that_waits(service: Service):
    announce(service, steps=STEPS, product_sec=QUICK)
    (alone,) = await etas(service, [await service.post(levels=["top"], duration_seconds=10.0)])
    # 625 tokens of the top, and some that windows read again, loading, files and lyric times.
    assert 312.5 < alone < 1.3 * 312.5


async def test_a_job_waits_for_those_before_it_each_as_long_as_it_is(service: Service):
    announce(service, steps=STEPS, product_sec=QUICK)
    running = await service.post(levels=["top"], duration_seconds=10.0)
    claim = service.worker.claim(running["id"])
    service.worker.report(claim, "top", 300, 0.4, seconds_left=100.0)
    lengths = (5.0, 20.0, 10.0)
    jobs = [await service.post(levels=["top"], duration_seconds=each) for each in lengths]
    told = await etas(service, [running, *jobs])
    own = [after - before for before, after in pairwise(told)]
    assert told[0] == 100.0
    assert own[0] < own[2] < own[1]
    assert own[1] == pytest.approx(0.5 * 62.5 * 20.0, rel=0.25)
    announce(service, num_jobs=9, steps=STEPS, product_sec=QUICK)
    assert await etas(service, jobs) == pytest.approx(own, abs=0.2)


async def test_the_first_level_of_a_song_tells_those_that_wait_how_fast_the_machine_is(
    service: Service,
):
    announce(service, weights_per_sec=1e6, product_sec=QUICK)
    job = await service.post(duration_seconds=10.0)
    (guessed,) = await etas(service, [job])
    service.store.record_rate("tiny", Stage.TOP, 0.1)
    (told,) = await etas(service, [job])
    assert told > 20.0 * guessed


async def test_a_worker_of_two_jobs_begins_the_next_at_the_first_that_ends(service: Service):
    announce(service, num_jobs=2, steps=STEPS, product_sec=QUICK)
    for seconds_left in (500.0, 50.0):
        job = await service.post(levels=["top"])
        claim = service.worker.claim(job["id"])
        service.worker.report(claim, "top", 300, 0.4, seconds_left=seconds_left)
    waiting = [await service.post(levels=["top"], duration_seconds=10.0) for _ in range(2)]
    first, second = await etas(service, waiting)
    assert 350.0 < first < 450.0
    assert second == pytest.approx(first + (first - 50.0), rel=0.1)


async def test_a_free_place_is_taken_at_once(service: Service):
    announce(service, num_jobs=3, steps=STEPS, product_sec=QUICK)
    first, second = [await service.post(levels=["top"]) for _ in range(2)]
    told = await etas(service, [first, second])
    assert told[0] == told[1]


async def test_nobody_tells_where_a_worker_knows_nothing_itself(service: Service):
    announce(service)
    assert await etas(service, [await service.post(levels=["top"])]) == [None]


async def test_the_queue_is_looked_at_once_for_all_who_ask(
    service: Service, models_dir, monkeypatch
):
    catalog = ModelCatalog(models_dir)
    monkeypatch.setattr("api.views.queue_forecast.FRESH_SEC", 2.0)
    announce(service, weights_per_sec=1e6)
    now, looks = 100.0, []
    forecast = QueueForecast(service.store, catalog, clock=lambda: now)
    real, service.store.workers = service.store.workers, lambda: looks.append(now) or real()
    jobs = [new_job(levels=("top",)) for _ in range(3)]
    for job in jobs:
        service.store.create(job)
    told = [forecast.eta_sec(service.store.get(job.id), n) for n, job in enumerate(jobs)]
    assert looks == [100.0]
    assert None not in told
    assert told[1] == pytest.approx(2.0 * told[0])
    far = forecast.eta_sec(service.store.get(jobs[0].id), 10 * MAX_JOBS)
    assert far == pytest.approx((10 * MAX_JOBS + 1) * told[0])
    now += 3.0
    forecast.eta_sec(service.store.get(jobs[0].id), 0)
    assert looks == [100.0, 103.0]
