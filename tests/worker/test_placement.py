"""Models that do not fit on the device whole: the songs are the same, whoever shares it."""

import numpy as np
import pytest

from jobs.record.job import JobStatus
from tests.worker.jobs_and_processes import running_worker, sing_alone

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("placement", ["one_at_a_time", "offloaded"])
def test_songs_at_different_levels_share_a_device_too_small_for_the_model(
    service, models_dir, placement
):
    wishes = [
        {"seed": 1, "duration_seconds": 1.3, "lyrics": "the first to come"},
        {"seed": 2, "duration_seconds": 1.0, "num_samples": 2},
        {"seed": 3, "duration_seconds": 2.5, "levels": ("top",), "lyrics": "the last to come"},
    ]
    with running_worker(service, JUKEBOX_PLACEMENT=placement) as worker:
        job_ids = [service.post(**wish) for wish in wishes]
        for job_id in job_ids:
            job = service.wait_end(job_id)
            assert job.status is JobStatus.SUCCEEDED, job.error
            found = service.codes(job)
            for level, codes in sing_alone(models_dir, job).items():
                np.testing.assert_array_equal(found[level], codes)
        assert f"{placement}" in worker.log
        assert "the lyrics have no times" not in worker.log
