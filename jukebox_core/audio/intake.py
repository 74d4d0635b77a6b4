"""Check untrusted files: decode sound to its end, cut prompts from it, rewrite codes. No torch.

`python -m jukebox_core.audio.intake (sound|codes|cut) SOURCE [DESTINATION]` is a process of its own
with limits on its memory, time and output, because decoders have been seen to crash and a few
kilobytes can claim to be hours. It prints one line of JSON about what it found; or one sentence
about what is wrong with the file, with status 65 (`EX_DATAERR`).
"""

import argparse
import json
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from jukebox_core.audio.files import DISK_REFUSED_STATUS, is_refused_by_disk, write_float_blocks
from jukebox_core.audio.reader import Samples, SoundReader
from jukebox_core.codes_file import ingest_codes
from jukebox_core.errors import AudioError, JukeboxError

REFUSED_STATUS = 65
MAX_SOUND_SEC = 600.0
MAX_CHANNELS = 8
SAMPLE_RATES_HZ = (8_000, 192_000)
"""Lowest and highest sample rate that is taken."""

SILENCE_PEAK = 16 / 32_768
"""Sound whose loudest sample is below this (-66 dB) counts as silence."""


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


def check_sound(source: Path) -> SoundFacts:
    """Decode a whole sound file, a block at a time. The file itself is what is stored.

    A length that the header names is judged before anything is decoded.

    Raises:
        AudioError: `SoundReader` refuses it, or it is silent, too long, or has channels or a sample
            rate that are not taken.
    """
    sound = SoundReader(source)
    _check_header(sound)
    peak = 0.0
    for block in sound.blocks():
        _check_length(sound)
        peak = max(peak, float(np.abs(block).max()))
    if peak < SILENCE_PEAK:
        raise AudioError("the sound is silent, folded to one channel")
    return SoundFacts(
        audio_format=sound.kind,
        num_frames=sound.num_frames,
        sample_rate_hz=sound.sample_rate_hz,
        num_channels=sound.num_channels,
    )


def cut_sound(
    source: Path,
    destination: Path,
    *,
    start_sec: float,
    duration_sec: float | None,
    sample_rate_hz: int,
) -> int:
    """Write a part of a sound file as mono float32 WAV of another sample rate.

    Returns its number of samples: as many whole ones as the part lasts at the new rate, whatever
    the resampler makes of its end.

    Raises:
        AudioError: the part is not inside the file, or is silent.
    """
    sound = SoundReader(source)
    _check_header(sound)
    first = round(start_sec * sound.sample_rate_hz)
    num_frames = None if duration_sec is None else round(duration_sec * sound.sample_rate_hz)
    part = _Resampled(sound, first, num_frames, sample_rate_hz)
    write_float_blocks(destination, part, sample_rate_hz=sample_rate_hz)
    if part.peak < SILENCE_PEAK:
        raise AudioError("this part of the sound is silent")
    return part.num_samples


def _check_header(sound: SoundReader) -> None:
    lowest_hz, highest_hz = SAMPLE_RATES_HZ
    if not 1 <= sound.num_channels <= MAX_CHANNELS:
        raise AudioError(
            f"the sound has {sound.num_channels} channels; 1 to {MAX_CHANNELS} can be read"
        )
    if not lowest_hz <= sound.sample_rate_hz <= highest_hz:
        raise AudioError(
            f"the sound has a sample rate of {sound.sample_rate_hz} Hz; {lowest_hz} to "
            f"{highest_hz} are taken"
        )
    if (sound.named_frames or 0) > MAX_SOUND_SEC * sound.sample_rate_hz:
        length_sec = (sound.named_frames or 0) / sound.sample_rate_hz
        raise AudioError(f"the sound lasts {length_sec:.6g} s, longer than {MAX_SOUND_SEC:g} s")


def _check_length(sound: SoundReader) -> None:
    if sound.num_frames > MAX_SOUND_SEC * sound.sample_rate_hz:
        raise AudioError(f"the sound lasts longer than {MAX_SOUND_SEC:g} s")


class _Resampled:
    """A part of a sound at another sample rate: float32 blocks, `num_samples` together."""

    def __init__(self, sound: SoundReader, first: int, num_frames: int | None, to_hz: int) -> None:
        self._sound, self._first, self._num_frames, self._to_hz = sound, first, num_frames, to_hz
        self.num_samples = 0
        self.peak = 0.0

    def __iter__(self) -> Iterator[Samples]:
        from_hz = self._sound.sample_rate_hz
        stream = soxr.ResampleStream(from_hz, self._to_hz, 1, dtype="float32")
        blocks = self._sound.blocks(start_frame=self._first, num_frames=self._num_frames)
        num_written = 0
        for block in blocks:
            _check_length(self._sound)
            new = block if from_hz == self._to_hz else stream.resample_chunk(block, last=False)
            num_written += len(new)
            yield self._watched(new)
        self.num_samples = self._check_part() * self._to_hz // from_hz
        rest = np.zeros(0, np.float32)
        if from_hz != self._to_hz:
            rest = stream.resample_chunk(rest, last=True)
        missing = max(self.num_samples - num_written, 0)
        yield self._watched(np.pad(rest[:missing], (0, max(missing - len(rest), 0))))

    def _watched(self, block: Samples) -> Samples:
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
        return block

    def _check_part(self) -> int:
        """Frames of the part. Half a millisecond is forgiven: clients send rounded seconds."""
        num_frames, rate_hz = self._sound.num_frames, self._sound.sample_rate_hz
        missing = 0 if self._num_frames is None else self._num_frames - num_frames
        if num_frames == 0 or missing > rate_hz // 2000:
            end_sec = (self._first + num_frames) / rate_hz
            raise AudioError(
                f"the part does not lie inside the sound, which ends at {end_sec:.6g} s or before"
            )
        return num_frames


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
    parser.add_argument("destination", type=Path, nargs="?", default=Path(os.devnull))
    parser.add_argument("--start-sec", type=float, default=0.0)
    parser.add_argument("--duration-sec", type=float)
    parser.add_argument("--sample-rate-hz", type=int, default=44_100)
    parser.add_argument("--memory-bytes", type=int, default=1 << 30)
    parser.add_argument("--cpu-sec", type=int, default=60)
    parser.add_argument("--file-bytes", type=int, default=256 << 20)
    return parser.parse_args(arguments)


def _facts(wanted: argparse.Namespace) -> dict[str, Any]:
    if wanted.what == "sound":
        return asdict(check_sound(wanted.source))
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
