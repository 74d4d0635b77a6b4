"""Priors that are on the device when they are asked for, however small it is."""

from collections.abc import Callable, Collection, Iterator, Mapping

import torch
from torch import Tensor

from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig
from jukebox_core.models.placement import AUTO, Placement, PriorNeeds, plan_placement
from jukebox_core.prior import JukeboxPrior
from jukebox_core.prior.kv_cache import PriorCache
from jukebox_core.prior.projection import Projection
from jukebox_core.units import COARSE_TO_FINE, Level

HOST = torch.device("cpu")

PriorLoader = Callable[[Level, torch.device], JukeboxPrior]
"""Loads the prior of a level to a device."""


def prior_needs(
    config: JukeboxPriorConfig, dtype: torch.dtype, *, int8_weights: bool = False
) -> PriorNeeds:
    """What a prior takes with its stacks in `dtype`; found on the meta device, without weights."""
    meta = torch.device("meta")
    with meta:
        prior = JukeboxPrior(config).set_compute_dtype(dtype)
    if int8_weights:
        prior.use_int8_weights()
    return PriorNeeds(
        weight_bytes=sum(tensor.nbytes for tensor in prior.state_dict().values()),
        row_bytes=PriorCache(config, 1, device=meta, dtype=dtype).num_bytes,
    )


def free_memory_bytes(device: torch.device) -> int | None:
    """What can still be allocated on `device`; None for the CPU, whose memory is the host's."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + unused)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return None


def decide_placement(
    config: JukeboxConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
    int8_weights: bool = False,
    num_rows: int = 1,
    wanted: Placement | str = AUTO,
    levels: Collection[Level] = COARSE_TO_FINE,
) -> Placement:
    """`plan_placement` for those `levels` of a model that are drawn, on a device as it is now.

    Raises:
        ConfigError: `wanted` is no placement.
    """
    free_bytes = free_memory_bytes(device)
    needs = {}
    if wanted == AUTO and free_bytes is not None:
        needs = {
            level: prior_needs(config.prior(level), dtype, int8_weights=int8_weights)
            for level in levels
        }
    return plan_placement(needs, free_bytes=free_bytes, num_rows=num_rows, wanted=wanted)


def home_device(placement: Placement, device: torch.device) -> torch.device:
    """Where weights are loaded to: if the device is too small for all, they stay on the host."""
    return device if placement is Placement.RESIDENT else HOST


class PlacedPriors(Mapping[Level, JukeboxPrior]):
    """The priors of a model; asking for one loads it if need be and makes it ready on the device.

    With `ONE_AT_A_TIME`, whoever asks for a level must have done with the others: their weights
    leave the device then.

    Args:
        load: called once for each level, when it is first asked for.
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
