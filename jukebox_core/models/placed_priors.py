"""Priors that are on the device when they are asked for, however small it is."""

import gc
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from jukebox_core.config import JukeboxConfig
from jukebox_core.models.device_memory import free_bytes_of, model_needs, num_bytes
from jukebox_core.models.memory_plan import MemoryKind, ModelTooLarge, plan_memory
from jukebox_core.models.placement import AUTO, Placement, parse_placement
from jukebox_core.prior import JukeboxPrior
from jukebox_core.prior.projection import Projection
from jukebox_core.units import COARSE_TO_FINE, Level

HOST = torch.device("cpu")

PriorLoader = Callable[[Level, torch.device], JukeboxPrior]
"""Loads the prior of a level to a device."""


def decide_placement(
    config: JukeboxConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
    int8_weights: bool = False,
    wanted: Placement | str = AUTO,
) -> Placement:
    """The fastest placement of a whole model for which `device` has room now, or what is wanted.

    Where not even that of the least memory fits, it is tried nevertheless. On a CPU, where weights
    are mapped from their files, nothing is gained by moving them.

    Raises:
        ConfigError: `wanted` is no placement.
    """
    chosen = parse_placement(wanted)
    if chosen is not None:
        return chosen
    if device.type == "cpu":
        return Placement.RESIDENT
    needs = model_needs(config, device=device, dtype=dtype, int8_weights=int8_weights)
    try:
        return plan_memory(
            needs, free_bytes=free_bytes_of(device), max_rows=1, kind=MemoryKind.DEVICE
        ).placement
    except ModelTooLarge:
        return Placement.OFFLOADED


def home_device(placement: Placement, device: torch.device) -> torch.device:
    """Where weights are loaded to: if the device is too small for all, they stay on the host."""
    return device if placement is Placement.RESIDENT else HOST


class PlacedPriors(Mapping[Level, JukeboxPrior]):
    """The priors of a model; asking for one loads it if need be and makes it ready on the device.

    With `ONE_AT_A_TIME`, whoever asks for a level must have done with the others: their weights
    leave the device then. On a CPU they have nowhere to go, and are loaded again when asked for.

    Args:
        load: called for each level that is asked for and not there.
        device: where they are used.
        placement: see `decide_placement`.
    """

    def __init__(self, load: PriorLoader, *, device: torch.device, placement: Placement) -> None:
        self.device, self.placement = device, placement
        self._load = load
        self._priors: dict[Level, JukeboxPrior] = {}
        self._at_home: dict[Level, dict[str, Tensor]] = {}
        self._offloaded: set[Level] = set()

    def __getitem__(self, level: Level) -> JukeboxPrior:
        if self.placement is Placement.ONE_AT_A_TIME and self.device == HOST:
            self._drop_others(level)
            return self.loaded(level)
        prior = self.loaded(level)
        if self.placement is Placement.ONE_AT_A_TIME:
            for other in [each for each in self._at_home if each is not level]:
                self._to_host(other)
            self._bring(level)
        elif self.placement is Placement.OFFLOADED and level not in self._offloaded:
            _offload_projections(prior, self.device)
            self._offloaded.add(level)
        return prior

    def __contains__(self, level: object) -> bool:
        return level in COARSE_TO_FINE

    def __iter__(self) -> Iterator[Level]:
        return iter(COARSE_TO_FINE)

    def __len__(self) -> int:
        return len(COARSE_TO_FINE)

    def loaded(self, level: Level) -> JukeboxPrior:
        """The prior of `level`, loaded but not moved."""
        if level not in self._priors:
            home = home_device(self.placement, self.device)
            self._priors[level] = self._load(level, home)
        return self._priors[level]

    @property
    def num_bytes(self) -> int:
        """Memory of the weights that are loaded now, wherever they are."""
        return sum(num_bytes(prior) for prior in self._priors.copy().values())

    def _drop_others(self, level: Level) -> None:
        others = [each for each in self._priors if each is not level]
        for other in others:
            del self._priors[other]
        if others:
            gc.collect()

    def to_host(self) -> None:
        """Give the device free and have whole weights again, e.g. to save them."""
        for level in list(self._at_home):
            self._to_host(level)
        for level in self._offloaded:
            _end_offloading(self._priors[level])
        self._offloaded.clear()

    def _bring(self, level: Level) -> None:
        if level in self._at_home:
            return
        prior = self._priors[level]
        # What is at home stays there: the way back copies nothing, and mapped files stay mapped.
        self._at_home[level] = prior.state_dict()
        there = {name: tensor.to(self.device) for name, tensor in self._at_home[level].items()}
        prior.load_state_dict(there, assign=True)

    def _to_host(self, level: Level) -> None:
        self._priors[level].load_state_dict(self._at_home.pop(level), assign=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _offload_projections(prior: JukeboxPrior, device: torch.device) -> None:
    """Leave the projections on the host; accelerate carries each over while it is used.

    They are nearly all of the weights. What is around them is used in other ways than by a call,
    which hooks cannot see, and lives on the device.
    """
    # Imported here: nobody else needs it.
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    projections = {
        path: module for path, module in prior.named_modules() if isinstance(module, Projection)
    }
    tensors = {
        name: tensor if name.rpartition(".")[0] in projections else tensor.to(device)
        for name, tensor in prior.state_dict().items()
    }
    prior.load_state_dict(tensors, assign=True)
    for module in projections.values():
        hook = AlignDevicesHook(
            execution_device=device, offload=True, weights_map=module.state_dict()
        )
        add_hook_to_module(module, hook)


def _end_offloading(prior: JukeboxPrior) -> None:
    from accelerate.hooks import remove_hook_from_module

    for module in prior.modules():
        if isinstance(module, Projection):
            remove_hook_from_module(module)
    prior.to(HOST)
