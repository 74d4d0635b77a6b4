"""What the training loop asks of whatever it trains."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

Batch = Mapping[str, Tensor]
"""The tensors of one micro-batch by name; the loop moves them to the device."""


class TrainingTask(Protocol):
    """Something that can be trained: modules, batches for them, and what they get wrong.

    A task keeps no place in its data and no random state: every batch follows from the seed, the
    step, the micro-batch and the rank, and torch's generators are seeded by the loop before each
    step. That is what makes a resumed run equal to one that was never stopped.
    """

    @property
    def modules(self) -> nn.Module:
        """All that is trained. Its parameters that need gradients are the optimizer's."""
        ...

    def batch(self, step: int, micro: int, rank: int) -> Batch:
        """The micro-batch number `micro` of `step` (from 0) for one process, on the CPU."""
        ...

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """What is brought down, float32 [], and figures to watch, each float32 [] and detached.

        Called inside autocast where the precision asks for it.
        """
        ...

    def num_tokens(self, batch: Batch) -> int:
        """Tokens that one micro-batch teaches, for the speed that is shown."""
        ...

    def after_step(self, step: int, batch: Batch) -> Mapping[str, Tensor]:
        """Learn what is not learned by gradients; figures to watch, each float32 [].

        Called in every process after the optimizer, with the last micro-batch of the step.
        """
        ...

    def evaluate(self, step: int) -> Mapping[str, float]:
        """Figures on songs held out; called in one process, with the averaged weights in place."""
        ...

    def write_samples(self, step: int, directory: Path) -> None:
        """Write something to listen to into a directory that is there."""
        ...

    def export(self, modules: nn.Module) -> None:
        """Write the weights into the model directory, all of them or nothing."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside the modules: tensors, numbers, strings."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        ...
