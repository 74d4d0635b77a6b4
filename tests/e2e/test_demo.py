"""The first thing a newcomer runs, as a process, with everything it starts."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import soundfile

pytestmark = [pytest.mark.e2e, pytest.mark.redis]


class Run:
    """A `jukebox` process whose whole family can be found by a mark in its environment."""

    def __init__(self, *arguments: str, cwd: Path, **environment: str) -> None:
        (cwd / "tmp").mkdir(exist_ok=True)
        # A folder for temporary files of its own shows what a run leaves behind.
        self.temporary = cwd / "tmp"
        # Which every child is told, unlike variables that nobody knows.
        self.mark = f"TMPDIR={self.temporary}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=cwd,
            env={**os.environ, "TMPDIR": str(self.temporary), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, timeout_sec: float = 600.0) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=timeout_sec)
        return self.process.returncode, out, err

    def family(self) -> dict[int, str]:
        """Every living process that the run started, with its command line."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if (
                self.mark.encode() in environment.split(b"\0")
                and int(folder.name) != self.process.pid
            ):
                found[int(folder.name)] = command
        return found

    def wait_for(self, words: str, timeout_sec: float = 300.0) -> None:
        """Wait until some process of the family has `words` in its command line."""
        deadline = time.monotonic() + timeout_sec
        while not any(words in command for command in self.family().values()):
            assert self.process.poll() is None, self.finish()
            assert time.monotonic() < deadline, f"no {words} came up"
            time.sleep(0.05)

    def assert_nothing_is_left(self, within_sec: float = 120.0) -> None:
        deadline = time.monotonic() + within_sec
        while self.family() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.family() == {}


def wait_for_worker(run, client):
    deadline = time.monotonic() + 300.0
    while not (client.is_ready() and client.get_system().workers):
        assert run.process.poll() is None, run.finish()
        assert time.monotonic() < deadline
        time.sleep(0.2)


def ended_job(run, client, job_id):
    deadline = time.monotonic() + 600.0
    while (job := client.get_job(job_id)).status in ("queued", "running"):
        assert run.process.poll() is None, run.finish()
        assert time.monotonic() < deadline, job
        time.sleep(0.2)
    return job


def servers(folder, words):
    """A server writes its title over its environment, so it is known by the socket in its title."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            title = (process / "cmdline").read_bytes().decode(errors="replace")
            if words in title and str(folder) in title:
                found.add(int(process.name))
    return found


def kill_and_see_another(run, words):
    """Kill the first process of the family with these words, and wait for the next one."""

    def pids():
        return {pid for pid, command in run.family().items() if words in command} | servers(
            run.temporary.parent, words
        )

    before = pids()
    os.kill(min(before), signal.SIGKILL)
    deadline = time.monotonic() + 120.0
    while not pids() - before:
        assert run.process.poll() is None, run.finish()
        assert time.monotonic() < deadline, f"no other {words} came up"
        time.sleep(0.05)


@pytest.fixture
def folder(tmp_path_factory):
    """An empty one with a short path: sockets that lie below it have no room for a long one."""
    return tmp_path_factory.mktemp("run")


def test_the_demo_sings_saves_and_leaves_nothing_running(folder):
    run = Run("demo", cwd=folder)
    status, out, err = run.finish()
    assert status == 0, err
    run.assert_nothing_is_left()
    assert list(run.temporary.glob("jukebox*")) == []
    sound, picture = (folder / line for line in out.splitlines())
    info = soundfile.info(sound)
    assert abs(info.duration - 10.0) < 0.1
    audio, _ = soundfile.read(sound)
    assert 0.01 < (audio**2).mean() ** 0.5 < 0.5
    assert picture.read_bytes().startswith(b"\x89PNG")
    for words in (
        "mini is a small model",
        "top",
        "middle",
        "bottom",
        "tokens/s",
        "real-time factor",
    ):
        assert words in err


@pytest.mark.parametrize(
    ("signum", "words"),
    [
        (signal.SIGINT, "-m worker"),
        (signal.SIGTERM, "-m api"),
    ],
)
def test_a_demo_that_is_interrupted_leaves_nothing_running(folder, signum, words):
    run = Run("demo", cwd=folder)
    run.wait_for(words)
    time.sleep(1.0)
    run.process.send_signal(signum)
    status, _, err = run.finish()
    assert status == 128 + signum, err
    run.assert_nothing_is_left()
    assert list(run.temporary.glob("jukebox*")) == []
    assert "Traceback" not in err


def test_a_demo_that_is_killed_takes_its_children_with_it(folder):
    run = Run("demo", cwd=folder)
    run.wait_for("-m worker")
    time.sleep(2.0)
    run.process.kill()
    run.finish()
    run.assert_nothing_is_left()


def test_a_demo_whose_worker_cannot_start_shows_why(folder):
    run = Run("demo", cwd=folder, JUKEBOX_DEVICE="gramophone")
    status, _, err = run.finish()
    assert status == 1
    assert "JUKEBOX_DEVICE" in err
    assert "worker.log" in err
    run.assert_nothing_is_left()


def test_serve_outlives_its_killed_processes_and_the_song_goes_on(folder):
    from cli.local.stack import free_port
    from jukebox_client import JukeboxClient

    song = {
        "model": "mini",
        "artist": "orlavane",
        "genre": "tidedub",
        "duration_seconds": 6,
        "seed": 5,
    }
    port = free_port()
    run = Run("serve", "--port", str(port), cwd=folder, REDIS_URL="")
    with JukeboxClient(f"http://127.0.0.1:{port}") as client:
        jobs = []
        for words in ("-m worker", "valkey-server", "-m api"):
            wait_for_worker(run, client)
            jobs.append(client.create_job(song).id)
            kill_and_see_another(run, words)
        wait_for_worker(run, client)
        done = [ended_job(run, client, job) for job in jobs]
    assert [job.status for job in done] == ["succeeded"] * 3
    assert len({job.outputs[-1].sha256 for job in done}) == 1
    run.process.send_signal(signal.SIGINT)
    status, _, err = run.finish()
    assert status == 0, err
    assert "the worker was killed by SIGKILL" in err
    assert "the embedded server was killed by SIGKILL" in err
    assert "the api was killed by SIGKILL" in err
    run.assert_nothing_is_left()


def test_serve_runs_until_it_is_told_to_stop(folder):
    from cli.commands.song_request import ready_models
    from cli.local.stack import free_port
    from jukebox_client import JukeboxClient

    port = free_port()
    run = Run("serve", "--port", str(port), cwd=folder, REDIS_URL="")
    with JukeboxClient(f"http://127.0.0.1:{port}") as client:
        wait_for_worker(run, client)
        assert ready_models(client) == ["mini"]
    time.sleep(0.5)
    run.process.send_signal(signal.SIGINT)
    status, out, err = run.finish()
    assert status == 0, err
    assert f"http://127.0.0.1:{port}/docs" in out
    assert "curl" in out
    run.assert_nothing_is_left()
