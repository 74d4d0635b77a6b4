"""`jukebox train prior`: the prior of one level."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.training import options
from cli.commands.training.encode import check_use
from cli.commands.training.new import DataFolder, ModelFolder
from cli.commands.training.presets import Minutes, Preset, PresetName, StepsOfPreset, with_preset
from cli.commands.training.steps import after_prior, say_next
from jukebox_core.training.settings import Decay, Precision, TrainingSettings

if TYPE_CHECKING:
    from jukebox_core.training.dataset.data import TrainingData
    from jukebox_core.units import Level


def prior(
    context: typer.Context,
    data: DataFolder,
    model: ModelFolder,
    level: Annotated[str, typer.Option(help="Level to train: top, middle or bottom.")],
    preset: Preset = PresetName.FULL,
    steps: StepsOfPreset = None,
    minutes: Minutes = None,
    run_dir: options.RunDirOrDefault = None,
    batch: options.Batch = 8,
    accumulate: options.Accumulate = 1,
    lr: options.LearningRate = 1e-3,
    warmup: options.Warmup = 100,
    decay: options.DecayOption = Decay.LINEAR,
    hold: options.Hold = 0.3,
    weight_decay: options.WeightDecay = 0.01,
    clip: options.Clip = 1.0,
    ema: options.Ema = 0.999,
    precision: options.PrecisionOption = Precision.FP32,
    seed: options.Seed = 0,
    gradient_checkpointing: options.Checkpointing = False,
    threads: options.Threads = 0,
    log_every: options.LogEvery = 50,
    evaluate_every: options.EvaluateEvery = 1000,
    sample_every: options.SampleEvery = 0,
    save_every: options.SaveEvery = 250,
    max_minutes: options.MaxMinutes = None,
    fresh: options.Fresh = False,
    start_share: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Share of training windows that start at the beginning of a song."
        ),
    ] = None,
    label_dropout: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Probability of replacing the artist, and separately the genre, with unknown.",
        ),
    ] = None,
    upper_noise: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of random codes in the level above.")
    ] = None,
    guide_weight: Annotated[
        float | None, typer.Option(min=0, help="Weight of the lyrics alignment loss.")
    ] = None,
    guide_final: Annotated[
        float | None, typer.Option(min=0, help="Final value of --guide-weight, reached linearly.")
    ] = None,
    bar_position_weight: Annotated[
        float | None, typer.Option(min=0, help="Weight of the bar position loss.")
    ] = None,
    metre_weight: Annotated[float | None, typer.Option(min=0, hidden=True)] = None,
    guide_steps: Annotated[
        int | None,
        typer.Option(min=0, help="Steps until --guide-final is reached; 0: the whole run."),
    ] = None,
    evaluation_windows: Annotated[
        int | None, typer.Option(min=1, help="Number of held-out windows to evaluate.")
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(
            help="Part to freeze, e.g. conditioner or transformer.layers.0; can be repeated."
        ),
    ] = None,
) -> None:
    """Train the prior of one level of MODEL on the songs in DATA.

    Training starts from the current weights. Songs that are not encoded yet are encoded first, so
    the VQ-VAE must be finished. The lyrics alignment loss requires character times in DATA.
    """
    options.begin(f"training the {level} prior of {model}")
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.models.catalog import read_config
    from jukebox_core.training.dataset.data import TrainingData
    from jukebox_core.training.priors.settings import default_prior_settings
    from jukebox_core.training.priors.task import PriorTask

    chosen = options.level_named(level)
    asked_of_run = {
        "steps": steps,
        "minutes": minutes,
        "batch": batch,
        "lr": lr,
        "warmup": warmup,
        "log_every": log_every,
        "evaluate_every": evaluate_every,
        "save_every": save_every,
    }
    run = with_preset(context, preset, "prior", level, asked_of_run)
    settings = TrainingSettings(
        steps=run["steps"],
        batch_size=run["batch"],
        accumulate=accumulate,
        learning_rate=run["lr"],
        warmup_steps=run["warmup"],
        decay=decay,
        hold_fraction=hold,
        weight_decay=weight_decay,
        clip_norm=clip,
        ema_decay=ema,
        precision=precision,
        seed=seed,
        gradient_checkpointing=gradient_checkpointing,
        threads=threads,
        log_every=run["log_every"],
        evaluate_every=run["evaluate_every"],
        sample_every=sample_every,
        save_every=run["save_every"],
    )
    asked = {
        "start_share": start_share,
        "label_dropout": label_dropout,
        "upper_noise": upper_noise,
        "guide_weight": guide_weight,
        "guide_final": guide_final,
        "guide_steps": guide_steps,
        "metre_weight": metre_weight if bar_position_weight is None else bar_position_weight,
        "evaluation_windows": evaluation_windows,
        "freeze": tuple(freeze) if freeze else None,
    }
    config = read_config(model)
    prior_settings = options.with_given(default_prior_settings(config.prior(chosen)), asked)
    songs = TrainingData(data, config.vqvae.sample_rate_hz, report=options.report)
    _check_codes(songs, data, model, chosen)
    report = options.report_once()
    options.run_training(
        lambda settings: PriorTask(chosen, songs, model, settings, prior_settings, report=report),
        settings,
        options.run_dir_of(run_dir, model, f"prior-{level}"),
        fresh=fresh,
        max_minutes=max_minutes,
        minutes=run["minutes"],
    )
    say_next(after_prior(data, model, level, preset))


def _check_codes(songs: "TrainingData", data: Path, model: Path, level: "Level") -> None:
    """Compute the codes that the prior needs, and make sure that they can teach it something."""
    from jukebox_core.checkpoints import load_vqvae_of
    from jukebox_core.training.dataset.code_use import code_use
    from jukebox_core.training.dataset.codes_cache import song_codes

    vqvae = load_vqvae_of(model)
    levels = [level] if level.upper is None else [level.upper, level]
    codes = [song_codes(songs, vqvae, each, report=options.report) for each in levels]
    check_use([code_use(each, vqvae.config.num_codes) for each in codes], data, model)
