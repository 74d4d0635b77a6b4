"""`jukebox features`: what a model hears in a sound file, as numbers for other work."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import typer

from cli import options
from cli.console import escape, notes, results
from cli.local_model import Device, ModelName, device_and_dtype, model_directory
from jukebox_core.models.catalog import read_config
from jukebox_core.units import Level

if TYPE_CHECKING:
    from jukebox_core.features import FeatureParams, Features


def features(
    file: Annotated[Path, typer.Argument(help="WAV, FLAC, OGG or MP3.")],
    model: ModelName,
    layer: Annotated[
        int | None,
        typer.Option(help="How many layers of the top prior to run; half of them by default."),
    ] = None,
    pool: Annotated[
        Literal["mean", "none"],
        typer.Option(help="mean: one vector for the file. none: one per token, or see --rate."),
    ] = "mean",
    rate: Annotated[
        float | None, typer.Option(help="Vectors for each second, with --pool none.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File to write; FILE with .npy by default."),
    ] = None,
    offset: Annotated[float, typer.Option(min=0.0, help="Second of FILE to begin at.")] = 0.0,
    seconds: Annotated[
        float | None, typer.Option(min=0.01, help="How much to read; to the end by default.")
    ] = None,
    hop_fraction: Annotated[
        float, typer.Option(help="New part of each window: less hears more of the past.")
    ] = 0.5,
    device: Device = "auto",
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    models_dir: options.ModelsDir = None,
) -> None:
    """Activations of the top prior over a sound file: float32 [vectors, width], as .npy."""
    directory = model_directory(model, options.models_folder(data_dir, models_dir))
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.features import FeatureParams

    num_layers = read_config(directory).prior(Level.TOP).transformer.num_layers
    params = FeatureParams(
        layer=max(num_layers // 2, 1) if layer is None else layer,
        pool=pool,
        rate_hz=rate,
        hop_fraction=hop_fraction,
    )
    found = _extract(directory, file, params, device, offset_sec=offset, duration_sec=seconds)
    target = output if output is not None else file.with_suffix(".npy")
    _save(target, found)
    num_vectors, width = found.values.shape
    pace = "the mean of all tokens" if found.rate_hz is None else f"{found.rate_hz:g} a second"
    notes().print(f"layer {params.layer}: {num_vectors} x {width}, {pace}")
    results().print(escape(str(target)))


def _extract(
    directory: Path,
    file: Path,
    params: "FeatureParams",
    device: str,
    *,
    offset_sec: float,
    duration_sec: float | None,
) -> "Features":
    from jukebox_core.audio import read_audio
    from jukebox_core.checkpoints import load_prior_of, load_vqvae_of
    from jukebox_core.features import check_features, extract_features

    chosen, dtype = device_and_dtype(device)
    # The sound first: a wrong path should not cost the loading of a large model.
    audio = read_audio(
        file,
        sample_rate_hz=read_config(directory).vqvae.sample_rate_hz,
        offset_sec=offset_sec,
        duration_sec=duration_sec,
    )
    notes().print(f"loading the top prior of {escape(str(directory))} on {chosen}")
    prior = load_prior_of(directory, Level.TOP, device=chosen, dtype=dtype)
    check_features(prior, params)
    return extract_features(load_vqvae_of(directory, device=chosen), prior, audio, params)


def _save(target: Path, found: "Features") -> None:
    # Open files are written as they are called; given a name, numpy may append a suffix.
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        np.save(stream, found.values)
