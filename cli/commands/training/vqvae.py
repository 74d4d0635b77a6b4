"""`jukebox train vqvae`: one level of the codec."""

from dataclasses import asdict, dataclass, field
from typing import Annotated

import typer

from cli.commands.training import options
from cli.commands.training.new import DataFolder, ModelFolder
from cli.commands.training.steps import after_vqvae, say_next
from cli.option_groups import grouped
from jukebox_core.training.settings import Precision

Weight = Annotated[float | None, typer.Option(min=0, help="Weight of this loss.")]


@dataclass(frozen=True, kw_only=True)
class _CodecRun(options.RunOptions):
    """A codec is trained in float32 only."""

    hold_fraction: options.Hold = 0.5
    precision: Precision = field(default=Precision.FP32, init=False)
    log_every: options.LogEvery = 100


@dataclass(frozen=True, kw_only=True)
class _Losses:
    """Options named as the fields of `VQVAELevelSettings`; None is the default of the level."""

    crop_samples: Annotated[
        int | None, typer.Option(min=1, help="Audio samples per example; a multiple of the hop.")
    ] = None
    l1_weight: Weight = None
    l2_weight: Weight = None
    linf_weight: Weight = None
    multispectral_weight: Weight = None
    log_magnitude_weight: Weight = None
    vowel_weight: Weight = None
    pitch_weight: Weight = None
    chroma_weight: Weight = None
    artist_weight: Weight = None
    genre_weight: Weight = None


@grouped
def vqvae(
    *,
    context: typer.Context,
    data: DataFolder,
    model: ModelFolder,
    level: options.LevelName,
    run: _CodecRun,
    losses: _Losses,
    warm_start: Annotated[
        bool,
        typer.Option("--warm-start", help="Start from the current weights of the level."),
    ] = False,
) -> None:
    """Train one level of the VQ-VAE of MODEL on the songs in DATA.

    Training starts from random weights, or with --warm-start from the current ones. Loss weights
    have defaults per level. The vowel, pitch, chroma (bass and chords), artist and genre losses
    belong to an auxiliary head that exists only during training and uses the labels in DATA. The
    three levels can be trained at the same time; each updates only its own part of MODEL.
    """
    options.begin(f"training the {level} level of the codec of {model}")
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.models.catalog import read_config
    from jukebox_core.training.codec.settings import default_level_settings
    from jukebox_core.training.codec.task import VQVAETask
    from jukebox_core.training.dataset.data import TrainingData

    chosen = options.level_named(level)
    run = run.with_preset(context, "vqvae", level)
    settings = run.settings()
    config = read_config(model).vqvae
    level_settings = options.with_given(default_level_settings(chosen), asdict(losses))
    songs = TrainingData(data, config.sample_rate_hz, report=options.report)
    options.run_training(
        lambda settings: VQVAETask(
            chosen, config, songs, model, settings, level_settings, warm_start=warm_start
        ),
        settings,
        run.folder(model, f"vqvae-{level}"),
        run,
    )
    say_next(after_vqvae(data, model, level, run.preset))
