"""What a running training tells whoever watches it; no torch."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """One line of the log.

    `step` steps of `steps` are done. `loss` and `metrics` are means since the line before;
    `evaluation` holds figures on held-out songs where they were taken at this step.
    """

    step: int
    steps: int
    loss: float
    metrics: Mapping[str, float]
    evaluation: Mapping[str, float]
    learning_rate: float
    tokens_per_sec: float
    seconds_left: float

    def to_dict(self) -> dict[str, float]:
        """As it stands in `log.jsonl`; figures on held-out songs begin with `held_out_`."""
        return {
            "step": self.step,
            "steps": self.steps,
            "loss": self.loss,
            **self.metrics,
            **{f"held_out_{name}": value for name, value in self.evaluation.items()},
            "lr": self.learning_rate,
            "tokens_per_sec": self.tokens_per_sec,
            "seconds_left": self.seconds_left,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """How a call of `train` ended: `finished` is False where it was stopped before the end."""

    step: int
    finished: bool
    loss: float
    evaluation: Mapping[str, float]


Watcher = Callable[[TrainingProgress], None]
"""Called with every line of the log."""


class Stopwatch:
    """Speed of the steps since the last look, held-out evaluation left out."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._paused_sec = 0.0
        self._steps = 0
        self._tokens = 0

    def count(self, num_tokens: int) -> None:
        """One step is done."""
        self._steps += 1
        self._tokens += num_tokens

    def pause(self, seconds: float) -> None:
        """Time that no step took."""
        self._paused_sec += seconds

    def look(self) -> tuple[float, float]:
        """(tokens per second, seconds per step) since the last look; then begins anew."""
        seconds = max(time.monotonic() - self._began - self._paused_sec, 1e-9)
        speed = self._tokens / seconds, seconds / max(self._steps, 1)
        self._began, self._paused_sec, self._steps, self._tokens = time.monotonic(), 0.0, 0, 0
        return speed
