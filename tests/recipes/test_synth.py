"""`python -m recipes.mini.synth`: the folder it writes, and the options it refuses."""

import json

import pytest
import soundfile
from typer.testing import CliRunner

from cli.errors import UsageError
from jukebox_core.errors import SongError
from recipes.mini.synth import HELD_OUT_PAIRS
from recipes.mini.synth.__main__ import app


@pytest.fixture
def run(tmp_path):
    def run(*arguments):
        result = CliRunner().invoke(app, [str(tmp_path / "songs"), *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_songs_of_the_length_asked_for_and_a_list_of_them(run, tmp_path):
    result = run("--songs", "3", "--seed", "2", "--seconds", "3-3.5", "--workers", "1")
    manifest = tmp_path / "songs" / "songs.json"
    assert result.stdout.strip() == str(manifest)
    rows = json.loads(manifest.read_text())
    assert len(rows) == 3
    for row in rows:
        info = soundfile.info(tmp_path / "songs" / row["file"])
        assert info.samplerate == 16_000
        assert 3.0 <= info.duration <= 3.5
        assert (row["genre"], row["artist"]) not in HELD_OUT_PAIRS


def test_one_length_for_all_songs_and_another_rate(run, tmp_path):
    run("--songs", "1", "--seconds", "3", "--rate", "22050", "--workers", "1")
    info = soundfile.info(tmp_path / "songs" / "audio" / "song_00000.wav")
    assert (info.samplerate, info.frames) == (22_050, 3 * 22_050)


def test_seconds_that_are_no_numbers_are_a_sentence(run):
    with pytest.raises(UsageError, match="wanted two numbers such as 8-24"):
        run("--seconds", "long")


def test_a_length_no_song_can_have_is_refused_before_anything_is_written(run, tmp_path):
    with pytest.raises(SongError, match="wanted 3 to 300"):
        run("--songs", "2", "--seconds", "1-4", "--workers", "2")
    assert not (tmp_path / "songs").exists()
