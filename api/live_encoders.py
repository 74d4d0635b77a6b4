"""Sound as a stream of bytes whose length nobody knows yet: WAV, and Opus in Ogg.

Encoded here and not in a child process as files are: a listener would wait for it to start, and
what is encoded are blocks of our own samples.
"""

import struct
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

Frames = NDArray[np.int16]

_OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
_UNKNOWN_BYTES = 0xFFFFFFFF
_BLOCK_FRAMES = 4_800


class LiveFormat(StrEnum):
    """The formats of a stream."""

    WAV = "wav"
    OGG = "ogg"


class LiveEncoder(Protocol):
    """Takes frames int16 [n, channels] and gives bytes; what is held back comes with `end`."""

    def add(self, frames: Frames) -> bytes:
        """What can be sent now."""
        ...

    def end(self) -> bytes:
        """The rest."""
        ...


class WavEncoder:
    """16-bit WAV. The sizes in its header are the largest there are, as programs that pipe write.

    RIFF sizes have 32 bits; players read such a file to its end.
    """

    def __init__(self, sample_rate_hz: int, num_channels: int) -> None:
        block_bytes = 2 * num_channels
        sizes = (sample_rate_hz, sample_rate_hz * block_bytes, block_bytes, 16)
        self._header = struct.pack("<4sI4s", b"RIFF", _UNKNOWN_BYTES, b"WAVE")
        self._header += struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, num_channels, *sizes)
        self._header += struct.pack("<4sI", b"data", _UNKNOWN_BYTES)

    def add(self, frames: Frames) -> bytes:
        """See `LiveEncoder`."""
        header, self._header = self._header, b""
        return header + frames.astype("<i2").tobytes()

    def end(self) -> bytes:
        """See `LiveEncoder`."""
        return self.add(np.zeros((0, 1), np.int16))


class _Sink:
    """What libsndfile writes to; it never goes back in a stream of Ogg."""

    def __init__(self) -> None:
        self._written = bytearray()
        self._num_bytes = 0

    def write(self, data: bytes) -> int:
        self._written += data
        self._num_bytes += len(data)
        return len(data)

    def seek(self, _offset: int, _whence: int = 0) -> int:
        return self._num_bytes

    def tell(self) -> int:
        return self._num_bytes

    def take(self) -> bytes:
        """Everything since the last time."""
        taken = bytes(self._written)
        self._written.clear()
        return taken


class OpusEncoder:
    """Opus in Ogg (RFC 7845), through libsndfile; other rates than Opus has become 48 kHz."""

    def __init__(self, sample_rate_hz: int, num_channels: int) -> None:
        rate_hz = sample_rate_hz if sample_rate_hz in _OPUS_RATES_HZ else _OPUS_RATES_HZ[-1]
        self._resampled: Any = None
        if rate_hz != sample_rate_hz:
            self._resampled = soxr.ResampleStream(
                sample_rate_hz, rate_hz, num_channels, dtype="int16"
            )
        self._sink, self._num_channels = _Sink(), num_channels
        self._file = soundfile.SoundFile(
            self._sink, "w", rate_hz, num_channels, subtype="OPUS", format="OGG"
        )

    def add(self, frames: Frames) -> bytes:
        """See `LiveEncoder`."""
        return self._add(frames, is_last=False)

    def end(self) -> bytes:
        """See `LiveEncoder`."""
        written = self._add(np.zeros((0, self._num_channels), np.int16), is_last=True)
        self._file.close()
        return written + self._sink.take()

    def _add(self, frames: Frames, *, is_last: bool) -> bytes:
        frames = np.ascontiguousarray(frames)
        if self._resampled is not None:
            frames = self._resampled.resample_chunk(frames, last=is_last)
        for start in range(0, len(frames), _BLOCK_FRAMES):
            self._file.write(frames[start : start + _BLOCK_FRAMES])
        self._file.flush()
        return self._sink.take()


ENCODERS: dict[LiveFormat, Callable[[int, int], LiveEncoder]] = {
    LiveFormat.WAV: WavEncoder,
    LiveFormat.OGG: OpusEncoder,
}
