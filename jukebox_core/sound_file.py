"""Sound files as blocks of 16-bit samples: what `audio` and `transcode` share; no torch."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from jukebox_core.errors import AudioError

BLOCK_FRAMES = 16_384
"""Frames read or written at a time. Beware: libsndfile 1.2.2 crashed the whole process when a
minute of Vorbis was written in one call."""

PcmBlock = NDArray[np.int16]


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
    """Samples in [-1, 1] as 16-bit numbers; louder ones are clipped, not-a-number is silence."""
    clipped = np.clip(np.nan_to_num(samples, nan=0.0), -1.0, 1.0)
    return np.round(clipped * 32_767.0).astype(np.int16)


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
    try:
        with soundfile.SoundFile(
            path, "w", sample_rate_hz, num_channels, encoding, format=container
        ) as file:
            if comment:
                file.comment = comment
            for block in blocks:
                for start in range(0, len(block), BLOCK_FRAMES):
                    file.write(block[start : start + BLOCK_FRAMES])
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{path} cannot be written at {sample_rate_hz} Hz: {error}") from error
