"""`jukebox train new`: a model directory to train in."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import escape, notes, results

DataFolder = Annotated[
    Path, typer.Argument(metavar="DATA", help="Folder with sound files and songs.json or .csv.")
]
ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="Model directory.")]


def new(
    data: DataFolder,
    model: ModelFolder,
    like: Annotated[
        str, typer.Option(help="mini, tiny, or a model directory: take over its sizes.")
    ] = "mini",
    seed: Annotated[int, typer.Option(min=0, help="Of the random weights.")] = 0,
    description: Annotated[str, typer.Option(help="For people who choose among models.")] = "",
    licence: Annotated[str, typer.Option(help="Terms of the weights, e.g. Apache-2.0.")] = "",
) -> None:
    """Make an untrained model for the artists and genres of the songs in DATA."""
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.training.new_model import new_model

    made = new_model(data, model, like=like, seed=seed, description=description, licence=licence)
    for part, number in made.num_parameters.items():
        notes().print(f"{part:<7}{number:>12,} parameters")
    notes().print(f"{'all':<7}{sum(made.num_parameters.values()):>12,}")
    results().print(escape(str(model)))
