"""`jukebox models`: what can sing here, and a tiny model to try everything with."""

import subprocess
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import options
from cli.commands import model_files
from cli.errors import CliError
from cli.local.model_places import known_figures, known_models
from cli.option_groups import grouped
from cli.optional_packages import require_packages
from cli.outputs import Overwrite, check_new_folder
from cli.terminal.console import escape, notes, print_fitted, print_json, results
from cli.terminal.tables import Column, fitted_table
from jobs.model_figures import ModelFigures
from jukebox_core.child_processes import TORCH_VARIABLES, child_environment, python_command
from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import JukeboxError
from jukebox_core.models.catalog import ModelCatalog
from jukebox_core.models.released import ReleasedModel

TINY_IS_NOISE = "tiny is a small model with random weights: its songs are noise."

_COLUMNS = (
    Column(heading="model"),
    Column(heading="state"),
    Column(heading="size", justify="right"),
    Column(heading="memory", justify="right"),
    Column(heading="time", justify="right"),
    Column(heading="sample rate", justify="right", rank=2),
    Column(heading="description", is_flexible=True),
    Column(heading="license", rank=1),
)

models_app = typer.Typer(
    help="List, download, convert and verify models.", invoke_without_command=True
)
models_app.command("pull")(model_files.pull)
models_app.command("convert")(model_files.convert)
models_app.command("verify")(model_files.verify)


@models_app.callback()
@grouped
def models(
    *,
    context: typer.Context,
    as_json: options.AsJson = False,
    places: options.Places,
) -> None:
    """List, download, convert and verify models (default: list)."""
    if context.invoked_subcommand is None:
        list_models(as_json=as_json, **vars(places))


@models_app.command("list")
@grouped
def list_models(
    *,
    as_json: options.AsJson = False,
    places: options.Places,
) -> None:
    """List local models and released models available to pull."""
    catalog = known_models(places.models)
    figures = known_figures(places.data_dir)
    found = [_present(catalog, name, figures.get(name)) for name in catalog.names()]
    found += [_released(catalog, model) for model in catalog.absent()]
    if as_json:
        print_json(found)
        return
    rows = [
        [
            model["name"],
            model["state"],
            _size(model["bytes"]),
            _size(model["memory_bytes"]),
            _time(model["estimated_seconds_per_second_of_music"]),
            f"{model['sample_rate_hz']:,} Hz" if model["sample_rate_hz"] else "",
            model["description"],
            model["licence"],
        ]
        for model in found
    ]
    print_fitted(fitted_table(_COLUMNS, rows, results().width))
    for model in found:
        if model["error"]:
            notes().print(escape(f"{model['name']}: {model['error']}"))
    if fault := catalog.fault():
        notes().print(escape(fault))


@models_app.command("tiny")
def tiny(
    directory: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", help="New model directory, e.g. models/tiny.")
    ],
    overwrite: Overwrite = False,
) -> None:
    """Create the tiny model: random weights, for tests."""
    check_new_folder(directory, overwrite=overwrite)
    write_tiny(directory)
    notes().print(TINY_IS_NOISE)
    results().print(escape(str(directory)))


def _present(catalog: ModelCatalog, name: str, figures: ModelFigures | None) -> dict[str, Any]:
    """A model that is there; a broken one must not hide the others."""
    try:
        card = catalog.get(name)
    except JukeboxError as error:
        return _line(name, "broken", None, None, error=str(error))
    return _line(name, catalog.state(name), card.num_bytes, card.config, figures=figures)


def _released(catalog: ModelCatalog, model: ReleasedModel) -> dict[str, Any]:
    return _line(model.name, catalog.state(model.name), model.num_bytes, model.config)


def _line(
    name: str,
    state: str,
    num_bytes: int | None,
    config: JukeboxConfig | None,
    *,
    figures: ModelFigures | None = None,
    error: str | None = None,
) -> dict[str, Any]:
    """A model in the words of `GET /models`."""
    return {
        "name": name,
        "state": str(state),
        "bytes": num_bytes,
        "memory_bytes": figures and figures.memory_bytes,
        "estimated_seconds_per_second_of_music": figures and figures.seconds_per_second,
        "estimated_seconds_per_second_in_parallel": figures and figures.seconds_in_parallel,
        "sample_rate_hz": None if config is None else config.vqvae.sample_rate_hz,
        "description": "" if config is None else config.description,
        "licence": "" if config is None else config.licence,
        "error": error,
    }


def _size(num_bytes: int | None) -> str:
    if num_bytes is None:
        return ""
    return f"{num_bytes / 1e9:,.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:,.1f} MB"


def _time(seconds: float | None) -> str:
    """For one second of music."""
    if seconds is None:
        return ""
    return f"{seconds:,.0f} s/s" if seconds >= 10 else f"{seconds:.1f} s/s"


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
