import json
import signal
import subprocess
import sys
import time

import pytest
import soundfile

from tests.e2e.conftest import jukebox

pytestmark = [pytest.mark.e2e, pytest.mark.redis]

SONG = ("--artist", "The Sawtooths", "--genre", "drone", "--lyrics", "La la", "--seconds", "3")
LONG_SEC = "599"
"""Nobody sings this before the test has stopped it."""


def test_submit_waits_and_downloads_a_song_of_the_length_asked_for(environment, tmp_path):
    done = jukebox(
        "submit", *SONG, "--seed", "7", "-o", "song.wav", environment=environment, cwd=tmp_path
    )
    info = soundfile.info(tmp_path / "song.wav")
    assert abs(info.duration - 3.0) < 0.1
    assert info.samplerate == 16_000
    assert done.stdout.splitlines()[-1] == "song.wav"
    for level in ("top", "middle", "bottom"):
        assert f"can be heard at level {level}" in done.stderr
    assert "real-time factor" in done.stderr


def test_the_same_seed_gives_the_same_song_with_the_library_alone(
    environment, tmp_path, tiny_models_dir
):
    jukebox("submit", *SONG, "--seed", "11", "-o", "a.wav", environment=environment, cwd=tmp_path)
    jukebox(
        *("generate", "--model", str(tiny_models_dir / "tiny"), *SONG),
        *("--seed", "11", "--device", "cpu", "-o", "b.wav"),
        environment=environment,
        cwd=tmp_path,
    )
    ours, alone = (soundfile.read(tmp_path / name, dtype="int16")[0] for name in ("a.wav", "b.wav"))
    assert len(ours) == len(alone)
    # Audio is decoded in pieces on both sides; the last bit of a sample may differ.
    assert abs(ours.astype(int) - alone.astype(int)).max() <= 1


def test_takes_formats_and_drafts_can_be_downloaded(environment, tmp_path):
    done = jukebox(
        *("submit", *SONG, "--takes", "2", "--stop-after", "middle", "--format", "flac"),
        environment=environment,
        cwd=tmp_path,
    )
    job_id = done.stdout.split()[0]
    done = jukebox("download", job_id, environment=environment, cwd=tmp_path)
    assert done.stdout.splitlines() == [
        f"The Sawtooths - {job_id[:12]}{take}.flac" for take in ("", " (take 2)")
    ]
    done = jukebox(
        *("download", job_id, "--level", "top", "--format", "mp3"),
        environment=environment,
        cwd=tmp_path,
    )
    for name in done.stdout.splitlines():
        assert soundfile.info(tmp_path / name).format == "MP3"


def test_a_job_can_be_canceled_watched_and_found_in_the_list(environment, tmp_path):
    done = jukebox(
        *("submit", "--no-wait", "--seconds", LONG_SEC, "--takes", "4"),
        environment=environment,
        cwd=tmp_path,
    )
    job_id = done.stdout.strip()
    jukebox("cancel", job_id, environment=environment, cwd=tmp_path)
    watched = jukebox("watch", job_id, environment=environment, cwd=tmp_path, status=1)
    assert f"job {job_id}: canceled" in watched.stderr
    listed = jukebox(
        "list", "--status", "canceled", "--json", environment=environment, cwd=tmp_path
    )
    assert job_id in [job["id"] for job in json.loads(listed.stdout)["data"]]


def test_ctrl_c_leaves_the_job_running_and_says_how_to_find_it(environment, tmp_path, client):
    waiting = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "submit", "--seconds", LONG_SEC, "--takes", "4"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    job_id = waiting.stdout.readline().strip()
    time.sleep(1.0)
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=300)
    assert waiting.returncode == 130
    assert f"jukebox watch {job_id} --url {client.base_url}" in err
    assert "Traceback" not in err
    assert client.get_job(job_id).status in ("queued", "running")
    client.cancel_job(job_id)
    assert list(client.follow_job(job_id))[-1].status == "canceled"


def test_what_a_model_cannot_sing_is_refused_with_the_option_at_fault(environment, tmp_path):
    done = jukebox("submit", "--seconds", "601", environment=environment, cwd=tmp_path, status=1)
    assert "--seconds:" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_finds_the_service_and_its_worker(environment, tmp_path, tiny_models_dir):
    done = jukebox(
        *("doctor", "--models-dir", str(tiny_models_dir)), environment=environment, cwd=tmp_path
    )
    assert "workers:" in done.stdout
    assert "mini, tiny" in done.stdout.replace("\n", " ")


def test_models_lists_what_is_there(environment, tmp_path, tiny_models_dir):
    done = jukebox(
        *("models", "--models-dir", str(tiny_models_dir)), environment=environment, cwd=tmp_path
    )
    assert "16,000 Hz" in done.stdout
