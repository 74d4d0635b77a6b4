import struct
import zlib

import numpy as np

from cli.terminal.picture import (
    colors,
    spectrogram,
    terminal_picture,
    write_png,
    write_spectrogram,
)

RATE_HZ = 16_000


def sine(frequency_hz, duration_sec=0.5):
    time_sec = np.arange(int(duration_sec * RATE_HZ)) / RATE_HZ
    return np.sin(2 * np.pi * frequency_hz * time_sec).astype(np.float32)


def test_a_higher_tone_is_drawn_higher():
    rows = [
        spectrogram(sine(hz), RATE_HZ, num_columns=10, num_rows=24).mean(axis=1).argmax()
        for hz in (200, 800, 3200)
    ]
    assert rows[0] > rows[1] > rows[2]


def test_silence_and_a_sound_shorter_than_a_window_can_be_drawn():
    for audio in (np.zeros(8000, np.float32), sine(440, 0.01), np.zeros(0, np.float32)):
        values = spectrogram(audio, RATE_HZ, num_columns=5, num_rows=6)
        assert values.shape == (6, 5)
        assert np.isfinite(values).all()


def test_the_png_holds_the_pixels(tmp_path):
    pixels = colors(np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4))
    write_png(tmp_path / "a.png", pixels)
    data = (tmp_path / "a.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">2I", data[16:24]) == (4, 3)
    start = data.index(b"IDAT") + 4
    length = struct.unpack(">I", data[start - 8 : start - 4])[0]
    rows = np.frombuffer(zlib.decompress(data[start : start + length]), np.uint8).reshape(3, 13)
    np.testing.assert_array_equal(rows[:, 1:].reshape(3, 4, 3), pixels)
    assert (rows[:, 0] == 0).all()


def test_a_spectrogram_file_is_small(tmp_path):
    write_spectrogram(tmp_path / "a.png", sine(440), RATE_HZ)
    assert 100 < (tmp_path / "a.png").stat().st_size < 500_000


def test_the_terminal_picture_has_twelve_lines():
    picture = terminal_picture(sine(440), RATE_HZ, num_columns=30)
    assert [len(line) for line in picture.plain.splitlines()] == [30] * 12
