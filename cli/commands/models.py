"""`jukebox models`: what can sing here, and a tiny model to try everything with."""

import subprocess
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli import options
from cli.commands import model_files
from cli.console import escape, notes, results
from cli.errors import CliError
from cli.optional_packages import require_packages
from jukebox_core.child_processes import TORCH_VARIABLES, child_environment, python_command
from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import JukeboxError
from jukebox_core.models.catalog import BUNDLED_MODELS, ModelCatalog, ModelState

TINY_IS_NOISE = (
    "tiny is a small model with random weights: it has learned nothing, and its songs are noise."
)

models_app = typer.Typer(
    help="List, fetch, convert and examine models; write the tiny one.", invoke_without_command=True
)
models_app.command("pull")(model_files.pull)
models_app.command("convert")(model_files.convert)
models_app.command("verify")(model_files.verify)


@models_app.callback()
def models(
    context: typer.Context,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    models_dir: options.ModelsDir = None,
) -> None:
    """List the models; see the commands below for everything else."""
    if context.invoked_subcommand is None:
        list_models(data_dir, models_dir)


@models_app.command("list")
def list_models(
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    models_dir: options.ModelsDir = None,
) -> None:
    """List the models in the models folder, and those that can be fetched by name."""
    catalog = ModelCatalog(options.models_folder(data_dir, models_dir), BUNDLED_MODELS)
    table = Table(show_edge=False, pad_edge=False)
    for heading in ("model", "state", "size", "sample rate", "description", "licence"):
        table.add_column(heading, overflow="fold")
    for name in catalog.names():
        _add_present(table, catalog, name)
    for model in catalog.absent():
        _add_model(table, model.name, catalog.state(model.name), model.num_bytes, model.config)
    results().print(table)


@models_app.command("tiny")
def tiny(
    directory: Annotated[Path, typer.Argument(help="Where to write it, e.g. models/tiny.")],
) -> None:
    """Write the tiny model: random weights, made on the spot in a few seconds."""
    write_tiny(directory)
    notes().print(TINY_IS_NOISE)
    results().print(escape(str(directory)))


def _add_present(table: Table, catalog: ModelCatalog, name: str) -> None:
    """A row of a model that is there; a broken one must not hide the others."""
    try:
        card = catalog.get(name)
    except JukeboxError as error:
        table.add_row(escape(name), "broken", "", "", escape(str(error)), "")
    else:
        _add_model(table, name, catalog.state(name), card.num_bytes, card.config)


def _add_model(
    table: Table, name: str, state: ModelState, num_bytes: int, config: JukeboxConfig
) -> None:
    is_large = num_bytes >= 1e9
    table.add_row(
        escape(name),
        state.value,
        f"{num_bytes / 1e9:,.1f} GB" if is_large else f"{num_bytes / 1e6:,.1f} MB",
        f"{config.vqvae.sample_rate_hz:,} Hz",
        escape(config.description),
        escape(config.licence),
    )


def write_tiny(directory: Path) -> None:
    """Write the tiny model in a child process, which needs torch; this one does not.

    Raises:
        UsageError: there is no torch.
        CliError: the child failed; its last line is in the message.
    """
    require_packages(["torch"])
    directory.parent.mkdir(parents=True, exist_ok=True)
    command = python_command("jukebox_core.tiny", str(directory))
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(*TORCH_VARIABLES),
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1]
        raise CliError(f"the tiny model could not be written to {directory}: {last}")
