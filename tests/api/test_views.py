"""Estimates and limits, as plain arithmetic."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from api.views.views import eta_sec, job_view, poll_after_sec, remaining_sec
from api.web.errors import InvalidRequest, invalid_field, json_pointer
from jobs.record.job import Job, JobStatus, LevelPlan, LevelProgress, Output, Stage, new_job_id
from jobs.record.request import JobRequest

RATES = {Stage.TOP: 10.0, Stage.MIDDLE: 20.0, Stage.BOTTOM: 40.0}


@pytest.fixture
def job() -> Job:
    request = JobRequest(model="tiny", artist="a", genre="b", duration_seconds=10.0, seed=1)
    plan = {
        level: LevelPlan(tokens_total=tokens, windows_total=2, samples_per_token=1)
        for level, tokens in (("top", 100), ("middle", 400), ("bottom", 1600))
    }
    return Job(
        id=new_job_id(),
        status=JobStatus.QUEUED,
        request=request,
        labels={},
        plan=plan,
        stage=Stage.TOP,
        created_at=datetime(2026, 11, 22, tzinfo=UTC),
    )


def test_what_is_left_is_counted_per_level(job: Job):
    assert remaining_sec(job, RATES) == pytest.approx(10 + 20 + 40)
    progress = {"top": LevelProgress(tokens_done=100), "middle": LevelProgress(tokens_done=200)}
    assert remaining_sec(replace(job, progress=progress), RATES) == pytest.approx(10 + 40)


def test_what_was_never_measured_is_unknown(job: Job):
    assert remaining_sec(job, {Stage.TOP: 10.0}) is None
    assert remaining_sec(job, {**RATES, Stage.TOP: 0.0}) is None


def test_a_level_that_is_done_needs_no_measure(job: Job):
    progress = {"top": LevelProgress(tokens_done=100)}
    rates = {Stage.MIDDLE: 20.0, Stage.BOTTOM: 40.0}
    assert remaining_sec(replace(job, progress=progress), rates) == pytest.approx(60)


def test_those_who_wait_before_count_too(job: Job):
    assert eta_sec(job, RATES, 0) == pytest.approx(70)
    assert eta_sec(job, RATES, 2) == pytest.approx(210)


def test_an_ended_job_has_no_eta(job: Job):
    for status in (JobStatus.SUCCEEDED, JobStatus.CANCELED, JobStatus.CANCELING):
        assert eta_sec(replace(job, status=status), RATES, None) is None


@pytest.mark.parametrize(("eta", "expected"), [(None, 2), (0.0, 1), (50.0, 5), (3600.0, 30)])
def test_clients_are_asked_to_come_back_at_a_sensible_time(
    job: Job, eta: float | None, expected: int
):
    view = job_view(job, queue_position=0, eta_sec=eta, root="")
    assert poll_after_sec(view) == expected


def test_an_output_is_found_under_its_stored_format(job: Job):
    output = Output(
        name="bottom-0-fence000001.flac",
        level="bottom",
        sample=0,
        duration_sec=1.0,
        sample_rate_hz=16_000,
        num_bytes=10,
        sha256="00",
    )
    view = job_view(replace(job, outputs=(output,)), queue_position=None, eta_sec=None, root="/x")
    assert view.outputs[0].format == "flac"
    assert view.outputs[0].url == (f"/x/jobs/{job.id}/audio?sample=0&level=bottom&format=flac")


def test_pointers_are_escaped_and_bounded():
    assert json_pointer(["a/b", "c~d", 0]) == "/a~1b/c~0d/0"
    assert len(json_pointer(["x" * 10_000])) <= 200


def test_many_errors_are_summed_up():
    one = invalid_field("body", ["a"], "is wrong").errors[0]
    error = InvalidRequest([one] * 50)
    assert len(error.errors) == 20
    assert "47 more" in error.detail
