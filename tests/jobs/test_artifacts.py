"""A file has its name only when it is whole, and nothing outside a job's folder is touched."""

import os
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from jobs.errors import ArtifactCorrupt, ArtifactNotFound
from jobs.files.artifacts import ABANDONED_AFTER_SEC, analysis_name, peaks_name
from jobs.files.local_artifacts import LocalArtifacts
from jobs.record.job import new_job_id
from tests.fixtures.ids import NOBODYS_JOB

JOB_ID = NOBODYS_JOB
CODES = np.arange(2 * 5).reshape(2, 5)
ALL_CODES = {"top": CODES, "middle": np.arange(2 * 20).reshape(2, 20)}


@pytest.fixture
def artifacts(tmp_path):
    return LocalArtifacts(tmp_path / "artifacts")


def names(artifacts, job_id=JOB_ID):
    return sorted(path.name for path in artifacts._files(job_id))


def write_window(artifacts, *, fence=1, start=0, codes=CODES):
    return artifacts.write_codes(JOB_ID, fence=fence, level="top", start=start, codes=codes)


def test_codes_of_a_window_come_back(artifacts):
    kept = write_window(artifacts, start=7)
    assert (kept.level, kept.start, kept.end) == ("top", 7, 12)
    assert kept.num_bytes == artifacts.path(JOB_ID, kept.name).stat().st_size
    codes = artifacts.read_codes(JOB_ID, kept)
    assert codes.dtype == np.int64
    np.testing.assert_array_equal(codes, CODES)
    assert artifacts.fingerprint(JOB_ID, kept.name) == (kept.sha256, kept.num_bytes)


def test_any_reader_of_safetensors_opens_the_codes(artifacts):
    kept = write_window(artifacts)
    tensor = load_file(artifacts.path(JOB_ID, kept.name))["codes"]
    assert tensor.dtype == np.int32
    np.testing.assert_array_equal(tensor, CODES)


def test_two_claims_never_write_the_same_file(artifacts):
    first = write_window(artifacts, fence=1)
    second = write_window(artifacts, fence=2, codes=CODES + 1)
    np.testing.assert_array_equal(artifacts.read_codes(JOB_ID, first), CODES)
    np.testing.assert_array_equal(artifacts.read_codes(JOB_ID, second), CODES + 1)


@pytest.mark.parametrize(
    "codes", [np.zeros(5, np.int64), np.zeros((1, 1, 5), np.int64), np.zeros((1, 5))]
)
def test_what_is_no_codes_is_refused(artifacts, codes):
    with pytest.raises(ValueError, match="num_samples"):
        write_window(artifacts, codes=codes)


def test_all_levels_come_back_with_their_metadata(artifacts):
    name = artifacts.write_all_codes(JOB_ID, fence=3, codes=ALL_CODES, metadata={"seed": "7"})
    codes = artifacts.read_all_codes(JOB_ID, name)
    assert list(codes) == ["top", "middle"]
    for level, expected in ALL_CODES.items():
        assert codes[level].dtype == np.int64
        np.testing.assert_array_equal(codes[level], expected)
    assert b'"seed":"7"' in artifacts.path(JOB_ID, name).read_bytes()


def test_a_level_that_does_not_exist_is_refused(artifacts):
    with pytest.raises(ValueError, match="top, middle, bottom"):
        artifacts.write_all_codes(JOB_ID, fence=1, codes={"highest": CODES}, metadata={})


def both_kinds(artifacts):
    kept = write_window(artifacts)
    name = artifacts.write_all_codes(JOB_ID, fence=1, codes=ALL_CODES, metadata={})
    return [
        (kept.name, lambda: artifacts.read_codes(JOB_ID, kept)),
        (name, lambda: artifacts.read_all_codes(JOB_ID, name)),
    ]


