"""Pictures of sounds: what is heard is where it should be, in colors that are told apart."""

import struct
import zlib

import numpy as np
import pytest
import soundfile

from jukebox_core.audio.spectrogram import (
    MAX_COLUMNS,
    NUM_BANDS,
    analyze,
    color_map,
    picture,
    read_analysis,
    write_analysis_of,
)
from jukebox_core.errors import AudioError

RATE_HZ = 16_000


def sine(frequency_hz, duration_sec=2.0, rate_hz=RATE_HZ):
    return 0.5 * np.sin(
        2 * np.pi * frequency_hz * np.arange(round(duration_sec * rate_hz)) / rate_hz
    )


@pytest.fixture
def loudness_of(tmp_path):
    def analyzed(sound, rate_hz=RATE_HZ):
        soundfile.write(tmp_path / "a.wav", sound, rate_hz, subtype="PCM_16")
        return analyze(tmp_path / "a.wav")

    return analyzed


def pixels_of(png):
    """Indices [height, width] and colors [n, 3] of a PNG file with a palette."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        body = png[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack(">I", png[place + 8 + length : place + 12 + length])
        assert checksum == zlib.crc32(kind + body)
        chunks[kind] = body
        place += 12 + length
    width, height, depth, color_type = struct.unpack(">2I2B", chunks[b"IHDR"][:10])
    assert (depth, color_type) == (8, 3)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:], np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)


def test_a_higher_tone_is_drawn_higher(loudness_of):
    rows = [loudness_of(sine(hz)).mean(axis=1).argmax() for hz in (100, 400, 1600, 6400)]
    assert rows == sorted(rows, reverse=True)
    assert len(set(rows)) == 4


def test_what_is_heard_later_is_further_to_the_right(loudness_of):
    loudness = loudness_of(np.concatenate([np.zeros(RATE_HZ), sine(500, 1.0)]))
    columns = loudness.max(axis=0).astype(int)
    half = len(columns) // 2
    assert columns[: half - 5].max() < 64 < 200 < columns[half + 5 :].min()


def test_ten_minutes_have_no_more_columns_than_the_largest_picture(loudness_of):
    sound = np.tile(sine(500, 1.0), 600)
    assert loudness_of(sound).shape == (NUM_BANDS, MAX_COLUMNS)


def test_silence_one_sample_and_stereo_can_be_drawn(loudness_of):
    for sound in (np.zeros(8000), np.zeros(1), np.stack([sine(440), sine(880)], axis=1)):
        loudness = loudness_of(sound)
        pixels, _ = pixels_of(picture(loudness, width=50, height=20))
        assert pixels.shape == (20, 50)


def test_a_sound_without_samples_has_no_picture(loudness_of):
    with pytest.raises(AudioError, match="no samples"):
        loudness_of(np.zeros(0))


def test_a_picture_of_any_size_shows_the_same(loudness_of):
    loudness = loudness_of(np.concatenate([sine(300), sine(3000)]))
    for width, height in ((16, 16), (100, 256), (400, 256), (2048, 1024), (33, 700)):
        pixels, colors = pixels_of(picture(loudness, width=width, height=height))
        assert pixels.shape == (height, width)
        assert len(colors) == 256
        left, right = pixels[:, : width // 3], pixels[:, -(width // 3) :]
        assert left.mean(axis=1).argmax() > right.mean(axis=1).argmax()


def test_in_its_own_size_a_picture_is_what_was_analyzed(loudness_of):
    loudness = loudness_of(sine(300))
    height, width = loudness.shape
    pixels, _ = pixels_of(picture(loudness, width=width, height=height))
    np.testing.assert_array_equal(pixels, loudness)


def test_a_smaller_picture_has_the_means_of_the_larger(loudness_of):
    loudness = loudness_of(np.random.default_rng(0).uniform(-0.5, 0.5, RATE_HZ * 2))
    pixels, _ = pixels_of(picture(loudness, width=50, height=64))
    means = loudness.reshape(64, 4, 50, -1).mean(axis=(1, 3))
    np.testing.assert_allclose(pixels, means, atol=1.0)


def test_colors_become_lighter_step_by_step():
    linear = (color_map() / 255.0) ** 2.2
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > -1e-3).all()
    assert luminance[0] < 0.01
    assert luminance[-1] > 0.7
    assert len({tuple(color) for color in color_map().tolist()}) > 250


def test_what_was_written_is_read(tmp_path):
    soundfile.write(tmp_path / "a.wav", sine(440), RATE_HZ)
    write_analysis_of(tmp_path / "a.wav", tmp_path / "a.npz")
    np.testing.assert_array_equal(read_analysis(tmp_path / "a.npz"), analyze(tmp_path / "a.wav"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "a.wav"]


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", b"\x93NUMPY\x01\x00"])
def test_anything_else_is_damaged(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError):  # noqa: PT011  (numpy words it)
        read_analysis(tmp_path / "a.npz")


def test_a_file_that_was_cut_is_damaged(tmp_path):
    soundfile.write(tmp_path / "a.wav", sine(440), RATE_HZ)
    write_analysis_of(tmp_path / "a.wav", tmp_path / "a.npz")
    content = (tmp_path / "a.npz").read_bytes()
    for length in range(0, len(content), max(len(content) // 50, 1)):
        (tmp_path / "a.npz").write_bytes(content[:length])
        with pytest.raises(ValueError):  # noqa: PT011
            read_analysis(tmp_path / "a.npz")
