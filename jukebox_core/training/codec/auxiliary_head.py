"""A head on quantized vectors that predicts what the codes must keep; dropped after training.

A prior can obey no better than its top codes can tell: the upsamplers get no lyrics, and see the
artist only in what they are conditioned by; a pitch that the top codes do not hold is sung at
random. Where the truth is known, asking for it directly
teaches the codes to keep it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from jukebox_core.training.dataset.notes import (
    NUM_BASS_CLASSES,
    NUM_CHROMA,
    NUM_PITCH_CLASSES,
    UNKNOWN,
)
from jukebox_core.training.dataset.sung_vowels import NUM_VOWEL_CLASSES

HIDDEN_WIDTH = 128


@dataclass(frozen=True, slots=True)
class AuxiliaryLogits:
    """Per token `vowel`, `pitch` and `bass` float32 [B, classes, T] and `chroma` [B, 12, T].

    Per crop `artist` and `genre` [B, names].
    """

    vowel: Tensor
    pitch: Tensor
    bass: Tensor
    chroma: Tensor
    artist: Tensor
    genre: Tensor


class AuxiliaryHead(nn.Module):
    """One hidden layer per token; artist and genre from the mean over the crop."""

    def __init__(self, width: int, num_artists: int, num_genres: int) -> None:
        super().__init__()
        self.hidden = nn.Conv1d(width, HIDDEN_WIDTH, 3, padding=1)
        self.vowel = nn.Conv1d(HIDDEN_WIDTH, NUM_VOWEL_CLASSES, 1)
        self.pitch = nn.Conv1d(HIDDEN_WIDTH, NUM_PITCH_CLASSES, 1)
        self.bass = nn.Conv1d(HIDDEN_WIDTH, NUM_BASS_CLASSES, 1)
        self.chroma = nn.Conv1d(HIDDEN_WIDTH, NUM_CHROMA, 1)
        self.artist = nn.Linear(HIDDEN_WIDTH, num_artists)
        self.genre = nn.Linear(HIDDEN_WIDTH, num_genres)

    def forward(self, quantized: Tensor) -> AuxiliaryLogits:
        """float32 [B, width, T] -> logits."""
        hidden = self.hidden(quantized).relu()
        mean = hidden.mean(dim=2)
        return AuxiliaryLogits(
            vowel=self.vowel(hidden),
            pitch=self.pitch(hidden),
            bass=self.bass(hidden),
            chroma=self.chroma(hidden),
            artist=self.artist(mean),
            genre=self.genre(mean),
        )


def class_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy per token, or per crop; what is not known does not count.

    logits   float32 [B, classes, T] or [B, classes]
    classes  int64 [B, T] or [B]
    """
    known = (classes != UNKNOWN).sum().clamp_min(1)
    total = functional.cross_entropy(logits, classes, ignore_index=UNKNOWN, reduction="sum")
    return total / known


def chroma_loss(logits: Tensor, chroma: Tensor, bass: Tensor) -> Tensor:
    """Binary cross-entropy of the pitch classes that sound, where the chords are known.

    logits, chroma  float32 [B, 12, T]
    bass            int64 [B, T], `UNKNOWN` where the chords are not known
    """
    wrong = functional.binary_cross_entropy_with_logits(logits, chroma, reduction="none")
    known = (bass != UNKNOWN)[:, None]
    return (wrong * known).sum() / (NUM_CHROMA * known.sum()).clamp_min(1)


def class_accuracy(logits: Tensor, classes: Tensor) -> Tensor:
    """Share of tokens with a class above 0 on which the best of those is the true one.

    logits  float32 [B, classes, T]
    """
    sounding = classes > 0
    best = logits[:, 1:].argmax(dim=1) + 1
    right = (best[sounding] == classes[sounding]).float()
    return right.mean() if sounding.any() else torch.zeros((), device=logits.device)
