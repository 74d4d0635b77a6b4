"""Pictures of sounds: mel spectrograms as small PNG files; no torch.

A sound is analyzed once, in the resolution of the largest picture, and the result is kept beside
it; a picture of any size is made from that in milliseconds.

`python -m jukebox_core.audio.spectrogram SRC DST` analyzes a sound file.
"""

import math
import struct
import sys
import zipfile
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jukebox_core.atomic_files import whole_file
from jukebox_core.audio.derive import derive
from jukebox_core.audio.files import open_sound
from jukebox_core.errors import AudioError

Loudness = NDArray[np.uint8]
"""uint8 [bands, columns]: 255 is the loudest of the sound, 0 is 80 dB below; the top is row 0."""

NUM_BANDS = 256
MAX_COLUMNS = 2048
_COLUMN_SEC = 0.01
_WINDOW_SEC = 0.046
_MAX_WINDOWS_PER_COLUMN = 8
_LOWEST_HZ = 30.0
_HIGHEST_HZ = 18_000.0
_RANGE_DB = 80.0


def analyze(path: Path) -> Loudness:
    """The loudness of a sound over time and pitch; bands are evenly spaced in mel.

    A column averages the power of up to eight windows. Raises AudioError.
    """
    with open_sound(path) as file:
        num_frames, rate_hz = int(file.frames), int(file.samplerate)
        if not num_frames:
            raise AudioError(f"{path} has no samples, so it has no picture")
        window_frames = 2 ** round(np.log2(_WINDOW_SEC * rate_hz))
        num_columns = min(max(round(num_frames / (_COLUMN_SEC * rate_hz)), 1), MAX_COLUMNS)
        column_frames = num_frames / num_columns
        num_windows = round(2 * column_frames / window_frames)
        num_windows = min(max(num_windows, 1), _MAX_WINDOWS_PER_COLUMN)
        offsets = (np.arange(num_windows) + 0.5) / num_windows
        filters = _mel_filters(rate_hz, window_frames)
        shape = np.hanning(window_frames).astype(np.float32)
        power = np.empty((NUM_BANDS, num_columns), dtype=np.float32)
        for column in range(num_columns):
            centers = ((column + offsets) * column_frames).astype(int)
            windows = [_window(file, center, window_frames, num_frames) for center in centers]
            spectra = np.abs(np.fft.rfft(np.stack(windows) * shape, axis=1)) ** 2
            power[:, column] = filters @ spectra.mean(axis=0).astype(np.float32)
    decibels = 10.0 * np.log10(np.maximum(power, 1e-10) / max(float(power.max()), 1e-10))
    scaled = np.clip(1.0 + decibels / _RANGE_DB, 0.0, 1.0)
    return np.round(scaled[::-1] * 255.0).astype(np.uint8)


def _window(file: Any, center: int, num_frames: int, end: int) -> NDArray[np.float32]:  # noqa: ANN401
    """Frames around `center` as mono float32 [num_frames]; silence outside of the sound."""
    start = center - num_frames // 2
    before = max(-start, 0)
    file.seek(max(start, 0))
    wanted = min(start + num_frames, end) - max(start, 0)
    frames = file.read(wanted, dtype="float32", always_2d=True).mean(axis=1)
    padded: NDArray[np.float32] = np.pad(frames, (before, num_frames - before - len(frames)))
    return padded


def _mel_filters(rate_hz: int, window_frames: int) -> NDArray[np.float32]:
    """Triangles over the frequencies of a window, float32 [bands, bins], each of sum 1.

    None is narrower than the distance between two bins, so none is empty.
    """
    bins_hz = np.fft.rfftfreq(window_frames, 1.0 / rate_hz)
    highest_hz = min(_HIGHEST_HZ, rate_hz / 2.0)
    mels = np.linspace(_mel(_LOWEST_HZ), _mel(highest_hz), NUM_BANDS + 2)
    edges_hz = 700.0 * (np.exp(mels / 1127.0) - 1.0)
    low, center, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising = (bins_hz - center) / np.maximum(center - low, bins_hz[1])
    falling = (bins_hz - center) / np.maximum(high - center, bins_hz[1])
    filters = np.maximum(np.minimum(1.0 + rising, 1.0 - falling), 0.0)
    filters /= np.maximum(filters.sum(axis=1, keepdims=True), 1e-12)
    result: NDArray[np.float32] = filters.astype(np.float32)
    return result


