"""Sound files as blocks of 16-bit samples: what `audio` and `transcode` share; no torch."""

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from jukebox_core.disk_errors import FULL_DISK_ERRNOS
from jukebox_core.errors import AudioError

BLOCK_FRAMES = 16_384
"""Frames read or written at a time. Beware: libsndfile 1.2.2 crashed the whole process when a
minute of Vorbis was written in one call."""

DISK_REFUSED_STATUS = 74
"""Exit status (`EX_IOERR`) of the programs that write sound, when the disk is full or broken."""
_DISK_ERRNOS = FULL_DISK_ERRNOS | {errno.EIO}

PcmBlock = NDArray[np.int16]
FloatBlock = NDArray[np.float32]


class AudioFormat(StrEnum):
    """The formats that songs are kept in; the value is also the file's suffix without the dot."""

    WAV = "wav"
    FLAC = "flac"
    OGG = "ogg"
    MP3 = "mp3"

    @property
    def media_type(self) -> str:
        """What HTTP calls it."""
        return _MEDIA_TYPES[self]

    @classmethod
    def from_path(cls, path: Path) -> "AudioFormat":
        """The format that the suffix of a file promises.

        Raises:
            AudioError: the suffix is none of ours.
        """
        try:
            return cls(path.suffix.lower().removeprefix("."))
        except ValueError:
            wanted = ", ".join(f".{each}" for each in cls)
            raise AudioError(f"{path.name} ends in none of {wanted}") from None


_MEDIA_TYPES = {
    AudioFormat.WAV: "audio/wav",
    AudioFormat.FLAC: "audio/flac",
    AudioFormat.OGG: "audio/ogg",
    AudioFormat.MP3: "audio/mpeg",
}

_ENCODINGS: dict[AudioFormat, tuple[str, str]] = {
    AudioFormat.WAV: ("WAV", "PCM_16"),
    AudioFormat.FLAC: ("FLAC", "PCM_16"),
    AudioFormat.OGG: ("OGG", "VORBIS"),
    AudioFormat.MP3: ("MP3", "MPEG_LAYER_III"),
}


def to_pcm(samples: NDArray[np.float32]) -> PcmBlock:
    """Samples in [-1, 1] as 16-bit numbers; louder ones are clipped, not-a-number is silence.

    The scale is the one that readers divide by, so that 16-bit sound comes back as it was.
    """
    scaled = np.round(np.nan_to_num(samples, nan=0.0) * np.float32(32_768.0))
    return np.clip(scaled, -32_768.0, 32_767.0).astype(np.int16)


@contextmanager
def open_sound(path: Path) -> Iterator[Any]:
    """The `soundfile.SoundFile` at `path`, for reading.

    Raises:
        AudioError: the file is not there or is no sound; also for faults met while reading.
    """
    if not path.is_file():
        raise AudioError(f"there is no sound file {path}")
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except soundfile.SoundFileError as error:
        raise AudioError(f"{path} cannot be read as sound: {error}") from error


def write_blocks(
    path: Path,
    blocks: Iterable[PcmBlock],
    *,
    sample_rate_hz: int,
    num_channels: int = 1,
    audio_format: AudioFormat | None = None,
    comment: str | None = None,
) -> None:
    """Write blocks of any length, int16 [frames] or [frames, channels], one after the other.

    `audio_format` None goes by the suffix. `comment` is kept in the file's tags.

    Raises:
        AudioError: the format cannot hold this sample rate, or the disk refuses.
    """
    container, encoding = _ENCODINGS[audio_format or AudioFormat.from_path(path)]
    is_safe = container != "MP3" or num_channels == 1
    samples = blocks if is_safe else (_as_32_bits(block) for block in blocks)
    _write(path, samples, sample_rate_hz, num_channels, container, encoding, comment)


def _as_32_bits(block: PcmBlock) -> NDArray[np.int32]:
    """The same samples in 32 bits.

    Beware: libsndfile 1.2.2 makes loud noise of 16-bit samples in MP3 files of two channels.
    """
    return block.astype(np.int32) << 16


def write_float_blocks(path: Path, blocks: Iterable[FloatBlock], *, sample_rate_hz: int) -> None:
    """Write float32 [frames] blocks as a mono WAV file of float32, in which nothing is lost.

    Raises:
        AudioError: the disk refuses.
    """
    _write(path, blocks, sample_rate_hz, 1, "WAV", "FLOAT", None)


def _write(
    path: Path,
    blocks: Iterable[PcmBlock | NDArray[np.int32] | FloatBlock],
    sample_rate_hz: int,
    num_channels: int,
    container: str,
    encoding: str,
    comment: str | None,
) -> None:
    try:
        with (
            _CheckedFile(path) as checked,
            soundfile.SoundFile(
                checked, "w", sample_rate_hz, num_channels, encoding, format=container
            ) as file,
        ):
            if comment:
                file.comment = comment
            for block in blocks:
                for start in range(0, len(block), BLOCK_FRAMES):
                    file.write(block[start : start + BLOCK_FRAMES])
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{path} cannot be written at {sample_rate_hz} Hz: {error}") from error


class _CheckedFile:
    """A new file that libsndfile writes to, with what the system says about it.

    Beware: libsndfile 1.2.2 writes the end of FLAC, Ogg and MP3 files when it closes them, and does
    not tell when the disk is full by then: the file is cut short and everything seems well.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self._error: OSError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raises OSError when something could not be written, whatever libsndfile says."""
        self._file.close()
        if self._error is not None:
            raise self._error

    def write(self, data: bytes) -> int:
        """How many bytes were written. Never raises: libsndfile's callbacks cannot."""
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._error = self._error or error
        return len(data) - len(left)

    def read(self, size: int = -1) -> bytes:
        """As of any file."""
        return self._file.read(size) or b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of any file."""
        return self._file.tell()


def is_refused_by_disk(error: BaseException) -> bool:
    """Whether this, or what caused it, is the system's word that the disk takes nothing more."""
    reasons = (error, error.__cause__)
    return any(isinstance(each, OSError) and each.errno in _DISK_ERRNOS for each in reasons)
