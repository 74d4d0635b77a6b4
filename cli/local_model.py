"""A model on this machine and the device it should run on, for commands without a service."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.errors import UsageError
from cli.program import command
from cli.terminal.console import notes
from jukebox_core.backends.choose import AUTO, backend_of_steps
from jukebox_core.config import JukeboxConfig, Weights
from jukebox_core.models.catalog import BUNDLED_MODEL, BUNDLED_MODELS, ModelCatalog
from jukebox_core.models.memory_plan import ModelTooLarge

if TYPE_CHECKING:
    import torch


ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Model directory, or a name in --models-dir (default: the only model there).",
    ),
]
Device = Annotated[str, typer.Option("--device", help="Device: auto, cpu, cuda, cuda:1, ...")]


@dataclass(frozen=True, kw_only=True)
class Computing:
    """How a song is computed here."""

    backend: Annotated[
        str,
        typer.Option(
            envvar="JUKEBOX_BACKEND",
            help="Sampling backend: auto, torch, native (CPU) or triton (CUDA).",
        ),
    ] = AUTO
    native_step: Annotated[
        Literal["auto", "on", "off"] | None,
        typer.Option(envvar="JUKEBOX_NATIVE_STEP", hidden=True),
    ] = None
    fused_step: Annotated[
        Literal["on", "off"] | None, typer.Option(envvar="JUKEBOX_FUSED_STEP", hidden=True)
    ] = None
    weights: Annotated[
        Literal["auto", "full", "int8"],
        typer.Option(
            envvar="JUKEBOX_WEIGHTS",
            help="Weight format. int8 takes a quarter of the memory of float32; the same seed "
            "gives a different song. auto is int8 for large models without a GPU, as in a worker.",
        ),
    ] = "auto"
    device: Device = "auto"

    def wanted_backend(self) -> str:
        """The backend that is asked for, with the options of earlier releases as well."""
        earlier = backend_of_steps(self.native_step, self.fused_step)
        if earlier is None or self.backend != AUTO:
            return self.backend
        notes().print(
            "[yellow]--native-step and --fused-step are deprecated: "
            f"use --backend {earlier}[/yellow]"
        )
        return earlier


def default_model(names: Sequence[str]) -> str | None:
    """The one that is meant where none is named: the only one beside the bundled model, or that.

    None if there are several to choose from, or none at all.
    """
    others = [name for name in names if name != BUNDLED_MODEL]
    if len(others) > 1 or not names:
        return None
    return others[0] if others else BUNDLED_MODEL


def model_directory(model: str | None, folder: Path) -> Path:
    """The directory of a model: its path, its name in `folder`, or the name of a bundled one.

    None is the only model beside the bundled one, or that.

    Raises:
        UsageError: there is none, or none is named and there are several.
    """
    if model is None:
        names = ModelCatalog(folder, BUNDLED_MODELS).names()
        model = default_model(names)
        if model is None:
            raise UsageError(
                f"choose a model with --model; available: {', '.join(names) or 'none'}"
            )
    for directory in (Path(model), folder / model, BUNDLED_MODELS / model):
        if (directory / "config.json").is_file():
            return directory
    raise UsageError(
        f"no model in {model!r}, nor a folder of that name in {folder}. "
        f"`{BUNDLED_MODEL}` comes with this package; see `{command('models')}`."
    )


def device_and_dtype(device: str) -> "tuple[torch.device, torch.dtype]":
    """The device that `device` means, and the precision that is right there.

    Raises:
        UsageError: there is no such device.
    """
    # Imported here: torch takes seconds to load, and most commands do not need it.
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"unknown device {device!r}; use auto, cpu, cuda, cuda:1, ...") from error
    return chosen, torch.float16 if chosen.type == "cuda" else torch.float32


def check_memory(name: str, config: JukeboxConfig, dtype: "torch.dtype", weights: Weights) -> None:
    """Refuse what the kernel would kill: a model of which not even one level fits. Imports torch.

    Raises:
        UsageError: it takes more memory than is free here.
    """
    from jukebox_core.models.device_memory import plan_on_host

    try:
        plan_on_host(config, dtype=dtype, int8_weights=weights is Weights.INT8, max_rows=1)
    except ModelTooLarge as error:
        raise UsageError(f"{name} with {weights} weights is too large here: {error}") from error
