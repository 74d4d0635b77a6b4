"""Songs that go from machine to machine, while machines and lines fail."""

import signal
import threading
import time
import wave
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest

from tests.fleet.fleet import LEASE_SEC, drawn_again
from tests.fleet.machines import clock_library, wait_for
from worker.song.writer import MAX_WAITING

pytestmark = [pytest.mark.fleet, pytest.mark.redis]

SONG_SEC = 12.0
END_SEC = 120.0
UNTOLD_WINDOWS = MAX_WAITING + 2
"""Drawn and not on record when a worker is gone: those that wait to be kept, and those that two
levels were being drawn in."""


class Client:
    """Somebody who listens to a song while it is drawn, and asks how far it is."""

    def __init__(self, fleet, job_id: str) -> None:
        self._fleet, self._job_id = fleet, job_id
        self.sound = b""
        self.errors: list[Exception] = []
        self.num_looks = 0
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,))
            for work in (self._hear, self._look)
        ]
        for thread in self._threads:
            thread.start()

    def _guarded(self, work) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  (told by `leave`)
            self.errors.append(error)

    def _hear(self) -> None:
        with self._fleet.new_client() as client:
            self.sound = b"".join(client.stream_audio(self._job_id))

    def _look(self) -> None:
        with self._fleet.new_client() as client:
            for _ in client.follow_job(self._job_id, timeout_sec=END_SEC):
                self.num_looks += 1

    def leave(self) -> float:
        """When the song is over; returns the seconds of music that were heard."""
        for thread in self._threads:
            thread.join(END_SEC)
            assert not thread.is_alive()
        assert not self.errors, self.errors
        assert self.num_looks > 1
        return heard_sec(self.sound)


def heard_sec(sound: bytes) -> float:
    with wave.open(BytesIO(sound)) as file:
        return (len(sound) - 44) / file.getframerate() / file.getsampwidth() / file.getnchannels()


def assert_same_songs(fleet, one_machine, jobs: dict[int, str], tmp_path, *, again: int) -> None:
    """All ended well, as on one machine, and at most so many windows of each were drawn again."""
    for seed, job_id in jobs.items():
        job = fleet.client.wait_for_job(job_id, timeout_sec=END_SEC)
        assert fleet.song(job, tmp_path / job_id) == one_machine.song(seed, SONG_SEC)
        assert drawn_again(fleet.draws(job_id)) <= again, fleet.draws(job_id)


