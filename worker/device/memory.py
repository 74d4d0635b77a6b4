"""What this worker can hold: a plan for each model, made before anything of it is loaded."""

from collections.abc import Callable, Collection
from functools import partial

import torch

from jukebox_core.models.catalog import ModelCard
from jukebox_core.models.device_memory import free_bytes_of, model_needs
from jukebox_core.models.memory_plan import (
    MemoryKind,
    MemoryPlan,
    ModelNeeds,
    ModelTooLarge,
    plan_memory,
)
from jukebox_core.units import Level


class NoRoomBeside(ModelTooLarge):
    """A model fits into this worker, but not beside those that are loaded now."""


class WorkerMemory:
    """Plans models for the memory of this worker.

    Args:
        device: where the priors are computed.
        dtype: that of their stacks.
        has_int8_weights: whether a model's weights are kept as int8 here.
        levels: that are generated here.
        max_rows: windows of a level side by side, at most.
        placement: of the weights, or `auto`.
        free_bytes: what may still be taken on `device`; by default what the system says. Asked at
            once, while nothing is loaded, and again later: others on the machine may have given
            some back.
    """

    def __init__(
        self,
        *,
        device: torch.device,
        dtype: torch.dtype,
        has_int8_weights: Callable[[ModelCard], bool],
        levels: Collection[Level],
        max_rows: int,
        placement: str,
        free_bytes: Callable[[], int | None] | None = None,
    ) -> None:
        self._device, self._dtype = device, dtype
        self._has_int8_weights, self._levels = has_int8_weights, levels
        self._max_rows, self._placement = max_rows, placement
        self.free_bytes = free_bytes or partial(free_bytes_of, device)
        self._most = self.free_bytes()
        self._needs: dict[str, tuple[ModelCard, ModelNeeds]] = {}

    @property
    def kind(self) -> MemoryKind:
        """Whose memory it is."""
        return MemoryKind.HOST if self._device.type == "cpu" else MemoryKind.DEVICE

    def plan(self, card: ModelCard) -> MemoryPlan:
        """How a model fits into this worker while no other is loaded.

        Raises:
            ModelTooLarge: it does not.
        """
        return self._plan(card, self._most_free())

    def _most_free(self) -> int | None:
        """The most that was ever free: all that is loaded since came out of it, or beside it."""
        now = self.free_bytes()
        if now is not None:
            self._most = max(self._most or 0, now)
        return self._most

    def plan_beside(self, card: ModelCard, planned_bytes: int) -> MemoryPlan:
        """How a model fits now, beside others that may take `planned_bytes` together.

        Raises:
            NoRoomBeside: it does not, but would without the others.
            ModelTooLarge: it does not in any case.
        """
        self.plan(card)
        known = [self.free_bytes()]
        most = self._most_free()
        if most is not None:
            known.append(most - planned_bytes)
        try:
            return self._plan(card, min((each for each in known if each is not None), default=None))
        except ModelTooLarge as error:
            raise NoRoomBeside(str(error)) from error

    def _plan(self, card: ModelCard, free_bytes: int | None) -> MemoryPlan:
        try:
            return plan_memory(
                self._needs_of(card),
                free_bytes=free_bytes,
                max_rows=self._max_rows,
                kind=self.kind,
                wanted=self._placement,
            )
        except ModelTooLarge as error:
            raise ModelTooLarge(f"the model {card.name} is too large here: {error}") from error

    def _needs_of(self, card: ModelCard) -> ModelNeeds:
        known = self._needs.get(card.name)
        if known is None or known[0] is not card:
            needs = model_needs(
                card.config,
                device=self._device,
                dtype=self._dtype,
                int8_weights=self._has_int8_weights(card),
                levels=self._levels,
            )
            known = self._needs[card.name] = (card, needs)
        return known[1]
