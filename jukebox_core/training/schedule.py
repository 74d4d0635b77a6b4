"""The learning rate over the steps; plain Python."""

import math

from jukebox_core.training.settings import Decay, TrainingSettings


def learning_rate_at(step: int, settings: TrainingSettings) -> float:
    """The learning rate of `step`, counted from 0.

    It rises in equal parts over the warm-up, is held until `hold_fraction` of the steps are done,
    and falls so that the step after the last one would have 0.
    """
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.decay is Decay.NONE:
        return settings.learning_rate
    held_until = max(settings.hold_fraction * settings.steps, settings.warmup_steps)
    if step <= held_until:
        return settings.learning_rate
    done = min((step - held_until) / (settings.steps - held_until), 1.0)
    if settings.decay is Decay.COSINE:
        return settings.learning_rate * (1 + math.cos(math.pi * done)) / 2
    return settings.learning_rate * (1 - done)
