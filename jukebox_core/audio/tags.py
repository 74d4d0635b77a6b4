"""Tags of sound files: `python -m jukebox_core.audio.tags SRC DST`, with the tags as JSON on stdin.

Writes a copy of an MP3, FLAC or Ogg Vorbis file with title, artist, lyrics, a cover and so on; the
sound stays as it is.

mutagen, which does the work, is licensed under GPL-2.0-or-later, and this project under Apache-2.0.
So it is an optional extra (`tags`), imported by this program alone, which runs as a process of its
own: services start it where mutagen is installed, and send files without tags where it is not.
"""

import base64
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jukebox_core.atomic_files import whole_file
from jukebox_core.audio.derive import derive
from jukebox_core.errors import AudioError

FORMATS = ("mp3", "flac", "ogg")
"""Formats that can be tagged. WAV is what the hashes of jobs are of, so it stays as it was made."""
_COVER_TYPE = 3
"""`Cover (front)`, in ID3 and FLAC alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SongTags:
    """What is written into a file. Empty fields are left out.

    synced_lyrics  (milliseconds, text) of each line that is sung
    lrc  the same lyrics in LRC, for formats that have nothing of their own
    extra  anything else by name, such as the seed
    cover_png  a picture, as base64
    """

    title: str
    artist: str = ""
    album: str = ""
    genre: str = ""
    date: str = ""
    comment: str = ""
    lyrics: str = ""
    synced_lyrics: tuple[tuple[int, str], ...] = ()
    lrc: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    cover_png: str = ""

    def to_json(self) -> str:
        """For the standard input of the program."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "SongTags":
        """Inverse of `to_json`. Raises ValueError or TypeError."""
        values = json.loads(text)
        synced = tuple((int(time_ms), str(line)) for time_ms, line in values["synced_lyrics"])
        return cls(**{**values, "synced_lyrics": synced})


def is_available() -> bool:
    """Whether mutagen is installed."""
    return find_spec("mutagen") is not None


def write_tagged(source: Path, destination: Path, tags: SongTags) -> None:
    """Copy `source` with tags in place of its own; the copy appears whole or not at all.

    Raises:
        AudioError: the format has no tags here, or the file is damaged.
        OSError: the disk refuses.
    """
    import mutagen

    write = _WRITERS.get(source.suffix.removeprefix("."))
    if write is None:
        raise AudioError(f"{source.name} is none of {', '.join(FORMATS)}")
    with whole_file(destination) as unfinished:
        shutil.copyfile(source, unfinished)
        try:
            write(unfinished, tags)
        except mutagen.MutagenError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from error
            raise AudioError(f"{source.name} cannot be tagged: {error}") from error


def _write_id3(path: Path, tags: SongTags) -> None:
    """ID3v2.3, which every player reads, also those of cars and of Windows."""
    from mutagen import id3

    texts = {
        **{id3.TIT2: tags.title, id3.TPE1: tags.artist, id3.TALB: tags.album},
        **{id3.TCON: tags.genre, id3.TDRC: tags.date},
    }
    frames: list[Any] = [frame(encoding=3, text=text) for frame, text in texts.items() if text]
    frames += [id3.TXXX(encoding=3, desc=name, text=text) for name, text in tags.extra.items()]
    if tags.comment:
        frames.append(id3.COMM(encoding=3, lang="eng", desc="", text=tags.comment))
    if tags.lyrics:
        frames.append(id3.USLT(encoding=3, lang="und", desc="", text=tags.lyrics))
    if tags.synced_lyrics:
        lines = [(line, time_ms) for time_ms, line in tags.synced_lyrics]
        frames.append(id3.SYLT(encoding=3, lang="und", format=2, type=1, desc="", text=lines))
    if tags.cover_png:
        picture = base64.b64decode(tags.cover_png)
        frames.append(
            id3.APIC(encoding=3, mime="image/png", type=_COVER_TYPE, desc="", data=picture)
        )
    id3.delete(path)
    written = id3.ID3()
    for frame in frames:
        written.add(frame)
    written.update_to_v23()
    written.save(path, v1=0, v2_version=3)


def _write_flac(path: Path, tags: SongTags) -> None:
    from mutagen.flac import FLAC

    file = FLAC(path)
    file.delete()
    file.clear_pictures()
    _set_comments(file, tags)
    if tags.cover_png:
        file.add_picture(_picture(tags.cover_png))
    file.save()


def _write_vorbis(path: Path, tags: SongTags) -> None:
    from mutagen.oggvorbis import OggVorbis

    file = OggVorbis(path)
    file.delete()
    _set_comments(file, tags)
    if tags.cover_png:
        block = base64.b64encode(_picture(tags.cover_png).write()).decode("ascii")
        file["METADATA_BLOCK_PICTURE"] = [block]
    file.save()


def _set_comments(file: Any, tags: SongTags) -> None:  # noqa: ANN401  (mutagen has no types)
    """Vorbis comments, by the names that players know."""
    texts = {
        **{"TITLE": tags.title, "ARTIST": tags.artist, "ALBUM": tags.album, "GENRE": tags.genre},
        **{"DATE": tags.date, "COMMENT": tags.comment, "LYRICS": tags.lyrics},
        **{"SYNCEDLYRICS": tags.lrc, **tags.extra},
    }
    for name, text in texts.items():
        if text:
            file[name] = [text]


def _picture(cover_png: str) -> Any:  # noqa: ANN401
    from mutagen.flac import Picture

    picture = Picture()
    picture.type, picture.mime = _COVER_TYPE, "image/png"
    picture.data = base64.b64decode(cover_png)
    # A PNG file says its size at a fixed place; the palette has 8 bits.
    picture.width = int.from_bytes(picture.data[16:20], "big")
    picture.height = int.from_bytes(picture.data[20:24], "big")
    picture.depth = 8
    return picture


_WRITERS: Mapping[str, Callable[[Path, SongTags], None]] = {
    "mp3": _write_id3,
    "flac": _write_flac,
    "ogg": _write_vorbis,
}


def main() -> int:
    """The command line; returns the exit status (`jukebox_core/audio/derive.py`)."""
    tags = SongTags.from_json(sys.stdin.read())
    return derive("tags", __doc__, lambda source, target: write_tagged(source, target, tags))


if __name__ == "__main__":
    sys.exit(main())
