"""A head that must tell the place in the bar, while bars are known; dropped after training.

A prior that reads true music hears the beat in what it reads, and the codes reward it little for
counting: left alone, ours sang any words in any voice and kept no time at all. Asked at every token
how far the bar has come, it learns to count in minutes. It is an addition of this library.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from jukebox_core.prior import JukeboxPrior
from jukebox_core.training.dataset.data import TrainingSong

NUM_BAR_PLACES = 32
"""Parts that a bar is divided into."""

NO_BAR = -1
"""Where no bar is known."""


def bar_places(
    song: TrainingSong, *, samples_per_token: int, num_tokens: int
) -> NDArray[np.int8] | None:
    """In which part of its bar the middle of each token lies, int8 [tokens].

    `NO_BAR` before the first bar and from the start of the last one on, whose end nobody knows;
    None for a song whose bars are unknown.
    """
    starts_sec = song.bar_start_sec
    if starts_sec is None:
        return None
    num_bars = len(starts_sec) - 1
    if num_bars < 1:
        return np.full(num_tokens, NO_BAR, dtype=np.int8)
    middles_sec = (np.arange(num_tokens) + 0.5) * (samples_per_token / song.sample_rate_hz)
    bar = np.searchsorted(starts_sec, middles_sec, side="right") - 1
    is_known = (bar >= 0) & (bar < num_bars)
    bar = np.clip(bar, 0, num_bars - 1)
    passed = (middles_sec - starts_sec[bar]) / (starts_sec[bar + 1] - starts_sec[bar])
    places = np.clip(np.floor(passed * NUM_BAR_PLACES), 0, NUM_BAR_PLACES - 1)
    return np.where(is_known, places, NO_BAR).astype(np.int8)


class MetreHead(nn.Module):
    """Reads the place in the bar from the states of one layer, at three quarters of the stack.

    The layers behind it can use what it made the ones before it know.
    """

    def __init__(self, prior: JukeboxPrior) -> None:
        super().__init__()
        stack = prior.transformer.stack()
        width = prior.config.transformer.width
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, NUM_BAR_PLACES)
        self._states: Tensor | None = None
        stack[(3 * len(stack)) // 4 - 1].register_forward_hook(self._keep)

    def _keep(self, layer: nn.Module, _: object, output: tuple[Tensor, Tensor]) -> None:
        self._states = output[0] if layer.training else None

    def forward(self, num_tokens: int) -> Tensor:
        """float32 [B, num_tokens, NUM_BAR_PLACES]: logits at the last tokens that the prior read.

        The state at a token has read the codes before it, and not its own.

        Raises:
            RuntimeError: the prior has read nothing since, or is not being trained.
        """
        if self._states is None:
            raise RuntimeError("the prior must read a batch, in training, before its metre is told")
        states, self._states = self._states[:, -num_tokens:], None
        logits: Tensor = self.output(self.norm(states.float()))
        return logits


def metre_loss(logits: Tensor, places: Tensor) -> Tensor:
    """Mean of -ln(share of the true place), float32 []; 0 where no bar is known.

    logits  float32 [B, T, NUM_BAR_PLACES]
    places  int64 [B, T], see `bar_places`
    """
    wrong = functional.cross_entropy(
        logits.flatten(0, 1), places.flatten(), ignore_index=NO_BAR, reduction="sum"
    )
    return wrong / (places >= 0).sum().clamp(min=1)


def metre_accuracy(logits: Tensor, places: Tensor) -> Tensor:
    """Share of tokens whose likeliest place is the true one or beside it, float32 []."""
    is_known = places >= 0
    distance = (logits.argmax(dim=-1) - places).remainder(NUM_BAR_PLACES)
    is_near = torch.minimum(distance, NUM_BAR_PLACES - distance) <= 1
    return (is_near & is_known).sum() / is_known.sum().clamp(min=1)
