"""Which step a worker draws with, and that a song keeps the one it was begun with."""

import json
import shutil

import numpy as np
import pytest
import torch

from jobs.record.job import CodesFile, JobStatus, Stage
from jobs.settings import InvalidSettings
from jukebox_core.models.placed_priors import decide_placement, prior_needs
from jukebox_core.step_kind import StepKind
from jukebox_core.units import Level
from tests.worker.jobs_and_processes import (
    WorkerProcess,
    assert_codes,
    assert_song,
    freezing,
    make_job,
    replaced,
    run_stage,
    running_worker,
    sing_alone,
)
from worker.app import build_parts
from worker.device.step_choice import Steps
from worker.settings import WorkerSettings, read_settings

ON_A_CPU = (StepKind.PLAIN, StepKind.NATIVE)
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture
def without_compiler(monkeypatch):
    monkeypatch.setattr(
        "worker.device.step_choice.reason_against_native_step", lambda: "there is no cc"
    )


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
    for begun in ON_A_CPU:
        assert steps().for_job(replaced(job, step=begun), config) is begun


@pytest.mark.redis
def test_a_worker_without_a_compiler_goes_on_with_what_it_has(
    job, config, without_compiler, caplog
):
    assert steps().for_job(job, config) is StepKind.PLAIN
    assert not caplog.records
    assert steps().for_job(replaced(job, step="native"), config) is StepKind.PLAIN
    assert "another step than the song was begun with: there is no cc" in caplog.text


@pytest.mark.redis
def test_a_song_begun_with_a_step_of_another_kind_of_worker_goes_on_here(job, config, caplog):
    assert steps("off").for_job(replaced(job, step="of tomorrow"), config) is StepKind.PLAIN
    assert (
        "another step than the song was begun with: this worker has no of tomorrow" in caplog.text
    )


def test_a_worker_that_insists_does_not_start_without_a_compiler(without_compiler):
    with pytest.raises(InvalidSettings, match="JUKEBOX_NATIVE_STEP is on, but there is no cc"):
        steps("on")
    with pytest.raises(InvalidSettings, match="float32 on a CPU"):
        steps("on", is_cpu=False)


@pytest.mark.redis
def test_a_worker_with_the_fused_step_takes_it_and_another_goes_on_without(
    job, config, monkeypatch, caplog
):
    monkeypatch.setattr("worker.device.step_choice.reason_against_fused_step", lambda: None)
    on_a_gpu = {"is_cpu": False, "is_float32": False, "is_cuda": True}
    assert steps(**on_a_gpu).for_job(job, config) is StepKind.PLAIN
    fused = steps(**on_a_gpu, wants_fused=True)
    assert fused.for_job(job, config) is StepKind.FUSED
    assert fused.for_job(replaced(job, step="plain"), config) is StepKind.PLAIN
    begun = replaced(job, step="fused")
    assert fused.for_job(begun, config) is StepKind.FUSED
    assert not loud(caplog)
    assert steps(**on_a_gpu).for_job(begun, config) is StepKind.PLAIN
    (line,) = loud(caplog)
    assert line.endswith("than the song was begun with: JUKEBOX_FUSED_STEP is off")


def test_a_worker_that_insists_on_the_fused_step_does_not_start_without(monkeypatch):
    with pytest.raises(InvalidSettings, match="JUKEBOX_FUSED_STEP is on, but the fused step is"):
        steps(wants_fused=True)
    monkeypatch.setattr(
        "worker.device.step_choice.reason_against_fused_step", lambda: "there is no Triton"
    )
    with pytest.raises(InvalidSettings, match="JUKEBOX_FUSED_STEP is on, but there is no Triton"):
        steps(wants_fused=True, is_cuda=True)


