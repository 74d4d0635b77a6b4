"""Where the alignment head looks: against the truth, and as the times of vowels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.alignment.times import lyric_times
from jukebox_core.config import LabelVersion
from jukebox_core.model import JukeboxModel
from jukebox_core.training.dataset.data import Report
from jukebox_core.training.dataset.syllables import VOWELS, syllables
from jukebox_core.units import Level
from jukebox_core.vqvae.long_audio import encode_chunked
from recipes.mini.evaluation.generated_songs import Drawn, labels_of
from recipes.mini.evaluation.ground_truth import KnownSong
from recipes.mini.evaluation.statistics import share_in_songs

WANTED = 0.60
"""Share of voiced tokens whose attention is to lie within one character of the truth."""

NEAR_CHARACTERS = 1


@dataclass(frozen=True, slots=True, eq=False)
class AlignedSong:
    """Attention of one song, float32 [T, characters], and the character that is truly sung at each
    top token, int64 [T], -1 where none is."""

    attention: NDArray[np.float32]
    truth: NDArray[np.int64]


def true_characters(
    song: KnownSong, num_tokens: int, tokens_per_second: float
) -> NDArray[np.int64]:
    """The character that sounds in the middle of each top token; -1 where none does: int64 [T]."""
    found = np.full(num_tokens, -1, dtype=np.int64)
    if song.character_start_sec is None or song.character_end_sec is None:
        return found
    middles_sec = (np.arange(num_tokens) + 0.5) / tokens_per_second
    for index, (start, end) in enumerate(
        zip(song.character_start_sec, song.character_end_sec, strict=True)
    ):
        if math.isfinite(start):
            found[(middles_sec >= start) & (middles_sec < end)] = index
    return found


@torch.inference_mode()
def align_song(model: JukeboxModel, song: KnownSong) -> AlignedSong | None:
    """Attention while the model reads the true codes of a song; None where nothing is sung."""
    text = model.tokenizer.alphabets[_version(model)].normalize(song.lyrics)
    if not song.vowel_spans() or len(text) != len(song.lyrics):
        return None
    audio = torch.from_numpy(np.array(song.audio))[None, :, None]
    top_codes = encode_chunked(model.vqvae, audio, Level.TOP)
    labels = model.tokenizer(song.artist, song.genre, song.lyrics)
    (attention,) = model.align(top_codes, labels, song_duration_sec=song.duration_sec)
    tokens_per_second = model.config.time_base.tokens_per_second(Level.TOP)
    truth = true_characters(song, len(attention), tokens_per_second)
    return AlignedSong(attention.numpy(), truth)


def alignment_figures(aligned: Sequence[AlignedSong]) -> dict[str, Any]:
    """How near the peak of the attention lies to the truth, on all voiced tokens.

    `even_pace` is what the guess reaches that every character takes equally long;
    `any_character` what a guess among all characters does; `shuffled` is the same attention
    against the truth of the song's tokens in another order.
    """
    generator = np.random.default_rng(0)
    right, paced, guessed, shuffled = [], [], [], []
    for song in aligned:
        voiced = np.flatnonzero(song.truth >= 0)
        truth, peaks = song.truth[voiced], song.attention[voiced].argmax(axis=1)
        num_characters = song.attention.shape[1]
        pace = ((voiced + 0.5) / len(song.truth) * num_characters).astype(int)
        right.append(_is_near(peaks, truth))
        paced.append(_is_near(pace, truth))
        shuffled.append(_is_near(peaks, generator.permutation(truth)))
        guessed.append(np.full(len(truth), min((2 * NEAR_CHARACTERS + 1) / num_characters, 1.0)))
    if not right:
        return {**share_in_songs([]), "wanted": WANTED, "reached": False}
    figures = share_in_songs(right)
    return {
        **figures,
        "even_pace": round(float(np.concatenate(paced).mean()), 4),
        "any_character": round(float(np.concatenate(guessed).mean()), 4),
        "shuffled": round(float(np.concatenate(shuffled).mean()), 4),
        "wanted": WANTED,
        "reached": figures["share"] is not None and figures["share"] >= WANTED,
    }


def _is_near(guess: NDArray[np.int64], truth: NDArray[np.int64]) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = np.abs(guess - truth) <= NEAR_CHARACTERS
    return near


def attended_vowels(
    model: JukeboxModel, drawn: Drawn, report: Report
) -> list[list[tuple[float, int]]]:
    """When the model's own alignment head says that each vowel of the drawn songs is sung.

    Returns:
        for every song the middle in seconds and the number of each vowel that gets a time.
    """
    report(f"asking the alignment head of {len(drawn.asked)} drawn songs")
    time_base = model.config.time_base
    duration_sec = time_base.tokens_to_seconds(drawn.top_codes.shape[1], Level.TOP)
    tokens_per_second = time_base.tokens_per_second(Level.TOP)
    found = []
    for row, asked in enumerate(drawn.asked):
        labels = labels_of(model, [asked])
        codes = drawn.top_codes[row : row + 1]
        (attention,) = model.align(codes, labels, song_duration_sec=duration_sec)
        found.append(_vowel_times(attention, asked.lyrics, tokens_per_second))
    return found


def _vowel_times(
    attention: Tensor, lyrics: str, tokens_per_second: float
) -> list[tuple[float, int]]:
    if attention.shape[1] != len(lyrics) or not lyrics:
        return []
    times = lyric_times(attention.numpy(), lyrics, tokens_per_second=tokens_per_second)
    found = []
    for syllable in syllables(lyrics):
        letters = [times.characters[index] for index in syllable.nucleus]
        starts = [letter.start_sec for letter in letters if letter.start_sec is not None]
        ends = [letter.end_sec for letter in letters if letter.end_sec is not None]
        if starts and ends and max(letter.confidence for letter in letters) > 0.0:
            found.append(((min(starts) + max(ends)) / 2, VOWELS.index(syllable.vowel)))
    return found


def _version(model: JukeboxModel) -> LabelVersion:
    labels = model.config.prior(Level.TOP).labels
    return "v3" if labels is None else labels.version


def has_alignment_head(model: JukeboxModel) -> bool:
    """Whether the top prior says which of its heads reads the lyrics."""
    lyrics = model.config.prior(Level.TOP).lyrics
    return lyrics is not None and lyrics.alignment_layer is not None
