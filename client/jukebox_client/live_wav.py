"""A WAV stream of unknown length that goes on where it broke. No requests are made here."""

import struct

HEADER_BYTES = 44
"""RIFF header, `fmt ` and the head of `data`, as the service writes them."""


class LiveWav:
    """The bytes of one song over several connections, with one header in front."""

    def __init__(self, start_sec: float) -> None:
        self._start_sec = start_sec
        self._header = b""
        self._sound_bytes = 0
        self._to_skip = 0

    @property
    def can_resume(self) -> bool:
        """Whether the header has come, which says how many bytes a second has."""
        return len(self._header) == HEADER_BYTES

    @property
    def _rate_hz(self) -> int:
        return int(struct.unpack_from("<I", self._header, 24)[0])

    @property
    def _block_bytes(self) -> int:
        return int(struct.unpack_from("<H", self._header, 32)[0])

    def resume_sec(self) -> float:
        """Where to ask for the rest; what came of a sample, and the new header, is skipped then."""
        whole, part = divmod(self._sound_bytes, self._block_bytes)
        self._to_skip = HEADER_BYTES + part
        first = round(self._start_sec * self._rate_hz)
        return (first + whole) / self._rate_hz

    def pass_on(self, data: bytes) -> bytes:
        """The bytes of an answer that continue the stream."""
        skipped, self._to_skip = data[: self._to_skip], max(self._to_skip - len(data), 0)
        data = data[len(skipped) :]
        missing = HEADER_BYTES - len(self._header)
        self._header += data[:missing]
        self._sound_bytes += max(len(data) - missing, 0)
        return data
