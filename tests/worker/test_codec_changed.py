"""A song goes on only with the codec that made its codes; without knowing it, as ever."""

import pytest

from jobs.files.codes import kept_codes
from jobs.files.stored_codes import open_codes_file
from jobs.record.job import JobStatus, Stage
from jukebox_core.checkpoints import load_vqvae_of
from jukebox_core.tiny import write_tiny
from jukebox_core.vqvae.identity import codebook_ids
from tests.worker.jobs_and_processes import random_codes, recording, run_stage

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_tiny(folder / "tiny")
    return folder


@pytest.fixture(scope="module")
def other_tiny(tmp_path_factory):
    """Of the same shape, with another codec."""
    return write_tiny(tmp_path_factory.mktemp("other") / "tiny", seed=5)


def ids_of(directory):
    return {level.label: each for level, each in codebook_ids(load_vqvae_of(directory)).items()}


def named_in(service, job, name):
    codes, _ = open_codes_file(service.artifacts.path(job.id, name))
    return {level: each.codebook for level, each in codes.items()}


def sing(worker, service, job, *stages):
    for stage in (*stages, Stage.RENDER):
        run_stage(worker, job.id, stage)
    return service.store.get(job.id, with_windows=True)


def admit_with(service, codebooks, **wanted):
    """A job whose prompt names its codebooks, as the API makes it."""
    codes = random_codes(1, top=60, **wanted.pop("finer", {}))
    job = service.admit(codes=codes, **wanted)
    metadata = {f"codebook_{level}": each for level, each in codebooks.items()}
    service.artifacts.write_all_codes(
        job.id, fence=0, codes=codes, metadata=metadata, kind="prompt"
    )
    return job


def test_a_song_and_its_encoded_recording_name_their_codec(service, worker, models_dir):
    job = service.admit(
        mode="primed", recording=recording(0.7), duration_seconds=1.0, levels=("top", "middle")
    )
    ended = sing(worker, service, job, Stage.TOP, Stage.MIDDLE)
    assert ended.status is JobStatus.SUCCEEDED, ended.error
    expected = ids_of(models_dir / "tiny")
    del expected["bottom"]
    assert named_in(service, ended, ended.codes_name) == expected
    assert named_in(service, ended, ended.prompt_codes_name) == expected
    kept = kept_codes(service.artifacts, ended)
    assert {level: codes.codebook for level, codes in kept.items()} == expected


@pytest.mark.parametrize("mode", ["continue", "redo", "upsample", "splice"])
def test_codes_of_another_codec_end_the_job_for_good(service, worker, other_tiny, mode):
    levels = ("top", "middle") if mode == "upsample" else ("top",)
    seconds = 60 * 256 / 16_000 if mode == "upsample" else 1.2
    job = admit_with(
        service, ids_of(other_tiny), mode=mode, duration_seconds=seconds, levels=levels
    )
    run_stage(worker, job.id, Stage.TOP)
    ended = service.store.get(job.id, with_windows=True)
    assert ended.status is JobStatus.FAILED
    assert (ended.error.code, ended.error.retryable) == ("codec_changed", False)
    assert ids_of(other_tiny)["top"] in ended.error.message
    assert ids_of(service.models_dir / "tiny")["top"] in ended.error.message
    assert "mode `primed`" in ended.error.message
    assert ended.codes == ()


def test_codes_of_the_same_codec_and_of_an_unknown_one_go_on(service, worker, models_dir):
    for codebooks in (ids_of(models_dir / "tiny"), {}):
        job = admit_with(service, codebooks, mode="continue", duration_seconds=1.2, levels=("top",))
        ended = sing(worker, service, job, Stage.TOP)
        assert ended.status is JobStatus.SUCCEEDED, ended.error


def test_a_recording_is_encoded_again_for_another_codec(service, worker, models_dir, other_tiny):
    job = service.admit(
        mode="primed", recording=recording(0.7), duration_seconds=1.0, levels=("top",)
    )
    name = service.artifacts.write_all_codes(
        job.id,
        fence=0,
        codes=random_codes(1, top=43),
        metadata={"codebook_top": ids_of(other_tiny)["top"]},
        kind="prompt",
    )
    claim = service.store.claim(job.id, Stage.TOP, worker="other", lease_sec=60.0)
    service.store.record_prompt(claim, name)
    service.store.release(claim)
    ended = sing(worker, service, job, Stage.TOP)
    assert ended.status is JobStatus.SUCCEEDED, ended.error
    assert ended.prompt_codes_name != name
    assert named_in(service, ended, ended.prompt_codes_name) == {
        "top": ids_of(models_dir / "tiny")["top"]
    }


def test_levels_drawn_before_a_model_was_replaced_keep_their_codec(service, worker, monkeypatch):
    job = service.admit(duration_seconds=1.0, levels=("top", "middle"))
    run_stage(worker, job.id, Stage.TOP)
    before = ids_of(service.models_dir / "tiny")
    after = {level: "f" * 16 for level in before}
    monkeypatch.setattr("worker.tasks.loaded_codebooks", lambda worker, lease: after)
    ended = sing(worker, service, job, Stage.MIDDLE)
    assert ended.status is JobStatus.SUCCEEDED, ended.error
    assert named_in(service, ended, ended.codes_name) == {
        "top": before["top"],
        "middle": after["middle"],
    }
