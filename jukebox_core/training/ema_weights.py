"""Averages of the weights over the last steps, which sing better than the weights themselves."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EmaWeights:
    """Exponential moving averages of the trained parameters of a module.

    A decay of 0 keeps nothing and changes nothing. Buffers are not averaged: codebooks are
    averages already.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self._averages: dict[str, Tensor] = (
            {name: weight.detach().clone() for name, weight in _trained(module).items()}
            if decay
            else {}
        )

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """average <- decay * average + (1 - decay) * weight, after `step` (from 0).

        The decay is lower at first, (1 + step) / (10 + step), so that the random beginning is
        soon forgotten.
        """
        if not self._averages:
            return
        decay = min(self._decay, (1 + step) / (10 + step))
        weights = _trained(module)
        averages = list(self._averages.values())
        torch._foreach_lerp_(averages, [weights[name] for name in self._averages], 1 - decay)

    @contextmanager
    @torch.no_grad()
    def in_place(self, module: nn.Module) -> Iterator[None]:
        """The averages stand in for the weights inside the block; nothing is held twice."""
        self._swap(module)
        try:
            yield
        finally:
            self._swap(module)

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by the names of their parameters."""
        return dict(self._averages)

    def load_state_dict(self, averages: Mapping[str, Tensor]) -> None:
        """Take back what `state_dict` gave."""
        for name, average in self._averages.items():
            average.copy_(averages[name])

    @torch.no_grad()
    def _swap(self, module: nn.Module) -> None:
        weights = _trained(module)
        for name, average in self._averages.items():
            weight = weights[name]
            kept = weight.detach().clone()
            weight.copy_(average)
            average.copy_(kept)


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
