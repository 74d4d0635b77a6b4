"""How many tokens a turn draws, where several cost one call: as many as others can wait for."""

TURN_SEC = 0.015
"""Newcomers, cancels and the slices of other work wait for a turn to end."""
MAX_STEPS = 64


class Pace:
    """Tokens per turn of one prior, so that a turn lasts about `turn_sec`; no torch, no clock.

    It begins with one token and at most doubles from turn to turn, since the first turns are slower
    or faster than those to come. Codes never depend on it.
    """

    def __init__(self, *, turn_sec: float = TURN_SEC, max_steps: int = MAX_STEPS) -> None:
        self._turn_sec, self._max_steps = turn_sec, max_steps
        self.num_steps = 1

    def record(self, num_steps: int, seconds: float) -> None:
        """A turn drew `num_steps` tokens in `seconds`; it may have had fewer left than it might."""
        most = min(2 * max(self.num_steps, num_steps), self._max_steps)
        if seconds > 0.0:
            most = int(min(most, self._turn_sec * num_steps / seconds))
        self.num_steps = max(most, 1)