def test_songs_go_through_all_machines_and_are_those_of_one(fleet, one_machine, tmp_path, note):
    before = fleet.traffic()
    jobs = {seed: fleet.post(seed, SONG_SEC) for seed in (1, 2)}
    assert_same_songs(fleet, one_machine, jobs, tmp_path, again=0)
    after = fleet.traffic()
    note(bytes_sent={n: after[n].since(before[n]).sent_bytes // 2 for n in after})
    note(bytes_received={n: after[n].since(before[n]).received_bytes // 2 for n in after})


@pytest.mark.parametrize("level", ["top", "middle", "bottom"])
def test_a_machine_is_cut_off_in_mid_level_and_comes_back(
    fleet, one_machine, tmp_path, note, level
):
    machine = fleet.machines["top" if level == "top" else "middle"]
    jobs = {3: fleet.post(3, SONG_SEC)}
    client = Client(fleet, jobs[3])
    fleet.wait_kept(jobs[3], level)
    machine.cut_off()
    time.sleep(2 * LEASE_SEC)
    known = len(fleet.record(jobs[3]).codes)
    machine.reconnect()
    recovery_sec = wait_for(
        lambda: len(fleet.record(jobs[3]).codes) > known,
        timeout_sec=60.0,
        what="the next window",
    )
    assert_same_songs(fleet, one_machine, jobs, tmp_path, again=1)
    assert client.leave() == pytest.approx(SONG_SEC, abs=0.01)
    note(recovery_sec=round(recovery_sec, 2))


def test_another_machine_goes_on_with_the_songs_of_one_that_is_cut_off(
    fleet, one_machine, tmp_path, note
):
    jobs = {11: fleet.post(11, SONG_SEC)}
    client = Client(fleet, jobs[11])
    fleet.wait_kept(jobs[11], "bottom")
    lost = fleet.machines["middle"]
    lost.cut_off()
    cut_at = time.monotonic()
    known = len(fleet.record(jobs[11]).codes)
    fleet.add_machine("spare")
    worker = fleet.start_worker("spare", fleet.workers["middle"])
    try:
        wait_for(
            lambda: len(fleet.record(jobs[11]).codes) > known, timeout_sec=90.0, what="a window"
        )
        note(recovery_sec=round(time.monotonic() - cut_at, 2))
        # What the other had drawn and could not tell anybody of is drawn again.
        assert_same_songs(fleet, one_machine, jobs, tmp_path, again=UNTOLD_WINDOWS)
        assert client.leave() == pytest.approx(SONG_SEC, abs=0.01)
    finally:
        lost.reconnect()
        worker.end()
    ended = fleet.record(jobs[11])
    assert ended.attempt == 2, "a crash, as far as anybody could tell"
    # The machine that is back sings, and leaves alone what is not its any more.
    jobs[1] = fleet.post(1, SONG_SEC)
    assert_same_songs(fleet, one_machine, jobs, tmp_path, again=UNTOLD_WINDOWS)
    assert fleet.record(jobs[11]) == ended


def test_the_cable_of_the_machine_with_records_and_files_is_pulled(
    fleet, one_machine, tmp_path, note
):
    jobs = {4: fleet.post(4, SONG_SEC)}
    fleet.wait_kept(jobs[4], "middle")
    store = fleet.machines["store"]
    store.pull_cable()
    time.sleep(2 * LEASE_SEC)
    assert not fleet.client.is_ready()
    store.plug_cable()
    recovery_sec = wait_for(fleet.client.is_ready, timeout_sec=60.0, what="the API")
    assert_same_songs(fleet, one_machine, jobs, tmp_path, again=1)
    note(api_ready_again_sec=round(recovery_sec, 2))


def test_songs_are_sung_while_the_api_is_cut_off(fleet, one_machine, tmp_path):
    jobs = {5: fleet.post(5, SONG_SEC)}
    client = Client(fleet, jobs[5])
    fleet.wait_kept(jobs[5], "top")
    api = fleet.machines["api"]
    api.cut_off()
    wait_for(lambda: fleet.record(jobs[5]).is_terminal, timeout_sec=END_SEC, what="the song")
    api.reconnect()
    assert_same_songs(fleet, one_machine, jobs, tmp_path, again=0)
    assert client.leave() == pytest.approx(SONG_SEC, abs=0.01)


def test_lines_that_are_long_and_lose_frames(fleet, one_machine, tmp_path, note):
    names = ["api", *fleet.workers]
    for name in names:
        fleet.machines[name].put_far_away(latency_ms=80.0, loss=0.05)
    started = time.monotonic()
    jobs = {6: fleet.post(6, SONG_SEC)}
    client = Client(fleet, jobs[6])
    try:
        fleet.client.wait_for_job(jobs[6], timeout_sec=END_SEC)
        song_sec = time.monotonic() - started
        assert_same_songs(fleet, one_machine, jobs, tmp_path, again=1)
        took_sec = time.monotonic() - started
        assert client.leave() == pytest.approx(SONG_SEC, abs=0.01)
    finally:
        carried = {name: fleet.machines[name].bring_back() for name in names}
    assert all(line["lost"] > 0 for line in carried.values())
    note(song_sec=round(song_sec, 1), with_downloads_sec=round(took_sec, 1), lines=carried)


def test_a_worker_is_drained_in_mid_level_as_a_kubelet_does_it(fleet, one_machine, tmp_path, note):
    jobs = {seed: fleet.post(seed, SONG_SEC) for seed in (7, 8)}
    client = Client(fleet, jobs[8])
    fleet.wait_kept(jobs[8], "bottom")
    asked_at = time.monotonic()
    assert fleet.processes["middle"].end(grace_sec=30.0) == 0
    drained_sec = time.monotonic() - asked_at
    fleet.start_worker("middle", fleet.workers["middle"])
    assert_same_songs(fleet, one_machine, jobs, tmp_path, again=1)
    assert client.leave() == pytest.approx(SONG_SEC, abs=0.01)
    note(drained_sec=round(drained_sec, 2), songs_sec=round(time.monotonic() - asked_at, 1))


def test_a_worker_that_does_not_end_in_its_grace_is_killed(fleet, one_machine, tmp_path, note):
    jobs = {9: fleet.post(9, SONG_SEC)}
    client = Client(fleet, jobs[9])
    fleet.wait_kept(jobs[9], "bottom")
    worker = fleet.processes["middle"]
    worker.signal(signal.SIGSTOP)
    killed_at = time.monotonic()
    assert worker.end(grace_sec=1.0) == -signal.SIGKILL
    known = len(fleet.record(jobs[9]).codes_of("bottom"))
    fleet.start_worker("middle", fleet.workers["middle"])
    wait_for(
        lambda: len(fleet.record(jobs[9]).codes_of("bottom")) > known,
        timeout_sec=90.0,
        what="the next window",
    )
    note(recovery_sec=round(time.monotonic() - killed_at, 2))
    # A window was on its way to the record, and others were drawn behind it.
    assert_same_songs(fleet, one_machine, jobs, tmp_path, again=UNTOLD_WINDOWS)
    assert client.leave() == pytest.approx(SONG_SEC, abs=0.01)


@pytest.mark.skipif(clock_library() is None, reason="no libfaketime (Debian's package faketime)")
def test_the_clocks_of_the_machines_are_an_hour_apart(fleet, one_machine, tmp_path):
    fleet.restart_all(clocks={"api": "+1h", "top": "-1h", "middle": "+1h", "render": "-1h"})
    began = datetime.now(UTC)
    jobs = {10: fleet.post(10, SONG_SEC)}
    client = Client(fleet, jobs[10])
    assert_same_songs(fleet, one_machine, jobs, tmp_path, again=0)
    assert client.leave() == pytest.approx(SONG_SEC, abs=0.01)
    job = fleet.client.get_job(jobs[10])
    assert job.created_at < job.started_at < job.completed_at
    # Moments of a job are those of one clock, that of the records, whoever writes them.
    assert abs(job.created_at - began) < timedelta(minutes=5)
    assert abs(job.completed_at - began) < timedelta(minutes=5)
