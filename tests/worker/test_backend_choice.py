"""Which backend a worker computes with, and that a song keeps the one it was begun with."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from jobs.record.job import CodesFile, JobStatus, Stage
from jobs.setting_groups import InvalidSettings
from jukebox_core.backends.choose import AUTO, Target
from jukebox_core.config import Weights
from jukebox_core.models.catalog import BUNDLED_MODELS, read_card
from jukebox_core.models.device_memory import model_needs, prior_needs
from jukebox_core.models.released import released_config
from jukebox_core.units import Level
from tests.backends.test_choose import scaled
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
from worker.device.backend_choice import BackendChoice
from worker.settings import WorkerSettings

ON_A_CPU = ("torch", "native")
NATIVE = "jukebox_core.backends.native.backend.reason_against_compiling"
TRITON = "jukebox_core.backends.triton.backend.reason_against_kernels"
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture
def without_compiler(monkeypatch):
    monkeypatch.setattr(NATIVE, lambda: "there is no cc")


def choice(wanted=AUTO, *, weights="full", **machine):
    target = Target(**({"device_type": "cpu", "is_float32": True} | machine))
    return BackendChoice(wanted=wanted, target=target, weights=weights)


@pytest.fixture
def job(worker):
    return make_job(worker.catalog)


@pytest.fixture
def config(worker):
    return worker.catalog.get("tiny").config


@needs_compiler
@pytest.mark.redis
def test_a_new_song_takes_the_fast_backend_and_an_old_one_keeps_its_own(job, config):
    assert choice().for_job(job, config) == "native"
    for begun in ON_A_CPU:
        assert choice().for_job(replaced(job, step=begun), config) == begun


@needs_compiler
@pytest.mark.redis
@pytest.mark.parametrize(("stored", "backend"), [("plain", "torch"), ("native", "native")])
def test_a_song_that_an_earlier_release_began_keeps_what_computed_it(
    job, config, stored, backend, caplog
):
    assert choice().for_job(replaced(job, step=stored), config) == backend
    assert not loud(caplog)


@pytest.mark.redis
def test_a_worker_without_a_compiler_goes_on_with_what_it_has(
    job, config, without_compiler, caplog
):
    assert choice().for_job(job, config) == "torch"
    assert not loud(caplog)
    assert choice().for_job(replaced(job, step="native"), config) == "torch"
    assert "another backend than the song was begun with: there is no cc" in caplog.text


@pytest.mark.redis
def test_a_song_begun_with_a_backend_of_a_later_release_goes_on_here(job, config, caplog):
    assert choice("torch").for_job(replaced(job, step="of tomorrow"), config) == "torch"
    assert (
        "another backend than the song was begun with: this worker has no of tomorrow backend"
        in caplog.text
    )


@pytest.mark.redis
def test_a_worker_that_insists_computes_what_its_backend_cannot_with_torch(
    job, config, monkeypatch, caplog
):
    monkeypatch.setattr(NATIVE, lambda: None)
    config = scaled(config)
    assert choice("native").for_job(job, config) == "torch"
    assert "with the torch backend: the native backend does not scale" in caplog.text
    assert choice().for_job(replaced(job, step="native"), config) == "torch"


def test_a_worker_that_insists_does_not_start_without_a_compiler(without_compiler):
    with pytest.raises(InvalidSettings, match="JUKEBOX_BACKEND is native, but there is no cc"):
        choice("native")
    with pytest.raises(InvalidSettings, match="float32 on a CPU"):
        choice("native", device_type="cuda")


@pytest.mark.redis
@pytest.mark.parametrize("stored", ["triton", "fused"])
def test_a_worker_with_triton_goes_on_with_its_songs_and_another_without(
    job, config, monkeypatch, caplog, stored
):
    monkeypatch.setattr(TRITON, lambda: None)
    on_a_gpu = {"device_type": "cuda", "is_float32": False}
    assert choice(**on_a_gpu).for_job(job, config) == "torch"
    wants = choice("triton", **on_a_gpu)
    assert wants.for_job(job, config) == "triton"
    assert wants.for_job(replaced(job, step="plain"), config) == "torch"
    begun = replaced(job, step=stored)
    assert wants.for_job(begun, config) == "triton"
    assert not loud(caplog)
    assert choice(**on_a_gpu).for_job(begun, config) == "torch"
    (line,) = loud(caplog)
    assert line.endswith("than the song was begun with: JUKEBOX_BACKEND is auto, and not triton")


def test_a_worker_that_insists_on_triton_does_not_start_without(monkeypatch):
    with pytest.raises(InvalidSettings, match="JUKEBOX_BACKEND is triton, but the triton backend"):
        choice("triton")
    monkeypatch.setattr(TRITON, lambda: "there is no Triton")
    with pytest.raises(InvalidSettings, match="JUKEBOX_BACKEND is triton, but there is no Triton"):
        choice("triton", device_type="cuda")


def test_settings_of_earlier_releases_are_read_with_a_warning(monkeypatch, caplog):
    monkeypatch.setenv("REDIS_URL", "redis://nowhere")
    monkeypatch.setenv("JUKEBOX_NATIVE_STEP", "off")
    assert WorkerSettings.from_environment().backend == "torch"
    (line,) = loud(caplog)
    assert "set JUKEBOX_BACKEND=torch" in line
    caplog.clear()
    monkeypatch.setenv("JUKEBOX_BACKEND", "native")
    assert WorkerSettings.from_environment().backend == "native"
    assert not loud(caplog)


def test_a_backend_that_nobody_knows_is_refused_at_the_start(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://nowhere")
    monkeypatch.setenv("JUKEBOX_BACKEND", "fast")
    with pytest.raises(InvalidSettings, match=r"JUKEBOX_BACKEND: must be one of auto, native"):
        WorkerSettings.from_environment()


@needs_compiler
@pytest.mark.redis
@pytest.mark.parametrize("begun", ON_A_CPU)
def test_a_song_keeps_its_backend_from_stage_to_stage(service, worker, models_dir, begun):
    """The first stage on a worker of that kind, the others on one that would choose freely."""
    drawn = spy_on(worker)
    first = replaced(worker, backends=choice(begun))
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
def test_a_song_whose_backend_cannot_be_had_any_more_goes_on_from_what_is_kept(
    service, worker, models_dir
):
    job = service.admit(levels=("top", "middle"))
    run_stage(worker, job.id, Stage.TOP)
    poorer = replaced(worker, backends=choice("torch"))
    drawn = spy_on(worker)
    for stage in (Stage.MIDDLE, Stage.RENDER):
        run_stage(poorer, job.id, stage)
    ended = service.store.get(job.id, with_windows=True)
    assert (ended.status, ended.step) == (JobStatus.SUCCEEDED, "native")
    assert drawn == {"torch"}
    alone = sing_alone(models_dir, ended)
    assert (service.codes(ended)["top"] == alone["top"]).all()


def loud(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.redis
def test_a_song_that_was_begun_with_other_weights_goes_on_and_the_log_says_so(job, config, caplog):
    with_int8 = choice("torch", weights="int8")
    kept = CodesFile(name="x", level="top", start=0, end=1, sha256="", num_bytes=0)
    for agreeing in (job, replaced(job, step="plain", weights="int8")):
        assert with_int8.for_job(agreeing, config) == "torch"
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
    service.end_lease(job_id)
    with running_worker(service) as second:
        ended = service.wait_end(job_id)
        assert "other weights than the song was begun with" in second.log
    assert (ended.status, ended.weights, ended.attempt) == (JobStatus.SUCCEEDED, "int8", 2)
    np.testing.assert_array_equal(service.codes(ended)["top"], service.codes(whole)["top"])
    assert service.codes(ended)["middle"].shape == service.codes(whole)["middle"].shape


def test_without_a_gpu_large_models_have_int8_weights_and_small_ones_stay_as_they_are():
    cards = {
        "small": read_card(BUNDLED_MODELS / "mini"),
        "large": replace(read_card(BUNDLED_MODELS / "mini"), config=released_config("1b_lyrics")),
    }
    large_int8 = replace(cards["large"], weights=Weights.INT8)
    here, on_a_gpu = {"weights": AUTO}, {"device_type": "cuda", "is_float32": False}
    by_itself = choice(**here)
    assert by_itself.setup_for(cards["small"]).weights is Weights.FULL
    assert by_itself.setup_for(cards["large"]).weights is Weights.INT8
    assert choice(**here, **on_a_gpu).setup_for(cards["large"]).weights is Weights.FULL
    assert choice(**here, **on_a_gpu).setup_for(large_int8).weights is Weights.INT8
    # What the operator says wins; files that hold nothing else are what they are.
    assert choice(weights="full").setup_for(cards["large"]).weights is Weights.FULL
    assert choice(weights="int8").setup_for(cards["small"]).weights is Weights.INT8
    assert choice(weights="full").setup_for(large_int8).weights is Weights.INT8


def test_products_of_large_models_alone_use_all_cores():
    small = read_card(BUNDLED_MODELS / "mini")
    large = replace(small, config=released_config("1b_lyrics"))
    target = Target(device_type="cpu", is_float32=True)
    here = BackendChoice(target=target, threads=6)
    assert (here.setup_for(small).product_threads, here.setup_for(large).product_threads) == (1, 6)
    assert (here.setup_for(small).threads, here.setup_for(large).threads) == (6, 6)
    asked = BackendChoice(target=target, threads=6, product_threads=3)
    assert asked.setup_for(large).product_threads == 3
    on_a_gpu = BackendChoice(target=Target(device_type="cuda", is_float32=False), threads=6)
    assert on_a_gpu.setup_for(large).product_threads == 1
    assert "int8 weights" in str(here.setup_for(large))
    assert str(here.setup_for(small)) == "full weights, native backend, 6 threads"


def test_weights_that_nobody_knows_are_refused_at_the_start(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://nowhere")
    monkeypatch.setenv("JUKEBOX_WEIGHTS", "int4")
    with pytest.raises(InvalidSettings, match=r"JUKEBOX_WEIGHTS.*'auto', 'full' or 'int8'"):
        WorkerSettings.from_environment()


def test_int8_weights_are_planned_for_when_a_worker_places_a_model(models_dir, monkeypatch):
    """A worker asks for the room that int8 priors take, and loads such."""
    asked = []

    def needs_of(config, **options):
        asked.append(options["int8_weights"])
        return model_needs(config, **options)

    monkeypatch.setattr("worker.device.memory.model_needs", needs_of)
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
        kinds.update(sequence.backend for sequence in sequences)
        return real(model, sequences)

    worker.engine.draw = draw
    return kinds


@needs_compiler
@pytest.mark.redis
def test_a_song_of_a_worker_that_died_is_the_same_song_on_one_with_another_wish(
    service, models_dir, tmp_path
):
    job_id = service.post(duration_seconds=4.0, levels=("top", "middle"))
    settings = freezing("middle-0", after=2) | {"JUKEBOX_BACKEND": "torch"}
    first = WorkerProcess(service, tmp_path / "first.log", **settings)
    try:
        first.wait_frozen()
    finally:
        first.kill()
    service.end_lease(job_id)
    with running_worker(service, JUKEBOX_BACKEND="native"):
        ended = service.wait_end(job_id)
    assert (ended.step, ended.attempt) == ("torch", 2)
    assert_codes(service, ended, sing_alone(models_dir, ended))
