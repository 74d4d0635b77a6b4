"""Matrix products of few rows, with what comes before and after them.

A program computes one tile of columns for up to ROWS rows. The weight [DEPTH, COLUMNS] is read once
from the memory, in the place and layout where the plain step has it; that reading is the limit.

A row must not depend on how many others there are. So the sum over the depth is never divided, and
the tensor cores see the weight as their left operand: whatever ROWS is, they take the same
instruction (16 columns x 8 rows x 16 deep, in order), because a tile of 16 or 32 columns is too
small for the larger ones of Hopper, whose inner order nobody has promised.
"""

import triton
import triton.language as tl

from jukebox_core.backends.triton.kernels.places import LYRIC_ENCODER, place_to_write
from jukebox_core.backends.triton.kernels.statistics import moments, store_statistics

QUICK_GELU_SLOPE = tl.constexpr(1.702)


@triton.jit
def weight_tile(weight, depths, columns, DEPTH: tl.constexpr, COLUMNS: tl.constexpr):
    """Transposed, [columns, depths] of the tile, 0 beyond the edges."""
    return tl.load(
        weight + depths[None, :] * COLUMNS + columns[:, None],
        mask=(depths < DEPTH)[None, :] & (columns < COLUMNS)[:, None],
        other=0,
    )


@triton.jit
def input_tile(x, rows, depths, num_rows, DEPTH: tl.constexpr):
    """Transposed, [depths, rows] of the tile, 0 beyond the edges."""
    return tl.load(
        x + rows[None, :] * DEPTH + depths[:, None],
        mask=(rows < num_rows)[None, :] & (depths < DEPTH)[:, None],
        other=0,
    )


@triton.jit
def scaled(sums, scale, bias, columns, COLUMNS: tl.constexpr, IS_INT8: tl.constexpr):
    """Sums [columns, rows] with scale and bias, as [rows, columns]."""
    known = columns < COLUMNS
    sums = tl.trans(sums)
    if IS_INT8:
        sums *= tl.load(scale + columns, mask=known, other=0)[None, :]
    return sums + tl.load(bias + columns, mask=known, other=0).to(tl.float32)[None, :]


@triton.jit
def normed_product(
    x,
    statistics,
    gain,
    offset,
    weight,
    rows,
    columns,
    num_rows,
    epsilon,
    dtype,
    DEPTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    OWN_COLUMNS: tl.constexpr,
    DEPTHS: tl.constexpr,
):
    """norm(x) @ weight for x [rows, DEPTH], the norm rounded to dtype: float32 [columns, rows]."""
    mean, factor = moments(statistics, rows, num_rows, epsilon, DEPTH, ROWS, 4)
    sums = tl.zeros((OWN_COLUMNS, ROWS), dtype=tl.float32)
    for first in tl.range(0, DEPTH, DEPTHS):
        depths = first + tl.arange(0, DEPTHS)
        tile = weight_tile(weight, depths, columns, DEPTH, COLUMNS)
        given = input_tile(x, rows, depths, num_rows, DEPTH).to(tl.float32)
        gains = tl.load(gain + depths, mask=depths < DEPTH, other=0.0)
        offsets = tl.load(offset + depths, mask=depths < DEPTH, other=0.0)
        normed = (given - mean[None, :]) * factor[None, :] * gains[:, None] + offsets[:, None]
        sums = tl.dot(tile.to(dtype), normed.to(dtype), sums, input_precision="ieee")
    return sums


