"""MP3 files without decoding: where the frames are, and how many.

The length in an MP3 file is an estimate from its first frames, unless a Xing, Info or VBRI header
gives the number of frames, and that may be wrong. The decoder stops where it believes the end is.
So the frames are counted, and where the file's own number is absent or wrong, the decoder is given
a Xing header with the right one.
"""

import mmap
import struct
from dataclasses import dataclass
from typing import BinaryIO

from jukebox_core.audio.pieces import Piece, SoundLayout
from jukebox_core.errors import AudioError

_MPEG_1, _LAYER_3 = 3, 1
_KBPS_MPEG_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_MPEG_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAMPLE_RATES_HZ = {
    3: (44_100, 48_000, 32_000),
    2: (22_050, 24_000, 16_000),
    0: (11_025, 12_000, 8_000),
}
_FRAMES_TO_BELIEVE = 3
"""So many headers in a row, each where the one before says, are no accident."""
_MAX_SEARCH_BYTES = 256 << 10
"""How far into a file the first frame may begin, tags aside."""
_HEADER_TOLERANCE_FRAMES = 2
"""Encoders differ in whether the header's own frame counts."""
_VBRI_OFFSET = 36
_XING_HAS_FRAMES = 1


Buffer = bytes | mmap.mmap


@dataclass(frozen=True, slots=True)
class _Frame:
    version: int
    num_bytes: int
    num_samples: int
    side_bytes: int


def _read_frame(data: Buffer, place: int) -> _Frame | None:
    """The frame whose four bytes of header begin at `place`, if they are one of layer III."""
    header = data[place : place + 4]
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bit_rate, rate = header[2] >> 4, header[2] >> 2 & 3
    if version not in _SAMPLE_RATES_HZ or layer != _LAYER_3 or bit_rate in (0, 15) or rate == 3:
        return None
    is_first = version == _MPEG_1
    kbps = (_KBPS_MPEG_1 if is_first else _KBPS_MPEG_2)[bit_rate]
    per_second = (144 if is_first else 72) * kbps * 1000
    padding = header[2] >> 1 & 1
    is_mono = header[3] >> 6 == 3
    side_bytes = (17 if is_mono else 32) if is_first else (9 if is_mono else 17)
    num_bytes = per_second // _SAMPLE_RATES_HZ[version][rate] + padding
    return _Frame(version, num_bytes, 1152 if is_first else 576, side_bytes)


def read_mpeg_layout(file: BinaryIO) -> SoundLayout | None:
    """The frames of an MP3 file, from the first whole one on; None where there are none.

    Raises:
        AudioError: the header names more frames than there are: the end is missing.
    """
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _layout_of(data)


def _layout_of(data: Buffer) -> SoundLayout | None:
    start = _first_frame(data, _after_tags(data, 0))
    if start is None:
        return None
    frame = _read_frame(data, start)
    if frame is None:
        return None
    num_frames, end = _count_frames(data, start)
    named = _named_frames(data, start, frame)
    if named is None:
        return _with_header(data, start, end, frame, num_frames)
    if named > num_frames + _HEADER_TOLERANCE_FRAMES:
        raise AudioError(
            f"the sound breaks off: {num_frames} of {named} MPEG frames are in the file"
        )
    if named >= num_frames - 1 - _HEADER_TOLERANCE_FRAMES:
        return SoundLayout((Piece(start, end),), named * frame.num_samples)
    return _with_header(data, start + frame.num_bytes, end, frame, num_frames - 1)


def _with_header(data: Buffer, start: int, end: int, frame: _Frame, num_frames: int) -> SoundLayout:
    head = bytearray(data[start : start + 4])
    head[1] |= 1  # no checksum follows
    head[2] = 9 << 4 | head[2] & 0x0C  # a bit rate with room for what is written here
    header = _read_frame(bytes(head), 0)
    if header is None:
        return SoundLayout((Piece(start, end),))
    xing = b"Xing" + struct.pack(">II", _XING_HAS_FRAMES, num_frames)
    whole = (bytes(head) + bytes(frame.side_bytes) + xing).ljust(header.num_bytes, b"\0")
    return SoundLayout((Piece(start, end, whole),), num_frames * frame.num_samples)


def _after_tags(data: Buffer, place: int) -> int:
    """Behind the ID3v2 tags that begin here."""
    while data[place : place + 3] == b"ID3" and len(data) >= place + 10:
        size = 0
        for byte in data[place + 6 : place + 10]:
            size = size << 7 | byte & 0x7F
        place += 10 + size
    return place


def _first_frame(data: Buffer, place: int) -> int | None:
    for start in range(place, min(place + _MAX_SEARCH_BYTES, len(data))):
        if data[start] == 0xFF and _is_believed(data, start):
            return start
    return None


def _is_believed(data: Buffer, place: int) -> bool:
    """Several frames follow each other from here on, or all that are left of the file."""
    for number in range(_FRAMES_TO_BELIEVE):
        frame = _read_frame(data, place)
        if frame is None:
            return number > 0 and place == len(data)
        place += frame.num_bytes
    return True


def _count_frames(data: Buffer, place: int) -> tuple[int, int]:
    """Whole frames from here on, and where the last one ends; what lies between them is skipped."""
    num_frames, end = 0, place
    while place < len(data):
        frame = _read_frame(data, place)
        if frame is None:
            found = _next_frame(data, place)
            if found is None:
                break
            place = found
            continue
        place += frame.num_bytes
        if place <= len(data):
            num_frames, end = num_frames + 1, place
    return num_frames, end


def _next_frame(data: Buffer, place: int) -> int | None:
    """Behind a tag or noise in the middle of a file, as where two files were put together."""
    place = _after_tags(data, place)
    while not _is_believed(data, place):
        place = data.find(b"\xff", place + 1)
        if place < 0:
            return None
    return place


def _named_frames(data: Buffer, start: int, frame: _Frame) -> int | None:
    """How many frames the file says it has; 0 for a header without it, None without a header."""
    xing = start + 4 + frame.side_bytes
    if data[xing : xing + 4] in (b"Xing", b"Info"):
        flags, number = struct.unpack(">II", data[xing + 4 : xing + 12])
        return int(number) if flags & _XING_HAS_FRAMES else 0
    vbri = start + _VBRI_OFFSET
    if data[vbri : vbri + 4] == b"VBRI":
        (number,) = struct.unpack(">I", data[vbri + 14 : vbri + 18])
        return int(number)
    return None
