"""What is measured by listening: a judge, true songs, drawn songs, and what it says of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.training.dataset.data import Report
from jukebox_core.units import Level
from recipes.mini.evaluation.attention import attended_vowels, has_alignment_head
from recipes.mini.evaluation.audio_metrics import soundness
from recipes.mini.evaluation.features import encode_clips, log_mel
from recipes.mini.evaluation.generated_songs import Asked, Drawn, DrawSettings, draw_songs
from recipes.mini.evaluation.haze import dropouts_per_10_sec, valley_db
from recipes.mini.evaluation.listening import label_adherence
from recipes.mini.evaluation.listening.classifiers import (
    Judge,
    Rendered,
    Wanted,
    grid_of_pairs,
    render_songs,
    teach_judge,
)
from recipes.mini.evaluation.listening.label_adherence import Verdicts, verdicts_of
from recipes.mini.evaluation.listening.listener import Heard
from recipes.mini.evaluation.listening.sung_vowels import (
    compare_with_lyrics,
    true_times,
    vowels_at_times,
)
from recipes.mini.evaluation.mini_settings import Evaluation, MiniSettings
from recipes.mini.evaluation.process_pool import ProcessPool, loaded_model
from recipes.mini.synth import ARTISTS, GENRES


class Hearing:
    """Everything that needs a judge."""

    def __init__(
        self, directory: Path, settings: MiniSettings, pool: ProcessPool, report: Report
    ) -> None:
        self._directory, self._settings = directory, settings
        self._pool, self._report = pool, report
        self._seeds = settings.seeds
        self._draw_settings = DrawSettings(
            duration_sec=settings.duration_sec,
            seed=self._seeds.chance,
            temperature=settings.temperature,
            device=settings.device,
        )

    def measure(self, evaluation: Evaluation) -> None:
        """Put all that needs a judge into the evaluation."""
        judge = self._teach()
        truth = self._render(
            self._settings.num_songs, self._seeds.ceiling_song, "to be judged", keep_sound=True
        )
        heard_truth = {
            "originals": judge.hear_frames(truth.original_frames),
            "reconstructions": judge.hear_frames(truth.reconstruction_frames),
        }
        asked = self._asked()
        drawn = self._draw(asked)
        heard = judge.hear(drawn.audio)
        figures, parts = evaluation.figures, self._settings.parts
        if "obedience" in parts:
            heard_truth |= self._hear_upsampled(judge, truth)
            figures["obedience"] = self._obedience(judge, asked, heard, truth, heard_truth)
            figures["sound"] = _sound_figures(drawn.audio, truth, evaluation.sample_rate_hz)
        if "lyrics" in parts:
            figures["lyrics"] = self._lyrics(judge, drawn, heard, truth, heard_truth)
        if "swap" in parts:
            figures["swap"] = self._swap(judge, asked, heard)
        evaluation.sounds = _some_sounds(drawn, truth)

    def _teach(self) -> Judge:
        rendered = self._render(
            self._settings.num_judge_songs,
            self._seeds.judge_song,
            "to learn judging from",
            keep_sound=False,
        )
        return teach_judge(rendered, self._settings.lesson, self._report)

    def _render(
        self, number: int, seed_of: Callable[[int], int], what: str, *, keep_sound: bool
    ) -> Rendered:
        self._report(f"composing and rendering {number} songs {what}")
        pairs = self._pairs(number, seed_of(0))
        wanted = [
            Wanted(seed=seed_of(index), genre=GENRES[genre], artist=ARTISTS[artist])
            for index, (genre, artist) in enumerate(pairs)
        ]
        settings = self._settings
        return render_songs(
            self._directory,
            wanted,
            settings.duration_sec,
            settings.device,
            self._pool,
            keep_sound=keep_sound,
        )

    def _pairs(self, number: int, seed: int) -> list[tuple[int, int]]:
        return grid_of_pairs(number, torch.Generator().manual_seed(seed))

    def _asked(self) -> list[Asked]:
        number, seeds = self._settings.num_songs, self._seeds
        return label_adherence.asked_songs(
            self._pairs(number, seeds.chance),
            [seeds.asked_song(index) for index in range(number)],
            self._settings.duration_sec,
        )

    def _draw(self, asked: Sequence[Asked], top_codes: Tensor | None = None) -> Drawn:
        return draw_songs(
            self._directory, asked, self._draw_settings, self._pool, self._report, top_codes
        )

    def _hear_upsampled(self, judge: Judge, truth: Rendered) -> dict[str, Heard]:
        """True top codes under the model's own upsamplers: what they alone lose."""
        songs = truth.songs[: self._settings.num_swaps]
        self._report(f"upsampling the true top codes of {len(songs)} songs")
        vqvae = loaded_model(self._directory, self._settings.device).vqvae
        top_codes = encode_clips(vqvae, truth.originals[: len(songs)], Level.TOP)
        asked = [
            Asked(genre=genre, artist=artist, lyrics=song.lyrics, sample=index)
            for index, (song, (genre, artist)) in enumerate(
                zip(songs, label_adherence.true_pairs(songs), strict=True)
            )
        ]
        return {"upsampled": judge.hear(self._draw(asked, top_codes).audio)}

    def _obedience(
        self,
        judge: Judge,
        asked: Sequence[Asked],
        heard: Heard,
        truth: Rendered,
        heard_truth: dict[str, Heard],
    ) -> dict[str, Any]:
        ceilings = {name: self._verdicts(judge, other) for name, other in heard_truth.items()}
        return label_adherence.label_adherence(
            asked, self._verdicts(judge, heard), label_adherence.true_pairs(truth.songs), ceilings
        )

    def _verdicts(self, judge: Judge, heard: Heard) -> Verdicts:
        return verdicts_of(heard, judge.frames_per_second)

    def _lyrics(
        self,
        judge: Judge,
        drawn: Drawn,
        heard: Heard,
        truth: Rendered,
        heard_truth: dict[str, Heard],
    ) -> dict[str, Any]:
        seed, rate = self._seeds.chance, judge.frames_per_second
        figures: dict[str, Any] = {
            "sung_vowels": compare_with_lyrics(
                self._verdicts(judge, heard).vowels, [song.lyrics for song in drawn.asked], seed
            ),
            "ceilings": {
                name: compare_with_lyrics(
                    self._verdicts(judge, other).vowels,
                    [song.lyrics for song in truth.songs[: len(other.genres)]],
                    seed,
                )
                for name, other in heard_truth.items()
            },
        }
        model = loaded_model(self._directory, self._settings.device)
        if has_alignment_head(model):
            spans = attended_vowels(model, drawn, self._report)
            figures["vowels_where_the_head_looks"] = vowels_at_times(
                heard.vowels, spans, rate, seed
            )
        figures["vowels_at_true_times"] = {
            name: vowels_at_times(
                other.vowels, true_times(truth.songs)[: len(other.genres)], rate, seed
            )
            for name, other in heard_truth.items()
        }
        return figures

    def _swap(self, judge: Judge, asked: Sequence[Asked], heard: Heard) -> dict[str, Any]:
        number = self._settings.num_swaps
        before = asked[:number]
        verdicts_before = self._verdicts(judge, _first(heard, number))
        figures: dict[str, Any] = {"songs": number}
        for kind, after in label_adherence.swapped(before, self._seeds.chance).items():
            self._report(f"drawing {number} songs again with another {kind}")
            verdicts_after = self._verdicts(judge, judge.hear(self._draw(after).audio))
            figures[kind] = label_adherence.swap_figures(
                kind, before, after, verdicts_before, verdicts_after
            )
        return figures


