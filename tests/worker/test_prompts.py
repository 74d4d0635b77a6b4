"""What a song begins with: read where it is, encoded where it is not, refused where it is wrong."""

import threading

import numpy as np
import pytest

from jobs.record.job import JobStatus, Stage
from jukebox_core.audio import read_audio
from tests.worker.jobs_and_processes import (
    Alone,
    assert_codes,
    random_codes,
    recording,
    replaced,
    run_stage,
)

pytestmark = pytest.mark.redis


def primed(service, **wanted):
    return service.admit(
        mode="primed", recording=recording(0.7), duration_seconds=1.2, levels=("top",), **wanted
    )


def path_of_prompt(service, job):
    return service.artifacts.path(job.id, service.store.get(job.id).prompt_codes_name)


def library_song(service, models_dir, job):
    sound = read_audio(service.artifacts.path(job.id, "prompt.wav"), sample_rate_hz=16_000)
    return Alone(models_dir, job).primed(sound[None])


def test_a_recording_is_encoded_in_pieces_to_the_codes_of_the_whole(
    service, worker, models_dir, monkeypatch
):
    monkeypatch.setattr("worker.song.prompt.SLICE_SAMPLES", 512)
    job = service.admit(mode="primed", recording=recording(1.1), duration_seconds=1.3)
    run_stage(worker, job.id, Stage.TOP)
    run_stage(worker, job.id, Stage.MIDDLE)
    run_stage(worker, job.id, Stage.BOTTOM)
    now = service.store.get(job.id, with_windows=True)
    assert_codes(service, now, library_song(service, models_dir, now))


def test_a_recording_is_encoded_once_and_again_only_when_its_codes_are_lost(
    service, worker, models_dir
):
    job = primed(service)
    drained = replaced(worker, draining=threading.Event())
    record = worker.store.record_prompt

    def record_and_drain(claim, name):
        record(claim, name)
        drained.draining.set()

    drained.store.record_prompt = record_and_drain
    run_stage(drained, job.id, Stage.TOP)
    drained.store.record_prompt = record
    first = path_of_prompt(service, job)
    assert service.store.get(job.id, with_windows=True).codes == ()
    assert first.name.endswith("fence000001.safetensors")
    first.write_bytes(first.read_bytes()[:-1])
    run_stage(worker, job.id, Stage.TOP)
    again = path_of_prompt(service, job)
    assert again.name.endswith("fence000002.safetensors")
    run_stage(worker, job.id, Stage.RENDER)
    ended = service.store.get(job.id, with_windows=True)
    assert ended.status is JobStatus.SUCCEEDED, ended.error
    assert_codes(service, ended, library_song(service, models_dir, ended))
    left = {path.name for path in again.parent.iterdir()}
    assert {"prompt.wav", again.name} <= left
    assert first.name not in left


def test_the_tokens_of_a_prompt_are_there_from_the_start(service, worker):
    job = service.admit(mode="continue", codes=random_codes(1, top=60), duration_seconds=4.0)
    task = threading.Thread(target=run_stage, args=(worker, job.id, Stage.TOP))
    task.start()
    seen = service.wait(job.id, lambda job: "top" in job.progress)
    task.join()
    assert seen.progress["top"].tokens_done >= 60


@pytest.mark.parametrize(
    ("codes", "sentence"),
    [
        (random_codes(1, top=59), "wanted 1 or 2 rows of at least 60"),
        (random_codes(3, top=60), "wanted 1 or 2 rows of at least 60"),
        ({"middle": np.zeros((1, 60), int)}, "codes [0, 0] of the top level"),
        ({"top": np.full((1, 60), 256)}, "outside 0 to 255"),
    ],
)
def test_codes_that_are_not_what_was_admitted_end_the_job(service, worker, codes, sentence, caplog):
    job = service.admit(
        mode="continue", codes=random_codes(1, top=60), num_samples=2, duration_seconds=2.0
    )
    other = service.artifacts.write_all_codes(
        job.id, fence=0, codes=codes, metadata={}, kind="prompt"
    )
    named = service.artifacts.path(job.id, job.prompt_codes_name)
    service.artifacts.path(job.id, other).replace(named)
    run_stage(worker, job.id, Stage.TOP)
    error = service.store.get(job.id).error
    assert error.code == "artifact_lost"
    assert sentence in error.message


def test_lost_codes_and_short_or_broken_recordings_end_the_job(service, worker, caplog):
    lost = service.admit(mode="continue", codes=random_codes(1, top=60), duration_seconds=2.0)
    service.artifacts.path(lost.id, lost.prompt_codes_name).unlink()
    gone, broken, short = primed(service), primed(service), primed(service)
    service.artifacts.path(gone.id, "prompt.wav").unlink()
    service.artifacts.path(broken.id, "prompt.wav").write_bytes(b"RIFF and no more")
    sound = service.artifacts.path(short.id, "prompt.wav")
    sound.write_bytes(sound.read_bytes()[:5000])
    codes = {}
    for job in (lost, gone, broken, short):
        run_stage(worker, job.id, Stage.TOP)
        codes[job.id] = service.store.get(job.id).error.code
    assert list(codes.values()) == [
        "artifact_lost",
        "artifact_lost",
        "artifact_lost",
        "artifact_lost",
    ]


def test_cancel_is_heard_while_a_recording_is_encoded(service, worker, monkeypatch):
    monkeypatch.setattr("worker.song.prompt.SLICE_SAMPLES", 256)
    begun, is_over, run_slices = threading.Event(), threading.Event(), worker.engine.run_slices

    def run_one_slice(model, make, **options):
        def slices(loaded):
            pieces = make(loaded)
            yield next(pieces)
            begun.set()
            is_over.wait(300)
            yield from pieces

        return run_slices(model, slices, **options)

    monkeypatch.setattr(worker.engine, "run_slices", run_one_slice)
    job = service.admit(
        mode="primed", recording=recording(1.0), duration_seconds=2.0, levels=("top",)
    )
    task = threading.Thread(target=run_stage, args=(worker, job.id, Stage.TOP))
    task.start()
    try:
        assert begun.wait(120)
        service.store.request_cancel(job.id)
        task.join(120)
    finally:
        is_over.set()
    now = service.store.get(job.id, with_windows=True)
    assert (now.status, now.prompt_codes_name) == (JobStatus.CANCELED, None)
