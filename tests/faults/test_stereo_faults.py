"""Workers that are lost while a stereo song is sampled: both channels come out as they should."""

import pytest
import soundfile

from jobs.record.job import JobStatus
from tests.faults.promises import assert_promises
from tests.faults.test_redo_faults import SONG, assert_same, ended, posted
from tests.faults.test_worker_faults import ONE_CRASH_SEC, SONG_SEC, START_SEC

pytestmark = [pytest.mark.faults, pytest.mark.redis]

BODY = {**SONG, "duration_seconds": 6.0, "seed": 1, "num_samples": 2, "channels": 2}


def test_a_stereo_song_is_the_same_however_often_its_workers_are_killed(world):
    api = world.api()
    first = world.worker()
    api.wait_ready()
    expected = ended(world, posted(api, **BODY))
    first.ask_to_stop()
    assert first.wait(10) == 0
    job_id = posted(api, **BODY)
    for level in ("middle", "bottom"):
        # The second window of the level is written, and not on record.
        doomed = world.worker({"kind": "stop_in_sync", "name": f"{level}-", "after": 1})
        doomed.wait_frozen()
        doomed.kill()
    world.worker()
    job = ended(world, job_id)
    assert job.attempt > 1
    assert_same(world, job, expected)
    for output in job.outputs:
        assert soundfile.info(world.artifacts.path(job.id, output.name)).channels == 2


def test_a_worker_that_dies_while_it_writes_both_channels(world, undisturbed):
    job_id = world.post(duration_seconds=SONG_SEC, channels=2, audio_format="flac")
    first = world.worker({"kind": "die_in_sync", "name": "bottom-00-fence"})
    first.wait(60)
    world.worker()
    assert_promises(world, undisturbed, [job_id], lost_at_most_sec=START_SEC + ONE_CRASH_SEC)


def test_a_canceled_stereo_song_goes_on_in_stereo(world):
    api = world.api()
    worker = world.worker({"kind": "stop_in_sync", "name": "middle-0", "after": 1})
    api.wait_ready()
    job_id = posted(api, **BODY)
    worker.wait_frozen()
    assert api.http.post(f"/jobs/{job_id}/cancel").status_code in (200, 202)
    worker.thaw()
    stopped = ended(world, job_id, JobStatus.CANCELED)
    going_on = {"mode": "continue", "parent_id": job_id, "duration_seconds": 1, "levels": None}
    job = ended(world, posted(api, **going_on))
    assert job.request.channels == 2
    kept = job.plan["middle"].prompt_tokens
    assert 0 < kept < stopped.plan["middle"].output_tokens
    codes = world.codes(job)
    assert [len(codes[level]) for level in ("top", "middle", "bottom")] == [2, 4, 4]
