"""`jukebox train post-filter`: what takes haze from the sound of a model."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from cli.commands.training import options
from cli.commands.training.new import ModelFolder
from cli.commands.training.presets import PresetName
from cli.local_model import Device, device_and_dtype
from cli.option_groups import grouped
from jukebox_core.training.settings import Precision

Weight = Annotated[float | None, typer.Option(min=0, help="Weight of this loss.")]


@dataclass(frozen=True, kw_only=True)
class _FilterRun(options.RunOptions):
    """A filter is small: one run, the same for all models, and without what large networks need."""

    preset: PresetName = field(default=PresetName.FULL, init=False)
    steps: Annotated[int, typer.Option(min=1, help="Total number of training steps.")] = 400
    minutes: float | None = field(default=None, init=False)
    batch_size: options.Batch = 4
    accumulate: int = field(default=1, init=False)
    learning_rate: options.LearningRate = 2e-3
    warmup_steps: options.Warmup = 20
    weight_decay: float = field(default=0.0, init=False)
    clip_norm: float = field(default=1.0, init=False)
    ema_decay: float = field(default=0.0, init=False)
    precision: Precision = field(default=Precision.FP32, init=False)
    gradient_checkpointing: bool = field(default=False, init=False)
    log_every: options.LogEvery = 20
    evaluate_every: options.EvaluateEvery = 200
    save_every: options.SaveEvery = 50


@dataclass(frozen=True, kw_only=True)
class _Material:
    """Options named as the fields of `PostFilterSettings`; None is the default."""

    pieces: Annotated[
        int | None, typer.Option(min=2, help="Number of excerpts for training and evaluation.")
    ] = None
    piece_sec: Annotated[
        float | None, typer.Option(min=0.1, help="Length of an excerpt, in seconds.")
    ] = None
    drawn_share: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Share of examples sampled from the bottom prior; 0 for none."
        ),
    ] = None
    crop_samples: Annotated[int | None, typer.Option(min=1, help="Audio samples per example.")] = (
        None
    )
    waveform_weight: Weight = None
    convergence_weight: Weight = None
    log_magnitude_weight: Weight = None
    mel_weight: Weight = None


@grouped
def post_filter(
    *,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="Folder with audio files; songs.csv or songs.json is optional."
        ),
    ],
    model: ModelFolder,
    run: _FilterRun,
    material: _Material,
    device: Device = "auto",
) -> None:
    """Train a post-filter that reduces noise in the output.

    The filter is applied after the bottom decoder. It is trained on songs in DATA, rendered from
    their own codes and from codes that the bottom prior sampled given the true middle level. Train
    it after the bottom prior. Codes do not change.
    """
    options.begin(f"training a post-filter for {model}")
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.config import PostFilterConfig
    from jukebox_core.model import JukeboxModel
    from jukebox_core.training.post_filter.material import folder_songs, make_pieces
    from jukebox_core.training.post_filter.settings import PostFilterSettings
    from jukebox_core.training.post_filter.task import PostFilterTask

    settings = run.settings()
    filter_settings = options.with_given(PostFilterSettings(), asdict(material))
    chosen, dtype = device_and_dtype(device)
    sounding = JukeboxModel.from_pretrained(model, device=chosen, dtype=dtype)
    songs = folder_songs(data, sounding.config.vqvae.sample_rate_hz, report=options.report)
    folder = run.folder(model, "post-filter")
    made = make_pieces(
        sounding, songs, filter_settings, folder / "pieces", seed=run.seed, report=options.report
    )
    options.run_training(
        lambda settings: PostFilterTask(PostFilterConfig(), made, model, settings, filter_settings),
        settings,
        folder,
        run,
    )
