"""Parts of songs as they are written on a command line: `SONG[:takeN][:FROM-TO]`."""

import re
from dataclasses import dataclass

from cli.errors import UsageError

_SECONDS = r"\d+(?:\.\d*)?|\.\d+"
_RANGE = re.compile(rf"(?P<start>{_SECONDS})?-(?P<end>{_SECONDS})?")
_TAKE = re.compile(r"take(?P<take>\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartText:
    """A part as it was written: a job, an asset or a file, its take, and a stretch in seconds."""

    song: str
    take: int = 0
    start_sec: float = 0.0
    end_sec: float | None = None


def parse_part(text: str) -> PartText:
    """`job_a:take2:5-9` as a part: whatever comes before the take and the stretch is the song.

    Raises:
        UsageError: there is no song, or an end that is not behind its start.
    """
    song, take, start_sec, end_sec = text, 0, 0.0, None
    before, colon, last = song.rpartition(":")
    found = _RANGE.fullmatch(last) if colon else None
    if found is not None and last != "-":
        song, start_sec = before, float(found["start"] or 0.0)
        end_sec = float(found["end"]) if found["end"] else None
    before, colon, last = song.rpartition(":")
    if colon and (found := _TAKE.fullmatch(last)):
        song, take = before, int(found["take"])
    if not song:
        raise UsageError(f"{text!r} names no song: write SONG:takeN:FROM-TO")
    if end_sec is not None and end_sec <= start_sec:
        raise UsageError(f"{text!r} ends at {end_sec:g} s, which is not after {start_sec:g} s")
    return PartText(song=song, take=take, start_sec=start_sec, end_sec=end_sec)
