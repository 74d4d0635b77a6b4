"""What a sound file says it is, and whether it is all there, before any decoder sees it."""

import os
import struct
from pathlib import Path
from typing import BinaryIO

from jukebox_core.audio.files import AudioFormat
from jukebox_core.errors import AudioError

_MAX_CHUNKS = 1000
_LONGEST_OGG_PAGE = 65_307
_OGG_LAST_PAGE = 0x04


def sniff_format(path: Path) -> AudioFormat:
    """The format that the first bytes belong to, whatever the file is called.

    Raises:
        AudioError: they belong to none of ours.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return AudioFormat.WAV
    if head[:4] == b"fLaC":
        return AudioFormat.FLAC
    if head[:4] == b"OggS":
        return AudioFormat.OGG
    is_mpeg_frame = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
    if head[:3] == b"ID3" or is_mpeg_frame:
        return AudioFormat.MP3
    if not head:
        raise AudioError("the file is empty")
    raise AudioError("the file is no sound in WAV, FLAC, OGG or MP3")


def check_is_whole(path: Path, audio_format: AudioFormat) -> None:
    """Refuse a WAV or OGG file whose end is missing: libsndfile shortens those and says nothing.

    FLAC tells by its number of frames, and MP3 cannot tell at all.

    Raises:
        AudioError: the end is missing.
    """
    with path.open("rb") as file:
        num_bytes = os.fstat(file.fileno()).st_size
        if audio_format is AudioFormat.WAV:
            _check_wav(file, num_bytes)
        elif audio_format is AudioFormat.OGG:
            _check_ogg(file, num_bytes)


def _check_wav(file: BinaryIO, num_bytes: int) -> None:
    """The chunk of samples must lie inside the file."""
    file.seek(12)
    for _ in range(_MAX_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            break
        name, size = struct.unpack("<4sI", header)
        if name == b"data":
            missing = file.tell() + size - num_bytes
            if missing > 0:
                raise AudioError(f"the sound breaks off: its last {missing} bytes are missing")
            return
        file.seek(size + size % 2, os.SEEK_CUR)
    raise AudioError("the sound breaks off: this WAV file has no samples")


def _check_ogg(file: BinaryIO, num_bytes: int) -> None:
    """The last page must say that it is the last, and be there to its end."""
    file.seek(max(num_bytes - _LONGEST_OGG_PAGE, 0))
    tail = file.read()
    page = tail[max(tail.rfind(b"OggS"), 0) :]
    is_whole = False
    if page[:4] == b"OggS" and len(page) > 27:
        num_segments = page[26]
        num_page_bytes = 27 + num_segments + sum(page[27 : 27 + num_segments])
        is_whole = bool(page[5] & _OGG_LAST_PAGE) and len(page) >= num_page_bytes
    if not is_whole:
        raise AudioError("the sound breaks off: the last page of this OGG file is missing")
