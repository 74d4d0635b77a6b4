"""Options that several commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.errors import reason_of
from cli.outputs import OutputPath, output_path
from jukebox_core.buckets import BucketUrl, Place, read_place
from jukebox_core.errors import LabelError
from jukebox_core.labels import decode_text, normalize_line_breaks

SpeedName = Literal["exact", "parallel"]

DEFAULT_PORT = 8000
DEFAULT_URL = f"http://127.0.0.1:{DEFAULT_PORT}"
DEFAULT_DATA_DIR = Path("jukebox-data")

Url = Annotated[str, typer.Option("--url", envvar="JUKEBOX_URL", help="URL of the service.")]


def _local_folder(text: str | Path) -> Path:
    """Raises typer.BadParameter for the URL of a bucket."""
    if "://" in str(text):
        raise typer.BadParameter(
            f"{text} is no folder of this machine, which this command needs: name one with "
            "--data-dir"
        )
    return Path(text)


def _place(text: str | Path) -> Place:
    """Raises typer.BadParameter for a URL that is not that of a bucket."""
    try:
        return read_place(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        envvar="JUKEBOX_DATA_DIR",
        help="Directory for jobs, songs, logs and models.",
        parser=_local_folder,
        metavar="DIRECTORY",
    ),
]
DataPlace = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        envvar="JUKEBOX_DATA_DIR",
        help="Directory of the service, or its URL in object storage.",
        parser=_place,
        metavar="DIRECTORY|URL",
    ),
]
"""A `Place`, in words that typer takes for a type."""
ModelsDir = Annotated[
    Path | None,
    typer.Option(
        "--models-dir",
        envvar="JUKEBOX_MODELS_DIR",
        help="Directory with one folder per model (default: DATA_DIR/models).",
        parser=_place,
        metavar="DIRECTORY|URL",
    ),
]
"""A `Place`, or None."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a service keeps things: folders of this machine, or their URLs in a bucket."""

    data_dir: DataPlace = DEFAULT_DATA_DIR
    models_dir: ModelsDir = None

    @property
    def models(self) -> Place:
        """The folder with the models, or its URL in a bucket."""
        return self.data_dir / "models" if self.models_dir is None else self.models_dir

    @property
    def models_folder(self) -> Path:
        """The folder with the models. Raises typer.BadParameter where they are in a bucket."""
        place = self.models
        if isinstance(place, BucketUrl):
            raise typer.BadParameter(
                f"{place} is no folder of this machine, which this command needs: name one with "
                "--models-dir"
            )
        return place


@dataclass(frozen=True, kw_only=True)
class PlacesHere(Places):
    """The same of a command that needs the data folder on this machine."""

    data_dir: DataDir = DEFAULT_DATA_DIR


JobId = Annotated[str, typer.Argument(metavar="JOB", help="Job id, or a unique prefix of it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LevelOption = Annotated[
    str | None,
    typer.Option("--level", help="top, middle or bottom (default: the finest finished level)."),
]
SoundFormat = Literal["wav", "flac", "ogg", "mp3"]

FormatOption = Annotated[
    SoundFormat | None,
    typer.Option(
        "--format", help="Audio format (default: from the -o suffix, else the job's format)."
    ),
]
Output = Annotated[
    OutputPath | None,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        parser=output_path,
        help="Download to this file, or into FOLDER/.",
    ),
]
Artist = Annotated[str, typer.Option("--artist", help="Artist whose style to use.")]
Genre = Annotated[str, typer.Option("--genre", help="Genre of the song.")]
Lyrics = Annotated[str, typer.Option("--lyrics", help="Lyrics, or @FILE to read them from a file.")]
LyricsFormatName = Literal["auto", "plain", "lrc", "srt", "vtt"]
LyricsFormatOption = Annotated[
    LyricsFormatName | None,
    typer.Option(
        "--lyrics-format",
        help="Lyrics format. auto (default) removes LRC, SRT and WebVTT timestamps and section "
        "marks such as [Verse]; plain keeps the text unchanged.",
    ),
]
Seconds = Annotated[float, typer.Option("--seconds", min=0.01, help="Length of the audio.")]
SongSeconds = Annotated[
    float | None,
    typer.Option("--song-seconds", help="Planned full length; sets lyric pacing."),
]
Offset = Annotated[
    float, typer.Option("--offset", min=0.0, help="Start position in the planned song, in seconds.")
]
Title = Annotated[str | None, typer.Option("--title", help="What the song is called.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="Tag, repeatable.")]
Play = Annotated[
    bool, typer.Option("--play", help="Play the song while it is generated (the first take).")
]
Takes = Annotated[int, typer.Option("--takes", min=1, help="Number of takes.")]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Random seed (default: chosen at random).")
]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature", help="Sampling temperature of all levels; lower is more predictable."
    ),
]
Channels = Annotated[
    int | None,
    typer.Option(
        "--channels",
        min=1,
        max=2,
        help="2 for stereo: the levels below the top are generated once for each channel "
        "(default: 1, or those of the song to start from).",
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option("--prompt", metavar="FILE", help="Audio file, or asset id, to continue from."),
]
PromptStart = Annotated[
    float, typer.Option("--prompt-start", min=0.0, help="Start position in FILE, in seconds.")
]
PromptSeconds = Annotated[
    float | None,
    typer.Option(
        "--prompt-seconds", min=0.01, help="Seconds of FILE to use (default: to the end)."
    ),
]
Cut = Annotated[
    float | None,
    typer.Option(
        "--cut",
        metavar="SECONDS",
        min=0.01,
        help="Keep only the first SECONDS of the song (default: all).",
    ),
]
Sample = Annotated[
    int | None,
    typer.Option("--sample", "--take", min=0, help="Take to start from, counted from 0."),
]


def lyrics_text(argument: str) -> str:
    """The lyrics themselves, or those of the file that `@FILE` names, with `\n` between lines.

    Raises:
        typer.BadParameter: the file cannot be read as UTF-8.
    """
    if not argument.startswith("@"):
        return normalize_line_breaks(argument)
    try:
        content = Path(argument[1:]).read_bytes()
        return normalize_line_breaks(decode_text(content, argument[1:]))
    except (OSError, LabelError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else error
        sentence = f"cannot read lyrics from {argument[1:]!r}: {reason}"
        raise typer.BadParameter(sentence, param_hint="--lyrics") from error
