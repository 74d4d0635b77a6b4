"""Sweeping: over real files, by as many sweepers as there may be, in whatever order they die."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from jobs.errors import AssetNotFound, JobNotFound, StoreUnavailable
from jobs.files.assets import Asset, LocalAssets, new_asset_id
from jobs.files.local_artifacts import LocalArtifacts
from jobs.files.sweeper import Sweeper
from jobs.record.job import JobStatus, Stage
from jobs.store import JobStore
from jobs.store.scripts import FEED_KEY
from tests.jobs.records import ERROR, METRICS, new_job, output, take

pytestmark = pytest.mark.redis

SHORT_SEC = 60.0
PATIENCE_SEC = 60.0


@pytest.fixture
def artifacts(tmp_path):
    return LocalArtifacts(tmp_path / "artifacts")


@pytest.fixture
def assets(tmp_path):
    return LocalAssets(tmp_path / "assets")


@pytest.fixture
def sweeper(store, artifacts, assets):
    return Sweeper(store, artifacts, assets, every_sec=0.02)


def sung(store, artifacts, **kept):
    """A draft with a window, a file of codes, a sound and a file that the record does not name."""
    job = store.create(replace(new_job(levels=("top",)), **kept))
    claim = take(store, job)
    codes = np.zeros((1, 64), dtype=np.int64)
    kept_window = artifacts.write_codes(job.id, fence=1, level="top", start=0, codes=codes)
    store.record_window(claim, kept_window)
    name = artifacts.write_all_codes(job.id, fence=1, codes={"top": codes}, metadata={})
    sound = output(name="top-00-fence000001.wav")
    for each in (sound.name, "left-over-fence000001.bin"):
        with artifacts.new_file(job.id, each) as path:
            path.write_bytes(b"sound")
    store.record_outputs(claim, [sound])
    store.finish_stage(claim, Stage.RENDER, metrics=METRICS, codes_name=name)
    store.succeed(take(store, job, Stage.RENDER))
    return store.get(job.id)


def names(artifacts, job):
    return sorted(path.name for path in artifacts._files(job.id))


def pass_time(clock):
    clock.pass_time(1.5 * SHORT_SEC)


def test_an_expired_job_goes_with_all_its_files(store, artifacts, sweeper, tmp_path, clock):
    other = sung(store, artifacts, kept_sec=3600.0)
    job = sung(store, artifacts, kept_sec=SHORT_SEC)
    sweeper.sweep()
    assert store.get(job.id) == job
    pass_time(clock)
    sweeper.sweep()
    with pytest.raises(JobNotFound):
        store.get(job.id)
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == [other.id]
    assert store.untidy() == []


def test_expired_codes_go_and_the_sound_stays(store, artifacts, sweeper, clock):
    job = sung(store, artifacts, codes_kept_sec=SHORT_SEC)
    assert len(names(artifacts, job)) == 4
    pass_time(clock)
    sweeper.sweep()
    assert names(artifacts, job) == [job.outputs[0].name]
    assert store.get(job.id).outputs == job.outputs


def test_a_sweeper_says_when_more_has_expired_than_one_look_takes_on(
    store, sweeper, clock, monkeypatch
):
    monkeypatch.setattr("jobs.store.sweeps.BATCH_SIZE", 3)
    monkeypatch.setattr("jobs.files.sweeper.BATCH_SIZE", 3)
    for _ in range(7):
        job = store.create(replace(new_job(levels=("top",)), kept_sec=SHORT_SEC))
        store.request_cancel(job.id)
    while sweeper.sweep():
        pass  # records of older releases are looked for first
    pass_time(clock)
    assert [sweeper.sweep() for _ in range(3)] == [True, True, False]
    assert store.list_jobs().jobs == ()


def test_what_one_sweeper_forgot_and_could_not_remove_the_next_one_removes(
    store, artifacts, sweeper, clock
):
    """The first dies between the record and the files."""
    job = sung(store, artifacts, kept_sec=SHORT_SEC)
    pass_time(clock)
    store.expire(job.id)
    assert names(artifacts, job)
    sweeper.sweep()
    assert names(artifacts, job) == []


def test_what_its_owner_deleted_is_removed_even_if_the_api_died_over_it(store, artifacts, sweeper):
    job = sung(store, artifacts)
    store.delete(job.id)
    sweeper.sweep()
    assert names(artifacts, job) == []
    assert store._redis.keys("jukebox:*") == [FEED_KEY]


def test_a_folder_that_cannot_be_removed_now_is_removed_later(
    store, artifacts, sweeper, monkeypatch, clock
):
    job = sung(store, artifacts, kept_sec=SHORT_SEC)
    pass_time(clock)
    with monkeypatch.context() as context:

        def refuse(_job_id):
            raise PermissionError("read-only")

        context.setattr(artifacts, "remove_job", refuse)
        sweeper.sweep()
    assert names(artifacts, job)
    sweeper.sweep()
    assert names(artifacts, job) == []


def test_a_job_that_was_retried_keeps_the_files_of_its_present_claim(
    store, artifacts, sweeper, clock
):
    job = store.create(replace(new_job(), codes_kept_sec=SHORT_SEC))
    store.fail(take(store, job), ERROR)
    pass_time(clock)
    store.expire_codes(job.id)
    store.retry(job.id)
    claim = take(store, job)
    codes = np.zeros((1, 64), dtype=np.int64)
    artifacts.write_codes(job.id, fence=1, level="top", start=0, codes=codes)
    fresh = artifacts.write_codes(job.id, fence=claim.fence, level="top", start=0, codes=codes)
    sweeper.sweep()
    assert names(artifacts, job) == [fresh.name]


def wait_until_failed(store, job):
    deadline = time.monotonic() + PATIENCE_SEC
    while store.get(job.id).status is not JobStatus.FAILED and time.monotonic() < deadline:
        time.sleep(0.02)


def test_an_overdue_job_fails_though_nobody_works(store, sweeper, clock):
    job = store.create(new_job(timeout_seconds=SHORT_SEC))
    sweeper.start()
    pass_time(clock)
    wait_until_failed(store, job)
    sweeper.stop()
    sweeper.join(PATIENCE_SEC)
    assert store.get(job.id).error.code == "deadline_exceeded"


def test_many_sweepers_at_once_do_it_once(clean_redis_url, store, artifacts, assets, clock):
    jobs = [sung(store, artifacts, kept_sec=SHORT_SEC) for _ in range(5)]
    pass_time(clock)

    def sweep(_):
        own = JobStore(clean_redis_url)
        Sweeper(own, artifacts, assets, every_sec=1.0).sweep()
        own.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(sweep, range(4)))
    assert [names(artifacts, job) for job in jobs] == [[]] * 5
    assert store._redis.keys("jukebox:*") == [FEED_KEY]


def test_it_goes_on_after_the_store_was_away(redis_server, artifacts, assets):
    store = JobStore(redis_server.url)
    job = store.create(new_job(timeout_seconds=0.05))
    sweeper = Sweeper(store, artifacts, assets, every_sec=0.05)
    redis_server.stop()
    sweeper.start()
    time.sleep(0.3)
    assert sweeper.is_alive()
    redis_server.start()
    wait_until_failed(store, job)
    sweeper.stop()
    sweeper.join(PATIENCE_SEC)
    assert store.get(job.id).error.code == "deadline_exceeded"
    store.close()


def kept_asset(assets):
    asset = Asset(
        id=new_asset_id(), kind="audio", sha256="", num_bytes=1, created_at=datetime.now(UTC)
    )
    with assets.draft() as folder:
        (folder / "taken").write_bytes(b"s")
        assets.keep(folder / "taken", asset)
    return asset


def test_assets_expire_too(store, artifacts, assets):
    asset = kept_asset(assets)
    Sweeper(store, artifacts, assets, every_sec=1.0, kept_assets_sec=60.0).sweep()
    Sweeper(store, artifacts, assets, every_sec=1.0).sweep()
    assert assets.get(asset.id) == asset
    time.sleep(0.1)  # a file system may count in steps of 10 ms
    Sweeper(store, artifacts, assets, every_sec=1.0, kept_assets_sec=0.01).sweep()
    with pytest.raises(AssetNotFound):
        assets.get(asset.id)


def test_files_that_cannot_be_removed_hide_no_others(
    store, artifacts, sweeper, tmp_path, monkeypatch
):
    stuck = {sung(store, artifacts).id for _ in range(101)}
    other = sung(store, artifacts)
    for job_id in (*stuck, other.id):
        store.delete(job_id)
    remove = artifacts.remove_job

    def remove_others(job_id):
        if job_id in stuck:
            raise PermissionError(job_id)
        remove(job_id)

    monkeypatch.setattr(artifacts, "remove_job", remove_others)
    sweeper.sweep()
    sweeper.sweep()
    assert names(artifacts, other) == []
    monkeypatch.undo()
    sweeper.sweep()
    sweeper.sweep()
    assert store.untidy() == []
    assert not any((tmp_path / "artifacts").iterdir())


def test_a_store_that_is_away_is_not_asked_again_at_once(store, artifacts, assets, monkeypatch):
    """Not even while records of an older release are still to be listed."""
    looks, has_looked = [], threading.Event()

    def away():
        looks.append(1)
        has_looked.set()
        raise StoreUnavailable("away")

    sweeper = Sweeper(store, artifacts, assets, every_sec=3600.0)
    monkeypatch.setattr(sweeper, "sweep", away)
    sweeper.start()
    try:
        assert has_looked.wait(60)
        sweeper.join(0.3)
        assert looks == [1]
    finally:
        sweeper.stop()
        sweeper.join()
