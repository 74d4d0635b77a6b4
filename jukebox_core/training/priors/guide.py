"""Guided attention: telling a head where in the lyrics the music is, while that is known.

A prior finds the lyrics by itself only after very many steps, if ever. Where the true times of the
characters are known, a loss on the attention of a head teaches it in minutes, costs nothing when
singing, and settles in advance which head shows when each character is sung. It is an addition of
this library: the original looked for such a head after training.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.labels import LyricAlphabet
from jukebox_core.training.dataset.data import TrainingSong

NOT_SUNG = -1
"""Where no character is sung, or where its time is unknown, or outside the window's lyrics."""

_TINY = 1e-8


@dataclass(frozen=True, slots=True)
class GuidedHead:
    """A head that is to look `shift` characters after the one that is sung.

    The state that a lyric encoder has at a character has read only those before it. A head that
    is to know what is being sung must look one further than one that shows where.
    """

    head: int
    shift: int = 0


def sung_characters(
    song: TrainingSong, alphabet: LyricAlphabet, *, samples_per_token: int, num_tokens: int
) -> NDArray[np.int32] | None:
    """Which character of the encoded lyrics is sung in the middle of each token, int32 [tokens].

    `NOT_SUNG` where there is none; None for a song whose times are unknown.
    """
    if song.character_times is None:
        return None
    sung = np.full(num_tokens, NOT_SUNG, dtype=np.int32)
    tokens_per_sec = song.sample_rate_hz / samples_per_token
    starts = np.ceil(song.character_times.start_sec * tokens_per_sec - 0.5)
    ends = np.ceil(song.character_times.end_sec * tokens_per_sec - 0.5)
    num_ids: dict[str, int] = {}
    place = 0
    for character, start, end in zip(song.lyrics, starts, ends, strict=True):
        # One character of the text may become none or several of the model's alphabet.
        if character not in num_ids:
            num_ids[character] = len(alphabet.encode(character))
        if num_ids[character] and not np.isnan(start):
            sung[max(int(start), 0) : max(int(end), 0)] = place
        place += num_ids[character]
    return sung


def columns_of(characters: NDArray[np.int32], indices: tuple[int, ...]) -> NDArray[np.int64]:
    """Where in a window's lyrics the sung characters stand, int64 as `characters`.

    `indices` says which character each column holds, see `relevant_lyrics`.
    """
    if not indices or indices[-1] < 0:
        return np.full(characters.shape, NOT_SUNG, dtype=np.int64)
    # Columns count up with the characters, behind some padding: one difference tells them all.
    columns = characters.astype(np.int64) + (len(indices) - 1 - indices[-1])
    outside = (characters < 0) | (columns < 0) | (columns >= len(indices))
    return np.where(outside, NOT_SUNG, columns)


def guide_loss(attention: Tensor, columns: Tensor, heads: tuple[GuidedHead, ...]) -> Tensor:
    """Mean over heads and sung tokens of -ln(attention at the character), float32 [].

    attention  float32 [B, H, T, K], softmax weights
    columns    int64 [B, T], see `columns_of`
    """
    losses = []
    for guided in heads:
        wanted = columns + guided.shift
        counted = (columns >= 0) & (wanted < attention.shape[-1])
        index = wanted.clamp(0, attention.shape[-1] - 1).unsqueeze(-1)
        weight = attention[:, guided.head].gather(-1, index).squeeze(-1)
        wrong = -torch.log(weight + _TINY) * counted
        losses.append(wrong.sum() / counted.sum().clamp(min=1))
    return torch.stack(losses).mean()


def attention_hits(attention: Tensor, columns: Tensor, head: int) -> tuple[Tensor, Tensor]:
    """How many sung tokens have the peak of `head` within one character of the truth; of how many.

    attention  float32 [B, H, T, K]
    columns    int64 [B, T]
    returns    two int64 []
    """
    sung = columns >= 0
    peaks = attention[:, head].argmax(dim=-1)
    return (((peaks - columns).abs() <= 1) & sung).sum(), sung.sum()
