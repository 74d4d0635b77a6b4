"""Waveforms to draw: the lowest and highest sample of each part of a sound; no torch.

Peaks are computed once, when a sound is made, at a resolution fine enough for every screen, and
kept beside the sound. Coarser ones are merged from these. The formats are those of audiowaveform
(its `doc/DataFormat.md`), which wavesurfer.js, peaks.js and waveform-data.js read.

`python -m jukebox_core.audio.peaks SRC DST` computes the peaks of a sound file.
"""

import json
import math
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jukebox_core.atomic_files import whole_file
from jukebox_core.audio.derive import derive
from jukebox_core.audio.files import BLOCK_FRAMES, PcmBlock, open_sound
from jukebox_core.errors import AudioError

MAX_PEAKS = 2**17
"""Pairs that are kept of one sound at most, per channel."""
_FINEST_SAMPLES_PER_PIXEL = 32
_JSON_VALUES = 4096
_VERSION = 2
_HEADER = struct.Struct("<iIiiIi")
_8_BIT_FLAG = 1
_8_BIT_DIVISOR = 256


class Bits(IntEnum):
    """Bits of each value that is written."""

    EIGHT = 8
    SIXTEEN = 16


@dataclass(frozen=True, slots=True, eq=False)
class Peaks:
    """The peaks of one sound.

    pairs  int16 [length, channels, 2]: the lowest and the highest sample of each part
    samples_per_pixel  samples per channel in each part; the last one may have fewer
    """

    pairs: NDArray[np.int16]
    sample_rate_hz: int
    samples_per_pixel: int

    def merged(self, num_points: int) -> "Peaks":
        """At most `num_points` pairs per channel, or all of them if there are not more.

        A pair covers its part of the sound and up to one part of these peaks on either side, so
        that no peak is ever lost; it is exact where the new samples per pixel are a multiple.
        """
        length, old = len(self.pairs), self.samples_per_pixel
        new = max(math.ceil(length * old / num_points), old)
        if new == old:
            return self
        first = np.arange(math.ceil(length * old / new)) * new
        starts, ends = first // old, np.minimum(-(-(first + new) // old), length)
        # `reduceat` takes pairs of bounds; the last bound must be an index that exists.
        bounds = np.stack([starts, ends], axis=1).ravel()
        rows = np.concatenate([self.pairs, self.pairs[-1:]])
        lowest = np.minimum.reduceat(rows[..., 0], bounds)[::2]
        highest = np.maximum.reduceat(rows[..., 1], bounds)[::2]
        return Peaks(np.stack([lowest, highest], axis=-1), self.sample_rate_hz, new)

    def to_json(self, bits: Bits = Bits.SIXTEEN) -> str:
        """The JSON of audiowaveform: `data` has lowest and highest values by turns."""
        values = {
            "version": _VERSION,
            "channels": self.pairs.shape[1],
            "sample_rate": self.sample_rate_hz,
            "samples_per_pixel": self.samples_per_pixel,
            "bits": int(bits),
            "length": len(self.pairs),
        }
        head = json.dumps(values, separators=(",", ":")).removesuffix("}")
        data = self._values(bits).ravel()
        # In parts, so that the threads of a service take turns: the encoder lets nobody interrupt.
        parts = (data[start : start + _JSON_VALUES] for start in range(0, len(data), _JSON_VALUES))
        texts = [json.dumps(part.tolist(), separators=(",", ":"))[1:-1] for part in parts]
        return f'{head},"data":[{",".join(texts)}]}}'

    def to_dat(self, bits: Bits = Bits.SIXTEEN) -> bytes:
        """The binary format of audiowaveform: a header of 24 bytes, and the same values."""
        flags = _8_BIT_FLAG if bits is Bits.EIGHT else 0
        length, num_channels, _ = self.pairs.shape
        header = _HEADER.pack(
            _VERSION, flags, self.sample_rate_hz, self.samples_per_pixel, length, num_channels
        )
        values = self._values(bits)
        return header + values.astype(values.dtype.newbyteorder("<")).tobytes()

    @classmethod
    def from_dat(cls, data: bytes) -> "Peaks":
        """Inverse of `to_dat` with 16 bits. Raises ValueError for anything else."""
        if len(data) < _HEADER.size:
            raise ValueError(f"{len(data)} bytes are no peaks: the header alone has {_HEADER.size}")
        version, flags, rate_hz, samples_per_pixel, length, channels = _HEADER.unpack_from(data)
        num_bytes = _HEADER.size + length * channels * 2 * 2
        if (version, flags) != (_VERSION, 0) or min(rate_hz, samples_per_pixel, channels) < 1:
            raise ValueError("these are no peaks of 16 bits in version 2 of the format")
        if len(data) != num_bytes:
            raise ValueError(f"peaks of {num_bytes} bytes are cut to {len(data)}")
        pairs = np.frombuffer(data, dtype="<i2", offset=_HEADER.size).astype(np.int16)
        return cls(pairs.reshape(length, channels, 2), rate_hz, samples_per_pixel)

    def _values(self, bits: Bits) -> NDArray[np.integer]:
        if bits is Bits.SIXTEEN:
            return self.pairs
        return (self.pairs / _8_BIT_DIVISOR).astype(np.int8)  # towards zero: silence stays silent


