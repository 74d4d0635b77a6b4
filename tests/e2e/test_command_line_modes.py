"""The command line in every mode, against the real stack."""

import json
import re

import pytest
import soundfile
from safetensors.numpy import load_file

from tests.e2e.conftest import jukebox

pytestmark = [pytest.mark.e2e, pytest.mark.redis]

SONG = ("--artist", "The Sawtooths", "--genre", "drone", "--lyrics", "one two three")


@pytest.fixture
def run(environment, tmp_path):
    return lambda *arguments, status=0: jukebox(
        *arguments, environment=environment, cwd=tmp_path, status=status
    )


def new_job(done):
    return done.stdout.split()[0]


def test_a_song_is_composed_step_by_step_upsampled_and_told_as_a_tree(run, tmp_path):
    draft = new_job(run("submit", *SONG, "--seconds", "0.8", "--takes", "2", "--stop-after", "top"))
    longer = new_job(run("continue", draft, "--seconds", "0.32", "--cut", "0.64", "--sample", "1"))
    song = new_job(run("upsample", longer, "--genre", "polka", "-o", "song.wav"))
    assert soundfile.info(tmp_path / "song.wav").duration == pytest.approx(0.96)
    for job_id in (draft, longer, song):
        run("codes", "download", job_id)
    drawn = [load_file(tmp_path / f"{job_id}.safetensors")["top"] for job_id in (draft, song)]
    assert (drawn[1][:, :40] == drawn[0][1:, :40]).all()
    lines = run("tree", longer).stdout.splitlines()
    assert [re.search("job_[0-9a-f]+", line)[0] for line in lines] == [draft, longer, song]
    assert "continue of take 1 cut at 0.64 s: 0.96 s down to top" in lines[1]
    listed = json.loads(run("list", "--json").stdout)["data"]
    assert {job["parent_id"] for job in listed} >= {draft, longer}
    run("list")


def test_a_song_goes_on_from_a_sound_and_its_words_have_times(run, tmp_path):
    run("submit", *SONG, "--seconds", "2", "-o", "first.wav")
    asset = run("upload", "first.wav").stdout.strip()
    primed = ("submit", *SONG, "--prompt", asset, "--prompt-seconds", "0.64", "--seconds", "1.6")
    job_id = new_job(run(*primed, "-o", "song.flac", "--format", "flac"))
    assert soundfile.info(tmp_path / "song.flac").duration == pytest.approx(1.6)
    run("align", job_id, "-o", "song.vtt")
    assert (tmp_path / "song.vtt").read_text().startswith("WEBVTT")
    words = json.loads(run("align", job_id).stdout)["words"]
    assert [word["text"] for word in words] == ["one", "two", "three"]


def test_codes_leave_the_service_and_come_back(run, tmp_path):
    job_id = new_job(run("submit", *SONG, "--seconds", "0.8", "--stop-after", "top"))
    run("codes", "download", job_id, "-o", "draft.safetensors")
    refused = run("upsample", "draft.safetensors", "--model", "tiny", status=1)
    assert "--artist:" in refused.stderr
    run("upsample", "draft.safetensors", "--model", "tiny", *SONG, "-o", "song.wav")
    assert soundfile.info(tmp_path / "song.wav").duration == pytest.approx(0.8)


def test_what_cannot_be_gone_on_with_is_one_sentence(run):
    job_id = new_job(run("submit", *SONG, "--seconds", "0.8", "--stop-after", "top"))
    beyond = run("continue", job_id, "--seconds", "1", "--cut", "5", status=1)
    assert "--cut:" in beyond.stderr
    nobody = run("continue", "job_" + "0" * 32, "--seconds", "1", status=1)
    assert "SONG: no job has this id" in nobody.stderr
    assert "Traceback" not in beyond.stderr + nobody.stderr


def test_artists_and_genres_go_by_number(run, client):
    numbers = ("--artist-id", "v2=2,v3=2", "--genre-ids", "v2=1,v3=1")
    run("submit", *numbers, "--seconds", "1", "--stop-after", "top")
    (job,) = client.list_jobs(limit=1).data
    assert job.labels["top"]["artist"]["id"] == 2
    assert job.labels["top"]["genres"][0]["id"] == 1
