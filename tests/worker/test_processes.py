"""Workers that die, are told to go, or lose their store: the song stays the same song."""

import time

import pytest

from jobs.record.job import JobStatus, Stage
from jukebox_core.audio import read_audio
from tests.worker.jobs_and_processes import (
    PATIENCE_SEC,
    Alone,
    Service,
    assert_song,
    freezing,
    random_codes,
    recording,
    running_worker,
    sing_alone,
)

pytestmark = pytest.mark.redis


def has_kept(job, level, windows):
    return level in job.progress and job.progress[level].windows_done >= windows


def test_a_killed_worker_costs_at_most_a_window_and_the_next_finishes_the_same_song(
    service, models_dir
):
    with running_worker(service, **freezing("bottom-0", after=3)) as first:
        job_id = service.post(duration_seconds=3.0)
        first.wait_frozen()
        first.kill()
    service.end_lease(job_id)
    killed = service.store.get(job_id, with_windows=True)
    assert killed.status is JobStatus.RUNNING
    assert len(killed.codes_of("bottom")) == 3
    with running_worker(service):
        job = service.wait_end(job_id)
    assert (job.attempt, job.progress_value) == (2, 1.0)
    assert set(killed.codes) < set(job.codes)
    assert_song(service, job, sing_alone(models_dir, job))


def test_a_song_that_goes_on_survives_a_worker_that_is_killed(service, models_dir):
    begun = random_codes(1, top=60, middle=240, bottom=960)
    with running_worker(service, **freezing("bottom-0", after=3)) as first:
        job_id = service.post(mode="continue", codes=begun, duration_seconds=3.0, sample=4)
        first.wait_frozen()
        first.kill()
    service.end_lease(job_id)
    killed = service.store.get(job_id, with_windows=True)
    with running_worker(service):
        job = service.wait_end(job_id)
    assert job.attempt == 2
    assert set(killed.codes) < set(job.codes)
    assert_song(service, job, Alone(models_dir, job).continued(begun, first_sample=4))


def test_a_song_from_a_recording_survives_a_worker_that_is_killed(service, models_dir):
    with running_worker(service, **freezing("middle-0", after=1)) as first:
        job_id = service.post(mode="primed", recording=recording(1.0), duration_seconds=2.5)
        first.wait_frozen()
        first.kill()
    service.end_lease(job_id)
    encoded = service.store.get(job_id).prompt_codes_name
    with running_worker(service):
        job = service.wait_end(job_id)
    assert job.prompt_codes_name == encoded, "encoded once"
    prompt = read_audio(service.artifacts.path(job.id, "prompt.wav"), sample_rate_hz=16_000)[None]
    assert_song(service, job, Alone(models_dir, job).primed(prompt))


def test_a_worker_told_to_stop_gives_its_job_back_and_does_not_finish_it(service, models_dir):
    settings = freezing("bottom-0", after=2, then_sec=2.0)
    with running_worker(service, **settings) as first:
        job_id = service.post(duration_seconds=3.0)
        first.wait_frozen()
        assert (service.data_dir / "worker.alive").exists()
        first.ask_to_stop()
        first.thaw()
        assert first.wait(PATIENCE_SEC) == 0
    given_back = service.store.get(job_id, with_windows=True)
    assert (given_back.status, given_back.stage) == (JobStatus.RUNNING, Stage.BOTTOM)
    assert given_back.lease_expires_at is None
    assert service.queue.depth(Stage.BOTTOM) == 1
    assert not (service.data_dir / "worker.alive").exists()
    with running_worker(service):
        job = service.wait_end(job_id)
    assert job.attempt == 1
    assert_song(service, job, sing_alone(models_dir, job))


def test_a_worker_told_to_stop_while_it_starts_ends_in_peace(service):
    with running_worker(service) as worker:
        while not (service.data_dir / "worker.alive").exists():
            time.sleep(0.01)
        worker.ask_to_stop()
        assert worker.wait(PATIENCE_SEC) == 0


def test_a_song_goes_on_while_the_store_is_away(redis_server, tmp_path, models_dir):
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    service = Service(redis_url=redis_server.url, data_dir=data_dir, models_dir=models_dir)
    with running_worker(service):
        job_id = service.post(duration_seconds=3.0)
        service.wait(job_id, lambda job: has_kept(job, "bottom", 1))
        redis_server.kill()
        time.sleep(1.5)
        redis_server.start()
        job = service.wait_end(job_id)
    assert job.attempt == 1
    assert_song(service, job, sing_alone(models_dir, job))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"REDIS_URL": "http://here"}, "REDIS_URL: must start with redis://"),
        ({"JUKEBOX_STAGES": "top,top"}, "JUKEBOX_STAGES: name each stage once"),
        ({"JUKEBOX_STAGES": "topp"}, "JUKEBOX_STAGES"),
        ({"JUKEBOX_MAX_ROWS": "0"}, "JUKEBOX_MAX_ROWS"),
        ({"JUKEBOX_DEVICE": "gpu"}, "JUKEBOX_DEVICE"),
        ({"JUKEBOX_TUNING": "graphs=on"}, "JUKEBOX_TUNING: graphs"),
        ({"JUKEBOX_TUNING": "deterministic=perhaps"}, "JUKEBOX_TUNING: deterministic"),
        ({"JUKEBOX_TUNING": "heartbeat_sec=20"}, "must fit 3 times into JUKEBOX_LEASE_SEC=3"),
    ],
)
def test_impossible_settings_refuse_to_start_with_a_sentence(
    settings, sentence, monkeypatch, capsys, tmp_path
):
    from worker.__main__ import main

    service = Service(redis_url="unix:///nowhere", data_dir=tmp_path, models_dir=tmp_path)
    for name, value in service.environment(**settings).items():
        monkeypatch.setenv(name, value)
    assert main() == 2
    told = capsys.readouterr().err
    assert told.startswith("The worker cannot start. ")
    assert sentence in told


def test_stages_may_be_given_with_commas(monkeypatch):
    from worker.settings import WorkerSettings

    monkeypatch.setenv("REDIS_URL", "redis://localhost")
    monkeypatch.setenv("JUKEBOX_STAGES", "middle, bottom")
    assert WorkerSettings.from_environment().stages == (Stage.MIDDLE, Stage.BOTTOM)


def test_a_worker_starts_on_a_machine_with_more_cores_than_a_setting_may_count(monkeypatch):
    from worker.settings import MAX_THREADS, WorkerSettings

    monkeypatch.setenv("REDIS_URL", "redis://localhost")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(384)), raising=False)
    assert WorkerSettings.from_environment().native_threads == MAX_THREADS
