"""`jukebox train vqvae`: one level of the codec."""

from typing import Annotated

import typer

from cli.commands.training import options
from cli.commands.training.new import DataFolder, ModelFolder
from cli.commands.training.presets import Minutes, Preset, PresetName, StepsOfPreset, with_preset
from cli.commands.training.steps import after_vqvae, say_next
from jukebox_core.training.settings import Decay, TrainingSettings

Weight = Annotated[float | None, typer.Option(min=0, help="Weight of this loss.")]


def vqvae(
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
    hold: options.Hold = 0.5,
    weight_decay: options.WeightDecay = 0.0,
    clip: options.Clip = 1.0,
    ema: options.Ema = 0.0,
    seed: options.Seed = 0,
    gradient_checkpointing: options.Checkpointing = False,
    threads: options.Threads = 0,
    log_every: options.LogEvery = 100,
    evaluate_every: options.EvaluateEvery = 1000,
    sample_every: options.SampleEvery = 0,
    save_every: options.SaveEvery = 250,
    max_minutes: options.MaxMinutes = None,
    fresh: options.Fresh = False,
    crop_samples: Annotated[
        int | None, typer.Option(min=1, help="Audio samples per example; a multiple of the hop.")
    ] = None,
    l1_weight: Weight = None,
    l2_weight: Weight = None,
    linf_weight: Weight = None,
    multispectral_weight: Weight = None,
    log_magnitude_weight: Weight = None,
    vowel_weight: Weight = None,
    pitch_weight: Weight = None,
    chroma_weight: Weight = None,
    artist_weight: Weight = None,
    genre_weight: Weight = None,
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
    run = with_preset(context, preset, "vqvae", level, asked_of_run)
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
        seed=seed,
        gradient_checkpointing=gradient_checkpointing,
        threads=threads,
        log_every=run["log_every"],
        evaluate_every=run["evaluate_every"],
        sample_every=sample_every,
        save_every=run["save_every"],
    )
    asked = {
        "crop_samples": crop_samples,
        "l1_weight": l1_weight,
        "l2_weight": l2_weight,
        "linf_weight": linf_weight,
        "multispectral_weight": multispectral_weight,
        "log_magnitude_weight": log_magnitude_weight,
        "vowel_weight": vowel_weight,
        "pitch_weight": pitch_weight,
        "chroma_weight": chroma_weight,
        "artist_weight": artist_weight,
        "genre_weight": genre_weight,
    }
    config = read_config(model).vqvae
    level_settings = options.with_given(default_level_settings(chosen), asked)
    songs = TrainingData(data, config.sample_rate_hz, report=options.report)
    options.run_training(
        lambda settings: VQVAETask(
            chosen, config, songs, model, settings, level_settings, warm_start=warm_start
        ),
        settings,
        options.run_dir_of(run_dir, model, f"vqvae-{level}"),
        fresh=fresh,
        max_minutes=max_minutes,
        minutes=run["minutes"],
    )
    say_next(after_vqvae(data, model, level, preset))
