"""Where the weights of the priors are; `memory_plan.py` decides, `placed_priors.py` moves them."""

from enum import StrEnum

from jukebox_core.errors import ConfigError


class Placement(StrEnum):
    """Where the weights of the priors are."""

    RESIDENT = "resident"  # all on the device, all the time
    ONE_AT_A_TIME = "one_at_a_time"  # on the device while their level is drawn, else on the host
    OFFLOADED = "offloaded"  # on the host; each projection visits the device when it is used


AUTO = "auto"


def parse_placement(wanted: Placement | str) -> Placement | None:
    """The placement that somebody insists on; None for `auto`.

    Raises:
        ConfigError: there is none of that name.
    """
    if wanted == AUTO:
        return None
    try:
        return Placement(wanted)
    except ValueError:
        known = ", ".join([AUTO, *Placement])
        raise ConfigError(f"placement={wanted!r} is not known: {known}") from None
