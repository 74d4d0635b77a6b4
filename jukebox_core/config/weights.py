"""How the weights of transformer stacks are kept, in memory and in files; no torch."""

from enum import StrEnum


class Weights(StrEnum):
    """How the weights of the stacks are kept. Each is another song of a seed."""

    FULL = "full"  # in a floating-point type
    INT8 = "int8"  # with a scale for each output channel, see `prior/int8_weights.py`
