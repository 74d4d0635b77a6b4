"""What a sound file is, found out from its bytes before any decoder sees it: no decoding, no torch.

Lengths in headers are not believed. `read_layout` finds where the sound lies and gives the decoder
pieces that it reads to their end (see `audio/reader.py`).
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from jukebox_core.audio.mpeg import read_mpeg_layout
from jukebox_core.audio.pieces import Piece, SoundLayout
from jukebox_core.errors import AudioError

_MAX_CHUNKS = 1000
_OGG_FIRST_PAGE, _OGG_LAST_PAGE = 0x02, 0x04
_OGG_HEADER_BYTES = 27
_OPEN_SIZES_FROM = 1_900_000_000
"""Sizes from here on that reach beyond the file were written before the length was known: programs
that stream use 2e9, 0x7FFFF000, 0x7FFFFFFF and 0xFFFFFFFF."""


class SoundKind(StrEnum):
    """Kinds of sound files that are read; songs are written in four of them (`AudioFormat`)."""

    WAV = "wav"
    AIFF = "aiff"
    FLAC = "flac"
    OGG = "ogg"
    MP3 = "mp3"
    MP4 = "mp4"
    AAC = "aac"
    WEBM = "webm"

    @property
    def needs_av(self) -> bool:
        """libsndfile cannot read it; PyAV can."""
        return self in (SoundKind.MP4, SoundKind.AAC, SoundKind.WEBM)


READABLE = "WAV, AIFF, FLAC, OGG (Vorbis, Opus, FLAC), MP3, M4A, AAC or WebM"


def sniff_kind(path: Path) -> SoundKind:
    """The kind that the bytes belong to, whatever the file is called.

    Raises:
        AudioError: the file is empty, or of no kind that is read.
    """
    with path.open("rb") as file:
        head = file.read(16)
        if not head:
            raise AudioError("the file is empty")
        kind = _kind_of(head)
        if kind is None and read_mpeg_layout(file) is not None:
            kind = SoundKind.MP3
    if kind is None:
        raise AudioError(f"the file is not sound in {READABLE}")
    return kind


def _kind_of(head: bytes) -> SoundKind | None:
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return SoundKind.WAV
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return SoundKind.AIFF
    if head[4:8] == b"ftyp":
        return SoundKind.MP4
    if head[:2] in (b"\xff\xf1", b"\xff\xf9"):
        return SoundKind.AAC
    magic = {
        b"fLaC": SoundKind.FLAC,
        b"OggS": SoundKind.OGG,
        b"\x1a\x45\xdf\xa3": SoundKind.WEBM,
    }
    return magic.get(head[:4])


def read_layout(path: Path, kind: SoundKind) -> SoundLayout:
    """Where the sound of a file lies.

    A WAV, AIFF or OGG file whose end is missing is refused here, since libsndfile shortens those
    silently.

    Raises:
        AudioError: the end of the file is missing, or there is no sound in it.
    """
    with path.open("rb") as file:
        num_bytes = os.fstat(file.fileno()).st_size
        if kind is SoundKind.MP3:
            layout = read_mpeg_layout(file)
            if layout is None:
                raise AudioError("the sound breaks off: there is no whole MPEG frame")
            return layout
        if kind is SoundKind.OGG:
            return SoundLayout(tuple(_ogg_links(file, num_bytes)))
        if kind is SoundKind.WAV:
            return SoundLayout((_wav_piece(file, num_bytes),))
        if kind is SoundKind.AIFF:
            _check_aiff(file, num_bytes)
    return SoundLayout((Piece(0, num_bytes),))


def _wav_piece(file: BinaryIO, num_bytes: int) -> Piece:
    """The chunk of samples must lie inside the file, unless its size was left open."""
    size_64: int | None = None
    for name, size, start in _chunks(file, "<"):
        if name == b"ds64" and size >= 16:
            size_64 = struct.unpack("<Q", file.read(16)[8:])[0]
        if name == b"data":
            is_64 = size == 0xFFFFFFFF and size_64 is not None
            _check_end(start, size_64 if is_64 and size_64 is not None else size, num_bytes)
            if size == 0 and _riff_size(file) + 8 not in (start, num_bytes):
                return _closed_wav(file, start, num_bytes)
            return Piece(0, num_bytes)
    raise AudioError("the sound breaks off: this WAV file has no samples")


def _riff_size(file: BinaryIO) -> int:
    file.seek(4)
    return int.from_bytes(file.read(4), "little")


def _closed_wav(file: BinaryIO, start: int, num_bytes: int) -> Piece:
    """A recording whose sizes of 0 were never filled in, with the size of what follows."""
    file.seek(0)
    head = file.read(start - 4)
    return Piece(start, num_bytes, head + (num_bytes - start).to_bytes(4, "little"))


def _check_aiff(file: BinaryIO, num_bytes: int) -> None:
    for name, size, start in _chunks(file, ">"):
        if name == b"SSND":
            _check_end(start, size, num_bytes)
            return
    raise AudioError("the sound breaks off: this AIFF file has no samples")


def _chunks(file: BinaryIO, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, size and place of each chunk; the file stands there when one is yielded."""
    place = 12
    for _ in range(_MAX_CHUNKS):
        file.seek(place)
        header = file.read(8)
        if len(header) < 8:
            return
        name, size = struct.unpack(f"{order}4sI", header)
        yield name, size, place + 8
        place += 8 + size + size % 2


def _check_end(start: int, size: int, num_bytes: int) -> None:
    missing = start + size - num_bytes
    if missing > 0 and size < _OPEN_SIZES_FROM:
        raise AudioError(f"the sound breaks off: its last {missing} bytes are missing")


@dataclass(frozen=True, slots=True)
class _OggPage:
    start: int
    end: int
    flags: int


def _ogg_pages(file: BinaryIO, num_bytes: int) -> Iterator[_OggPage]:
    """Pages in their order, up to the first place where there is none."""
    place = 0
    while place < num_bytes:
        file.seek(place)
        header = file.read(_OGG_HEADER_BYTES)
        if header[:4] != b"OggS" or len(header) < _OGG_HEADER_BYTES:
            return
        segments = file.read(header[26])
        end = place + _OGG_HEADER_BYTES + len(segments) + sum(segments)
        if len(segments) < header[26] or end > num_bytes:
            return
        yield _OggPage(place, end, header[5])
        place = end


def _ogg_links(file: BinaryIO, num_bytes: int) -> Iterator[Piece]:
    """Chained streams, one after the other. Streams that begin together are one link."""
    start = 0
    last: _OggPage | None = None
    for page in _ogg_pages(file, num_bytes):
        is_first = bool(page.flags & _OGG_FIRST_PAGE)
        if is_first and last is not None and not last.flags & _OGG_FIRST_PAGE:
            yield Piece(start, page.start)
            start = page.start
        last = page
    if last is None or not last.flags & _OGG_LAST_PAGE:
        raise AudioError("the sound breaks off: the last page of this OGG file is missing")
    yield Piece(start, last.end)
