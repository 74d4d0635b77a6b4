"""`jukebox submit --play`: what a player gets, and Ctrl-C."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from tests.e2e.conftest import jukebox

pytestmark = [pytest.mark.e2e, pytest.mark.redis]

SONG = ("--artist", "The Sawtooths", "--genre", "drone", "--lyrics", "La la")


@pytest.fixture
def listening(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment in which `ffplay` writes down its process and what it hears."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ffplay"
    program.write_text(
        f"#!{sys.executable}\nimport os, pathlib, sys\n"
        f"pathlib.Path({str(tmp_path)!r}, 'pid').write_text(str(os.getpid()))\n"
        f"out = open({str(tmp_path / 'heard.wav')!r}, 'wb')\n"
        "while data := sys.stdin.buffer.read1(65536):\n    out.write(data); out.flush()\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {**environment, "PATH": f"{folder}{os.pathsep}{environment['PATH']}"}


def test_a_player_hears_the_whole_song(listening, tmp_path):
    jukebox(
        *("submit", *SONG, "--seconds", "3", "--play", "-o", "song.wav"),
        environment=listening,
        cwd=tmp_path,
    )
    heard, _ = soundfile.read(tmp_path / "heard.wav")
    song, _ = soundfile.read(tmp_path / "song.wav")
    assert len(heard) == len(song)


def test_ctrl_c_ends_command_and_player_and_the_job_goes_on(listening, tmp_path, client):
    command = [sys.executable, "-m", "cli.main", "submit", *SONG, "--seconds", "599", "--play"]
    with subprocess.Popen(
        command, env=listening, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as submit:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert submit.poll() is None
            time.sleep(0.05)
        submit.send_signal(signal.SIGINT)
        out, err = submit.communicate(timeout=300)
    assert submit.returncode == 130, err
    assert b"Traceback" not in err
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    job_id = out.decode().split()[0]
    assert client.get_job(job_id).status in ("queued", "running")
    client.cancel_job(job_id)


def test_play_and_no_wait_contradict_each_other(listening, tmp_path):
    done = jukebox(
        *("submit", *SONG, "--play", "--no-wait"), environment=listening, cwd=tmp_path, status=1
    )
    assert "--no-wait cannot be combined with --play" in done.stderr