@pytest.mark.parametrize("num_bytes", [0, 7, 40, -1])
def test_a_truncated_file_is_noticed(artifacts, num_bytes):
    for name, read in both_kinds(artifacts):
        path = artifacts.path(JOB_ID, name)
        path.write_bytes(path.read_bytes()[:num_bytes])
        with pytest.raises(ArtifactCorrupt):
            read()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_flipped_bit_is_noticed_or_harmless(artifacts, data):
    for name, read in both_kinds(artifacts):
        path = artifacts.path(JOB_ID, name)
        content = bytearray(path.read_bytes())
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
        try:
            codes = read()
        except ArtifactCorrupt:
            continue
        # Only padding and metadata of the merged file may change without a word.
        assert isinstance(codes, dict)
        assert list(codes) == list(ALL_CODES)
        for level, expected in ALL_CODES.items():
            np.testing.assert_array_equal(codes[level], expected)


def test_a_missing_file_is_noticed(artifacts):
    for name, read in both_kinds(artifacts):
        artifacts.path(JOB_ID, name).unlink()
        with pytest.raises(ArtifactNotFound):
            read()
        with pytest.raises(ArtifactNotFound):
            artifacts.path(JOB_ID, name)
        with pytest.raises(ArtifactNotFound):
            artifacts.fingerprint(JOB_ID, name)


def test_a_file_has_its_name_only_when_it_is_whole(artifacts):
    with artifacts.new_file(JOB_ID, "top-0.wav") as path:
        assert path.suffix == ".wav"
        path.write_bytes(b"half")
        with pytest.raises(ArtifactNotFound):
            artifacts.path(JOB_ID, "top-0.wav")
        with pytest.raises(ArtifactNotFound):
            artifacts.path(JOB_ID, path.name)
    assert artifacts.path(JOB_ID, "top-0.wav").read_bytes() == b"half"
    assert names(artifacts) == ["top-0.wav"]


def write_half(artifacts, error):
    with artifacts.new_file(JOB_ID, "top-0.wav") as path:
        path.write_bytes(b"half")
        raise error


def test_a_writer_that_fails_leaves_nothing_behind(artifacts):
    with pytest.raises(KeyboardInterrupt):
        write_half(artifacts, KeyboardInterrupt())
    assert names(artifacts) == []


def test_a_writer_that_fails_leaves_the_old_file_as_it_was(artifacts):
    with artifacts.new_file(JOB_ID, "top-0.wav") as path:
        path.write_bytes(b"old")
    with pytest.raises(OSError, match="full"):
        write_half(artifacts, OSError("disk full"))
    assert artifacts.path(JOB_ID, "top-0.wav").read_bytes() == b"old"


BAD_NAMES = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "a..b",
    ".hidden",
    "A",
    "a b",
    "a\n",
    "ä",
    "x" * 200,
    "a\0",
]
BAD_IDS = ["", "..", "job_1", JOB_ID.upper(), JOB_ID + "/..", JOB_ID + "\n", "../" + JOB_ID]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_none_opens_nothing(artifacts, name):
    with pytest.raises(ArtifactNotFound):
        artifacts.path(JOB_ID, name)
    with pytest.raises(ValueError, match="not the name"), artifacts.new_file(JOB_ID, name):
        pass
    assert not artifacts._root.exists()


@pytest.mark.parametrize("job_id", BAD_IDS)
def test_an_id_that_is_none_opens_nothing(artifacts, job_id):
    with pytest.raises(ArtifactNotFound):
        artifacts.path(job_id, "top-0.wav")
    with pytest.raises(ValueError, match="not the name"), artifacts.new_file(job_id, "top-0.wav"):
        pass
    assert artifacts.prune(job_id, set()) == []
    artifacts.remove_job(job_id)