class PeakMeter:
    """Finds the peaks of a sound while its samples pass by, in the finest resolution kept."""

    def __init__(self, *, num_frames: int, sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._samples_per_pixel = _FINEST_SAMPLES_PER_PIXEL
        while num_frames > self._samples_per_pixel * MAX_PEAKS:
            self._samples_per_pixel *= 2
        self._rest: PcmBlock = np.empty((0, 0), dtype=np.int16)
        self._found: list[NDArray[np.int16]] = []

    def watch(self, blocks: Iterable[PcmBlock]) -> Iterator[PcmBlock]:
        """Pass blocks on as they are, int16 [frames] or [frames, channels], and measure them."""
        for block in blocks:
            self._add(block.reshape(len(block), -1))
            yield block

    def peaks(self) -> Peaks:
        """The peaks of everything that passed. Raises AudioError when nothing did."""
        found = self._found
        if len(self._rest):
            found = [*found, _pairs(self._rest[None])]
        if not found:
            raise AudioError("a sound without samples has no peaks")
        return Peaks(np.concatenate(found), self._sample_rate_hz, self._samples_per_pixel)

    def _add(self, block: PcmBlock) -> None:
        if len(self._rest):
            block = np.concatenate([self._rest, block])
        num_whole = len(block) // self._samples_per_pixel
        end = num_whole * self._samples_per_pixel
        if num_whole:
            parts = block[:end].reshape(num_whole, self._samples_per_pixel, block.shape[1])
            self._found.append(_pairs(parts))
        self._rest = block[end:].copy()


def _pairs(parts: PcmBlock) -> NDArray[np.int16]:
    """int16 [parts, samples, channels] -> [parts, channels, 2]."""
    return np.stack([parts.min(axis=1), parts.max(axis=1)], axis=-1)


def read_peaks(path: Path) -> Peaks:
    """The peaks in a file. Raises ValueError, FileNotFoundError."""
    return Peaks.from_dat(path.read_bytes())


def write_peaks_of(source: Path, destination: Path) -> None:
    """Write the peaks of a sound file; the result appears whole or not at all.

    Raises:
        AudioError: the sound cannot be read, or has no samples.
        OSError: the disk refuses.
    """
    with open_sound(source) as file:
        meter = PeakMeter(num_frames=file.frames, sample_rate_hz=file.samplerate)
        for _ in meter.watch(file.blocks(BLOCK_FRAMES, dtype="int16")):
            continue
    with whole_file(destination) as unfinished:
        unfinished.write_bytes(meter.peaks().to_dat())


if __name__ == "__main__":
    sys.exit(derive("peaks", __doc__, write_peaks_of))
