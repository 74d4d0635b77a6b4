"""`jukebox models`: what can sing here, and a tiny model to try everything with."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli import options
from cli.console import escape, notes, results
from cli.errors import CliError
from jukebox_core.catalog import ModelCatalog

TINY_IS_NOISE = (
    "tiny is a small model with random weights: it has learned nothing, and its songs are noise."
)

models_app = typer.Typer(help="List models; write the tiny one.", invoke_without_command=True)


@models_app.callback()
def list_models(
    context: typer.Context,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    models_dir: options.ModelsDir = None,
) -> None:
    """List the models in the models folder."""
    if context.invoked_subcommand is not None:
        return
    folder = options.models_folder(data_dir, models_dir)
    catalog = ModelCatalog(folder)
    names = catalog.names()
    if not names:
        hint = f"`jukebox models tiny {folder / 'tiny'}` writes one."
        notes().print(escape(f"No model in {folder}. {hint}"))
        return
    table = Table(show_edge=False, pad_edge=False)
    for heading in ("model", "size", "sample rate", "description", "licence"):
        table.add_column(heading, overflow="fold")
    for name in names:
        card = catalog.get(name)
        table.add_row(
            escape(name),
            f"{card.num_bytes / 1e6:,.1f} MB",
            f"{card.config.vqvae.sample_rate_hz:,} Hz",
            escape(card.description),
            escape(card.licence),
        )
    results().print(table)


@models_app.command("tiny")
def tiny(
    directory: Annotated[Path, typer.Argument(help="Where to write it, e.g. models/tiny.")],
) -> None:
    """Write the tiny model: random weights, made on the spot in a few seconds."""
    write_tiny(directory)
    notes().print(TINY_IS_NOISE)
    results().print(escape(str(directory)))


def write_tiny(directory: Path) -> None:
    """Write the tiny model in a child process, which needs torch; this one does not.

    Raises:
        CliError: the child failed; its last line is in the message.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-m", "jukebox_core.tiny", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1]
        raise CliError(f"the tiny model could not be written to {directory}: {last}")
