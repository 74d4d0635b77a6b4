"""How a training run goes: plain values, checked when made; no torch."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from jukebox_core.errors import TrainingError


class Decay(StrEnum):
    """How the learning rate falls to zero after it was held."""

    NONE = "none"
    LINEAR = "linear"
    COSINE = "cosine"


class Precision(StrEnum):
    """The type of number of most products; weights are float32 always."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


MAY_CHANGE = frozenset(
    {
        "steps", "decay", "hold_fraction", "log_every", "evaluate_every", "sample_every",
        "save_every", "threads", "gradient_checkpointing",
    }
)  # fmt: skip
"""Settings that a run may change when it is resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """One run.

    `batch_size` is of one process and one micro-batch: a step sees `batch_size * accumulate`
    examples in each process. `hold_fraction` is the share of the steps before the learning rate
    falls. `ema_decay` 0 keeps no averaged weights. `clip_norm` 0 does not clip. The `_every`
    settings count steps; 0 means only at the end, and for samples never.
    """

    steps: int
    batch_size: int
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    warmup_steps: int = 100
    decay: Decay = Decay.LINEAR
    hold_fraction: float = 0.0
    clip_norm: float = 1.0
    ema_decay: float = 0.0
    seed: int = 0
    precision: Precision = Precision.FP32
    accumulate: int = 1
    gradient_checkpointing: bool = False
    log_every: int = 50
    evaluate_every: int = 1000
    sample_every: int = 0
    save_every: int = 500
    threads: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        object.__setattr__(self, "decay", Decay(self.decay))
        object.__setattr__(self, "precision", Precision(self.precision))
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not value >= least:
                raise TrainingError(f"{name} must be at least {least} and is {value}")
        for name in ("hold_fraction", "ema_decay"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise TrainingError(f"{name} must lie between 0 and 1 and is {value}")
        if self.learning_rate <= 0:
            raise TrainingError(f"learning_rate must be above 0 and is {self.learning_rate}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {
            "betas": list(self.betas),
            "decay": str(self.decay),
            "precision": str(self.precision),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainingSettings":
        """Inverse of `to_dict`. Raises TrainingError when a value makes no sense."""
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise TrainingError(f"these are no training settings: {error}") from error

    def check_resume(self, before: "TrainingSettings") -> None:
        """See that a run begun with `before` may go on with these.

        Raises:
            TrainingError: something differs that would make it another run.
        """
        now, then = self.to_dict(), before.to_dict()
        changed = [
            f"{name} was {then[name]} and is now {now[name]}"
            for name in now
            if name not in MAY_CHANGE and now[name] != then[name]
        ]
        if changed:
            raise TrainingError(
                f"the run was begun with other settings: {'; '.join(changed)}. Resume it with "
                "those, or begin a new run in another directory"
            )


_LEAST: dict[str, float] = {
    "steps": 1,
    "batch_size": 1,
    "accumulate": 1,
    "weight_decay": 0,
    "warmup_steps": 0,
    "clip_norm": 0,
    "seed": 0,
    "log_every": 1,
    "evaluate_every": 0,
    "sample_every": 0,
    "save_every": 0,
    "threads": 0,
}
