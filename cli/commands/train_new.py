"""`jukebox train new`: a model directory to train in."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.train_steps import after_new, say_next
from cli.console import escape, notes, results
from cli.errors import UsageError

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
    source: Annotated[
        Path | None, typer.Option("--from", help="Model directory whose weights to begin with.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Artist or genre of --from to keep in the lists; repeat."),
    ] = None,
    keep_all: Annotated[
        bool, typer.Option("--keep-all", help="Keep all artists and genres of --from.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the random weights.")] = 0,
    description: Annotated[str, typer.Option(help="For people who choose among models.")] = "",
    licence: Annotated[
        str | None, typer.Option(help="Terms of the weights; by default those of --from.")
    ] = None,
) -> None:
    """Make a model for the artists and genres of the songs in DATA, to be trained.

    It knows nothing yet, or with --from all but the new names.
    """
    if source is None and (keep or keep_all):
        raise UsageError("--keep and --keep-all need --from: names are kept from another model")
    notes().print("making the model: loading torch ...")
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.training.dataset.fine_tuning import model_from
    from jukebox_core.training.dataset.new_model import new_model

    if source is None:
        made = new_model(
            data, model, like=like, seed=seed, description=description, licence=licence or ""
        )
    else:
        made = model_from(
            source,
            data,
            model,
            keep=keep or (),
            keep_all=keep_all,
            description=description,
            licence=licence,
        )
    for part, number in made.num_parameters.items():
        notes().print(f"{part:<7}{number:>12,} parameters")
    notes().print(f"{'all':<7}{sum(made.num_parameters.values()):>12,}")
    results().print(escape(str(model)))
    say_next(after_new(data, model))