def test_links_lead_nowhere(artifacts, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key.txt").write_text("secret")
    write_window(artifacts)
    folder = artifacts.path(JOB_ID, names(artifacts)[0]).parent
    (folder / "link.txt").symlink_to(secret / "key.txt")
    other_id = new_job_id()
    (folder.parent / other_id).symlink_to(secret)
    for job_id, name in [(JOB_ID, "link.txt"), (other_id, "key.txt")]:
        with pytest.raises(ArtifactNotFound):
            artifacts.path(job_id, name)
    with pytest.raises(ValueError, match="link"), artifacts.new_file(other_id, "new.txt"):
        pass
    assert artifacts.prune(other_id, set()) == []
    artifacts.prune(JOB_ID, set())
    assert (secret / "key.txt").read_text() == "secret"


def test_pruning_keeps_what_it_is_told_and_what_is_being_written(artifacts):
    kept = write_window(artifacts)
    orphan = write_window(artifacts, fence=2)
    with artifacts.new_file(JOB_ID, "top-0.flac") as path:
        path.write_bytes(b"encoding")
        assert artifacts.prune(JOB_ID, {kept.name}) == [orphan.name]
    assert names(artifacts) == sorted([kept.name, "top-0.flac"])


def test_pruning_keeps_what_an_encoder_writes_under_a_name_of_its_own(artifacts):
    kept = write_window(artifacts)
    written = artifacts.path(JOB_ID, kept.name).with_name(".0123-.unfinished-0123-top-0.flac")
    written.write_bytes(b"encoding")
    assert artifacts.prune(JOB_ID, {kept.name}) == []
    long_ago = written.stat().st_mtime - 2 * ABANDONED_AFTER_SEC
    os.utime(written, (long_ago, long_ago))
    assert artifacts.prune(JOB_ID, {kept.name}) == [written.name]


def test_pruning_takes_what_a_dead_process_left(artifacts):
    kept = write_window(artifacts)
    folder = artifacts.path(JOB_ID, kept.name).parent
    abandoned = folder / ".unfinished-0123-top-0.wav"
    abandoned.write_bytes(b"half")
    long_ago = abandoned.stat().st_mtime - 2 * ABANDONED_AFTER_SEC
    os.utime(abandoned, (long_ago, long_ago))
    assert artifacts.prune(JOB_ID, {kept.name}) == [abandoned.name]


def test_pruning_keeps_what_was_made_of_a_file_to_keep(artifacts):
    names_there = ("top-0.wav", "top-0.flac", peaks_name("top-0.wav"), analysis_name("top-0.wav"))
    for name in (*names_there, "top-01.wav", "top-1.peaks.dat"):
        with artifacts.new_file(JOB_ID, name) as path:
            path.write_bytes(b"content")
    assert artifacts.prune(JOB_ID, {"top-0.wav"}) == ["top-01.wav", "top-1.peaks.dat"]
    assert names(artifacts) == sorted(names_there)


def test_pruning_by_fence_spares_what_a_later_claim_writes(artifacts):
    kept, orphan, later = (write_window(artifacts, fence=fence) for fence in (1, 2, 3))
    folder = artifacts.path(JOB_ID, kept.name).parent
    with (
        artifacts.new_file(JOB_ID, "a.wav", fence=2) as dead,
        artifacts.new_file(JOB_ID, "b.wav", fence=3) as alive,
    ):
        for path in (dead, alive):
            path.write_bytes(b"half")
        gone = artifacts.prune(JOB_ID, {kept.name}, fences=range(3))
        assert gone == sorted([orphan.name, dead.name])
        assert {path.name for path in folder.iterdir()} == {kept.name, later.name, alive.name}
        dead.write_bytes(b"its writer goes on")
    assert artifacts.prune(JOB_ID, {kept.name}, fences=range(2, 3)) == []


def test_a_removed_job_has_no_files(artifacts):
    write_window(artifacts)
    artifacts.remove_job(JOB_ID)
    artifacts.remove_job(JOB_ID)
    assert list(artifacts._root.iterdir()) == []


def test_codes_are_written_as_any_reader_of_safetensors_expects_and_hold_no_second_copy(artifacts):
    job_id = new_job_id()
    codes = {
        "top": np.arange(16 * 50_000).reshape(16, -1),
        "middle": np.ones((16, 200_000), np.int32),
    }
    tracemalloc.start()
    try:
        name = artifacts.write_all_codes(job_id, fence=1, codes=codes, metadata={"model": "tiny"})
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2_000_000, "a row at a time; all rows are 16 MB"
    stored = safetensors.numpy.load_file(artifacts.path(job_id, name))
    assert set(stored) == set(codes)
    read = artifacts.open_codes(job_id, name)
    for level, rows in codes.items():
        assert stored[level].dtype == np.int32
        np.testing.assert_array_equal(stored[level], rows)
        np.testing.assert_array_equal(read[level].to_array(), rows)
