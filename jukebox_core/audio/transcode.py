"""Write a sound file once more in another format: `python -m jukebox_core.audio.transcode SRC DST`.

Without torch, and in a process of its own, because encoders take seconds and have been seen to
crash. The formats go by the suffixes: .wav, .flac, .ogg, .mp3.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jukebox_core.atomic_files import whole_file
from jukebox_core.audio.files import (
    BLOCK_FRAMES,
    DISK_REFUSED_STATUS,
    AudioFormat,
    is_refused_by_disk,
    open_sound,
    write_blocks,
)
from jukebox_core.errors import AudioError


def transcode(source: Path, destination: Path) -> None:
    """Encode `source` as the suffix of `destination` says; the result appears whole or not at all.

    Samples pass as 16-bit numbers, so that from WAV to FLAC and back nothing changes.

    Raises:
        AudioError: a file cannot be read or written, or a suffix is unknown.
    """
    audio_format = AudioFormat.from_path(destination)
    with whole_file(destination) as unfinished, open_sound(source) as file:
        write_blocks(
            unfinished,
            file.blocks(BLOCK_FRAMES, dtype="int16"),
            sample_rate_hz=file.samplerate,
            num_channels=file.channels,
            audio_format=audio_format,
            comment=file.comment or None,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; one line tells why it cannot be done.

    The exit status is then 1, or 74 when it is the disk that refuses.
    """
    parser = argparse.ArgumentParser(
        prog="python -m jukebox_core.audio.transcode", description=__doc__
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("destination", type=Path)
    parsed = parser.parse_args(arguments)
    try:
        transcode(parsed.source, parsed.destination)
    except (AudioError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return DISK_REFUSED_STATUS if is_refused_by_disk(error) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
