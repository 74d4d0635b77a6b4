"""What comes after each step of training: the command to type next."""

import shlex
from pathlib import Path

from cli.commands.training.presets import PresetName
from cli.terminal.console import escape, notes

_LEVELS = ("top", "middle", "bottom")
_LYRICS_CHARACTERS = 40


def say_next(command: str) -> None:
    """`Next: ...`, as a line to copy."""
    notes().print(f"Next: {escape(command)}")


def after_new(data: Path, model: Path) -> str:
    """The command after `train new`."""
    return _run("vqvae", data, model, "top", PresetName.QUICK)


def after_vqvae(data: Path, model: Path, level: str, preset: PresetName) -> str:
    """The command after a level of the codec."""
    lower = _lower(level)
    if lower is None:
        return f"jukebox train encode {_paths(data, model)}"
    return _run("vqvae", data, model, lower, preset)


def after_encode(data: Path, model: Path) -> str:
    """The command after the codes."""
    return _run("prior", data, model, "top", PresetName.QUICK)


def after_prior(data: Path, model: Path, level: str, preset: PresetName) -> str:
    """The command after a prior: the next one, or a song."""
    lower = _lower(level)
    if lower is not None:
        return _run("prior", data, model, lower, preset)
    artist, genre, lyrics = _somebody(data)
    words = ["jukebox", "generate", "--model", str(model), "--artist", artist, "--genre", genre]
    if lyrics:
        words += ["--lyrics", lyrics]
    return shlex.join([*words, "--seconds", "10", "-o", f"{model.name}.wav"])


def _run(part: str, data: Path, model: Path, level: str, preset: PresetName) -> str:
    return f"jukebox train {part} {_paths(data, model)} --level {level} --preset {preset}"


def _paths(data: Path, model: Path) -> str:
    return shlex.join([str(data), str(model)])


def _lower(level: str) -> str | None:
    following = _LEVELS[_LEVELS.index(level) + 1 :]
    return following[0] if following else None


def _somebody(data: Path) -> tuple[str, str, str]:
    """Artist, genre and the first words of the first song that has lyrics, or of the first."""
    from jukebox_core.training.dataset.manifest import read_manifest

    songs = read_manifest(data)
    song = next((song for song in songs if song.lyrics.strip()), songs[0])
    first_line = (song.lyrics.strip().splitlines() or [""])[0]
    words = first_line[:_LYRICS_CHARACTERS]
    return song.artist, song.genre, words.rsplit(" ", 1)[0] if words != first_line else words
