"""Stereo songs that are interrupted, stopped or continued: what there is of both channels stays."""

import numpy as np
import pytest

from jobs.files.codes import kept_codes
from jobs.record.job import Stage
from tests.worker.jobs_and_processes import (
    WorkerProcess,
    assert_song,
    freezing,
    random_codes,
    run_stage,
    running_worker,
    sing_alone,
)
from tests.worker.test_stereo import sound_of, take_of
from worker.song.level_audio import LevelSound

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("speed", ["exact", "parallel"])
def test_a_worker_that_dies_leaves_both_channels_to_the_next(service, models_dir, tmp_path, speed):
    job_id = service.post(
        speed=speed, channels=2, duration_seconds=6.0, levels=("top", "middle"), num_samples=2
    )
    first = WorkerProcess(service, tmp_path / "first.log", **freezing("middle-0", after=1))
    try:
        first.wait_frozen()
    finally:
        first.kill()
    service.end_lease(job_id)
    kept = {file.name for file in service.store.get(job_id, with_windows=True).codes_of("middle")}
    with running_worker(service):
        job = service.wait_end(job_id)
    assert job.attempt == 2
    assert kept <= {file.name for file in job.codes_of("middle")}
    assert_song(service, job, sing_alone(models_dir, job))


def test_what_is_kept_of_a_stopped_stereo_song_has_both_channels(service, worker, models_dir):
    begun = random_codes(1, top=60, middle=240)
    begun["middle"] = np.concatenate([begun["middle"], begun["middle"][:, ::-1]])
    job = service.admit(
        mode="continue",
        codes=begun,
        channels=2,
        num_samples=2,
        duration_seconds=4.0,
        levels=("top", "middle"),
    )
    for stage in (Stage.TOP, Stage.MIDDLE):
        run_stage(worker, job.id, stage)
    done = service.store.get(job.id, with_windows=True)
    codes = service.codes(done)
    service.artifacts.path(job.id, done.codes_name).unlink()
    kept = {name: each.to_array() for name, each in kept_codes(service.artifacts, done).items()}
    assert list(kept) == ["top", "middle"]
    for level in kept:
        np.testing.assert_array_equal(kept[level], codes[level])
    np.testing.assert_array_equal(kept["middle"][:2, :240], begun["middle"][[0, 0]])
    np.testing.assert_array_equal(kept["middle"][2:, :240], begun["middle"][[1, 1]])


def drawn_middle(service, worker, **wanted):
    job = service.admit(levels=("top", "middle"), channels=2, **wanted)
    for stage in (Stage.TOP, Stage.MIDDLE):
        run_stage(worker, job.id, stage)
    return service.store.get(job.id)


def test_what_a_stereo_parent_has_is_not_decoded_again_and_sounds_the_same(
    service, worker, monkeypatch
):
    monkeypatch.setattr("jukebox_core.vqvae.chunks.NEAR_SAMPLES", 4096)
    decoded = []
    real = LevelSound._decode_row

    def decode_row(sound, row, chunk):
        decoded.append(chunk.keep_start)
        return real(sound, row, chunk)

    monkeypatch.setattr(LevelSound, "_decode_row", decode_row)
    parent = drawn_middle(service, worker, duration_seconds=6.0, num_samples=2)
    begun = take_of(service.codes(parent), 1, 2, 300)
    wanted = {"mode": "continue", "codes": begun, "sample": 1, "duration_seconds": 6.5}
    decoded.clear()
    alone = drawn_middle(service, worker, **wanted)
    num_alone = len(decoded)
    decoded.clear()
    job = drawn_middle(service, worker, parent=parent, **wanted)
    assert len(decoded) <= num_alone / 2
    assert decoded.count(0) == 3, "the first piece of the top and of both channels is compared"
    for level in ("top", "middle"):
        sound = sound_of(service, job, level)
        np.testing.assert_array_equal(sound, sound_of(service, alone, level))
    assert not np.array_equal(*sound.T)
