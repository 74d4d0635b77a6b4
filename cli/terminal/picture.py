"""A sound as a picture: a spectrogram for the terminal, and as a PNG file."""

import itertools
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.color import Color
from rich.style import Style
from rich.text import Text

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

_FLOOR_DB = -80.0
_LOWEST_HZ = 50.0
# From silence to loud: night, violet, red, amber, white.
_COLOURS = np.array(
    [[8, 8, 24], [70, 20, 110], [190, 50, 80], [250, 170, 50], [255, 250, 220]], dtype=np.float64
)
_UPPER_HALF = "\N{UPPER HALF BLOCK}"


def read_mono(path: Path) -> tuple[Floats, int]:
    """The sound of a file folded to one channel, float32 [T], and its sample rate in Hz."""
    import soundfile

    audio, sample_rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return audio.mean(axis=1), int(sample_rate_hz)


def spectrogram(audio: Floats, sample_rate_hz: int, *, num_columns: int, num_rows: int) -> Floats:
    """Loudness over time and pitch, float32 [num_rows, num_columns] in 0..1.

    Row 0 is the highest pitch; rows are spaced evenly in octaves. 0 is 80 dB below the loudest.
    """
    window_samples = min(2048, max(len(audio), 16))
    padded = np.pad(audio, (0, max(0, window_samples - len(audio))))
    starts = np.linspace(0, len(padded) - window_samples, num_columns).astype(int)
    frames = np.stack([padded[start : start + window_samples] for start in starts])
    power = np.abs(np.fft.rfft(frames * np.hanning(window_samples), axis=1)) ** 2
    edges_hz = np.geomspace(_LOWEST_HZ, sample_rate_hz / 2, num_rows + 1)
    edges = (edges_hz * window_samples / sample_rate_hz).astype(int)
    bands = [
        power[:, low : max(high, low + 1)].mean(axis=1) for low, high in itertools.pairwise(edges)
    ]
    loudness = np.stack(bands[::-1])
    decibels = 10.0 * np.log10(loudness / max(float(loudness.max()), 1e-12) + 1e-12)
    return np.clip(1.0 - decibels / _FLOOR_DB, 0.0, 1.0).astype(np.float32)


def colors(values: Floats) -> Pixels:
    """Values in 0..1 as colors, uint8 [..., 3]."""
    stops = np.linspace(0.0, 1.0, len(_COLOURS))
    channels = [np.interp(values, stops, _COLOURS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def terminal_picture(audio: Floats, sample_rate_hz: int, *, num_columns: int = 72) -> Text:
    """Twelve lines of colored half blocks: 24 bands of pitch, the lowest at the bottom."""
    pixels = colors(spectrogram(audio, sample_rate_hz, num_columns=num_columns, num_rows=24))
    picture = Text(no_wrap=True)
    for upper, lower in zip(pixels[0::2], pixels[1::2], strict=True):
        for above, below in zip(upper, lower, strict=True):
            style = Style(color=_color(above), bgcolor=_color(below))
            picture.append(_UPPER_HALF, style)
        picture.append("\n")
    picture.rstrip()
    return picture


def write_png(path: Path, pixels: Pixels) -> None:
    """Write uint8 [height, width, 3] as an 8-bit RGB PNG (W3C PNG specification, 3rd edition)."""
    height, width, _ = pixels.shape
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    rows = np.pad(pixels.reshape(height, width * 3), ((0, 0), (1, 0)))  # filter type 0 on each row
    data = zlib.compress(rows.tobytes(), 9)
    parts = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in parts))


def write_spectrogram(path: Path, audio: Floats, sample_rate_hz: int) -> None:
    """Write a spectrogram of 800 by 240 pixels as a PNG file."""
    values = spectrogram(audio, sample_rate_hz, num_columns=800, num_rows=240)
    write_png(path, colors(values))


def _color(pixel: Pixels) -> Color:
    red, green, blue = (int(part) for part in pixel)
    return Color.from_rgb(red, green, blue)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
