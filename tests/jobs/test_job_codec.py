"""Any record survives the way into flat strings and back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.record.codec import from_microseconds, job_from_fields, job_to_fields, to_microseconds
from jobs.record.job import (
    CodesFile,
    JobError,
    JobStatus,
    JobWarning,
    LevelMetrics,
    LevelProgress,
    Output,
    Stage,
)
from jobs.record.request import LEVEL_NAMES
from tests.jobs.records import new_job

levels = st.sampled_from(LEVEL_NAMES)
counts = st.integers(0, 2**53)
moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
maybe_moments = st.none() | moments
speeds = st.floats(0, 1e9)
texts = st.text(max_size=20)

windows = st.builds(
    CodesFile, name=texts, level=levels, start=counts, end=counts, sha256=texts, num_bytes=counts
)
outputs = st.builds(
    Output,
    name=texts,
    level=levels,
    sample=st.integers(0, 15),
    duration_sec=speeds,
    sample_rate_hz=counts,
    num_bytes=counts,
    sha256=texts,
)


def per_level(values):
    """A mapping in the order in which records keep levels."""
    parts = st.dictionaries(levels, values)
    return parts.map(lambda p: {level: p[level] for level in LEVEL_NAMES if level in p})


def in_order(key):
    """Coarse to fine, one part in each place."""

    def arrange(parts):
        by_place = {(LEVEL_NAMES.index(p.level), key(p)): p for p in parts}
        return tuple(by_place[place] for place in sorted(by_place))

    return arrange


changes = st.fixed_dictionaries(
    {
        "status": st.sampled_from(JobStatus),
        "stage": st.sampled_from(Stage),
        "created_at": moments,
        "started_at": maybe_moments,
        "completed_at": maybe_moments,
        "expires_at": maybe_moments,
        "lease_expires_at": maybe_moments,
        "attempt": st.integers(1, 99),
        "fence": counts,
        "progress_value": st.floats(0, 1),
        "progress": per_level(st.builds(LevelProgress, tokens_done=counts, windows_done=counts)),
        "codes": st.lists(windows, max_size=5).map(in_order(lambda w: w.start)),
        "codes_name": st.none() | texts,
        "outputs": st.lists(outputs, max_size=5).map(in_order(lambda o: o.sample)),
        "metrics": per_level(st.builds(LevelMetrics, seconds=speeds, tokens_per_second=speeds)),
        "warnings": st.lists(
            st.builds(JobWarning, code=texts, field=texts, message=texts), max_size=3
        ).map(tuple),
        "error": st.none()
        | st.builds(JobError, code=texts, message=texts, retryable=st.booleans()),
        "worker": st.none() | texts,
        "duration_sec": st.floats(0.1, 600),
        "parent_id": st.none() | texts,
        "root_id": st.text(min_size=1, max_size=20),
        "parent_sample": st.none() | st.integers(0, 15),
        "prompt_codes_name": st.none() | texts,
        "prompt_audio_name": st.none() | texts,
        "deadline_at": maybe_moments,
        "codes_expire_at": maybe_moments,
        "kept_sec": st.none() | st.integers(0, 10**9).map(float),
        "codes_kept_sec": st.none() | st.integers(0, 10**9).map(float),
        "pinned": st.booleans(),
    }
)


@settings(max_examples=150, deadline=None)
@given(changes)
def test_a_record_comes_back_equal(changed):
    job = replace(new_job(), **changed)
    fields = job_to_fields(job)
    read = job_from_fields(fields, windows=fields)
    assert (read, read.codes) == (job, job.codes)
    without = job_from_fields(fields)
    assert (without, without.codes) == (job, None)


@given(moments)
def test_moments_are_exact_to_the_microsecond(moment):
    assert from_microseconds(to_microseconds(moment)) == moment


def test_a_moment_of_any_time_zone_becomes_utc():
    moment = datetime(2026, 11, 22, 9, 0, tzinfo=timezone(timedelta(hours=2)))
    assert from_microseconds(to_microseconds(moment)) == moment
    assert from_microseconds(to_microseconds(moment)).tzinfo is UTC


def test_a_record_of_an_older_release_is_its_own_root_and_lasts_as_long_as_it_asked_for():
    fields = job_to_fields(new_job(duration_seconds=2.5))
    for name in ("root_id", "duration_sec"):
        del fields[name]
    fields["plan"] = '{"top":{"tokens_total":5,"windows_total":1,"samples_per_token":256}}'
    job = job_from_fields(fields)
    assert (job.root_id, job.parent_id, job.duration_sec) == (job.id, None, 2.5)
    assert (job.plan["top"].output_tokens, job.plan["top"].prompt_tokens) == (5, 0)
