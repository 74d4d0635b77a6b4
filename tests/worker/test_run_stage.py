"""A real worker process, a real server, the tiny model: jobs from the message to the files."""

import json
import time

import numpy as np
import pytest
import soundfile

from jobs.files.artifacts import peaks_name
from jobs.record.job import JobStatus, Stage
from tests.worker.jobs_and_processes import (
    decode_alone,
    make_job,
    random_codes,
    replaced,
    sing_alone,
)
from worker.settings import WorkerSettings

pytestmark = pytest.mark.redis


def test_a_job_runs_through_all_stages_and_has_the_codes_that_the_library_draws(served, models_dir):
    job_id = served.post(num_samples=2, audio_format="flac")
    job = served.wait_end(job_id)
    assert job.status is JobStatus.SUCCEEDED, job.error
    assert (job.progress_value, job.attempt) == (1.0, 1)
    expected = sing_alone(models_dir, job)
    found = served.codes(job)
    assert list(found) == ["top", "middle", "bottom"]
    for level, codes in expected.items():
        np.testing.assert_array_equal(found[level], codes)
        assert job.progress[level].tokens_done == job.plan[level].tokens_total
        assert job.progress[level].windows_done == job.plan[level].windows_total
        assert job.metrics[level].tokens_per_second > 0
    _check_sound(served, models_dir, job, found)
    _check_folder(served, job)


def _check_sound(served, models_dir, job, codes):
    assert {(o.level, o.sample) for o in job.outputs} == {
        (level, sample) for level in codes for sample in range(2)
    }
    for output in job.outputs:
        path = served.artifacts.path(job.id, output.name)
        assert (output.sha256, output.num_bytes) == served.artifacts.fingerprint(
            job.id, output.name
        )
        sound, sample_rate_hz = soundfile.read(path, dtype="float32")
        alone = decode_alone(models_dir, codes[output.level], output.level)[output.sample]
        np.testing.assert_allclose(sound, alone, atol=2 / 2**15)
        assert output.sample_rate_hz == sample_rate_hz == 16_000
        assert output.duration_sec == len(sound) / 16_000
        with soundfile.SoundFile(path) as file:
            assert file.subtype == "PCM_16"
            assert "generated" in file.comment


def _check_folder(served, job):
    """What the record names is there, the format asked for too, and nothing else."""
    bottom = [output.name for output in job.outputs if output.level == "bottom"]
    flac = {name.replace(".wav", ".flac") for name in bottom}
    named = {output.name for output in job.outputs} | {file.name for file in job.codes}
    named |= {peaks_name(output.name) for output in job.outputs}
    folder = served.artifacts.path(job.id, "manifest.json").parent
    assert {path.name for path in folder.iterdir()} == (
        named | flac | {job.codes_name, "manifest.json", "alignment-0.json", "alignment-1.json"}
    )
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["request"]["seed"] == manifest["seed"] == 7
    assert manifest["labels"]["top"]["artist"]["known"]
    assert manifest["levels"]["bottom"]["tokens"] == job.plan["bottom"].tokens_total
    assert manifest["versions"]["torch"]


def test_songs_that_are_sung_together_are_the_songs_that_are_sung_alone(served, models_dir):
    wishes = [
        {"seed": 1, "levels": ("top", "middle"), "duration_seconds": 2.5},
        {"seed": 2, "artist": "nobody in particular", "genre": "polka", "num_samples": 3},
        {"seed": 3, "levels": ("top",), "offset_seconds": 4.0, "duration_seconds": 6.0},
    ]
    wishes[0]["sampling"] = {"top": {"top_k": 20, "hop_fraction": 0.25}}
    job_ids = [served.post(**wish) for wish in wishes]
    for job_id in job_ids:
        job = served.wait_end(job_id)
        assert job.status is JobStatus.SUCCEEDED, job.error
        found = served.codes(job)
        for level, codes in sing_alone(models_dir, job).items():
            np.testing.assert_array_equal(found[level], codes)


