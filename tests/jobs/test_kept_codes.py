"""Whatever a job has drawn, and nothing else, can be gone on from."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from jobs.files.codes import kept_codes
from jobs.files.local_artifacts import LocalArtifacts
from jobs.record.job import Job, LevelPlan, new_job_id
from tests.jobs.records import new_job

TOP = np.arange(2 * 10).reshape(2, 10)
MIDDLE = np.arange(2 * 40).reshape(2, 40) + 100


@pytest.fixture
def artifacts(tmp_path):
    return LocalArtifacts(tmp_path)


def plan(tokens: int, *, prompt: int = 0, heard: int = 0) -> LevelPlan:
    return LevelPlan(
        tokens_total=tokens,
        windows_total=2,
        samples_per_token=1,
        prompt_tokens=prompt,
        output_tokens=heard,
    )


def job_of(**changes) -> Job:
    plans = {"top": plan(10), "middle": plan(40), "bottom": plan(160)}
    job = new_job(num_samples=2)
    return replace(job, **{"plan": plans, **changes})


def with_windows(artifacts, job, level, codes, *borders):
    files = [
        artifacts.write_codes(job.id, fence=1, level=level, start=a, codes=codes[:, a:b])
        for a, b in borders
    ]
    return replace(job, codes=(*job.codes, *files))


def test_a_job_without_codes_has_nothing_to_go_on_from(artifacts):
    assert kept_codes(artifacts, job_of()) == {}


def test_finished_levels_come_from_their_file_and_the_rest_from_windows(artifacts):
    job = job_of()
    name = artifacts.write_all_codes(job.id, fence=1, codes={"top": TOP}, metadata={})
    job = with_windows(artifacts, job, "middle", MIDDLE, (0, 16), (16, 24))
    codes = kept_codes(artifacts, replace(job, codes_name=name))
    assert list(codes) == ["top", "middle"]
    np.testing.assert_array_equal(codes["top"].to_array(), TOP)
    np.testing.assert_array_equal(codes["middle"].to_array(), MIDDLE[:, :24])


def test_windows_count_as_far_as_they_follow_each_other(artifacts):
    job = with_windows(artifacts, job_of(), "top", TOP, (0, 4), (6, 10))
    np.testing.assert_array_equal(kept_codes(artifacts, job)["top"].to_array(), TOP[:, :4])


def test_a_damaged_window_ends_what_can_be_kept(artifacts):
    job = with_windows(artifacts, job_of(), "top", TOP, (0, 4), (4, 6), (6, 10))
    artifacts.path(job.id, job.codes[1].name).write_bytes(b"x")
    np.testing.assert_array_equal(kept_codes(artifacts, job)["top"].to_array(), TOP[:, :4])


def test_a_lost_file_is_made_up_for_by_the_windows(artifacts):
    job = with_windows(artifacts, job_of(codes_name="gone"), "top", TOP, (0, 10))
    np.testing.assert_array_equal(kept_codes(artifacts, job)["top"].to_array(), TOP)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_prompt_comes_first_repeated_when_it_is_one(artifacts, rows):
    job = job_of(plan={"top": plan(10, prompt=4), "middle": plan(40), "bottom": plan(160)})
    name = artifacts.write_all_codes(
        job.id, fence=0, codes={"top": TOP[:rows, :4]}, metadata={}, kind="prompt"
    )
    job = with_windows(artifacts, replace(job, prompt_codes_name=name), "top", TOP, (4, 7))
    codes = kept_codes(artifacts, job)["top"].to_array()
    np.testing.assert_array_equal(codes[:, :4], TOP[[0, rows - 1], :4])
    np.testing.assert_array_equal(codes[:, 4:], TOP[:, 4:7])


def test_without_its_prompt_a_level_has_nothing(artifacts):
    job = job_of(plan={"top": plan(10, prompt=4)}, prompt_codes_name="gone")
    assert kept_codes(artifacts, with_windows(artifacts, job, "top", TOP, (4, 7))) == {}


def test_what_only_filled_a_context_is_cut_off(artifacts):
    job = job_of(plan={"top": plan(10, heard=6), "middle": plan(40), "bottom": plan(160)})
    job = with_windows(artifacts, job, "top", TOP, (0, 10))
    np.testing.assert_array_equal(kept_codes(artifacts, job)["top"].to_array(), TOP[:, :6])


@pytest.mark.parametrize("is_finished", [True, False])
def test_of_sixteen_long_takes_one_row_is_in_memory_at_a_time(artifacts, is_finished):
    num_tokens, border = 400_000, 150_000
    rows = np.arange(16 * num_tokens, dtype=np.int32).reshape(16, num_tokens)
    plans = {"top": plan(num_tokens), "middle": plan(num_tokens), "bottom": plan(num_tokens)}
    job = replace(new_job(num_samples=16), plan=plans)
    if is_finished:
        name = artifacts.write_all_codes(job.id, fence=1, codes={"top": rows}, metadata={})
        job = replace(job, codes_name=name)
    else:
        borders = [(at, at + 10_000) for at in range(0, num_tokens, 10_000)]
        job = with_windows(artifacts, job, "top", rows, *borders)
    child = new_job_id()
    tracemalloc.start()
    try:
        codes = kept_codes(artifacts, job)["top"].first_tokens(border)
        assert codes.largest() == rows[-1, border - 1]
        written = artifacts.write_all_codes(child, fence=0, codes={"top": codes}, metadata={})
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4_000_000, "a row is 1.6 MB, and all of them are 26 MB"
    np.testing.assert_array_equal(
        artifacts.open_codes(child, written)["top"].to_array(), rows[:, :border]
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 8,
        b"\xff" * 100,
        b"\x02\0\0\0\0\0\0\0[]",
        b'\x06\0\0\0\0\0\0\0{"a":1',
        b'\x0f\0\0\0\0\0\0\0{"top":[1,2,3]}',
    ],
)
def test_a_damaged_common_file_is_none(artifacts, content):
    job = job_of(codes_name="codes-to-top-fence000001.safetensors")
    with artifacts.new_file(job.id, job.codes_name) as path:
        path.write_bytes(content)
    assert kept_codes(artifacts, job) == {}
