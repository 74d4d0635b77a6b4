"""Priors that are on the device when they are asked for, however small it is."""

import gc
from collections.abc import Callable, Collection, Iterator, Mapping

import torch
from torch import Tensor, nn

from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig, JukeboxVQVAEConfig
from jukebox_core.config.decoder_reach import decoder_reach_tokens
from jukebox_core.meta_modules import without_weights
from jukebox_core.models.memory_plan import ModelNeeds
from jukebox_core.models.placement import (
    AUTO,
    WORKING_BYTES,
    Placement,
    PriorNeeds,
    plan_placement,
)
from jukebox_core.prior import JukeboxPrior
from jukebox_core.prior.kv_cache import PriorCache, strip_dtype
from jukebox_core.prior.projection import Projection
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae import JukeboxVQVAE
from jukebox_core.vqvae.chunks import near_chunk_tokens

HOST = torch.device("cpu")
_ACTIVATIONS = 6
"""Copies of the widest activations that a decoder holds at once."""

PriorLoader = Callable[[Level, torch.device], JukeboxPrior]
"""Loads the prior of a level to a device."""


def prior_needs(
    config: JukeboxPriorConfig,
    dtype: torch.dtype,
    *,
    device: torch.device = HOST,
    int8_weights: bool = False,
) -> PriorNeeds:
    """What a prior takes on `device` with its stacks in `dtype`.

    Found on the meta device, without weights.
    """
    with without_weights():
        prior = JukeboxPrior(config).set_compute_dtype(dtype)
        if int8_weights:
            prior.use_int8_weights()
    strips = strip_dtype(config, dtype, device, int8_weights=int8_weights)
    return PriorNeeds(
        weight_bytes=_num_bytes(prior),
        row_bytes=PriorCache(
            config, 1, device=torch.device("meta"), dtype=dtype, strips=strips
        ).num_bytes,
    )


def model_needs(
    config: JukeboxConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
    int8_weights: bool,
    levels: Collection[Level] = COARSE_TO_FINE,
) -> ModelNeeds:
    """What a model takes on `device` where those `levels` of it are generated."""
    priors = {
        level: prior_needs(config.prior(level), dtype, device=device, int8_weights=int8_weights)
        for level in levels
    }
    with without_weights():
        codec_bytes = _num_bytes(JukeboxVQVAE(config.vqvae))
    passes = [_pass_bytes(config.prior(level)) for level in levels]
    # A piece of sound is decoded beside the engine.
    working = max(passes, default=0) + _decoding_bytes(config.vqvae)
    if device != HOST:
        # Pieces are longer there, and libraries keep some for themselves.
        working = min(4 * working + WORKING_BYTES // 4, WORKING_BYTES)
    return ModelNeeds(
        priors=priors,
        codec_bytes=codec_bytes,
        working_bytes=working,
    )


def _num_bytes(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in module.state_dict().values())


def _decoding_bytes(config: JukeboxVQVAEConfig) -> int:
    """What decoding the largest piece of sound takes on a CPU, in float32."""
    sizes = []
    for level in Level:
        piece = near_chunk_tokens(config, level) + 2 * decoder_reach_tokens(config, level)
        channels = config.width * config.width_multipliers[level]
        sizes.append(4 * piece * config.samples_per_token[level] * channels)
    return _ACTIVATIONS * max(sizes)


def _pass_bytes(config: JukeboxPriorConfig) -> int:
    """What one layer holds while a whole window runs through it at once, in float32.

    As when a backend is proven against the reference, and when lyrics are aligned.
    """
    stack = config.transformer
    numbers = 4 * stack.width + 4 * stack.attention_width + 3 * stack.mlp_width
    return 4 * stack.context_tokens * numbers


def free_memory_bytes(device: torch.device) -> int | None:
    """What can still be allocated on `device`; None for the CPU, see `host_memory.py`."""
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
        return sum(_num_bytes(prior) for prior in self._priors.copy().values())

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
