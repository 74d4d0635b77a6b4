"""Shapes of the kernels' tiles, decided from numbers alone: never by trying at run time.

What must not change a row's numbers (how deep a product goes at once, how long the parts of a strip
are) is fixed by the shape of the layer; only what cannot change them follows the number of rows.
"""

from dataclasses import dataclass

DEPTHS, FLOAT32_DEPTHS = 128, 32
"""How deep a product goes at once: on tensor cores, and in float32, which has to hold more."""
PART_POSITIONS = 128
"""Keys that one program reads: all of a row, a column, or the row before in released models."""
STATISTICS_GROUP = 16
"""Columns of the residual stream that share a mean and a sum of squares."""
STATISTICS_COLUMNS = 256
"""Columns of one program that takes the statistics of a row."""
_ROW_TILES = (16, 32, 64)
# Two thirds of an H200's 132: with fewer programs, processors stand idle while weights are read.
_ENOUGH_PROGRAMS = 90
# With no more programs than this, each has a processor to itself.
_LONE_PROGRAMS = 128
_LONE_SHARED_BYTES, _SHARED_BYTES = 152 * 1024, 108 * 1024
_MAX_STAGES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductTile:
    """One program's part of a product, and how much of it is on its way at once.

    `columns` is never above 32: see `products.py`.
    """

    rows: int
    columns: int
    depths: int
    num_stages: int
    num_warps: int

    def grid(self, num_rows: int, num_columns: int) -> tuple[int, int]:
        """Programs: neighbors share the weight."""
        return ceil_div(num_rows, self.rows), ceil_div(num_columns, self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionTile:
    """How a strip is read."""

    part_positions: int
    num_parts: int
    keys: int
    padded_width: int
    num_stages: int
    num_warps: int


def row_tile(num_rows: int) -> int:
    """Rows of one program: of more than 64, several read the same weight."""
    return next((tile for tile in _ROW_TILES if num_rows <= tile), _ROW_TILES[-1])


def padded_rows(num_rows: int) -> int:
    """Rows of all tiles together: what memory is taken for."""
    tile = row_tile(num_rows)
    return ceil_div(num_rows, tile) * tile


def product_tile(
    num_in: int,
    num_out: int,
    *,
    num_rows: int,
    weight_bytes: int,
    input_bytes: int,
    is_float32: bool,
) -> ProductTile:
    """The tile of a product [num_rows, num_in] @ [num_in, num_out].

    Args:
        num_in: depth of the product.
        num_out: its columns.
        num_rows: of this step.
        weight_bytes: of one number of the weight.
        input_bytes: of one number of what is multiplied, as it lies in the memory.
        is_float32: the product is computed in float32.
    """
    rows = row_tile(num_rows)
    # Rows of a tile are read in sectors of 32 bytes. Many rows read themselves again per tile.
    is_wide = weight_bytes == 1 or rows == _ROW_TILES[-1]
    is_wide = is_wide or ceil_div(num_out, 32) >= _ENOUGH_PROGRAMS
    columns = 32 if is_wide and num_out > 16 else 16
    largest = FLOAT32_DEPTHS if is_float32 else DEPTHS
    depths = max(16, min(largest, power_of_two(num_in)))
    is_lone = ceil_div(num_rows, rows) * ceil_div(num_out, columns) <= _LONE_PROGRAMS
    # Normed inputs lie there once more, as the tensor cores want them.
    own_bytes = depths * rows * 2
    free_bytes = (_LONE_SHARED_BYTES if is_lone else _SHARED_BYTES) - own_bytes
    stage_bytes = depths * (columns * weight_bytes + rows * input_bytes)
    # The stage that is multiplied takes no memory of its own.
    num_stages = 1 + min(free_bytes // stage_bytes, ceil_div(num_in, depths), _MAX_STAGES - 1)
    return ProductTile(
        rows=rows,
        columns=columns,
        depths=depths,
        num_stages=max(num_stages, 2),
        num_warps=4 if rows == _ROW_TILES[0] else 8,
    )


def attention_tile(strip_positions: int, head_width: int, *, item_bytes: int) -> AttentionTile:
    """How the strips of a layer are read; the same for any number of rows."""
    padded_width = max(16, power_of_two(head_width))
    num_parts = ceil_div(strip_positions, PART_POSITIONS)
    num_warps = 8 if padded_width * item_bytes > 512 else 4
    # Keys and values together: 64 numbers for each of the threads.
    keys = max(1, min(16, num_warps * 32 * 32 // padded_width, power_of_two(strip_positions)))
    stage_bytes = 2 * keys * padded_width * item_bytes
    return AttentionTile(
        part_positions=PART_POSITIONS,
        num_parts=num_parts,
        keys=keys,
        padded_width=padded_width,
        num_stages=1 + max(1, min(4, _LONE_SHARED_BYTES // stage_bytes)),
        num_warps=num_warps,
    )


def power_of_two(number: int) -> int:
    """The smallest one that is not below `number`."""
    return 1 << max(number - 1, 0).bit_length()


def ceil_div(number: int, divisor: int) -> int:
    """`number / divisor`, rounded up."""
    return -(-number // divisor)