def _mel(frequency_hz: float) -> float:
    return 1127.0 * math.log1p(frequency_hz / 700.0)


def write_analysis_of(source: Path, destination: Path) -> None:
    """Analyze a sound file; the result appears whole or not at all.

    Raises:
        AudioError: the sound cannot be read, or has no samples.
        OSError: the disk refuses.
    """
    loudness = analyze(source)
    with whole_file(destination) as unfinished:
        np.savez_compressed(unfinished, loudness=loudness)


def read_analysis(path: Path) -> Loudness:
    """What `write_analysis_of` wrote. Raises ValueError, FileNotFoundError."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            loudness: Loudness = arrays["loudness"]
    except (KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
    if loudness.dtype != np.uint8 or loudness.ndim != 2 or not loudness.size:
        raise ValueError(f"{path.name} holds {loudness.dtype} {list(loudness.shape)}, no picture")
    return loudness


def picture(loudness: Loudness, *, width: int, height: int) -> bytes:
    """A PNG file of any size, in at most 256 colors."""
    values = _resized(_resized(loudness.astype(np.float32), height, axis=0), width, axis=1)
    return _indexed_png(np.round(values).astype(np.uint8), color_map())


def _resized(values: NDArray[np.float32], size: int, *, axis: int) -> NDArray[np.float32]:
    """Means over equal parts where there are fewer of them than values, else interpolated."""
    values = np.moveaxis(values, axis, 0)
    old = len(values)
    if size < old:
        sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
        edges = _at(sums, np.linspace(0.0, old, size + 1))
        values = np.diff(edges, axis=0) / np.float32(old / size)
    elif size > old:
        centers = (np.arange(size) + 0.5) * (old / size) - 0.5
        values = _at(values, np.clip(centers, 0.0, old - 1.0))
    return np.moveaxis(values, 0, axis)


def _at(values: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float32]:
    """Values between those of whole indices, along the first axis."""
    below = np.minimum(places.astype(int), len(values) - 1)
    above = np.minimum(below + 1, len(values) - 1)
    share = (places - below).astype(np.float32)[:, None]
    mixed: NDArray[np.float32] = values[below] * (1.0 - share) + values[above] * share
    return mixed


@cache
def color_map() -> NDArray[np.uint8]:
    """256 colors from dark violet over magenta and orange to pale yellow, uint8 [256, 3].

    Perceptually uniform: lightness rises evenly in OKLab (B. Ottosson, 2020, public domain), so
    equal steps in decibels look equal, also in gray and to color-blind eyes.
    """
    place = np.linspace(0.0, 1.0, 256)
    lightness = 0.12 + 0.85 * place
    hue = np.radians(np.interp(place, [0.0, 0.35, 0.7, 1.0], [285.0, 345.0, 415.0, 465.0]))
    chroma = np.interp(place, [0.0, 0.25, 0.6, 1.0], [0.04, 0.15, 0.17, 0.07])
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    cubes = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ]
    )
    to_linear_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(to_linear_rgb @ cubes**3, 0.0, 1.0).T
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(encoded * 255.0).astype(np.uint8)


def _indexed_png(pixels: NDArray[np.uint8], colors: NDArray[np.uint8]) -> bytes:
    """uint8 [height, width] as PNG with a palette (W3C PNG specification, 3rd edition)."""
    height, width = pixels.shape
    header = struct.pack(">2I5B", width, height, 8, 3, 0, 0, 0)
    rows = np.pad(pixels, ((0, 0), (1, 0)))  # filter type 0 before each row
    parts = (
        *((b"IHDR", header), (b"PLTE", colors.tobytes())),
        *((b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b"")),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in parts)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


if __name__ == "__main__":
    sys.exit(derive("spectrogram", __doc__, write_analysis_of))
