"""How a stream of tokens longer than a prior's context is cut into overlapping windows.

Plain integers; the rules are those of `get_starts` and `sample_level` of the original.
"""

import math
from dataclasses import dataclass

from jukebox_core.config import JukeboxPriorConfig
from jukebox_core.errors import SongError


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens [start, end) of one level, seen together by its prior.

    [start, first_new) are there already and are only read; [first_new, end) are drawn.
    """

    start: int
    end: int
    first_new: int

    @property
    def num_prefix(self) -> int:
        """Tokens that the window begins with and does not change."""
        return self.first_new - self.start

    @property
    def num_new(self) -> int:
        """Tokens that the window draws; never 0."""
        return self.end - self.first_new


def plan_windows(
    total_tokens: int, context_tokens: int, hop_tokens: int, done_tokens: int = 0
) -> tuple[Window, ...]:
    """The windows that take a stream from `done_tokens` to `total_tokens`, in order.

    Windows start `hop_tokens` apart; the last is pulled back so that it still fills the context.
    A stream shorter than the context is one shorter window. Windows with nothing new to draw are
    left out, so that exactly `total_tokens - done_tokens` are drawn. (The original draws
    `total_tokens` new ones when a prompt is continued within one context: a bug.)

    Raises:
        ValueError: a number is negative, or the hop is outside [1, context_tokens].
    """
    if total_tokens < 0 or done_tokens < 0:
        raise ValueError(f"{total_tokens=} and {done_tokens=} must not be negative")
    if not 1 <= hop_tokens <= context_tokens:
        raise ValueError(f"{hop_tokens=} must be between 1 and {context_tokens=}")
    last_start = max(total_tokens - context_tokens, 0)
    windows: list[Window] = []
    for start in (*range(0, last_start, hop_tokens), last_start):
        end = min(start + context_tokens, total_tokens)
        if end > done_tokens:
            windows.append(Window(start=start, end=end, first_new=done_tokens))
            done_tokens = end
    return tuple(windows)


def hop_tokens(prior_config: JukeboxPriorConfig, hop_fraction: float | None, ratio: int) -> int:
    """Distance of two windows: `hop_fraction` of the context, the tail below one token dropped.

    `ratio` is how many tokens lie under one token of the level above (1 at the top); a window must
    begin where one of those does. None takes the prior's default, cut to such a multiple.

    Raises:
        SongError: a hop that was asked for is below one token or splits a token of the level above.
    """
    context_tokens = prior_config.context_tokens
    if hop_fraction is None:
        default = int(prior_config.default_hop_fraction * context_tokens)
        return max(default - default % ratio, ratio)
    hop = int(hop_fraction * context_tokens)
    if hop >= 1 and hop % ratio == 0:
        return hop
    below = hop - hop % ratio
    legal = [near for near in (below, below + ratio) if 1 <= near <= context_tokens]
    nearest = " or ".join(
        f"{_fraction_text(near, context_tokens)} ({near} tokens)" for near in legal
    )
    level = prior_config.level.label
    reason = f"a multiple of {ratio}" if ratio > 1 else "at least 1"
    raise SongError(
        f"hop_fraction={hop_fraction:.10g} of the {level} level's {context_tokens} tokens makes a "
        f"hop of {hop}, which must be {reason}: the nearest that work are {nearest}",
        field=f"sampling.{level}.hop_fraction",
    )


def _fraction_text(hop: int, context_tokens: int) -> str:
    """The shortest decimal that `hop_tokens` turns into exactly `hop` tokens."""
    for digits in range(1, 17):
        text = f"{math.ceil(hop / context_tokens * 10**digits) / 10**digits:.{digits}f}"
        if int(float(text) * context_tokens) == hop:
            return text
    return repr(math.nextafter(hop / context_tokens, 1.0))
