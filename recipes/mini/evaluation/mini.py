"""Everything that is measured of a model of synthetic music, in one go."""

import time
from pathlib import Path
from typing import Any

from jukebox_core.training.dataset.data import Report
from recipes.mini.evaluation.attention import align_song, alignment_figures, has_alignment_head
from recipes.mini.evaluation.bits import bits_per_level
from recipes.mini.evaluation.codec import evaluate_codec
from recipes.mini.evaluation.generated_songs import unknown_names
from recipes.mini.evaluation.ground_truth import KnownSong, composed_song
from recipes.mini.evaluation.listening.listening_report import Hearing
from recipes.mini.evaluation.listening.targets import compare_with_targets
from recipes.mini.evaluation.mini_settings import Evaluation, MiniSettings
from recipes.mini.evaluation.process_pool import ProcessPool, loaded_model
from recipes.mini.synth import ARTISTS, GENRES


def evaluate_mini(
    directory: Path, settings: MiniSettings, pool: ProcessPool, report: Report
) -> Evaluation:
    """Measure the model in `directory`.

    Args:
        directory: of a model with label lists and three levels.
        settings: how much.
        pool: who composes and draws songs.
        report: told what is being done.

    Raises:
        JukeboxError: the model cannot be loaded, or cannot sing such songs.
    """
    began = time.monotonic()
    model = loaded_model(directory, settings.device)
    rate_hz = model.config.vqvae.sample_rate_hz
    evaluation = Evaluation(_heading(directory, settings), rate_hz)
    figures = evaluation.figures
    if unknown := unknown_names(model):
        figures["names_unknown_to_the_model"] = unknown
        report(f"the model does not know {', '.join(unknown)}")
    if {"codec", "bits", "alignment"} & set(settings.parts):
        _measure_unheard(evaluation, directory, settings, report)
    if {"obedience", "lyrics", "swap"} & set(settings.parts):
        Hearing(directory, settings, pool, report).measure(evaluation)
    figures["criteria"] = compare_with_targets(figures)
    figures["seconds"] = round(time.monotonic() - began, 1)
    return evaluation


def _heading(directory: Path, settings: MiniSettings) -> dict[str, Any]:
    return {
        "model": directory.name,
        "songs": settings.num_songs,
        "duration_seconds": settings.duration_sec,
        "temperature": settings.temperature,
        "seed_offset": settings.seeds.offset,
        "genres": list(GENRES),
        "artists": list(ARTISTS),
    }


def _measure_unheard(
    evaluation: Evaluation, directory: Path, settings: MiniSettings, report: Report
) -> None:
    """Codec, bits and alignment, on new songs as long as those that models are trained on."""
    model, figures = loaded_model(directory, settings.device), evaluation.figures
    report(f"composing {settings.num_unheard} unheard songs")
    songs = [
        _unheard_song(settings.seeds.unheard_song(index), evaluation.sample_rate_hz)
        for index in range(settings.num_unheard)
    ]
    if "codec" in settings.parts:
        figures["codec"] = evaluate_codec(model.vqvae, (), songs, settings.codec, report)
    if "bits" in settings.parts:
        figures["bits"] = bits_per_level(model, songs, settings.seeds.chance, report)
    if "alignment" in settings.parts and has_alignment_head(model):
        report(f"asking the alignment head of {len(songs)} unheard songs")
        aligned = [song for song in (align_song(model, song) for song in songs) if song]
        figures["alignment"] = alignment_figures(aligned)
        evaluation.alignment = aligned[0] if aligned else None


def _unheard_song(seed: int, rate_hz: int) -> KnownSong:
    return composed_song(seed, duration_sec=None, sample_rate_hz=rate_hz)
