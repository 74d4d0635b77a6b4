"""One query per row and head against a strip of keys and values.

No library's kernel has heads of 150 or 480. There are at most 128 keys to a row, a column or a row
before: one program reads them. Longer strips are divided into parts of fixed length, however much
of them can be seen, and put together in their order by a second kernel.
"""

import triton
import triton.language as tl

from jukebox_core.backends.triton.kernels.places import strip_to_read

FINITE = tl.constexpr(-1e30)
"""Below every score, and a number."""


@triton.jit
def read_part(
    asked,
    keys,
    start,
    end,
    ATTENTION_WIDTH: tl.constexpr,
    HEAD_WIDTH: tl.constexpr,
    PADDED_WIDTH: tl.constexpr,
    KEYS: tl.constexpr,
    NUM_STAGES: tl.constexpr,
):
    """Softmax over the places [start, end) of one strip.

    asked    float32 [PADDED_WIDTH]: the scaled query
    keys     where the keys of this head begin in the strip; values lie ATTENTION_WIDTH behind them
    returns  largest score, sum of the weights beside it, and weighted values [PADDED_WIDTH]
    """
    channels = tl.arange(0, PADDED_WIDTH)
    known = channels < HEAD_WIDTH
    # A softmax for each of KEYS lanes: nothing crosses the lanes until all keys are read.
    largest = tl.full((KEYS,), -float("inf"), tl.float32)
    sums = tl.zeros((KEYS,), dtype=tl.float32)
    values = tl.zeros((KEYS, PADDED_WIDTH), dtype=tl.float32)
    for first in tl.range(start, end, KEYS, num_stages=NUM_STAGES):
        places = first + tl.arange(0, KEYS)
        visible = places < end
        tile = keys + places[:, None] * (2 * ATTENTION_WIDTH) + channels[None, :]
        mask = visible[:, None] & known[None, :]
        key = tl.load(tile, mask=mask, other=0).to(tl.float32)
        value = tl.load(tile + ATTENTION_WIDTH, mask=mask, other=0).to(tl.float32)
        scores = tl.where(visible, tl.sum(key * asked[None, :], axis=1), -float("inf"))
        larger = tl.maximum(largest, scores)
        # Lanes that have seen nothing yet stay at -inf, and -inf - -inf is no number.
        finite = tl.maximum(larger, FINITE)
        kept, weights = tl.exp(largest - finite), tl.exp(scores - finite)
        sums = sums * kept + weights
        values = values * kept[:, None] + weights[:, None] * value
        largest = larger
    most = tl.max(largest, axis=0)
    # A part that is not seen at all has no largest score.
    lanes = tl.exp(largest - tl.maximum(most, FINITE))
    return most, tl.sum(sums * lanes, axis=0), tl.sum(values * lanes[:, None], axis=0)


@triton.jit
def attend(
    query,
    strips,
    positions,
    slots,
    out,
    part_sums,
    part_values,
    KIND: tl.constexpr,
    BLOCK: tl.constexpr,
    STRIP_POSITIONS: tl.constexpr,
    NUM_HEADS: tl.constexpr,
    HEAD_WIDTH: tl.constexpr,
    PADDED_WIDTH: tl.constexpr,
    PART_POSITIONS: tl.constexpr,
    KEYS: tl.constexpr,
    NUM_STAGES: tl.constexpr,
):
    """A program for each row, head and part.

    query        [rows, A]
    strips       [strips, STRIP_POSITIONS, 2 A]
    positions    int64 [rows], as `slots`
    out          [rows, A], written where there is one part
    part_sums    float32 [rows, H, parts, 2]: largest score, and sum of the weights beside it
    part_values  float32 [rows, H, parts, D]: weighted values, not divided by the sum
    """
    ATTENTION_WIDTH: tl.constexpr = NUM_HEADS * HEAD_WIDTH
    NUM_PARTS: tl.constexpr = (STRIP_POSITIONS + PART_POSITIONS - 1) // PART_POSITIONS
    row, head, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    strip, num_visible = strip_to_read(
        tl.load(positions + row), tl.load(slots + row), KIND, BLOCK, STRIP_POSITIONS
    )
    channels = tl.arange(0, PADDED_WIDTH)
    known = channels < HEAD_WIDTH
    own = row * ATTENTION_WIDTH + head * HEAD_WIDTH + channels
    asked = tl.load(query + own, mask=known, other=0).to(tl.float32)
    asked = asked / tl.sqrt(tl.full((), HEAD_WIDTH, tl.float32))
    keys = strips + strip * (STRIP_POSITIONS * 2 * ATTENTION_WIDTH) + head * HEAD_WIDTH
    start = part * PART_POSITIONS
    end = tl.minimum(num_visible, start + PART_POSITIONS).to(tl.int32)
    most, total, values = read_part(
        asked, keys, start, end, ATTENTION_WIDTH, HEAD_WIDTH, PADDED_WIDTH, KEYS, NUM_STAGES
    )
    if NUM_PARTS == 1:
        tl.store(out + own, (values / total).to(out.dtype.element_ty), mask=known)
    else:
        place = (row * NUM_HEADS + head) * NUM_PARTS + part
        tl.store(part_sums + 2 * place, most)
        tl.store(part_sums + 2 * place + 1, total)
        tl.store(part_values + place * HEAD_WIDTH + channels, values, mask=known)


@triton.jit
def join_parts(
    part_sums,
    part_values,
    out,
    NUM_PARTS: tl.constexpr,
    NUM_HEADS: tl.constexpr,
    HEAD_WIDTH: tl.constexpr,
    PADDED_WIDTH: tl.constexpr,
):
    """The parts of `attend` as one softmax: a program for each row and head."""
    row, head = tl.program_id(0), tl.program_id(1)
    channels = tl.arange(0, PADDED_WIDTH)
    known = channels < HEAD_WIDTH
    first = (row * NUM_HEADS + head) * NUM_PARTS
    largest = -float("inf")
    total = 0.0
    values = tl.zeros((PADDED_WIDTH,), dtype=tl.float32)
    for part in tl.range(0, NUM_PARTS, num_stages=4):
        most = tl.load(part_sums + 2 * (first + part))
        own_total = tl.load(part_sums + 2 * (first + part) + 1)
        own = tl.load(part_values + (first + part) * HEAD_WIDTH + channels, mask=known, other=0.0)
        # The first part always sees something: from there on all of this is finite.
        larger = tl.maximum(largest, most)
        kept, weight = tl.exp(largest - larger), tl.exp(most - larger)
        total = total * kept + own_total * weight
        values = values * kept + own * weight
        largest = larger
    to = out + (row * NUM_HEADS + head) * HEAD_WIDTH + channels
    tl.store(to, (values / total).to(out.dtype.element_ty), mask=known)
