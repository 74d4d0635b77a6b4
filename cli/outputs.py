"""Where commands write: what `-o` means, checked before any work is done.

The rules are the same for every command:

* What ends with a slash, or is a folder already, is a folder: files get names of their own in it.
* Anything else is a file, and its suffix is its format. An unknown suffix is refused.
* A file that exists is not replaced without `--overwrite`. A name that was typed is refused; a name
  that the command chooses, or that is taken while the command works, gets a number (`song-2.wav`).
* What cannot be written where it was wanted after the work is done is kept elsewhere, and the error
  says where.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import CliError, UsageError
from cli.terminal.console import escape, notes, results
from jukebox_core.atomic_files import unfinished_path
from jukebox_core.disk_errors import disk_reason
from jukebox_core.errors import JukeboxError

SOUND_FORMATS: Mapping[str, str] = {each: each for each in ("wav", "flac", "ogg", "mp3")}
CODES_FORMATS: Mapping[str, str] = {"safetensors": "safetensors"}


@dataclass(frozen=True, slots=True)
class OutputPath:
    """What somebody typed after `-o`, or the default."""

    path: Path
    is_folder: bool
    is_default: bool = False

    def __str__(self) -> str:
        return f"{self.path}{os.sep if self.is_folder else ''}"

    def format_among(
        self, formats: Mapping[str, str], *, said: str | None = None, option: str = "-o"
    ) -> str | None:
        """The format that the suffix stands for; `said` (by `--format`) where this is a folder.

        Raises:
            UsageError: the suffix is none of `formats`, or stands for another one than `said`.
        """
        if self.is_folder:
            return said
        known = ", ".join(f".{suffix}" for suffix in formats)
        suffix = self.path.suffix.lower().removeprefix(".")
        if not suffix:
            raise UsageError(
                f"{option} {self.path} has no suffix that says the format: {known}. "
                f"For a folder, write {option} {self.path}{os.sep}"
            )
        if suffix not in formats:
            raise UsageError(f"{option} {self.path}: .{suffix} cannot be written, only {known}")
        if said is not None and formats[suffix] != said:
            raise UsageError(f"{option} {self.path} and --format {said} contradict each other")
        return formats[suffix]

    def files(self, names: Sequence[str], takes: Sequence[int] | None = None) -> list[Path]:
        """The path of each of `names`: in the folder, or this file.

        Several of one file get the number of their take: `song-0.wav`, `song-1.wav`.
        """
        if self.is_folder:
            return [self.path / name for name in names]
        if len(names) == 1:
            return [self.path]
        numbers = range(len(names)) if takes is None else takes
        return [self.path.with_stem(f"{self.path.stem}-{number}") for number in numbers]

    def check_writable(self, files: Iterable[Path], *, overwrite: bool) -> None:
        """Make sure that `files` can be written here, before the work for them is begun.

        Raises:
            UsageError: one exists, and its name was typed and is not to be replaced; or its folder
                cannot be written to.
        """
        is_typed = not (self.is_folder or self.is_default)
        for file in files:
            if file.is_dir():
                raise UsageError(f"{file} is a folder: write {file}{os.sep} to put files into it")
            if is_typed and os.path.lexists(file) and not overwrite:
                raise UsageError(
                    f"{file} exists already: name another file, or add --overwrite to replace it"
                )
            _try_writing(file)


def output_path(text: str) -> OutputPath:
    """What `text` after `-o` means.

    Raises:
        typer.BadParameter: nothing was typed.
    """
    if not text:
        raise typer.BadParameter("a file or a folder is needed")
    path = Path(text)
    return OutputPath(path, text.endswith((os.sep, f"{os.sep}.")) or path.is_dir())


HERE = OutputPath(Path(), is_folder=True)

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]


def check_new_folder(folder: Path, *, overwrite: bool, mark: str = "config.json") -> None:
    """Make sure that a folder, such as that of a model, can be written as a whole.

    Only a folder that holds a file called `mark` is ever replaced.

    Raises:
        UsageError: there is something else, or it is not to be replaced, or cannot be written.
    """
    is_empty = folder.is_dir() and not any(folder.iterdir())
    if os.path.lexists(folder) and not is_empty:
        if not (folder / mark).is_file():
            raise UsageError(f"{folder} exists already and is no model: name another folder")
        if not overwrite:
            raise UsageError(
                f"{folder} exists already: name another folder, or add --overwrite to replace it"
            )
    _try_writing(folder)


def _try_writing(file: Path) -> None:
    folder = file.absolute().parent
    while not os.path.lexists(folder):
        folder = folder.parent
    try:
        # As long as the name of the unfinished file, which long names must leave room for.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".jukebox-") as probe:
            (Path(probe) / unfinished_path(file).name).touch()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{file} cannot be written: {folder}: {reason}") from error


class FilesWriter:
    """Writes the files of one command, each whole, and prints where they are.

    One that cannot be written does not keep the others from being written.
    """

    def __init__(self, *, overwrite: bool) -> None:
        self._overwrite = overwrite
        self._failures: list[str] = []

    def write(self, target: Path, write: Callable[[Path], object]) -> None:
        """Write a file to `target`, beside it if it exists by now, or anywhere if it must be.

        `write` is given an unfinished path with the suffix of `target`.

        Raises:
            OSError: it can be written nowhere.
            JukeboxError: likewise.
        """
        try:
            place = write_whole(target, write, overwrite=self._overwrite)
        except (OSError, JukeboxError) as error:
            kept = keep(target.name, write)
            if kept is None:
                raise
            place = kept
            reason, where = reason_of(error), place.absolute()
            self._failures.append(f"{target} could not be written: {reason}. It is kept in {where}")
        results().print(escape(str(place)))

    def raise_failures(self) -> None:
        """Raises CliError when a file is not where it was wanted; the message says where it is."""
        if self._failures:
            raise CliError("\n".join(self._failures))


def keep(name: str, write: Callable[[Path], object]) -> Path | None:
    """Write a file wherever it can be written, under `name` or a number of it; None if nowhere."""
    short = name[-100:]  # that a name is too long may be why it could not be written
    for folder in ("", os.path.expanduser("~"), tempfile.gettempdir()):
        try:
            return write_whole(Path(folder) / short, write, overwrite=False)
        except (OSError, JukeboxError):
            continue
    return None


def move_into_place(finished: Path, target: Path, *, overwrite: bool) -> Path:
    """Rename a file to `target`, or to a number of it if that exists; returns where it is."""
    place = target if overwrite else _free_name(target)
    if place != target:
        notes().print(escape(f"{target} exists already: this is {place}"))
    os.replace(finished, place)
    return place


def reason_of(error: BaseException) -> str:
    """Why something could not be written: what the system said, where the error wraps that."""
    cause = error if isinstance(error, OSError) else error.__cause__
    said = cause.strerror if isinstance(cause, OSError) else None
    return disk_reason(error) or said or str(error)


def write_whole(target: Path, write: Callable[[Path], object], *, overwrite: bool) -> Path:
    """Write a file that is there as a whole or not at all; returns where it is.

    `write` is given an unfinished path with the suffix of `target`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = unfinished_path(target)
    try:
        write(unfinished)
        return move_into_place(unfinished, target, overwrite=overwrite)
    finally:
        unfinished.unlink(missing_ok=True)


def _free_name(target: Path) -> Path:
    if not os.path.lexists(target):
        return target
    numbered = (target.with_stem(f"{target.stem}-{number}") for number in count(2))
    return next(name for name in numbered if not os.path.lexists(name))