def _first(heard: Heard, number: int) -> Heard:
    return Heard(
        vowels=heard.vowels[:number], genres=heard.genres[:number], artists=heard.artists[:number]
    )


def _sound_figures(drawn: Tensor, truth: Rendered, rate_hz: int) -> dict[str, Any]:
    """Loudness and mean spectra of drawn songs, beside those of true ones."""
    frames = log_mel(drawn, rate_hz)
    return {
        "drawn": _soundness(drawn, rate_hz),
        "reconstructions": _soundness(truth.reconstructions, rate_hz),
        "originals": _soundness(truth.originals, rate_hz),
        "mean_spectrum_distance_db": {
            "to_originals": label_adherence.mean_level_distance_db(frames, truth.original_frames),
            "to_reconstructions": label_adherence.mean_level_distance_db(
                frames, truth.reconstruction_frames
            ),
        },
    }


def _soundness(audio: Tensor, rate_hz: int) -> dict[str, float]:
    return {
        **soundness(audio),
        "valley_db": round(valley_db(audio, rate_hz), 2),
        "dropouts_per_10_sec": round(dropouts_per_10_sec(audio, rate_hz), 2),
    }


def _some_sounds(drawn: Drawn, truth: Rendered, number: int = 4) -> dict[str, NDArray[Any]]:
    sounds = {}
    for name, audio in (
        ("drawn", drawn.audio),
        ("original", truth.originals),
        ("reconstruction", truth.reconstructions),
    ):
        for index, sound in enumerate(audio[:number]):
            sounds[f"{name}-{index:02d}"] = sound.numpy()
    return sounds
