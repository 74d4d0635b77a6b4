"""Names of downloaded files: by the song's title, and such that every file system takes them.

And their media types.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from unidecode import unidecode

if TYPE_CHECKING:
    from jobs.record.job import Job

MEDIA_TYPES: Mapping[str, str] = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "mp3": "audio/mpeg",
    "safetensors": "application/octet-stream",
}
MAX_NAME_BYTES = 200
"""Of UTF-8. File systems take 255; programs that write a file put more before and behind it."""

_JOINER = "\N{ZERO WIDTH JOINER}"
_REPLACED = str.maketrans(
    {"/": "-", "\\": "-", ":": "-", "|": "-", '"': "'", "<": "(", ">": ")", "?": "", "*": ""}
)
_DROPPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Cn", "Co"})
"""Control characters, marks of direction and others that cannot be seen, and what is none."""
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])(?=[ .]|$)", re.IGNORECASE
)
_UNSAFE_IN_HEADER = re.compile(r'[^ !#$&-~]|[%"\\]')


def song_name(title: str | None, artist: str, job_id: str) -> str:
    """What a song is called: its title, or its artist and the beginning of its id."""
    return title or " - ".join(filter(None, (artist, job_id[:12])))


def download_name(
    song: str, suffix: str, *, sample: int = 0, level: str | None = None, job_id: str = "song"
) -> str:
    """The name of one file of a song: `Rain.mp3`, `Rain (take 2).mp3`, `Rain (take 2, top).mp3`.

    `sample` counts from 0, the take in the name from 1; the first is not named. `level` is given
    unless it is the finest of the job. Where nothing of `song` can be in a name, `job_id` is.
    """
    marks = [f"take {sample + 1}"] if sample else []
    marks += [level] if level else []
    ending = (f" ({', '.join(marks)})" if marks else "") + f".{suffix}"
    return _safe(song, MAX_NAME_BYTES - len(ending.encode()), job_id) + ending


def file_name(job: "Job", suffix: str, *, sample: int = 0, level: str | None = None) -> str:
    """The name of a download: of one of the sounds, or of what belongs to one take or to all."""
    return download_name(
        song_name(job.title, job.request.artist, job.id),
        suffix,
        sample=sample,
        level=None if level == job.request.levels[-1] else level,
        job_id=job.id,
    )


def content_disposition(name: str, *, kind: str = "attachment") -> str:
    """The header that names a download (RFC 6266): in ASCII, and as it is for clients of today."""
    stem, dot, suffix = name.rpartition(".")
    plain = _UNSAFE_IN_HEADER.sub("_", _safe(unidecode(stem), MAX_NAME_BYTES, "song"))
    return f"{kind}; filename=\"{plain}{dot}{suffix}\"; filename*=UTF-8''{quote(name, safe='')}"


def _safe(text: str, max_bytes: int, otherwise: str) -> str:
    """The part of `text` that can begin a file's name everywhere; never empty."""
    text = unicodedata.normalize("NFC", text).translate(_REPLACED)
    visible = "".join(
        " " if character.isspace() else character
        for character in text
        if character.isspace()
        or character == _JOINER
        or unicodedata.category(character) not in _DROPPED_CATEGORIES
    )
    # Neither hidden, nor an option of a command, nor a home folder.
    name = _trimmed(" ".join(visible.split()).lstrip("-~. " + _JOINER), max_bytes) or otherwise
    return _RESERVED.sub(r"\1_", name, count=1) if _RESERVED.match(name) else name


def _trimmed(name: str, max_bytes: int) -> str:
    # One byte less, for the mark of a reserved name. Windows drops dots and spaces at the end.
    return name.encode()[: max_bytes - 1].decode(errors="ignore").rstrip(" ." + _JOINER)