def test_a_message_that_comes_twice_gives_one_result(served):
    job = served.admit(levels=("top",))
    for _ in range(3):
        served.queue.publish(job.id, Stage.TOP)
    ended = served.wait_end(job.id)
    assert ended.status is JobStatus.SUCCEEDED
    assert ended.fence == 1, "one claim for all stages"
    assert len(ended.outputs) == 1
    served.queue.publish(job.id, Stage.TOP)
    served.queue.publish(job.id, Stage.RENDER)
    time.sleep(0.5)
    assert served.store.get(job.id) == ended


def test_a_lost_message_is_sent_again(served):
    job = served.admit(levels=("top",))
    assert served.wait_end(job.id).status is JobStatus.SUCCEEDED


def test_cancel_takes_effect_in_the_middle_of_a_level_and_finished_levels_stay(served):
    begun = random_codes(1, top=1875, middle=7500)
    job_id = served.post(mode="upsample", codes=begun, duration_seconds=30.0)
    served.wait(job_id, lambda job: job.stage is Stage.BOTTOM and _has_begun(job, "bottom"))
    assert served.store.request_cancel(job_id).status is JobStatus.CANCELING
    job = served.wait_end(job_id)
    assert job.status is JobStatus.CANCELED
    assert job.progress["bottom"].tokens_done < job.plan["bottom"].tokens_total
    assert {output.level for output in job.outputs} == {"top", "middle"}
    assert job.error is None


def test_a_worker_asks_twice_a_second_whether_it_should_stop(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://localhost")
    assert WorkerSettings.from_environment().heartbeat_sec <= 0.5


def _has_begun(job, level):
    return level in job.progress and job.progress[level].tokens_done > 0


def test_a_corrupt_window_is_drawn_again(served, models_dir):
    """The first half is kept by a worker that then goes away; its second file is damaged."""
    job = make_job(served.catalog, duration_seconds=2.0, levels=("top", "middle"))
    # Windows without a word on their step are taken for plain ones.
    expected = sing_alone(models_dir, replaced(job, step="plain"))
    # Two seconds from now the worker would be sent the job, if nobody held it.
    served.store.create(job)
    _keep_windows_and_leave(served, job, expected)
    served.queue.publish(job.id, Stage.TOP)
    ended = served.wait_end(job.id)
    assert ended.status is JobStatus.SUCCEEDED, ended.error
    found = served.codes(ended)
    for level, codes in expected.items():
        np.testing.assert_array_equal(found[level], codes)
    fences = {file.name.partition("fence")[2] for file in ended.codes_of("middle")[2:]}
    assert "000099.safetensors" not in fences


def _keep_windows_and_leave(served, job, codes):
    """All of the top and the first windows of the middle, under a claim of ours."""
    claim = served.store.claim(job.id, Stage.TOP, worker="me", lease_sec=30)
    files = []
    for level, start, end in (("top", 0, 125), ("middle", 0, 256), ("middle", 256, 384)):
        file = served.artifacts.write_codes(
            job.id, fence=99, level=level, start=start, codes=codes[level][:, start:end]
        )
        served.store.record_window(claim, file)
        files.append(file)
    for damaged in (files[0], files[2]):
        path = served.artifacts.path(job.id, damaged.name)
        path.write_bytes(path.read_bytes()[:-4] + b"\xff\xff\xff\x00")
    served.store.release(claim)


def test_a_job_that_the_model_cannot_sing_fails_with_its_reason(served):
    job = served.admit(levels=("top",))
    longer = job.request.model_copy(update={"song_duration_seconds": 600.0})
    values = {name: getattr(job, name) for name in type(job).__dataclass_fields__}
    broken = type(job)(**(values | {"id": "job_" + "0" * 32, "request": longer}))
    served.store.create(broken)
    served.queue.publish(broken.id, Stage.TOP)
    ended = served.wait_end(broken.id)
    assert ended.status is JobStatus.FAILED
    assert ended.error.code == "invalid_song"
    assert "600" in ended.error.message
    assert not ended.error.retryable
