"""`jukebox train new`: a model directory to train in."""

import csv
from pathlib import Path
from typing import Annotated

import typer

from cli.commands.training.steps import after_new, say_next
from cli.errors import UsageError
from cli.optional_packages import require_packages
from cli.sound_files import find_sound_files
from cli.terminal.console import escape, notes, results
from jukebox_core.atomic_files import whole_file
from jukebox_core.training.dataset.manifest import CSV_FILE, JSON_FILE, UNKNOWN_NAME

DataFolder = Annotated[
    Path,
    typer.Argument(metavar="DATA", help="Folder with audio files and songs.csv or songs.json."),
]
ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="Model directory.")]


def new(
    data: DataFolder,
    model: ModelFolder,
    like: Annotated[
        str, typer.Option(help="Architecture: mini, tiny, or a model directory.")
    ] = "mini",
    source: Annotated[
        Path | None, typer.Option("--from", help="Model directory to initialize the weights from.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Artist or genre of --from to keep; can be repeated."),
    ] = None,
    keep_all: Annotated[
        bool, typer.Option("--keep-all", help="Keep all artists and genres of --from.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the initial weights.")] = 0,
    description: Annotated[str, typer.Option(help="Description shown in model lists.")] = "",
    license_name: Annotated[
        str | None,
        typer.Option("--license", help="License of the weights (default: that of --from)."),
    ] = None,
    licence: Annotated[str | None, typer.Option("--licence", hidden=True)] = None,
) -> None:
    """Create an untrained model for the artists and genres in DATA.

    With --from, start from the weights of another model. If DATA has no song list, one is written
    first: all audio files, with the subfolder as the artist and a .txt file of the same name as
    the lyrics.
    """
    chosen_license = licence if license_name is None else license_name
    if source is None and (keep or keep_all):
        raise UsageError("--keep and --keep-all need --from: names are kept from another model")
    require_packages(["torch"])
    _list_songs(data)
    notes().print("making the model: loading torch ...")
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.training.dataset.fine_tuning import model_from
    from jukebox_core.training.dataset.new_model import new_model

    if source is None:
        made = new_model(
            data, model, like=like, seed=seed, description=description, licence=chosen_license or ""
        )
    else:
        made = model_from(
            source,
            data,
            model,
            keep=keep or (),
            keep_all=keep_all,
            description=description,
            licence=chosen_license,
        )
    for part, number in made.num_parameters.items():
        notes().print(f"{part:<7}{number:>12,} parameters")
    notes().print(f"{'all':<7}{sum(made.num_parameters.values()):>12,}")
    results().print(escape(str(model)))
    say_next(after_new(data, model))


def _list_songs(data: Path) -> None:
    """Write `songs.csv` where a folder of sound files has no list yet."""
    if not data.is_dir():
        raise UsageError(f"there is no folder {data}")
    if (data / JSON_FILE).exists() or (data / CSV_FILE).exists():
        return
    songs = find_sound_files([str(data)])
    with (
        whole_file(data / CSV_FILE) as unfinished,
        unfinished.open("w", encoding="utf-8", newline="") as stream,
    ):
        rows = csv.writer(stream)
        rows.writerow(("file", "artist", "genre", "lyrics"))
        for path in songs.paths:
            name = path.relative_to(data)
            artist = name.parts[0] if len(name.parts) > 1 else UNKNOWN_NAME
            lyrics = name.with_suffix(".txt")
            has_lyrics = (data / lyrics).is_file()
            rows.writerow(
                (name.as_posix(), artist, UNKNOWN_NAME, lyrics.as_posix() if has_lyrics else "")
            )
    notes().print(
        escape(
            f"wrote {data / CSV_FILE} with {len(songs.paths):,} files. Add artists, genres and "
            "lyrics there for a model that can be asked for them, and make the model anew."
        )
    )
