"""Write a sound file once more in another format: `python -m jukebox_core.audio.transcode SRC DST`.

Without torch, and in a process of its own, because encoders take seconds and have been seen to
crash. The formats go by the suffixes: .wav, .flac, .ogg, .mp3.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from jukebox_core.atomic_files import whole_file
from jukebox_core.audio.derive import derive
from jukebox_core.audio.files import BLOCK_FRAMES, AudioFormat, open_sound, write_blocks


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
    """The command line; returns the exit status (`jukebox_core/audio/derive.py`)."""
    return derive("transcode", __doc__, transcode, arguments)


if __name__ == "__main__":
    sys.exit(main())
