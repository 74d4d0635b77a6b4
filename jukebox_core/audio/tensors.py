"""Sound files <-> tensors: mono float32 at the model's sample rate, full scale at 1."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.audio.files import AudioFormat, to_pcm, write_blocks
from jukebox_core.audio.reader import SoundReader
from jukebox_core.errors import AudioError

__all__ = ["AudioFormat", "map_audio", "read_audio", "resample", "write_audio"]


def read_audio(
    path: str | Path,
    *,
    sample_rate_hz: int,
    offset_sec: float = 0.0,
    duration_sec: float | None = None,
) -> Tensor:
    """Read a sound file, fold it to mono and bring it to `sample_rate_hz`.

    Args:
        path: a file of any kind that `SoundReader` reads, of any rate and number of channels.
        sample_rate_hz: wanted.
        offset_sec: where to begin reading.
        duration_sec: how much to read at most; None reads to the end.

    Returns:
        float32 [samples, 1], the mean of all channels. It is not clipped: as in the original,
        samples may lie beyond [-1, 1] where the file's do, or where resampling takes them there.

    Raises:
        AudioError: the file cannot be read, or holds nothing at that place.
    """
    try:
        sound = SoundReader(path)
        start, wanted = _part(sound, offset_sec, duration_sec)
        frames = sound.read(start_frame=start, num_frames=wanted)
        if not len(frames):
            raise AudioError(f"there is no sound at {offset_sec:g} s")
    except AudioError as error:
        raise AudioError(_with_name(path, error)) from error
    mono = torch.from_numpy(frames)
    return resample(mono, sound.sample_rate_hz, sample_rate_hz).unsqueeze(1)


@contextmanager
def map_audio(
    path: str | Path,
    *,
    sample_rate_hz: int,
    offset_sec: float = 0.0,
    duration_sec: float | None = None,
    folder: Path | None = None,
) -> Iterator[Tensor]:
    """The tensor that `read_audio` returns, mapped from a temporary file: for very long files.

    Memory does not grow with the length. `folder` is where the temporary file is (4 bytes per
    sample, deleted at the end of the block); None takes the system's folder for such files.

    Raises:
        AudioError: as `read_audio`.
    """
    with tempfile.TemporaryFile(dir=folder, prefix=".jukebox-") as stream:
        try:
            sound = SoundReader(path)
            start, wanted = _part(sound, offset_sec, duration_sec)
            blocks = sound.blocks(start_frame=start, num_frames=wanted)
            for block in _resampled(blocks, sound.sample_rate_hz, sample_rate_hz):
                stream.write(block.tobytes())
            if not stream.tell():
                raise AudioError(f"there is no sound at {offset_sec:g} s")
        except AudioError as error:
            raise AudioError(_with_name(path, error)) from error
        stream.flush()
        # "c": torch wants an array that may be written to; the file stays as it is.
        samples = np.memmap(stream, dtype=np.float32, mode="c")
        yield torch.from_numpy(samples).unsqueeze(1)


def _part(
    sound: SoundReader, offset_sec: float, duration_sec: float | None
) -> tuple[int, int | None]:
    """First frame and number of frames, in the file's own rate."""
    start = int(offset_sec * sound.sample_rate_hz)
    return start, None if duration_sec is None else round(duration_sec * sound.sample_rate_hz)


def _resampled(
    blocks: Iterator[NDArray[np.float32]], from_hz: int, to_hz: int
) -> Iterator[NDArray[np.float32]]:
    """As `resample`, block by block."""
    if from_hz == to_hz:
        yield from blocks
        return
    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(block, last=False)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def resample(samples: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """float32 [T] at one sample rate -> float32 [about T * to_hz / from_hz] at another."""
    if from_hz == to_hz:
        return samples
    resampled = soxr.resample(samples.numpy(), from_hz, to_hz)
    return torch.from_numpy(np.ascontiguousarray(resampled, dtype=np.float32))


def write_audio(
    path: str | Path,
    audio: Tensor | NDArray[np.float32],
    sample_rate_hz: int,
    *,
    audio_format: AudioFormat | None = None,
    comment: str | None = None,
) -> None:
    """Write one song in 16 bits; samples louder than 1 are clipped.

    Args:
        path: its folder must exist.
        audio: float32 [samples], or [samples, channels] of one or two, on any device.
        sample_rate_hz: of the audio; it is not resampled.
        audio_format: None goes by the suffix of `path`.
        comment: goes into the file's tags.

    Raises:
        AudioError: `audio` is not one song, or the file cannot be written.
    """
    samples = torch.as_tensor(audio).detach().float().cpu()
    if samples.ndim == 1:
        samples = samples[:, None]
    if samples.ndim != 2 or samples.shape[1] not in (1, 2):
        raise AudioError(
            f"audio has the shape {tuple(samples.shape)}; wanted [samples], or [samples, channels] "
            "of one or two channels"
        )
    write_blocks(
        Path(path),
        [to_pcm(samples.numpy())],
        sample_rate_hz=sample_rate_hz,
        num_channels=samples.shape[1],
        audio_format=audio_format,
        comment=comment,
    )


def _with_name(path: str | Path, error: AudioError) -> str:
    sentence = str(error)
    return sentence if str(path) in sentence else f"{path}: {sentence}"
