"""Which priors stay on the device: decided from numbers alone, before anything is loaded.

`jukebox_core/models/placed_priors.py` measures the numbers and does what is decided here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from jukebox_core.errors import ConfigError
from jukebox_core.units import Level

WORKING_BYTES = 2**30
"""Room for what is not weights or cache: the VQ-VAE and its chunks, a prefill, the draw itself."""


class Placement(StrEnum):
    """Where the weights of the priors are."""

    RESIDENT = "resident"  # all on the device, all the time
    ONE_AT_A_TIME = "one_at_a_time"  # on the device while their level is drawn, else on the host
    OFFLOADED = "offloaded"  # on the host; each projection visits the device when it is used


AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorNeeds:
    """Memory of one prior: its weights, and the cache of one row (one window of one sample)."""

    weight_bytes: int
    row_bytes: int

    def total_bytes(self, num_rows: int) -> int:
        """Weights with a cache of `num_rows` rows."""
        return self.weight_bytes + num_rows * self.row_bytes


def plan_placement(
    needs: Mapping[Level, PriorNeeds],
    *,
    free_bytes: int | None,
    num_rows: int = 1,
    wanted: Placement | str = AUTO,
) -> Placement:
    """The fastest placement that fits, or the one that is `wanted`.

    Args:
        needs: of the priors that will be used.
        free_bytes: what the device has left; None where weights and host share their memory, as on
            a CPU: then nothing is gained by moving them.
        num_rows: rows that are drawn at the same time, of each level that is on the device.
        wanted: "auto" or a `Placement`, which is then taken as it is.

    Raises:
        ConfigError: `wanted` is no placement.
    """
    if wanted != AUTO:
        return _parsed(wanted)
    if free_bytes is None:
        return Placement.RESIDENT
    sizes = [need.total_bytes(num_rows) for need in needs.values()]
    room_bytes = free_bytes - WORKING_BYTES
    if sum(sizes) <= room_bytes:
        return Placement.RESIDENT
    return Placement.ONE_AT_A_TIME if max(sizes, default=0) <= room_bytes else Placement.OFFLOADED


def _parsed(wanted: str) -> Placement:
    try:
        return Placement(wanted)
    except ValueError:
        known = ", ".join([AUTO, *Placement])
        raise ConfigError(f"placement={wanted!r} is not known: {known}") from None
