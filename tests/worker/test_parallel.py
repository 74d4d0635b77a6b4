"""Songs drawn in segments side by side by a real worker: the library's songs."""

import numpy as np
import pytest

from jobs.record.job import JobStatus
from tests.worker.jobs_and_processes import assert_song, random_codes, sing_alone

pytestmark = pytest.mark.redis


def test_a_parallel_song_is_the_one_that_the_library_draws(served, models_dir):
    job = served.wait_end(served.post(speed="parallel", duration_seconds=4.0, num_samples=2))
    assert_song(served, job, sing_alone(models_dir, job))
    for level, plan in job.plan.items():
        assert job.progress[level].tokens_done == plan.tokens_total
        assert job.progress[level].windows_done == plan.windows_total


def test_exact_and_parallel_songs_share_their_top_and_nothing_else(served):
    exact, parallel = (
        served.wait_end(served.post(speed=speed, duration_seconds=4.0))
        for speed in ("exact", "parallel")
    )
    one, other = served.codes(exact), served.codes(parallel)
    np.testing.assert_array_equal(one["top"], other["top"])
    assert (one["bottom"] != other["bottom"]).any()


def test_what_a_song_begins_with_is_kept_and_the_rest_is_drawn_in_segments(served, models_dir):
    codes = random_codes(1, top=100, middle=300, bottom=900)
    job = served.admit(codes=codes, speed="parallel", duration_seconds=4.0)
    served.queue.publish(job.id, job.stage)
    ended = served.wait_end(job.id)
    assert ended.status is JobStatus.SUCCEEDED, ended.error
    for level, rows in served.codes(ended).items():
        np.testing.assert_array_equal(rows[:, : codes[level].shape[1]], codes[level])
