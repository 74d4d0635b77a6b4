"""Which sound files somebody means: files, folders, lists and patterns."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.errors import UsageError, reason_of

SOUND_SUFFIXES = frozenset(
    {
        *(".wav", ".wave", ".aif", ".aiff", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
        *(".m4a", ".mp4", ".aac", ".webm"),
    }
)
"""What is taken from a folder. A file that is named is read whatever it is called."""

LIST_SUFFIX = ".txt"


@dataclass(frozen=True, slots=True)
class SoundFiles:
    """The files in the order they were named, each once.

    `root` is the deepest folder that holds all of them; a folder that was named alone is the root
    of what is in it. `are_many` is False where one file was named by itself.
    """

    paths: tuple[Path, ...]
    root: Path
    are_many: bool

    def name_of(self, path: Path) -> Path:
        """The place of a file under `root`: different files have different ones."""
        return Path(os.path.relpath(path, self.root))


def find_sound_files(arguments: Sequence[str]) -> SoundFiles:
    """The sound files that `arguments` mean.

    A folder means all sound files in it and below, hidden ones left out. A `.txt` file is a list
    with one path per line, relative to the folder of the list; empty lines and lines that begin
    with `#` are skipped. A pattern (`*`, `?`, `[...]`, `**`) that is no file itself is expanded.
    Whether a file that was named exists is found out when it is read.

    Raises:
        UsageError: a folder, a list or a pattern holds no files, or a list cannot be read.
    """
    paths: dict[str, Path] = {}
    bases: list[str] = []
    are_many = len(arguments) > 1
    for argument in arguments:
        found = list(_files_of(argument))
        if not found:
            raise UsageError(f"no sound files in {argument}")
        are_many = are_many or found != [Path(argument)]
        for path in found:
            paths.setdefault(os.path.abspath(path), path)
        is_folder = Path(argument).is_dir()
        bases += [argument] if is_folder else [str(path.parent) for path in found]
    root = Path(os.path.commonpath([os.path.abspath(base) for base in bases]))
    return SoundFiles(tuple(paths.values()), root, are_many)


def _files_of(argument: str) -> Iterator[Path]:
    path = Path(argument)
    if path.is_dir():
        yield from _files_below(path)
    elif path.suffix.lower() == LIST_SUFFIX and path.is_file():
        yield from _listed(path)
    elif glob.has_magic(argument) and not path.exists():
        for match in sorted(glob.glob(argument, recursive=True)):
            if not os.path.isdir(match) and Path(match).suffix.lower() in SOUND_SUFFIXES:
                yield Path(match)
    else:
        yield path


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in SOUND_SUFFIXES:
                yield Path(parent) / name


def _listed(file: Path) -> Iterator[Path]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the list {file} cannot be read as UTF-8: {reason_of(error)}") from error
    for line in lines:
        if line.strip() and not line.startswith("#"):
            yield file.parent / line.strip()
