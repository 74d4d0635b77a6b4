"""Take in files that strangers send: sound and codes, checked, and written anew in our own form.

`python -m jukebox_core.audio.intake (sound|codes|cut) SOURCE DESTINATION` is a process of its own,
with limits on its memory, its time and its output, because decoders have been seen to crash and a
few kilobytes can claim to be hours. It writes one line of JSON about what it found, or one sentence
about what is wrong with the file and status 65 (`EX_DATAERR`). Without torch.
"""

import argparse
import json
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from jukebox_core.audio.files import (
    BLOCK_FRAMES,
    DISK_REFUSED_STATUS,
    AudioFormat,
    PcmBlock,
    is_refused_by_disk,
    to_pcm,
    write_blocks,
)
from jukebox_core.audio.headers import check_is_whole, sniff_format
from jukebox_core.codes_file import ingest_codes
from jukebox_core.errors import AudioError, JukeboxError

REFUSED_STATUS = 65
MAX_SOUND_SEC = 600.0
MAX_CHANNELS = 8
SAMPLE_RATES_HZ = (8_000, 192_000)
"""Lowest and highest sample rate that is taken."""

SILENCE_PEAK = 16
"""Sound whose loudest 16-bit sample is below this (-66 dB) counts as silence."""

_WAV_ENCODINGS = frozenset(
    {"PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}
)
_UNKNOWN_FRAMES = 2**62
"""libsndfile names a number beyond this where the header names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFacts:
    """What a sound file turned out to be."""

    audio_format: str
    num_frames: int
    sample_rate_hz: int
    num_channels: int

    @property
    def duration_sec(self) -> float:
        """Of what was decoded, not of what the header says."""
        return self.num_frames / self.sample_rate_hz


def ingest_sound(source: Path, destination: Path) -> SoundFacts:
    """Decode a whole sound file and write it as a mono WAV file of 16 bits, at its own rate.

    The header is judged before anything is decoded; then one block at a time is in memory.

    Raises:
        AudioError: it is no WAV, FLAC, OGG or MP3 file, breaks off, is silent, empty or too long,
            or has channels or a sample rate that are not taken.
    """
    audio_format = sniff_format(source)
    check_is_whole(source, audio_format)
    with _open(source) as file:
        _check_header(file, audio_format)
        blocks = _Blocks(file)
        write_blocks(
            destination, blocks, sample_rate_hz=file.samplerate, audio_format=AudioFormat.WAV
        )
        _check_decoded(file, audio_format, blocks)
        return SoundFacts(
            audio_format=audio_format,
            num_frames=blocks.num_frames,
            sample_rate_hz=file.samplerate,
            num_channels=file.channels,
        )


def cut_sound(
    source: Path,
    destination: Path,
    *,
    start_sec: float,
    duration_sec: float | None,
    sample_rate_hz: int,
) -> int:
    """Write a part of a mono file at another sample rate; returns its number of samples.

    As many samples as the part lasts at the new rate, whole ones only, whatever the resampler
    makes of its end.

    Raises:
        AudioError: the part is not inside the file, or is silent.
    """
    with _open(source) as file:
        first, num_frames = _part(file, start_sec, duration_sec)
        num_samples: int = num_frames * sample_rate_hz // file.samplerate
        if num_samples < 1:
            raise AudioError("this part of the sound has no length")
        file.seek(first)
        blocks = _Resampled(_Blocks(file, num_frames), file.samplerate, sample_rate_hz, num_samples)
        write_blocks(
            destination, blocks, sample_rate_hz=sample_rate_hz, audio_format=AudioFormat.WAV
        )
    if blocks.peak < SILENCE_PEAK:
        raise AudioError("this part of the sound is silent")
    return num_samples


def _open(path: Path) -> Any:  # noqa: ANN401  (soundfile has no types)
    try:
        return soundfile.SoundFile(path)
    except soundfile.SoundFileError as error:
        raise AudioError("the file cannot be read as sound") from error


def _check_header(file: Any, audio_format: AudioFormat) -> None:  # noqa: ANN401
    lowest_hz, highest_hz = SAMPLE_RATES_HZ
    if file.format.removesuffix("EX").lower() != audio_format:
        raise AudioError(f"the file begins as {audio_format} and goes on as {file.format}")
    if audio_format is AudioFormat.WAV and file.subtype not in _WAV_ENCODINGS:
        raise AudioError(f"a WAV file with {file.subtype} inside is not taken, only plain samples")
    if not 1 <= file.channels <= MAX_CHANNELS:
        raise AudioError(f"the sound has {file.channels} channels; 1 to {MAX_CHANNELS} are taken")
    if not lowest_hz <= file.samplerate <= highest_hz:
        raise AudioError(
            f"the sound has a sample rate of {file.samplerate} Hz; {lowest_hz} to {highest_hz} are "
            "taken"
        )
    if file.frames == 0:
        raise AudioError("the sound has no length")
    if file.frames >= _UNKNOWN_FRAMES:
        raise AudioError("the sound's header does not tell its length: encode it anew from a file")
    if file.frames > MAX_SOUND_SEC * file.samplerate:
        length_sec = file.frames / file.samplerate
        raise AudioError(f"the sound says it lasts {length_sec:.6g} s; {MAX_SOUND_SEC:g} are taken")


def _check_decoded(file: Any, audio_format: AudioFormat, blocks: "_Blocks") -> None:  # noqa: ANN401
    if blocks.num_frames == 0:
        raise AudioError("the sound has no length")
    # The length of an MP3 file is a guess from its first frames.
    if audio_format is not AudioFormat.MP3 and blocks.num_frames < file.frames:
        raise AudioError(
            f"the sound breaks off: {blocks.num_frames} of {file.frames} frames can be decoded"
        )
    if blocks.peak < SILENCE_PEAK:
        raise AudioError("the sound is silent, folded to one channel")


class _Blocks:
    """The frames of an open file as int16 [n] blocks, folded to mono; counts what went by."""

    def __init__(self, file: Any, num_frames: int | None = None) -> None:  # noqa: ANN401
        self._file, self._wanted = file, num_frames
        self.num_frames = 0
        self.peak = 0

    def __iter__(self) -> Iterator[PcmBlock]:
        longest = int(MAX_SOUND_SEC * self._file.samplerate)
        while size := self._next_size():
            block = self._read(size)
            if not len(block):
                return
            self.num_frames += len(block)
            if self.num_frames > longest:
                raise AudioError(f"the sound lasts longer than {MAX_SOUND_SEC:g} s")
            pcm = to_pcm(block.mean(axis=1, dtype=np.float32))
            self.peak = max(self.peak, int(np.abs(pcm).max()))
            yield pcm

    def _next_size(self) -> int:
        if self._wanted is None:
            return BLOCK_FRAMES
        return min(BLOCK_FRAMES, self._wanted - self.num_frames)

    def _read(self, size: int) -> Any:  # noqa: ANN401
        try:
            return np.nan_to_num(self._file.read(size, dtype="float32", always_2d=True))
        except soundfile.SoundFileError as error:
            raise AudioError("the sound breaks off: it cannot be decoded to its end") from error


class _Resampled:
    """`blocks` at another rate, cut or filled with silence to exactly `num_samples`."""

    def __init__(self, blocks: _Blocks, from_hz: int, to_hz: int, num_samples: int) -> None:
        self._blocks, self._left = blocks, num_samples
        self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")
        self._is_same = from_hz == to_hz
        self.peak = 0

    def __iter__(self) -> Iterator[PcmBlock]:
        for block in self._blocks:
            yield self._take(block if self._is_same else self._resample(block, last=False))
        if not self._is_same:
            yield self._take(self._resample(np.zeros(0, np.int16), last=True))
        yield self._take(np.zeros(self._left, np.int16))

    def _resample(self, block: PcmBlock, *, last: bool) -> PcmBlock:
        samples = block.astype(np.float32) / np.float32(32_767.0)
        return to_pcm(self._stream.resample_chunk(samples, last=last))

    def _take(self, block: PcmBlock) -> PcmBlock:
        taken = block[: self._left]
        self._left -= len(taken)
        self.peak = max(self.peak, int(np.abs(taken).max(initial=0)))
        return taken


def _part(file: Any, start_sec: float, duration_sec: float | None) -> tuple[int, int]:  # noqa: ANN401
    """First frame and number of frames."""
    rate_hz, length = file.samplerate, file.frames
    first = round(start_sec * rate_hz)
    num_frames = length - first if duration_sec is None else round(duration_sec * rate_hz)
    # Half a millisecond is forgiven: clients send rounded seconds.
    if first >= length or first + num_frames > length + rate_hz // 2000:
        raise AudioError(
            f"the part does not lie inside the sound, which lasts {length / rate_hz} s"
        )
    return first, min(num_frames, length - first)


def limit_resources(*, memory_bytes: int, cpu_sec: int, file_bytes: int) -> None:
    """Bound what this process may take from now on; where the system cannot, it is not bound."""
    limits = (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_sec),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    )
    for kind, limit in limits:
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m jukebox_core.audio.intake", description=__doc__
    )
    parser.add_argument("what", choices=("sound", "codes", "cut"))
    parser.add_argument("source", type=Path)
    parser.add_argument("destination", type=Path)
    parser.add_argument("--start-sec", type=float, default=0.0)
    parser.add_argument("--duration-sec", type=float)
    parser.add_argument("--sample-rate-hz", type=int, default=44_100)
    parser.add_argument("--memory-bytes", type=int, default=1 << 30)
    parser.add_argument("--cpu-sec", type=int, default=60)
    parser.add_argument("--file-bytes", type=int, default=256 << 20)
    return parser.parse_args(arguments)


def _facts(wanted: argparse.Namespace) -> dict[str, Any]:
    if wanted.what == "sound":
        return asdict(ingest_sound(wanted.source, wanted.destination))
    if wanted.what == "codes":
        return asdict(ingest_codes(wanted.source, wanted.destination))
    num_samples = cut_sound(
        wanted.source,
        wanted.destination,
        start_sec=wanted.start_sec,
        duration_sec=wanted.duration_sec,
        sample_rate_hz=wanted.sample_rate_hz,
    )
    return {"num_samples": num_samples}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its status is 65, and one line tells why, when a file is refused.

    It is 74 when the disk takes nothing: that is nobody's fault who sent the file.
    """
    wanted = _arguments(arguments)
    limit_resources(
        memory_bytes=wanted.memory_bytes, cpu_sec=wanted.cpu_sec, file_bytes=wanted.file_bytes
    )
    try:
        facts = _facts(wanted)
    except (JukeboxError, OSError) as error:
        if is_refused_by_disk(error):
            sys.stderr.write(f"{error}\n")
            return DISK_REFUSED_STATUS
        if isinstance(error, OSError):
            raise
        # What is said here is for strangers, who need not know where files lie.
        sys.stderr.write(str(error).replace(str(wanted.destination), "the result") + "\n")
        return REFUSED_STATUS
    except MemoryError:
        sys.stderr.write("the file needs more memory than any that is taken\n")
        return REFUSED_STATUS
    sys.stdout.write(json.dumps(facts) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
