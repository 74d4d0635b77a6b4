"""Noise from a table: the numbers with which the original drew the golden songs."""

from collections.abc import Mapping

import torch
from torch import Tensor

from jukebox_core.errors import SamplingError
from jukebox_core.units import Level


class TableNoise:
    """Numbers that were written down beforehand.

    `table[level, sample]` is float64 [T] over absolute positions. A number below 0 marks a place
    where nothing should be drawn.
    """

    def __init__(self, table: Mapping[tuple[Level, int], Tensor]) -> None:
        self._table = {key: values.to("cpu", torch.float64) for key, values in table.items()}

    def uniform(self, level: Level, sample: Tensor, position: Tensor) -> Tensor:
        """See `NoiseSource`; the result is on the device of `position`.

        Raises:
            SamplingError: the table has no number for a row.
        """
        numbers = [
            self._number(level, int(row_sample), int(row_position))
            for row_sample, row_position in zip(sample, position, strict=True)
        ]
        return torch.tensor(numbers, dtype=torch.float64, device=position.device)

    def _number(self, level: Level, sample: int, position: int) -> float:
        values = self._table.get((level, sample))
        number = -1.0
        if values is not None and 0 <= position < len(values):
            number = float(values[position])
        if number < 0.0:
            raise SamplingError(
                f"the table has no number for the {level.label} level, sample {sample}, "
                f"position {position}"
            )
        return number