@triton.jit(do_not_specialize=["num_rows"])
def project_query_key_value(
    x,
    statistics,
    gain,
    offset,
    weight,
    scale,
    bias,
    positions,
    slots,
    query,
    strips,
    num_rows,
    epsilon,
    KIND: tl.constexpr,
    BLOCK: tl.constexpr,
    STRIP_POSITIONS: tl.constexpr,
    WIDTH: tl.constexpr,
    ATTENTION_WIDTH: tl.constexpr,
    IS_INT8: tl.constexpr,
    ROWS: tl.constexpr,
    OWN_COLUMNS: tl.constexpr,
    DEPTHS: tl.constexpr,
):
    """norm(x) @ weight + bias: queries to `query`, keys and values to their place in the strips.

    x          [rows, WIDTH], as rounded by `project_onto_residual`
    weight     [WIDTH, 3 A]; [WIDTH, A] for LYRIC_ENCODER, which writes no strip
    query      [rows, A]
    strips     [strips, STRIP_POSITIONS, 2 A]
    positions  int64 [rows], as `slots`
    """
    COLUMNS: tl.constexpr = ATTENTION_WIDTH if KIND == LYRIC_ENCODER else 3 * ATTENTION_WIDTH
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * OWN_COLUMNS + tl.arange(0, OWN_COLUMNS)
    dtype = query.dtype.element_ty
    sums = normed_product(
        x,
        statistics,
        gain,
        offset,
        weight,
        rows,
        columns,
        num_rows,
        epsilon,
        dtype,
        WIDTH,
        COLUMNS,
        ROWS,
        OWN_COLUMNS,
        DEPTHS,
    )
    out = scaled(sums, scale, bias, columns, COLUMNS, IS_INT8).to(dtype)
    present = (rows < num_rows)[:, None]
    tl.store(
        query + rows[:, None] * ATTENTION_WIDTH + columns[None, :],
        out,
        mask=present & (columns < ATTENTION_WIDTH)[None, :],
    )
    if KIND != LYRIC_ENCODER:
        position = tl.load(positions + rows, mask=rows < num_rows, other=0)
        slot = tl.load(slots + rows, mask=rows < num_rows, other=0)
        place = place_to_write(position, slot, KIND, BLOCK, STRIP_POSITIONS)
        kept = columns - ATTENTION_WIDTH
        tl.store(
            strips + place[:, None] * (2 * ATTENTION_WIDTH) + kept[None, :],
            out,
            mask=present & ((kept >= 0) & (columns < COLUMNS))[None, :],
        )


@triton.jit(do_not_specialize=["num_rows"])
def project_hidden(
    x,
    statistics,
    gain,
    offset,
    weight,
    scale,
    bias,
    hidden,
    num_rows,
    epsilon,
    WIDTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    IS_INT8: tl.constexpr,
    ROWS: tl.constexpr,
    OWN_COLUMNS: tl.constexpr,
    DEPTHS: tl.constexpr,
):
    """v * sigmoid(1.702 v) for v = norm(x) @ weight + bias.

    x       [rows, WIDTH], as rounded by `project_onto_residual`
    hidden  [rows, COLUMNS]
    """
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * OWN_COLUMNS + tl.arange(0, OWN_COLUMNS)
    dtype = hidden.dtype.element_ty
    sums = normed_product(
        x,
        statistics,
        gain,
        offset,
        weight,
        rows,
        columns,
        num_rows,
        epsilon,
        dtype,
        WIDTH,
        COLUMNS,
        ROWS,
        OWN_COLUMNS,
        DEPTHS,
    )
    out = scaled(sums, scale, bias, columns, COLUMNS, IS_INT8)
    out = out / (1.0 + tl.exp(out * -QUICK_GELU_SLOPE))
    tl.store(
        hidden + rows[:, None] * COLUMNS + columns[None, :],
        out.to(dtype),
        mask=(rows < num_rows)[:, None] & (columns < COLUMNS)[None, :],
    )


@triton.jit(do_not_specialize=["num_rows"])
def project_onto_residual(
    inputs,
    weight,
    scale,
    bias,
    x,
    rounded,
    statistics,
    num_rows,
    DEPTH: tl.constexpr,
    WIDTH: tl.constexpr,
    IS_INT8: tl.constexpr,
    ROWS: tl.constexpr,
    OWN_COLUMNS: tl.constexpr,
    DEPTHS: tl.constexpr,
):
    """x += inputs @ weight + bias, and the statistics of the new x.

    inputs   [rows, DEPTH]
    x        float32 [rows, WIDTH]
    rounded  [rows, WIDTH]: the new x for the norm, which every program of a product reads whole
    """
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    first_column = tl.program_id(1) * OWN_COLUMNS
    columns = first_column + tl.arange(0, OWN_COLUMNS)
    sums = tl.zeros((OWN_COLUMNS, ROWS), dtype=tl.float32)
    for first in tl.range(0, DEPTH, DEPTHS):
        depths = first + tl.arange(0, DEPTHS)
        tile = weight_tile(weight, depths, columns, DEPTH, WIDTH)
        given = input_tile(inputs, rows, depths, num_rows, DEPTH)
        sums = tl.dot(tile.to(given.dtype), given, sums, input_precision="ieee")
    out = scaled(sums, scale, bias, columns, WIDTH, IS_INT8)
    mask = (rows < num_rows)[:, None] & (columns < WIDTH)[None, :]
    places = rows[:, None] * WIDTH + columns[None, :]
    out = tl.where(mask, out + tl.load(x + places, mask=mask, other=0.0), 0.0)
    tl.store(x + places, out, mask=mask)
    tl.store(rounded + places, out.to(rounded.dtype.element_ty), mask=mask)
    store_statistics(out, statistics, rows, num_rows, first_column, WIDTH, ROWS, OWN_COLUMNS)
