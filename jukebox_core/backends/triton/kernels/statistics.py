"""Mean and variance of each row for the layer norms, without a pass of their own.

Who writes a part of the residual stream also writes mean and squares of each group of 16 columns
of it; who normalizes puts the groups of a row together. All sums here are taken pair by pair, in an
order that is written down: a reduction of Triton adds in the order of its layout, and layouts
change with the shape of a tile, so a row would depend on how many others there are.
"""

import triton
import triton.language as tl

from jukebox_core.backends.triton.kernels.tiles import STATISTICS_GROUP

GROUP = tl.constexpr(STATISTICS_GROUP)
LANES = tl.constexpr(32)


@triton.jit
def sum_of_sixteen(x, LENGTH: tl.constexpr):
    """float32 [LENGTH, 16] -> [LENGTH]."""
    a, b = tl.split(tl.reshape(x, (LENGTH, 8, 2)))
    a, b = tl.split(tl.reshape(a + b, (LENGTH, 4, 2)))
    a, b = tl.split(tl.reshape(a + b, (LENGTH, 2, 2)))
    a, b = tl.split(a + b)
    return a + b


@triton.jit
def sum_of_lanes(x, LENGTH: tl.constexpr):
    """float32 [LENGTH, LANES] -> [LENGTH]."""
    a, b = tl.split(tl.reshape(x, (LENGTH, 16, 2)))
    return sum_of_sixteen(a + b, LENGTH)


@triton.jit
def store_statistics(
    x,
    statistics,
    rows,
    num_rows,
    first_column,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Statistics of a tile x float32 [ROWS, COLUMNS], whose columns beyond WIDTH must be 0.

    statistics  float32 [rows, 2, WIDTH / 16]: mean, and squares of the distances from it
    """
    NUM_GROUPS: tl.constexpr = (WIDTH + GROUP - 1) // GROUP
    OWN_GROUPS: tl.constexpr = COLUMNS // GROUP
    LENGTH: tl.constexpr = ROWS * OWN_GROUPS
    groups = first_column // GROUP + tl.arange(0, OWN_GROUPS)
    counts = tl.minimum(tl.maximum(WIDTH - groups * GROUP, 1), GROUP).to(tl.float32)
    grouped = tl.reshape(x, (LENGTH, GROUP))
    sums = tl.reshape(sum_of_sixteen(grouped, LENGTH), (ROWS, OWN_GROUPS))
    means = sums / counts[None, :]
    columns = first_column + tl.arange(0, COLUMNS)
    away = tl.reshape(x, (ROWS, OWN_GROUPS, GROUP)) - means[:, :, None]
    inside = tl.reshape(columns < WIDTH, (1, OWN_GROUPS, GROUP))
    away = tl.reshape(tl.where(inside, away, 0.0), (LENGTH, GROUP))
    squares = tl.reshape(sum_of_sixteen(away * away, LENGTH), (ROWS, OWN_GROUPS))
    to = statistics + rows[:, None] * (2 * NUM_GROUPS) + groups[None, :]
    mask = (rows < num_rows)[:, None] & (groups < NUM_GROUPS)[None, :]
    tl.store(to, means, mask=mask)
    tl.store(to + NUM_GROUPS, squares, mask=mask)


@triton.jit
def moments(
    statistics,
    rows,
    num_rows,
    epsilon,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    NUM_STAGES: tl.constexpr,
):
    """Mean, and what to multiply with, of some rows: two float32 [ROWS]."""
    NUM_GROUPS: tl.constexpr = (WIDTH + GROUP - 1) // GROUP
    present = rows < num_rows
    start = statistics + rows * (2 * NUM_GROUPS)
    # Distances are taken from one of the means, so that a large common part cancels exactly.
    near = tl.load(start, mask=present, other=0.0)
    sums = tl.zeros((ROWS, LANES), dtype=tl.float32)
    squares = tl.zeros((ROWS, LANES), dtype=tl.float32)
    for first in tl.range(0, NUM_GROUPS, LANES, num_stages=NUM_STAGES):
        groups = first + tl.arange(0, LANES)
        mask = present[:, None] & (groups < NUM_GROUPS)[None, :]
        counts = tl.minimum(tl.maximum(WIDTH - groups * GROUP, 0), GROUP).to(tl.float32)
        means = tl.load(start[:, None] + groups[None, :], mask=mask, other=0.0)
        within = tl.load(start[:, None] + NUM_GROUPS + groups[None, :], mask=mask, other=0.0)
        away = tl.where(mask, means - near[:, None], 0.0)
        sums += counts[None, :] * away
        squares += within + counts[None, :] * away * away
    away = sum_of_lanes(sums, ROWS) / WIDTH
    variance = sum_of_lanes(squares, ROWS) / WIDTH - away * away
    return near + away, tl.rsqrt(tl.maximum(variance, 0.0) + epsilon)


@triton.jit(do_not_specialize=["num_rows"])
def row_statistics(
    x,
    rounded,
    statistics,
    num_rows,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Statistics of x float32 [rows, WIDTH], and x rounded, as the first layer needs them."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    first_column = tl.program_id(1) * COLUMNS
    columns = first_column + tl.arange(0, COLUMNS)
    mask = (rows < num_rows)[:, None] & (columns < WIDTH)[None, :]
    places = rows[:, None] * WIDTH + columns[None, :]
    tile = tl.load(x + places, mask=mask, other=0.0)
    tl.store(rounded + places, tile.to(rounded.dtype.element_ty), mask=mask)
    store_statistics(tile, statistics, rows, num_rows, first_column, WIDTH, ROWS, COLUMNS)
