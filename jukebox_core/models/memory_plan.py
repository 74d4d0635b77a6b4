"""How a model fits into the memory there is: which weights, and how many windows. No torch.

Decided from numbers alone, before anything is loaded. What does not fit whole gets a smaller plan:
fewer windows side by side, then one level after the other, with the weights of the others given
back. What does not fit even so is refused, with a sentence.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from jukebox_core.errors import JukeboxError
from jukebox_core.models.placement import AUTO, Placement, parse_placement
from jukebox_core.units import Level


class ModelTooLarge(JukeboxError):
    """A model does not fit into the memory of a machine or a container, however it is cut."""


class MemoryKind(StrEnum):
    """Whose memory it is, which decides how a smaller plan looks."""

    DEVICE = "device"  # a GPU: weights that leave it wait in the host's memory
    HOST = "host"  # a CPU: weights that leave are read from disk again


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorNeeds:
    """Memory of one prior: its weights, and the cache of one row (one window of one sample)."""

    weight_bytes: int
    row_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNeeds:
    """Memory of a model on one kind of machine.

    priors          of the levels that are generated there
    codec_bytes     the weights of the VQ-VAE
    working_bytes   the largest of what comes and goes: a piece of sound that is decoded, the
                    beginning of a window, an alignment
    """

    priors: Mapping[Level, PriorNeeds]
    codec_bytes: int
    working_bytes: int

    @property
    def fixed_bytes(self) -> int:
        """What is there whatever level is generated."""
        return self.codec_bytes + self.working_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """How a model is held.

    placement     of its weights
    rows          windows of each level that may run side by side
    total_bytes   the most that it takes, with all of them running
    """

    placement: Placement
    rows: Mapping[Level, int]
    total_bytes: int


def plan_memory(
    needs: ModelNeeds,
    *,
    free_bytes: int | None,
    max_rows: int,
    kind: MemoryKind,
    wanted: Placement | str = AUTO,
) -> MemoryPlan:
    """The plan with which a model is fastest, of those that fit into `free_bytes`.

    That is the first of: all levels with all rows; all levels with at least half of the rows (only
    on a device, where changing levels takes as long as many steps); one level at a time, with as
    many rows as fit; on a device, weights on the host.

    Args:
        needs: of the model, on this kind of machine.
        free_bytes: what may be taken; None where nobody knows: then everything fits.
        max_rows: windows of a level side by side, at most.
        kind: whose memory it is.
        wanted: a placement that somebody insists on; `auto` leaves the choice.

    Raises:
        ModelTooLarge: not even one window of the largest level fits.
        ConfigError: `wanted` is no placement.
    """
    if free_bytes is None:
        chosen = parse_placement(wanted) or Placement.RESIDENT
        return _plan(needs, chosen, dict.fromkeys(needs.priors, max_rows))
    for placement, min_rows in _choices(kind, max_rows, wanted):
        rows = _rows(needs, placement, free_bytes, max_rows)
        if min(rows.values(), default=max_rows) >= min_rows:
            return _plan(needs, placement, rows)
    raise ModelTooLarge(_refusal(needs, kind, free_bytes, wanted))


def _choices(
    kind: MemoryKind, max_rows: int, wanted: Placement | str
) -> Iterator[tuple[Placement, int]]:
    """Placements in the order of their speed, and with how many rows at least."""
    chosen = parse_placement(wanted)
    if chosen is not None:
        yield chosen, 1
        return
    yield Placement.RESIDENT, max_rows if kind is MemoryKind.HOST else max(max_rows // 2, 1)
    yield Placement.ONE_AT_A_TIME, 1
    if kind is MemoryKind.DEVICE:
        yield Placement.OFFLOADED, 1


def _rows(
    needs: ModelNeeds, placement: Placement, free_bytes: int, max_rows: int
) -> dict[Level, int]:
    """Rows of each level that fit, at most `max_rows`; less than 1 where the rest does not fit."""
    room = free_bytes - needs.fixed_bytes
    priors = needs.priors
    if placement is Placement.RESIDENT:
        room -= sum(each.weight_bytes for each in priors.values())
        row_bytes = sum(each.row_bytes for each in priors.values())
        return dict.fromkeys(priors, min(room // max(row_bytes, 1), max_rows))
    held = 0 if placement is Placement.OFFLOADED else 1
    return {
        level: min((room - held * each.weight_bytes) // max(each.row_bytes, 1), max_rows)
        for level, each in priors.items()
    }


def _plan(needs: ModelNeeds, placement: Placement, rows: Mapping[Level, int]) -> MemoryPlan:
    sizes = [
        (0 if placement is Placement.OFFLOADED else each.weight_bytes)
        + rows[level] * each.row_bytes
        for level, each in needs.priors.items()
    ]
    largest = sum(sizes) if placement is Placement.RESIDENT else max(sizes, default=0)
    return MemoryPlan(placement=placement, rows=rows, total_bytes=needs.fixed_bytes + largest)


def least_bytes(needs: ModelNeeds, kind: MemoryKind, wanted: Placement | str = AUTO) -> int:
    """What a model takes at least: one window at a time, with the smallest placement there is."""
    choices = [placement for placement, _ in _choices(kind, 1, wanted)]
    return min(
        _plan(needs, placement, dict.fromkeys(needs.priors, 1)).total_bytes for placement in choices
    )


def _refusal(needs: ModelNeeds, kind: MemoryKind, free_bytes: int, wanted: Placement | str) -> str:
    least = least_bytes(needs, kind, wanted)
    sentence = (
        f"it takes at least {_gigabytes(least)} of memory, and {_gigabytes(free_bytes)} "
        f"of the {'GPU' if kind is MemoryKind.DEVICE else 'machine or its container'} are free"
    )
    return f"{sentence} (JUKEBOX_PLACEMENT={wanted})" if wanted != AUTO else sentence


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB"
