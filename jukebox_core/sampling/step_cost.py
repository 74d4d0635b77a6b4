"""What a token of one level takes against one of another: for plans, and for forecasts."""

from collections.abc import Mapping
from dataclasses import dataclass

from jukebox_core.config.prior import JukeboxPriorConfig
from jukebox_core.sampling.windows import Window

ROW_SHARE = 0.05
"""Part of a step that each further row adds, up to `PLANNED_ROWS`. On two cores, full-size steps
with int8 weights take 1.1 times as long with 4 rows as with one, and 1.4 times with 8."""
PLANNED_ROWS = 8
"""Rows of a level that are taken to be drawn together, as many as a worker has by default."""
CPU_WEIGHTS_PER_SEC: Mapping[str, float] = {"full": 5e9, "int8": 25e9}
"""Weights of a large prior that one step reads on a CPU: a guess, until a step is measured."""
READ_SHARE = 0.2
"""Part of a step of one row that each token takes which a window reads before its new ones."""
PRODUCTS_PER_WEIGHT = 3.5
"""Multiplications of a conditioner in the time in which a step reads one weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCosts:
    """What drawing one level costs, in steps of one row.

    row_share    what each further row adds to a step
    window       to begin a window: its conditioning, and lyrics that are read as tokens
    read_token   to read a token before a window's new ones, alone
    max_rows     rows that are drawn together; more take turns
    """

    row_share: float = ROW_SHARE
    window: float = 0.0
    read_token: float = READ_SHARE
    max_rows: int = PLANNED_ROWS

    @classmethod
    def of(
        cls,
        config: JukeboxPriorConfig,
        *,
        max_rows: int = PLANNED_ROWS,
        row_share: float = ROW_SHARE,
        products_per_weight: float = PRODUCTS_PER_WEIGHT,
        read_share: float = READ_SHARE,
    ) -> "StepCosts":
        """What follows from the size of a prior, for rows that are known or taken to be."""
        products = conditioner_products(config)
        conditioning = products / step_weights(config) / products_per_weight
        return cls(
            window=conditioning + read_share * config.num_prefix_tokens,
            read_token=read_share,
            max_rows=max_rows,
            row_share=row_share,
        )

    def step(self, num_rows: int) -> float:
        """One step of so many rows, which may be more than are drawn together."""
        turns, rest = divmod(num_rows, self.max_rows)
        return turns * self._turn(self.max_rows) + (self._turn(rest) if rest else 0.0)

    def _turn(self, num_rows: int) -> float:
        return 1.0 + self.row_share * (num_rows - 1)

    def of_rows(self, num_rows: int, *, num_drawn: int, num_windows: int, num_read: int) -> float:
        """`num_drawn` tokens of every row, in `num_windows` that read `num_read` before them."""
        beginning = num_windows * self.window + num_read * self.read_token
        return num_drawn * self.step(num_rows) + num_rows * beginning


@dataclass(frozen=True, slots=True)
class SampledWork:
    """What was done of a level, in the unit of its `LevelWork`.

    beginnings  of windows that have a token
    tokens      all else
    begun       what it takes until the windows have one that are under way without any
    """

    beginnings: float = 0.0
    tokens: float = 0.0
    begun: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelWork:
    """What the windows of one level cost all rows of a song, in any unit.

    unit          of one step of one row
    num_rows      sequences of the song at this level: its takes and channels
    num_segments  stretches of each row that are drawn side by side
    """

    costs: StepCosts
    unit: float
    num_rows: int
    num_segments: int = 1

    def of_window(
        self, window: Window, num_drawn: float | None = None, *, segment: int = 0
    ) -> float:
        """A window as it is drawn, or its beginning and the first `num_drawn` tokens of each row.

        0 before the first of them. `segment` is the number of the one that it belongs to.
        """
        if num_drawn is None:
            num_drawn = window.num_new
        if num_drawn <= 0.0:
            return 0.0
        return self.of_beginning(window) + self.of_tokens(num_drawn, segment=segment)

    def of_tokens(self, num_drawn: float, *, segment: int = 0) -> float:
        """So many tokens of each row of a segment."""
        return self.unit * self.num_rows * self._token(segment) * num_drawn

    def of_beginning(self, window: Window) -> float:
        """What every row of a window takes before its first token."""
        reading = self.costs.read_token * window.num_prefix
        return self.unit * self.num_rows * (self.costs.window + reading)

    def _token(self, segment: int) -> float:
        """Of one row of a segment, in steps of one row. Those of one turn share their steps."""
        max_rows = self.costs.max_rows
        if self.num_rows >= max_rows:
            return self.costs.step(self.num_rows) / self.num_rows
        turn = segment * self.num_rows // max_rows
        of_turn = self.num_rows * max(self.num_segments, 1) - turn * max_rows
        together = max(min(of_turn, max_rows), 1)
        return self.costs.step(together) / together


def step_weights(config: JukeboxPriorConfig) -> int:
    """Weights that one step of the prior reads: those of its stack and of its output."""
    stack = config.transformer
    attention = 4 * stack.width * stack.attention_width
    feed_forward = 2 * stack.width * stack.mlp_width
    return stack.num_layers * (attention + feed_forward) + stack.width * config.num_codes


def conditioner_weights(config: JukeboxPriorConfig) -> int:
    """Weights by which every code above a window is multiplied; 0 for the top."""
    conditioner = config.conditioner
    if conditioner is None:
        return 0
    inner = int(conditioner.width * conditioner.conv_width_ratio)
    return conditioner.depth * 4 * conditioner.width * inner


def conditioner_products(config: JukeboxPriorConfig) -> int:
    """Multiplications of the conditioning of one window; 0 for the top."""
    return conditioner_weights(config) * config.upper_context_tokens


def token_cost(step: float, *, num_rows: int, num_segments: int) -> float:
    """Cost of one token of every row of a level, in the unit of `step`, which has one row.

    `num_segments` stretches of each row are sampled side by side.
    """
    return step * StepCosts().step(num_rows * num_segments) / num_segments
