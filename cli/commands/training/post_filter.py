"""`jukebox train post-filter`: what takes haze from the sound of a model."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.training import options
from cli.commands.training.new import ModelFolder
from cli.local_model import Device, device_and_dtype
from jukebox_core.training.settings import Decay, TrainingSettings

Weight = Annotated[float | None, typer.Option(min=0, help="Weight of this loss.")]


def post_filter(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="Folder with audio files; songs.csv or songs.json is optional."
        ),
    ],
    model: ModelFolder,
    steps: options.Steps = 400,
    run_dir: options.RunDirOrDefault = None,
    batch: options.Batch = 4,
    lr: options.LearningRate = 2e-3,
    warmup: options.Warmup = 20,
    decay: options.DecayOption = Decay.LINEAR,
    hold: options.Hold = 0.3,
    seed: options.Seed = 0,
    threads: options.Threads = 0,
    log_every: options.LogEvery = 20,
    evaluate_every: options.EvaluateEvery = 200,
    sample_every: options.SampleEvery = 0,
    save_every: options.SaveEvery = 50,
    max_minutes: options.MaxMinutes = None,
    fresh: options.Fresh = False,
    pieces: Annotated[
        int | None, typer.Option(min=2, help="Number of excerpts for training and evaluation.")
    ] = None,
    piece_sec: Annotated[
        float | None, typer.Option(min=0.1, help="Length of an excerpt, in seconds.")
    ] = None,
    drawn_share: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Share of examples sampled from the bottom prior; 0 for none."
        ),
    ] = None,
    crop_samples: Annotated[
        int | None, typer.Option(min=1, help="Audio samples per example.")
    ] = None,
    waveform_weight: Weight = None,
    convergence_weight: Weight = None,
    log_magnitude_weight: Weight = None,
    mel_weight: Weight = None,
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

    settings = TrainingSettings(
        steps=steps,
        batch_size=batch,
        learning_rate=lr,
        warmup_steps=warmup,
        decay=decay,
        hold_fraction=hold,
        weight_decay=0.0,
        seed=seed,
        threads=threads,
        log_every=log_every,
        evaluate_every=evaluate_every,
        sample_every=sample_every,
        save_every=save_every,
    )
    asked = {
        "pieces": pieces,
        "piece_sec": piece_sec,
        "drawn_share": drawn_share,
        "crop_samples": crop_samples,
        "waveform_weight": waveform_weight,
        "convergence_weight": convergence_weight,
        "log_magnitude_weight": log_magnitude_weight,
        "mel_weight": mel_weight,
    }
    filter_settings = options.with_given(PostFilterSettings(), asked)
    chosen, dtype = device_and_dtype(device)
    sounding = JukeboxModel.from_pretrained(model, device=chosen, dtype=dtype)
    songs = folder_songs(data, sounding.config.vqvae.sample_rate_hz, report=options.report)
    folder = options.run_dir_of(run_dir, model, "post-filter")
    made = make_pieces(
        sounding, songs, filter_settings, folder / "pieces", seed=seed, report=options.report
    )
    options.run_training(
        lambda settings: PostFilterTask(PostFilterConfig(), made, model, settings, filter_settings),
        settings,
        folder,
        fresh=fresh,
        max_minutes=max_minutes,
    )
