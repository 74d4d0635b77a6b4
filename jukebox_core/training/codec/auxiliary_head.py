"""A head on quantised vectors that predicts what the codes must keep; dropped after training.

A prior can obey no better than its top codes can tell: the upsamplers get no lyrics, and see the
artist only in what they are conditioned by. Where the truth is known, asking for it directly
teaches the codes to keep it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from jukebox_core.training.dataset.sung_vowels import NUM_VOWEL_CLASSES, UNKNOWN_VOWEL

HIDDEN_WIDTH = 128


@dataclass(frozen=True, slots=True)
class AuxiliaryLogits:
    """`vowel` float32 [B, classes, T], per token; `artist` and `genre` [B, names], per crop."""

    vowel: Tensor
    artist: Tensor
    genre: Tensor


class AuxiliaryHead(nn.Module):
    """One hidden layer per token; artist and genre from the mean over the crop."""

    def __init__(self, width: int, num_artists: int, num_genres: int) -> None:
        super().__init__()
        self.hidden = nn.Conv1d(width, HIDDEN_WIDTH, 3, padding=1)
        self.vowel = nn.Conv1d(HIDDEN_WIDTH, NUM_VOWEL_CLASSES, 1)
        self.artist = nn.Linear(HIDDEN_WIDTH, num_artists)
        self.genre = nn.Linear(HIDDEN_WIDTH, num_genres)

    def forward(self, quantised: Tensor) -> AuxiliaryLogits:
        """float32 [B, width, T] -> logits."""
        hidden = self.hidden(quantised).relu()
        mean = hidden.mean(dim=2)
        return AuxiliaryLogits(self.vowel(hidden), self.artist(mean), self.genre(mean))


def vowel_loss(logits: Tensor, vowels: Tensor) -> Tensor:
    """Cross-entropy per token; tokens whose vowel is not known do not count.

    logits  float32 [B, classes, T]
    vowels  int64 [B, T]
    """
    known = (vowels != UNKNOWN_VOWEL).sum().clamp_min(1)
    total = functional.cross_entropy(logits, vowels, ignore_index=UNKNOWN_VOWEL, reduction="sum")
    return total / known


def vowel_accuracy(logits: Tensor, vowels: Tensor) -> Tensor:
    """Share of tokens with a vowel on which the best of the vowels is the true one."""
    sung = vowels > 0
    best = logits[:, 1:].argmax(dim=1) + 1
    return (best[sung] == vowels[sung]).float().mean() if sung.any() else torch.zeros(())
