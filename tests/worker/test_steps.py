"""Which step a worker draws with, and that a song keeps the one it was begun with."""

import json
import shutil

import pytest

from jobs.job import JobStatus, Stage
from jukebox_core.step_kind import StepKind
from tests.worker.jobs_and_processes import (
    WorkerProcess,
    assert_codes,
    assert_song,
    freezing,
    make_job,
    replaced,
    running_worker,
    sing_alone,
)
from worker.settings import InvalidSettings
from worker.steps import Steps
from worker.tasks import run_stage

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture
def without_compiler(monkeypatch):
    monkeypatch.setattr("worker.steps.reason_against_native_step", lambda: "there is no cc")


def steps(wanted="auto", **machine):
    return Steps(wanted=wanted, **({"is_cpu": True, "is_float32": True} | machine))


@pytest.fixture
def job(worker):
    return make_job(worker.catalog)


@pytest.fixture
def config(worker):
    return worker.catalog.get("tiny").config


@needs_compiler
@pytest.mark.redis
def test_a_new_song_takes_the_fast_step_and_an_old_one_keeps_its_own(job, config):
    assert steps().for_job(job, config) is StepKind.NATIVE
    for begun in StepKind:
        assert steps().for_job(replaced(job, step=begun), config) is begun


@pytest.mark.redis
def test_a_worker_without_a_compiler_goes_on_with_what_it_has(
    job, config, without_compiler, caplog
):
    assert steps().for_job(job, config) is StepKind.PLAIN
    assert not caplog.records
    assert steps().for_job(replaced(job, step="native"), config) is StepKind.PLAIN
    assert "another step than the song was begun with: there is no cc" in caplog.text


def test_a_worker_that_insists_does_not_start_without_a_compiler(without_compiler):
    with pytest.raises(InvalidSettings, match="JUKEBOX_NATIVE_STEP is on, but there is no cc"):
        steps("on")
    with pytest.raises(InvalidSettings, match="float32 on a CPU"):
        steps("on", is_cpu=False)


@needs_compiler
@pytest.mark.redis
@pytest.mark.parametrize("begun", list(StepKind))
def test_a_song_keeps_its_step_from_stage_to_stage(service, worker, models_dir, begun):
    """The first stage on a worker of that kind, the others on one that would choose freely."""
    drawn = spy_on(worker)
    first = replaced(worker, steps=steps("on" if begun is StepKind.NATIVE else "off"))
    job = service.admit(levels=("top", "middle"))
    run_stage(first, job.id, Stage.TOP)
    assert service.store.get(job.id).step == begun
    for stage in (Stage.MIDDLE, Stage.RENDER):
        run_stage(worker, job.id, stage)
    ended = service.store.get(job.id)
    assert_song(service, ended, sing_alone(models_dir, ended))
    assert drawn == {begun}
    manifest = service.artifacts.path(job.id, "manifest.json").read_text()
    assert json.loads(manifest)["step"] == begun


@needs_compiler
@pytest.mark.redis
def test_a_song_whose_step_cannot_be_had_any_more_goes_on_from_what_is_kept(
    service, worker, models_dir
):
    job = service.admit(levels=("top", "middle"))
    run_stage(worker, job.id, Stage.TOP)
    poorer = replaced(worker, steps=steps("off"))
    drawn = spy_on(worker)
    for stage in (Stage.MIDDLE, Stage.RENDER):
        run_stage(poorer, job.id, stage)
    ended = service.store.get(job.id)
    assert (ended.status, ended.step) == (JobStatus.SUCCEEDED, StepKind.NATIVE)
    assert drawn == {StepKind.PLAIN}
    alone = sing_alone(models_dir, ended)
    assert (service.codes(ended)["top"] == alone["top"]).all()


def spy_on(worker):
    kinds, real = set(), worker.engine.draw

    def draw(model, sequences):
        kinds.update(sequence.step for sequence in sequences)
        return real(model, sequences)

    worker.engine.draw = draw
    return kinds


@needs_compiler
@pytest.mark.redis
def test_a_song_of_a_worker_that_died_is_the_same_song_on_one_with_another_wish(
    service, models_dir, tmp_path
):
    job_id = service.post(duration_seconds=4.0, levels=("top", "middle"))
    settings = freezing("middle-0", after=2) | {"JUKEBOX_NATIVE_STEP": "off"}
    first = WorkerProcess(service, tmp_path / "first.log", **settings)
    try:
        first.wait_frozen()
    finally:
        first.kill()
    with running_worker(service, JUKEBOX_NATIVE_STEP="on"):
        ended = service.wait_end(job_id)
    assert (ended.step, ended.attempt) == (StepKind.PLAIN, 2)
    assert_codes(service, ended, sing_alone(models_dir, ended))
