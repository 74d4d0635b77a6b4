"""Disks that are full or refuse to be written, files that are damaged, folders that move."""

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.faults.promises import assert_promises
from tests.faults.test_worker_faults import ONE_CRASH_SEC, SONG_SEC, START_SEC

pytestmark = [pytest.mark.faults, pytest.mark.redis]

NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


@cache
def can_mount():
    """Whether a process may have mounts of its own here, without being root."""
    try:
        done = subprocess.run(
            [*NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
        )
    except FileNotFoundError:
        return False
    return done.returncode == 0


needs_mounts = pytest.mark.skipif(
    not can_mount(), reason="this system lets a user have no mounts of their own"
)


def behind(mount, folder):
    """Words of a command that runs what follows with `folder` mounted in another way."""
    return (*NAMESPACE, "sh", "-c", f'{mount} && exec "$@"', "sh", str(folder))


def test_a_limit_on_the_size_of_files_fails_the_song_and_says_why(world, undisturbed):
    """As a full quota does: the codes of the song fit, its sound does not."""
    limit = ("prlimit", "--fsize=60000")
    limited = world.worker(before=limit)
    bad = world.post(duration_seconds=SONG_SEC)
    good = world.post(duration_seconds=1.3, levels=["top"])
    assert_promises(
        world, undisturbed, [bad, good], failed={bad: "storage_failed"}, lost_at_most_sec=START_SEC
    )
    assert limited.is_alive


@needs_mounts
def test_a_full_disk_fails_the_song_and_says_why(world, undisturbed):
    folder = world.data_dir / "artifacts"
    folder.mkdir()
    worker = world.worker(before=behind('mount -t tmpfs -o size=64k none "$1" && shift', folder))
    bad = world.post(duration_seconds=SONG_SEC)
    assert_promises(
        world, undisturbed, [bad], failed={bad: "storage_failed"}, lost_at_most_sec=START_SEC
    )
    disk = Path(f"/proc/{worker.pid}/root") / folder.relative_to("/") / bad
    names = [path.name for path in disk.iterdir()]
    assert names
    assert not [name for name in names if "unfinished" in name or name.endswith(".wav")]
    assert worker.is_alive


@needs_mounts
def test_a_folder_that_cannot_be_written_fails_the_song_and_says_why(world, undisturbed):
    folder = world.data_dir / "artifacts"
    folder.mkdir()
    mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift'
    worker = world.worker(before=behind(mount, folder))
    bad = world.post(duration_seconds=SONG_SEC)
    assert_promises(
        world, undisturbed, [bad], failed={bad: "storage_failed"}, lost_at_most_sec=START_SEC
    )
    assert world.files(bad) == []
    assert worker.is_alive
    # Elsewhere, or later, all is well.
    worker.end()
    world.worker()
    assert_promises(
        world, undisturbed, [world.post(duration_seconds=SONG_SEC)], lost_at_most_sec=START_SEC
    )


@pytest.mark.parametrize("audio_format", ["flac", "ogg", "mp3"])
def test_a_disk_that_fills_up_while_the_sound_is_encoded_is_named_as_the_reason(
    world, undisturbed, audio_format
):
    song = world.post(duration_seconds=1.3, levels=["top"], audio_format=audio_format)
    full = {"kind": "no_room", "module": "jukebox_core.audio.transcode", "num_bytes": 3000}
    worker = world.worker(full)
    [job] = assert_promises(
        world, undisturbed, [song], failed={song: "storage_failed"}, lost_at_most_sec=2 * START_SEC
    )
    assert job.error.retryable
    assert worker.is_alive
    worker.end()
    # With room again, nothing is drawn again, and the song is as it would have been.
    waiting, _ = world.store.retry(song)
    world.queue.publish(song, waiting.stage)
    world.worker()
    done = world.wait_end(song, timeout_sec=60)
    assert done.status == "succeeded"
    assert done.metrics == job.metrics
    assert world.artifacts.path(song, f"{Path(done.outputs[0].name).stem}.{audio_format}")


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    os.truncate(path, 0)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def remove(path):
    path.unlink()


@pytest.mark.parametrize("damage", [truncate, empty, flip_a_bit, remove])
@pytest.mark.parametrize("level", ["top", "bottom"])
def test_damaged_codes_are_drawn_again_and_not_trusted(world, undisturbed, level, damage):
    first = world.worker()
    job_id = world.post(duration_seconds=SONG_SEC)
    job = world.wait_kept(job_id, "bottom", 3)
    first.kill()
    window = job.codes_of(level)[min(1, len(job.codes_of(level)) - 1)]
    damage(world.artifacts.path(job_id, window.name))
    world.worker()
    assert_promises(
        world, undisturbed, [job_id], lost_at_most_sec=START_SEC + ONE_CRASH_SEC + SONG_SEC
    )


def test_sound_damaged_before_the_end_is_decoded_again(world, undisturbed):
    first = world.worker({"kind": "die_in_sync", "name": "manifest"})
    job_id = world.post(duration_seconds=SONG_SEC)
    first.wait(60)
    job = world.store.get(job_id, with_windows=True)
    flip_a_bit(world.artifacts.path(job_id, job.outputs[-1].name))
    world.worker()
    assert_promises(world, undisturbed, [job_id], lost_at_most_sec=START_SEC + ONE_CRASH_SEC)


def test_the_folder_of_all_files_is_moved_away_in_the_middle(world, undisturbed):
    world.worker()
    job_id = world.post(duration_seconds=SONG_SEC)
    world.wait_kept(job_id, "bottom", 2)
    (world.data_dir / "artifacts").rename(world.data_dir / "moved")
    jobs = [job_id, world.post(duration_seconds=SONG_SEC, seed=8)]
    ended = [world.wait_end(each, timeout_sec=60) for each in jobs]
    # What was heard of it is gone with the folder; the song itself, and what came later, is there.
    lost = ended[0]
    finest = [output for output in lost.outputs if output.level == "bottom"]
    assert all(world.artifacts.path(lost.id, output.name) for output in finest)
    assert {job.status for job in ended} == {"succeeded"}
    for output in set(lost.outputs) - set(finest):
        path = world.data_dir / "artifacts" / job_id / output.name
        (world.data_dir / "moved" / job_id / output.name).rename(path)
    assert_promises(world, undisturbed, jobs, lost_at_most_sec=START_SEC + ONE_CRASH_SEC)
