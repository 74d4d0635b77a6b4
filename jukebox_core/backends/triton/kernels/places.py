"""The strips of `prior/kv_cache.py` as a kernel sees them."""

import triton
import triton.language as tl

ALL = tl.constexpr(0)
ROW = tl.constexpr(1)
COLUMN = tl.constexpr(2)
PREVIOUS_ROW = tl.constexpr(3)
LYRIC_ENCODER = tl.constexpr(4)
LYRIC_PREFIX = tl.constexpr(5)


@triton.jit
def strip_to_read(
    positions, slots, KIND: tl.constexpr, BLOCK: tl.constexpr, STRIP_POSITIONS: tl.constexpr
):
    """Which strip a position reads, and how many of its places it sees; both int64."""
    row, column = positions // BLOCK, positions % BLOCK
    strip, num_visible = slots, tl.zeros_like(slots) + STRIP_POSITIONS
    if KIND == ROW:
        num_visible = column + 1
    elif KIND == COLUMN:
        strip = slots * BLOCK + column
        num_visible = row + 1
    elif KIND == PREVIOUS_ROW:
        strip = slots * 2 + 1 - row % 2
    elif KIND == ALL:
        num_visible = positions + 1
    elif KIND == LYRIC_PREFIX:
        # The last place of a strip takes what is not kept, and is never seen.
        num_visible = tl.minimum(positions + 1, STRIP_POSITIONS - 1)
    return strip, num_visible


@triton.jit
def place_to_write(
    positions, slots, KIND: tl.constexpr, BLOCK: tl.constexpr, STRIP_POSITIONS: tl.constexpr
):
    """Where key and value of a position belong, counted through all strips: int64."""
    row, column = positions // BLOCK, positions % BLOCK
    if KIND == ROW:
        place = slots * STRIP_POSITIONS + column
    elif KIND == COLUMN:
        place = (slots * BLOCK + column) * STRIP_POSITIONS + row
    elif KIND == PREVIOUS_ROW:
        place = (slots * 2 + row % 2) * STRIP_POSITIONS + column
    elif KIND == ALL:
        place = slots * STRIP_POSITIONS + positions
    else:
        place = slots * STRIP_POSITIONS + tl.minimum(positions, STRIP_POSITIONS - 1)
    return place
