"""`jukebox models pull`, `convert` and `verify`: models from elsewhere; are they whole?"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli import options
from cli.errors import CliError, UsageError, reason_of
from cli.option_groups import grouped
from cli.outputs import Overwrite, check_new_folder
from cli.service.transfer import TransferLines, transfer_display
from cli.terminal.console import escape, notes, print_json, results
from jukebox_core.config import JukeboxConfig, Weights
from jukebox_core.models.catalog import ModelCatalog
from jukebox_core.models.released import (
    LABELS_URL,
    LICENCE_URL,
    WEIGHTS_URL,
    ReleasedModel,
    released_model,
)
from jukebox_core.small_files import read_small_json

if TYPE_CHECKING:
    from jukebox_core.checkpoints.convert import WeightsSource
    from jukebox_core.checkpoints.hub import HubRepository
    from jukebox_core.checkpoints.pull import OpenAIAddress

Place = Literal["hub", "original"]
Dtype = Literal["keep", "float32", "float16", "bfloat16", "int8"]
Precision = Literal["original", "int8"]
_WEIGHTS = {"original": Weights.FULL, "int8": Weights.INT8}


@grouped
def pull(
    *,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Released model: 5b_lyrics, 5b or 1b_lyrics.")
    ],
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help=f"Accept the license: {LICENCE_URL}")
    ] = False,
    place: Annotated[
        Place | None,
        typer.Option("--from", help="Source: hub (default if it has the model) or original."),
    ] = None,
    weights_url: Annotated[
        str,
        typer.Option(
            envvar="JUKEBOX_WEIGHTS_URL", help="URL of the original weights, or a mirror."
        ),
    ] = WEIGHTS_URL,
    labels_url: Annotated[
        str,
        typer.Option(
            envvar="JUKEBOX_LABELS_URL", help="URL of the original artist and genre lists."
        ),
    ] = LABELS_URL,
    hub_url: Annotated[
        str | None, typer.Option(envvar="HF_ENDPOINT", help="Hugging Face endpoint, or a mirror.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of the hub repository.")
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(help="Precision on disk: original (default), or int8: a quarter of the size."),
    ] = None,
    places: options.Places,
) -> None:
    """Download a released model.

    Run the same command again to resume an interrupted download.
    """
    model = released_model(name)
    if not accept_license:
        raise UsageError(
            f"the weights of {name} are under the {model.config.licence}: no commercial use, "
            f"neither of them nor of songs made with them. Read {LICENCE_URL}, and if you accept "
            "it, add --accept-license"
        )
    if place is None:
        # Whoever names a mirror of the original's files means those.
        place = "hub" if model.hub_repository and weights_url == WEIGHTS_URL else "original"
    origin = _origin(model, place, weights_url, labels_url, hub_url, revision)
    notes().print(escape(f"fetching {name} from {origin} (about {model.num_bytes / 1e9:.1f} GB)"))
    weights = None if precision is None else _WEIGHTS[precision]
    directory = _pull(model, places.models_folder, origin, weights)
    results().print(escape(str(directory)))


def _origin(
    model: ReleasedModel,
    place: Place,
    weights_url: str,
    labels_url: str,
    hub_url: str | None,
    revision: str | None,
) -> "OpenAIAddress | HubRepository":
    from jukebox_core.checkpoints.hub import HubRepository
    from jukebox_core.checkpoints.pull import OpenAIAddress

    if place == "original":
        return OpenAIAddress(weights_url=weights_url, labels_url=labels_url)
    if model.hub_repository is None:
        raise UsageError(f"the hub has no port of {model.name}: fetch it with --from original")
    return HubRepository(name=model.hub_repository, endpoint=hub_url, revision=revision)


def _pull(
    model: ReleasedModel,
    models_dir: Path,
    origin: "OpenAIAddress | HubRepository",
    weights: Weights | None,
) -> Path:
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.checkpoints.pull import OpenAIAddress
    from jukebox_core.checkpoints.pull import pull as pull_model

    # The hub's library draws bars of its own.
    with transfer_display(notes(), bars=isinstance(origin, OpenAIAddress)) as display:
        return pull_model(
            model,
            models_dir,
            origin,
            license_accepted=True,
            weights=weights,
            progress=display.show,
            on_part=display.part,
        )


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SRC", help="Directory in transformers format, or with original checkpoints."
        ),
    ],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="New model directory.")],
    model: Annotated[
        str | None,
        typer.Option("--model", help="Released model that the original checkpoints belong to."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help='Hyperparameters of other checkpoints: {"vqvae": ..., "priors": [...]}.'),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Folder with the label lists (v2_artist_ids.txt, ...).")
    ] = None,
    dtype: Annotated[Dtype, typer.Option(help="Precision of the transformer weights.")] = "keep",
    overwrite: Overwrite = False,
) -> None:
    """Convert a model to the native format, or to another precision."""
    import torch

    from jukebox_core.checkpoints.convert import convert as convert_model

    files = _source(source, destination.name, model, config, labels)
    check_new_folder(destination, overwrite=overwrite)
    convert_model(
        files,
        destination,
        described_as=str(source),
        dtype=None if dtype in ("keep", "int8") else getattr(torch, dtype),
        weights={"keep": None, "int8": Weights.INT8}.get(dtype, Weights.FULL),
        on_part=TransferLines(notes()).part,
    )
    results().print(escape(str(destination)))


def _source(
    folder: Path, name: str, model: str | None, config: Path | None, labels: Path | None
) -> "WeightsSource":
    from jukebox_core.checkpoints.convert import open_directory, open_openai_folder

    if (folder / "config.json").is_file():
        return open_directory(folder)
    if model is not None:
        return open_openai_folder(folder, released_model(model), labels)
    if config is not None:
        return open_openai_folder(folder, _own_model(config, name), labels)
    raise UsageError(
        f"{folder} has no config.json. If it holds the original's .pth.tar files, say which model "
        "they are with --model, or give their hyperparameters with --config"
    )


def _own_model(config: Path, name: str) -> ReleasedModel:
    values = _read_json(config)
    fields = set(values) if isinstance(values, dict) else set()
    unknown = fields - {"vqvae", "priors", "sr"}
    if not {"vqvae", "priors"} <= fields or unknown or not isinstance(values["priors"], list):
        also = f", and not {', '.join(sorted(unknown))}" if unknown else ""
        raise UsageError(
            f'{config} should hold "vqvae", a list "priors" and, if you like, "sr" of all{also}'
        )
    architecture = JukeboxConfig.from_openai(
        values["vqvae"], values["priors"], name=name, sample_rate_hz=values.get("sr")
    )
    return ReleasedModel.of_original_files(architecture)


def _read_json(file: Path) -> Any:  # noqa: ANN401 (whatever the file holds)
    try:
        return read_small_json(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {file}: {reason_of(error)}") from error


@grouped
def verify(
    *,
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Model names or directories (default: all)."),
    ] = None,
    as_json: options.AsJson = False,
    places: options.Places,
) -> None:
    """Verify that model files are complete and unmodified."""
    from jukebox_core.checkpoints.verify import verify as findings_of

    folder = places.models_folder
    directories = [_directory(model, folder) for model in models or ModelCatalog(folder).names()]
    broken, parts = set(), []
    for directory in directories:
        for finding in findings_of(directory):
            parts.append({"model": directory.name, **asdict(finding)})
            mark = "[green]fine[/]" if finding.is_fine else "[bold red]broken[/]"
            line = escape(f"{directory.name} {finding.part}: {finding.detail}")
            if not as_json:
                results().print(f"{mark} {line}")
            if not finding.is_fine:
                broken.add(directory.name)
    if as_json:
        print_json(parts)
    if broken:
        raise CliError(f"not whole: {', '.join(sorted(broken))}. Fetch or convert them again")
    if not directories:
        notes().print(escape(f"No model in {folder}."))


def _directory(model: str, folder: Path) -> Path:
    for directory in (folder / model, Path(model)):
        if directory.is_dir():
            return directory
    raise UsageError(f"no model directory {model!r}, and no model of that name in {folder}")
