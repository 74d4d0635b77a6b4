"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.outputs import OutputPath, output_path
from jukebox_core.errors import LabelError
from jukebox_core.labels import decode_text, normalize_line_breaks

SpeedName = Literal["exact", "parallel"]

DEFAULT_PORT = 8000
DEFAULT_URL = f"http://127.0.0.1:{DEFAULT_PORT}"
DEFAULT_DATA_DIR = Path("jukebox-data")

Url = Annotated[str, typer.Option("--url", envvar="JUKEBOX_URL", help="Where the service answers.")]
DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir", envvar="JUKEBOX_DATA_DIR", help="Folder for jobs, songs, logs and models."
    ),
]
ModelsDir = Annotated[
    Path | None,
    typer.Option(
        "--models-dir",
        envvar="JUKEBOX_MODELS_DIR",
        help="Folder with one folder per model; `models` in the data folder by default.",
    ),
]
JobId = Annotated[
    str, typer.Argument(metavar="JOB", help="Id of the job, or as much of it as names one job.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
LevelOption = Annotated[
    str | None,
    typer.Option("--level", help="top, middle or bottom; by default the finest that is done."),
]
SoundFormat = Literal["wav", "flac", "ogg", "mp3"]

FormatOption = Annotated[
    SoundFormat | None,
    typer.Option("--format", help="By default that of -o, else the one that the job made."),
]
Output = Annotated[
    OutputPath | None,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        parser=output_path,
        help="Download to this file, or FOLDER/.",
    ),
]
Artist = Annotated[str, typer.Option("--artist", help="Artist to sing like.")]
Genre = Annotated[str, typer.Option("--genre", help="Genre to play.")]
Lyrics = Annotated[str, typer.Option("--lyrics", help="Words to sing; @FILE reads them.")]
LyricsFormatName = Literal["auto", "plain", "lrc", "srt", "vtt"]
LyricsFormatOption = Annotated[
    LyricsFormatName | None,
    typer.Option(
        "--lyrics-format",
        help="Of the words: auto, the default, leaves out the times of lrc, srt and vtt and marks "
        "such as [Verse]; plain sings everything.",
    ),
]
Seconds = Annotated[float, typer.Option("--seconds", min=0.01, help="Length of the sound.")]
SongSeconds = Annotated[
    float | None,
    typer.Option("--song-seconds", help="Length of the whole imagined song: paces the lyrics."),
]
Offset = Annotated[
    float, typer.Option("--offset", min=0.0, help="Second of that song at which to begin.")
]
Takes = Annotated[int, typer.Option("--takes", min=1, help="How many different takes.")]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Same seed, same song; drawn when absent.")
]
LastLevel = Annotated[
    str,
    typer.Option("--stop-after", help="Last level to draw: top makes a draft, bottom all of it."),
]
Temperature = Annotated[
    float | None, typer.Option("--temperature", help="Of all levels: lower is more predictable.")
]

Speed = Annotated[
    SpeedName | None,
    typer.Option(
        "--speed",
        help="exact, the default; parallel draws segments side by side: sooner, another song.",
    ),
]

Prompt = Annotated[
    str | None,
    typer.Option("--prompt", metavar="FILE", help="Sound to go on from; or the id of an asset."),
]
PromptStart = Annotated[
    float, typer.Option("--prompt-start", min=0.0, help="Second of FILE at which to begin.")
]
PromptSeconds = Annotated[
    float | None,
    typer.Option("--prompt-seconds", min=0.01, help="How much of FILE; to its end by default."),
]
Cut = Annotated[
    float | None,
    typer.Option("--cut", min=0.01, help="Keep this many seconds; all that is there by default."),
]
Sample = Annotated[
    int | None,
    typer.Option("--sample", "--take", min=0, help="Take to go on from, counted from 0."),
]


def models_folder(data_dir: Path, models_dir: Path | None) -> Path:
    """The folder with the models."""
    return models_dir if models_dir is not None else data_dir / "models"


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
        sentence = f"cannot read lyrics from {argument[1:]!r}: {error}"
        raise typer.BadParameter(sentence, param_hint="--lyrics") from error


def levels_down_to(last: str) -> list[str]:
    """The levels to draw, from the top down to `last`.

    Raises:
        typer.BadParameter: there is no such level.
    """
    names = ["top", "middle", "bottom"]
    if last not in names:
        raise typer.BadParameter(
            f"no level is called {last!r}: top, middle or bottom", param_hint="--stop-after"
        )
    return names[: names.index(last) + 1]
