"""Peaks: nothing of a sound stands out of its waveform, at any resolution."""

import json
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from jukebox_core.audio.peaks import MAX_PEAKS, Bits, PeakMeter, Peaks

RATE_HZ = 16_000


def noise(num_frames, num_channels=1, seed=0):
    values = np.random.default_rng(seed).integers(-32_768, 32_768, (num_frames, num_channels))
    return values.astype(np.int16)


def peaks_of(sound, block_frames=1000):
    meter = PeakMeter(num_frames=len(sound), sample_rate_hz=RATE_HZ)
    blocks = [sound[start : start + block_frames] for start in range(0, len(sound), block_frames)]
    assert all(a is b for a, b in zip(meter.watch(blocks), blocks, strict=True))
    return meter.peaks()


def exact(sound, samples_per_pixel):
    starts = range(0, len(sound), samples_per_pixel)
    parts = [sound[start : start + samples_per_pixel] for start in starts]
    return np.array([np.stack([part.min(0), part.max(0)], axis=-1) for part in parts])


@given(st.integers(1, 5000), st.integers(1, 2), st.integers(1, 3000))
def test_blocks_of_any_length_give_the_same_peaks(num_frames, num_channels, block_frames):
    sound = noise(num_frames, num_channels)
    peaks = peaks_of(sound, block_frames)
    np.testing.assert_array_equal(peaks.pairs, exact(sound, peaks.samples_per_pixel))


@given(st.integers(1, 40_000), st.integers(1, 2), st.integers(1, 2000))
def test_merged_peaks_cover_every_sample_and_are_as_many_as_wanted(num_frames, channels, points):
    sound = noise(num_frames, channels, seed=points)
    kept = peaks_of(sound)
    merged = kept.merged(points)
    assert len(merged.pairs) <= max(points, 1)
    truth = exact(sound, merged.samples_per_pixel)
    assert len(truth) <= len(merged.pairs) <= len(truth) + 1
    ours = merged.pairs[: len(truth)]
    assert (ours[..., 0] <= truth[..., 0]).all()
    assert (ours[..., 1] >= truth[..., 1]).all()
    if merged.samples_per_pixel % kept.samples_per_pixel == 0:
        np.testing.assert_array_equal(ours, truth)


def test_a_merged_pair_reaches_no_further_than_one_part_on_either_side():
    sound = np.zeros((32 * 100, 1), np.int16)
    sound[32 * 50] = 9000
    merged = peaks_of(sound).merged(30)  # 107 samples each: not a multiple of 32
    marked = np.flatnonzero(merged.pairs[:, 0, 1])
    assert 15 * 107 > 32 * 50 >= 14 * 107
    assert set(marked) <= {14, 15}
    assert 14 in marked


def test_so_many_points_as_were_asked_for_come():
    ten_seconds = peaks_of(noise(160_000))
    for points in (1, 2, 100, 300, 640, 800, 1000):
        assert len(ten_seconds.merged(points).pairs) == points
    assert ten_seconds.merged(10_000).samples_per_pixel == ten_seconds.samples_per_pixel == 32


def test_long_sounds_are_kept_more_coarsely():
    num_frames = 600 * 44_100
    meter = PeakMeter(num_frames=num_frames, sample_rate_hz=44_100)
    silence = np.zeros(44_100, np.int16)
    for _ in meter.watch(silence for _ in range(600)):
        continue
    peaks = meter.peaks()
    assert len(peaks.pairs) <= MAX_PEAKS
    assert len(peaks.to_dat()) < 600_000


def test_the_json_is_that_of_audiowaveform():
    sound = np.array([0, 5, -300, 256] * 16 + [-1, 32_767, -32_768, -255], np.int16)
    peaks = peaks_of(sound[:, None])
    values = json.loads(peaks.to_json(Bits.SIXTEEN))
    assert values == {
        "version": 2,
        "channels": 1,
        "sample_rate": RATE_HZ,
        "samples_per_pixel": 32,
        "bits": 16,
        "length": 3,
        "data": [-300, 256, -300, 256, -32_768, 32_767],
    }
    assert json.loads(peaks.to_json(Bits.EIGHT))["data"] == [-1, 1, -1, 1, -128, 127]


def test_the_binary_is_that_of_audiowaveform():
    peaks = peaks_of(noise(100, 2))
    data = peaks.to_dat(Bits.EIGHT)
    assert struct.unpack("<iIiiIi", data[:24]) == (2, 1, RATE_HZ, 32, 4, 2)
    values = np.frombuffer(data[24:], np.int8)
    assert values.tolist() == json.loads(peaks.to_json(Bits.EIGHT))["data"]
    assert struct.unpack("<iI", peaks.to_dat(Bits.SIXTEEN)[:8]) == (2, 0)


def test_what_was_written_is_read():
    peaks = peaks_of(noise(5000, 2))
    again = Peaks.from_dat(peaks.to_dat())
    np.testing.assert_array_equal(again.pairs, peaks.pairs)
    assert (again.sample_rate_hz, again.samples_per_pixel) == (RATE_HZ, 32)


@given(st.binary(max_size=200))
def test_anything_else_is_no_peaks(data):
    with pytest.raises(ValueError, match=r"peaks|bytes"):
        Peaks.from_dat(data)


def test_a_file_that_was_cut_is_no_peaks():
    data = peaks_of(noise(5000)).to_dat()
    with pytest.raises(ValueError, match="cut"):
        Peaks.from_dat(data[:-1])


def test_the_program_writes_the_peaks_of_a_file(tmp_path):
    sound = noise(40_000, 2)
    soundfile.write(tmp_path / "a.wav", sound, RATE_HZ, subtype="PCM_16")
    command = [sys.executable, "-m", "jukebox_core.audio.peaks", "a.wav", "a.dat"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    written = Peaks.from_dat((tmp_path / "a.dat").read_bytes())
    np.testing.assert_array_equal(written.pairs, peaks_of(sound).pairs)


def test_the_program_says_what_is_no_sound(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no sound")
    command = [sys.executable, "-m", "jukebox_core.audio.peaks", "a.wav", "a.dat"]
    child = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert child.returncode == 1
    assert "cannot be read as sound" in child.stderr
    assert not (tmp_path / "a.dat").exists()
