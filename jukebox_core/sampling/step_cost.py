"""What a token of one level takes against one of another: for forecasts, before any is measured."""

from jukebox_core.config.prior import JukeboxPriorConfig

ROW_SHARE = 0.1
"""Part of a step that each further row adds. Full-size steps with int8 weights took 1.1 times as
long with 4 rows as with one, 1.6 times with 8 and 2.8 times with 16."""


def step_weights(config: JukeboxPriorConfig) -> int:
    """Weights that one step of the prior reads: those of its stack and of its output."""
    stack = config.transformer
    attention = 4 * stack.width * stack.attention_width
    feed_forward = 2 * stack.width * stack.mlp_width
    return stack.num_layers * (attention + feed_forward) + stack.width * config.num_codes


def token_cost(step: float, *, num_rows: int, num_segments: int) -> float:
    """Cost of one token of every row of a level, in the unit of `step`, which has one row.

    `num_segments` stretches of each row are sampled side by side.
    """
    return step * (1.0 + ROW_SHARE * (num_rows * num_segments - 1)) / num_segments
