"""Files from strangers: what is good comes out in our own form, everything else is a sentence."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file, save, save_file

from jukebox_core.audio.intake import REFUSED_STATUS, check_sound, cut_sound
from jukebox_core.audio.reader import SoundReader
from jukebox_core.codes_file import ingest_codes, read_codes_file
from jukebox_core.errors import AudioError, SongError

RATE_HZ = 22_050


def tone(seconds: float = 1.0, *, rate_hz: int = RATE_HZ, channels: int = 1, hz: float = 440.0):
    wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)
    return np.repeat(wave[:, None], channels, axis=1)


def sound_file(folder: Path, name: str, samples=None, *, rate_hz: int = RATE_HZ, **options) -> Path:
    path = folder / name
    soundfile.write(path, tone() if samples is None else samples, rate_hz, **options)
    return path


def taken(source: Path) -> tuple:
    facts = check_sound(source)
    samples = SoundReader(source).read()
    assert len(samples) == facts.num_frames
    return facts, samples


def refused(source: Path) -> str:
    with pytest.raises(AudioError) as caught:
        check_sound(source)
    assert str(source.parent) not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_becomes_mono_at_its_own_rate(tmp_path, name, channels):
    facts, samples = taken(sound_file(tmp_path, name, tone(channels=channels)))
    assert (facts.audio_format, facts.num_channels) == (name[2:], channels)
    assert facts.duration_sec == pytest.approx(1.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(samples[:RATE_HZ]))
    assert np.argmax(spectrum) * RATE_HZ / min(len(samples), RATE_HZ) == pytest.approx(440, abs=4)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_plain_samples_of_any_width_are_taken(tmp_path, subtype):
    _, samples = taken(sound_file(tmp_path, "a.wav", subtype=subtype))
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.02)


def test_a_sample_that_is_not_finite_is_silence_and_a_loud_one_stays_as_it_is(tmp_path):
    wave = tone()
    wave[100:200], wave[200:300], wave[300:400] = np.nan, np.inf, 7.0
    _, samples = taken(sound_file(tmp_path, "a.wav", wave, subtype="DOUBLE"))
    assert (samples[100:300] == 0).all()
    assert (samples[300:400] == 7.0).all()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"RIFF", "not sound"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "not sound"),
        (b"GIF89a" + b"x" * 5000, "not sound"),
        (b"RIFF\xff\xff\xff\xffWAVE", "breaks off"),
        (b"RIFF\0\0\0\0WAVEdata\xff\xff\xff\xff" + b"\1" * 100, "cannot be read"),
        (b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 5000, "breaks off"),
        (b"fLaC" + b"\xff" * 1000, "cannot be read"),
        (b"OggS" + b"\xff" * 1000, "breaks off"),
        (b"\xff\xfb" + b"\0" * 5000, "sound"),
        (b"ID3" + b"\xff" * 5000, "not sound"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_is_no_sound_is_refused(tmp_path, content, word):
    source = tmp_path / "a.wav"
    source.write_bytes(content)
    assert word in refused(source)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_file_that_breaks_off_is_refused(tmp_path, name, share):
    source = sound_file(tmp_path, name, tone(3.0, hz=1234.5))
    content = source.read_bytes()
    source.write_bytes(content[: int(len(content) * share)])
    assert refused(source)


@pytest.mark.parametrize(
    ("samples", "word"),
    [
        (np.zeros((RATE_HZ, 1)), "silent"),
        (np.full((RATE_HZ, 2), 1e-4), "silent"),
        (np.hstack([tone(), -tone()]), "silent"),
        (np.zeros((0, 1)), "no length"),
        (tone(channels=9), "9 channels"),
    ],
    ids=["silence", "hiss", "antiphase", "nothing", "nine channels"],
)
def test_sound_that_is_of_no_use_is_refused(tmp_path, samples, word):
    assert word in refused(sound_file(tmp_path, "a.wav", samples))


@pytest.mark.parametrize("rate_hz", [7_999, 192_001])
def test_a_rate_outside_the_bounds_is_refused(tmp_path, rate_hz):
    assert f"{rate_hz} Hz" in refused(sound_file(tmp_path, "a.wav", rate_hz=rate_hz))


def test_a_wav_file_with_something_else_inside_is_refused(tmp_path):
    assert "IMA_ADPCM" in refused(sound_file(tmp_path, "a.wav", subtype="IMA_ADPCM"))


def test_a_header_that_claims_years_is_refused_before_anything_is_decoded(tmp_path):
    source = sound_file(tmp_path, "a.flac")
    content = bytearray(source.read_bytes())
    # The last 36 bits of these 8 bytes of STREAMINFO are the number of samples.
    (word,) = struct.unpack(">Q", content[18:26])
    content[18:26] = struct.pack(">Q", word | 0xF_FFFF_FFFF)
    source.write_bytes(content)
    assert "longer than 600 s" in refused(source)


def test_a_header_without_a_length_is_read_to_its_end(tmp_path):
    source = sound_file(tmp_path, "a.flac")
    content = bytearray(source.read_bytes())
    (word,) = struct.unpack(">Q", content[18:26])
    content[18:26] = struct.pack(">Q", word & ~0xF_FFFF_FFFF)
    source.write_bytes(content)
    facts, _ = taken(source)
    assert facts.num_frames == RATE_HZ


def test_a_sound_longer_than_ten_minutes_is_refused(tmp_path):
    source = sound_file(tmp_path, "a.flac", tone(601.0, rate_hz=8000), rate_hz=8000)
    assert "601" in refused(source)


def run_child(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-P", "-m", "jukebox_core.audio.intake", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


_MEASURE = """
import json, resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"status": status, "cpu_sec": used.ru_utime, "peak_kib": used.ru_maxrss}))
"""
"""Between this process and the child: the peak of a child begins with that of its parent."""


def test_ten_minutes_of_silence_in_80_kilobytes_cost_little_memory(tmp_path):
    source = sound_file(tmp_path, "a.flac", np.zeros((600 * 48_000, 1)), rate_hz=48_000)
    assert source.stat().st_size < 100_000
    child = [sys.executable, "-P", "-m", "jukebox_core.audio.intake", "sound"]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *child, str(source)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    (used,) = map(json.loads, done.stdout.splitlines())
    assert used["status"] == REFUSED_STATUS
    assert "silent" in done.stderr
    assert used["cpu_sec"] < 20.0
    assert used["peak_kib"] < 250_000


def test_the_child_keeps_to_its_limits(tmp_path):
    source = sound_file(tmp_path, "a.wav", tone(20.0))
    child = run_child("cut", str(source), str(tmp_path / "b.wav"), "--file-bytes", "10000")
    assert child.returncode != 0
    assert (tmp_path / "b.wav").stat().st_size <= 10_000
    child = run_child("sound", str(source), "--memory-bytes", "1000000")
    assert child.returncode != 0


def test_the_child_says_what_it_found_in_one_line(tmp_path):
    source = sound_file(tmp_path, "a.flac", tone(channels=2))
    child = run_child("sound", str(source))
    assert json.loads(child.stdout) == {
        "audio_format": "flac",
        "num_frames": RATE_HZ,
        "sample_rate_hz": RATE_HZ,
        "num_channels": 2,
    }
    child = run_child("cut", str(source), str(tmp_path / "c.wav"), "--sample-rate-hz", "16000")
    assert json.loads(child.stdout) == {"num_samples": 16_000}


@pytest.mark.parametrize("to_hz", [16_000, 22_050, 44_100])
@pytest.mark.parametrize(("start_sec", "duration_sec"), [(0.0, None), (1.0, 1.5), (2.999, 0.001)])
def test_a_part_is_as_long_as_it_should_be_at_the_new_rate(
    tmp_path, to_hz, start_sec, duration_sec
):
    source = sound_file(tmp_path, "a.wav", tone(3.0))
    target = tmp_path / "cut.wav"
    num_samples = cut_sound(
        source, target, start_sec=start_sec, duration_sec=duration_sec, sample_rate_hz=to_hz
    )
    samples, rate_hz = soundfile.read(target)
    length_sec = 3.0 - start_sec if duration_sec is None else duration_sec
    assert (rate_hz, len(samples)) == (to_hz, num_samples)
    assert num_samples == int(round(length_sec * RATE_HZ) * to_hz / RATE_HZ)


def test_a_part_is_the_same_sound_at_the_same_place(tmp_path):
    sweep = np.concatenate([tone(1.0, hz=200)[:, 0], tone(1.0, hz=1000)[:, 0]])
    source = sound_file(tmp_path, "a.wav", sweep)
    cut_sound(source, tmp_path / "b.wav", start_sec=1.0, duration_sec=0.5, sample_rate_hz=16_000)
    samples, _ = soundfile.read(tmp_path / "b.wav")
    want = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(8000) / 16_000)
    np.testing.assert_allclose(samples[500:-500], want[500:-500], atol=2e-3)


@pytest.mark.parametrize(("start_sec", "duration_sec"), [(3.0, None), (2.0, 1.01), (9.0, 1.0)])
def test_a_part_outside_the_sound_is_refused(tmp_path, start_sec, duration_sec):
    source = sound_file(tmp_path, "a.wav", tone(3.0))
    with pytest.raises(AudioError, match="inside"):
        cut_sound(
            source,
            tmp_path / "b.wav",
            start_sec=start_sec,
            duration_sec=duration_sec,
            sample_rate_hz=16_000,
        )


def test_a_silent_part_of_a_sound_is_refused(tmp_path):
    quiet = np.concatenate([np.zeros(RATE_HZ), tone()[:, 0]])
    source = sound_file(tmp_path, "a.wav", quiet)
    with pytest.raises(AudioError, match="silent"):
        cut_sound(source, tmp_path / "b.wav", start_sec=0, duration_sec=0.5, sample_rate_hz=16_000)


TOP, MIDDLE = np.arange(2 * 5).reshape(2, 5), np.arange(2 * 20).reshape(2, 20)


def test_codes_come_back_as_int32_with_the_model_they_belong_to(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    codes = {"middle": MIDDLE.astype(np.uint8), "top": TOP}
    save_file(codes, source, metadata={"model": "tiny", "seed": "7"})
    facts = ingest_codes(source, target)
    assert (facts.num_samples, facts.model) == (2, "tiny")
    assert list(facts.num_tokens.items()) == [("top", 5), ("middle", 20)]
    assert load_file(target)["top"].dtype == np.int32
    np.testing.assert_array_equal(read_codes_file(target)["middle"], MIDDLE)


def test_codes_are_read_as_they_are_taken_in(tmp_path):
    save_file({"top": TOP[0], "middle": MIDDLE[:1].astype(np.uint8)}, tmp_path / "a")
    read = read_codes_file(tmp_path / "a")
    assert [(name, rows.shape, rows.dtype) for name, rows in read.items()] == [
        ("top", (1, 5), np.int64),
        ("middle", (1, 20), np.int64),
    ]
    save_file({"top": np.zeros((17, 5), np.int64)}, tmp_path / "many")
    assert read_codes_file(tmp_path / "many")["top"].shape == (17, 5)
    for name, tensors in (("below", {"top": TOP - 1}), ("real", {"top": TOP * 0.5})):
        save_file(tensors, tmp_path / name)
        with pytest.raises(SongError, match="top"):
            read_codes_file(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SongError, match="cannot be read"):
        read_codes_file(tmp_path / "pipe")


def test_a_single_song_needs_no_second_dimension(tmp_path):
    save_file({"top": TOP[0]}, tmp_path / "a")
    assert ingest_codes(tmp_path / "a", tmp_path / "b").num_samples == 1
    assert read_codes_file(tmp_path / "b")["top"].shape == (1, 5)


@pytest.mark.parametrize(
    ("tensors", "word"),
    [
        ({}, "nothing"),
        ({"middle": MIDDLE}, "middle"),
        ({"top": TOP, "bottom": MIDDLE}, "bottom"),
        ({"top": TOP, "extra": MIDDLE}, "extra"),
        ({"top": TOP.astype(np.float32)}, "F32"),
        ({"top": TOP > 3}, "BOOL"),
        ({"top": TOP[None]}, "[1, 2, 5]"),
        ({"top": TOP[:, :0]}, "some tokens"),
        ({"top": TOP[:0]}, "some tokens"),
        ({"top": np.zeros((17, 2), np.int32)}, "1 to 16"),
        ({"top": TOP - 1}, "-1"),
        ({"top": TOP + 2**40}, "no codes"),
        ({"top": TOP, "middle": MIDDLE[:1]}, "different"),
        ({"top": np.zeros((1, 2**24 + 1), np.uint8)}, "16777216"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else "",
)
def test_codes_that_are_none_are_refused(tmp_path, tensors, word):
    save_file(tensors, tmp_path / "a")
    with pytest.raises(SongError) as caught:
        ingest_codes(tmp_path / "a", tmp_path / "b")
    assert word in str(caught.value)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 8,
        b"\xff" * 100,
        struct.pack("<Q", 2**60) + b"{}",
        save({"top": TOP})[:-1],
        save({"top": TOP}) + b"x",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 90_000) + b"[" * 90_000,
    ],
    ids=["empty", "zeros", "ones", "huge header", "cut", "long", "list", "deep"],
)
def test_files_that_are_no_safetensors_are_refused(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(SongError):
        ingest_codes(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("what", ["cut", "codes"])
def test_a_full_disk_is_not_blamed_on_the_file(tmp_path, what):
    source, target = sound_file(tmp_path, "a.wav"), tmp_path / "taken"
    if what == "codes":
        save_file({"top": np.zeros((1, 20_000), np.int32)}, source)
    command = [sys.executable, "-m", "jukebox_core.audio.intake", what, str(source), str(target)]
    child = subprocess.run(
        ["prlimit", "--fsize=8000", *command], capture_output=True, check=False, timeout=300
    )
    assert (child.returncode, child.stdout) == (74, b"")
