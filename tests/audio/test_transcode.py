"""The encoder as the services start it: a process of its own."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile

from jukebox_core.audio.files import AudioFormat


def transcode(*arguments):
    command = [sys.executable, "-m", "jukebox_core.audio.transcode", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def wav(tmp_path):
    noise = np.random.default_rng(0).integers(-20_000, 20_000, 100_000, dtype=np.int16)
    with soundfile.SoundFile(tmp_path / "song.wav", "w", 16_000, 1, "PCM_16") as file:
        file.comment = "sung by a machine"
        file.write(noise)
    return tmp_path / "song.wav"


@pytest.mark.parametrize("suffix", AudioFormat)
def test_every_format_is_written(wav, suffix):
    target = wav.with_name(f"other.{suffix}")
    assert transcode(wav, target).returncode == 0
    assert soundfile.info(target).duration == pytest.approx(6.25, abs=0.1)
    with soundfile.SoundFile(target) as file:
        assert file.comment == "sung by a machine"
    assert sorted(path.name for path in wav.parent.iterdir()) == [target.name, "song.wav"]


def test_there_and_back_through_flac_changes_nothing(wav, tmp_path):
    transcode(wav, tmp_path / "song.flac")
    transcode(tmp_path / "song.flac", tmp_path / "again.wav")
    before, _ = soundfile.read(wav, dtype="int16")
    after, _ = soundfile.read(tmp_path / "again.wav", dtype="int16")
    assert np.array_equal(before, after)


def test_a_failure_is_told_in_one_line_and_leaves_nothing_behind(tmp_path):
    (tmp_path / "letter.wav").write_text("Dear Sir or Madam")
    done = transcode(tmp_path / "letter.wav", tmp_path / "letter.mp3")
    assert done.returncode == 1
    assert "cannot be read as sound" in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["letter.wav"]


def test_a_file_that_is_there_stays_whole_until_the_new_one_is(wav, tmp_path):
    transcode(wav, tmp_path / "song.ogg")
    before = (tmp_path / "song.ogg").read_bytes()
    assert transcode(tmp_path / "gone.wav", tmp_path / "song.ogg").returncode == 1
    assert (tmp_path / "song.ogg").read_bytes() == before


def test_a_folder_that_is_not_there_is_told(wav, tmp_path):
    done = transcode(wav, tmp_path / "nowhere" / "song.ogg")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr


def test_no_torch_is_loaded_for_it():
    script = "import sys, jukebox_core.audio.transcode; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("suffix", AudioFormat)
@pytest.mark.parametrize("missing_bytes", [1, 4000])
def test_a_disk_that_is_full_at_the_last_moment_is_noticed(wav, tmp_path, suffix, missing_bytes):
    """Most encoders write their last bytes when the file is closed."""
    whole, target = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    assert transcode(wav, whole).returncode == 0
    limit = f"--fsize={whole.stat().st_size - missing_bytes}"
    command = [sys.executable, "-m", "jukebox_core.audio.transcode", str(wav), str(target)]
    child = subprocess.run(
        ["prlimit", limit, *command], capture_output=True, text=True, check=False, timeout=300
    )
    assert (child.returncode, child.stdout) == (74, "")
    assert "File too large" in child.stderr.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["song.wav", whole.name]


def test_a_bad_file_is_not_taken_for_a_full_disk(tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF" + bytes(100))
    assert transcode(tmp_path / "bad.wav", tmp_path / "good.flac").returncode == 1
    assert transcode(tmp_path / "none.wav", tmp_path / "good.flac").returncode == 1