@needs_compiler
@pytest.mark.redis
@pytest.mark.parametrize("begun", ON_A_CPU)
def test_a_song_keeps_its_step_from_stage_to_stage(service, worker, models_dir, begun):
    """The first stage on a worker of that kind, the others on one that would choose freely."""
    drawn = spy_on(worker)
    first = replaced(worker, steps=steps("on" if begun is StepKind.NATIVE else "off"))
    job = service.admit(levels=("top", "middle"))
    run_stage(first, job.id, Stage.TOP)
    assert service.store.get(job.id).step == begun
    for stage in (Stage.MIDDLE, Stage.RENDER):
        run_stage(worker, job.id, stage)
    ended = service.store.get(job.id, with_windows=True)
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
    ended = service.store.get(job.id, with_windows=True)
    assert (ended.status, ended.step) == (JobStatus.SUCCEEDED, StepKind.NATIVE)
    assert drawn == {StepKind.PLAIN}
    alone = sing_alone(models_dir, ended)
    assert (service.codes(ended)["top"] == alone["top"]).all()


def loud(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.redis
def test_a_song_that_was_begun_with_other_weights_goes_on_and_the_log_says_so(job, config, caplog):
    with_int8 = steps("off", weights="int8")
    kept = CodesFile(name="x", level="top", start=0, end=1, sha256="", num_bytes=0)
    for agreeing in (job, replaced(job, step="plain", weights="int8")):
        assert with_int8.for_job(agreeing, config) is StepKind.PLAIN
    assert not loud(caplog)
    for older in (replaced(job, step="plain"), replaced(job, codes=(kept,))):
        caplog.clear()
        with_int8.for_job(older, config)
        (line,) = loud(caplog)
        assert line.endswith("other weights than the song was begun with: int8, and not full")


@pytest.mark.redis
def test_a_worker_with_int8_weights_sings_what_the_library_sings_with_them(
    service, models_dir, tmp_path
):
    """And one with full weights takes over: what was kept stays as it was begun."""
    wishes = {"duration_seconds": 4.0, "levels": ("top", "middle")}
    with running_worker(service, JUKEBOX_WEIGHTS="int8"):
        whole = service.wait_end(service.post(**wishes))
    assert (whole.status, whole.weights) == (JobStatus.SUCCEEDED, "int8")
    assert_codes(service, whole, sing_alone(models_dir, whole))
    manifest = service.artifacts.path(whole.id, "manifest.json").read_text()
    assert json.loads(manifest)["weights"] == "int8"

    job_id = service.post(**wishes)
    settings = freezing("middle-0", after=2) | {"JUKEBOX_WEIGHTS": "int8"}
    first = WorkerProcess(service, tmp_path / "first.log", **settings)
    try:
        first.wait_frozen()
    finally:
        first.kill()
    with running_worker(service) as second:
        ended = service.wait_end(job_id)
        assert "other weights than the song was begun with" in second.log
    assert (ended.status, ended.weights, ended.attempt) == (JobStatus.SUCCEEDED, "int8", 2)
    np.testing.assert_array_equal(service.codes(ended)["top"], service.codes(whole)["top"])
    assert service.codes(ended)["middle"].shape == service.codes(whole)["middle"].shape


def test_weights_that_nobody_knows_are_refused_at_the_start(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://nowhere")
    monkeypatch.setenv("JUKEBOX_WEIGHTS", "int4")
    with pytest.raises(InvalidSettings, match=r"JUKEBOX_WEIGHTS.*'full' or 'int8'"):
        read_settings()


def test_int8_weights_are_planned_for_when_a_worker_places_a_model(models_dir, monkeypatch):
    """A worker asks for the room that int8 priors take, and loads such."""
    asked = []

    def decide(config, **options):
        asked.append(options["int8_weights"])
        return decide_placement(config, **options)

    monkeypatch.setattr("worker.app.decide_placement", decide)
    for weights in ("full", "int8"):
        settings = WorkerSettings(
            redis_url="redis://nowhere", models_dir=models_dir, device="cpu", weights=weights
        )
        prior = top_prior(build_parts(settings).engine)
        needs = prior_needs(prior.config, torch.float32, int8_weights=weights == "int8")
        assert prior.has_int8_weights is (weights == "int8")
        assert sum(tensor.nbytes for tensor in prior.state_dict().values()) == needs.weight_bytes
    assert asked == [False, True]


def top_prior(engine):
    found = []

    def look(model):
        found.append(model.priors[Level.TOP])
        yield torch.zeros(0)

    engine.start()
    try:
        assert engine.run_slices("tiny", look).wait(60.0)
    finally:
        engine.stop()
        engine.join(60.0)
    return found[0]


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
