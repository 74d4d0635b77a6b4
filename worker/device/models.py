"""Models in memory: loaded part by part when first needed, forgotten when others need the room."""

import logging
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import torch

from jobs.setting_groups import InvalidSettings
from jobs.store import ModelInMemory
from jukebox_core.backends.graphs.cuda_graphs import capturer_maker
from jukebox_core.backends.graphs.graph_plan import GraphWish
from jukebox_core.backends.memory import return_free_memory
from jukebox_core.checkpoints import load_prior_of, load_vqvae_of
from jukebox_core.config import Weights
from jukebox_core.engine import Engine
from jukebox_core.models.placed_priors import PlacedPriors
from jukebox_core.models.placement import Placement
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE
from jukebox_core.vqvae.identity import codebook_ids
from worker.device.memory import NoRoomBeside

log = logging.getLogger(__name__)


def choose_device(wanted: str) -> torch.device:
    """`auto` takes the first accelerator there is, else the CPU; other names are taken as given.

    Raises:
        InvalidSettings: a CUDA device is wanted that PyTorch does not find.
    """
    if wanted != "auto":
        device = torch.device(wanted)
        if device.type == "cuda":
            _require_cuda(wanted, device.index or 0)
        return device
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _require_cuda(wanted: str, index: int) -> None:
    """Raises InvalidSettings where there is no such device, with what PyTorch says about it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index < found:
        return
    if torch.version.cuda is None:
        why = f"PyTorch {torch.__version__} is a build without CUDA"
    elif caught:
        why = str(caught[-1].message).partition(" (Triggered")[0].rstrip(".")
    else:
        why = f"PyTorch finds {found} GPUs" if found else "PyTorch finds no GPU"
    raise InvalidSettings(
        f"The worker cannot start. JUKEBOX_DEVICE={wanted}: {why}. Check that `nvidia-smi` lists "
        "the GPU here; a container also needs the NVIDIA Container Toolkit and a reserved device. "
        "Without a GPU, set JUKEBOX_DEVICE=cpu."
    )


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """`auto` takes the half precision of the original on CUDA, and float32 elsewhere."""
    if wanted == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    return {
        "float32": torch.float32,
        "float16": torch.float16,
        "bfloat16": torch.bfloat16,
    }[wanted]


class LoadedModel:
    """One model on the device, with the engine that draws with it.

    Each prior is read when it is first asked for, so that a worker that serves one level of a
    large model never holds the others. `fetch` is called before with the directory and the part.
    """

    def __init__(
        self,
        directory: Path,
        *,
        device: torch.device,
        dtype: torch.dtype,
        max_rows: int | Mapping[Level, int],
        placement: Placement = Placement.RESIDENT,
        weights: Weights | str = Weights.FULL,
        on_loaded: Callable[[float], None] = lambda _seconds: None,
        deterministic: bool = True,
        graphs: GraphWish | str = GraphWish.AUTO,
        native_threads: int | None = None,
        fetch: Callable[[Path, str], None] = lambda _directory, _part: None,
        product_threads: int = 1,
        planned_bytes: int = 0,
        free_bytes: Callable[[], int | None] = lambda: None,
    ) -> None:
        """`planned_bytes` are what it may take at most; see `Engine` for the others."""
        self.planned_bytes = planned_bytes
        self._fetch = fetch
        self._directory, self._device, self._dtype = directory, device, dtype
        self._weights, self._on_loaded = Weights(weights), on_loaded
        self.device = device
        self.product_threads = product_threads
        self._vqvae: JukeboxVQVAE | None = None
        self._vqvae_lock = threading.Lock()
        self.priors = PlacedPriors(self._load_prior, device=device, placement=placement)
        self.engine = Engine(
            self.priors,
            max_rows=max_rows,
            device=device,
            deterministic=deterministic,
            one_level_at_a_time=placement is Placement.ONE_AT_A_TIME,
            num_threads=native_threads,
            free_bytes=free_bytes,
            make_capturer=capturer_maker(
                device, graphs, weights_stay=placement is not Placement.OFFLOADED
            ),
        )

    @property
    def keeps_all_priors(self) -> bool:
        """Every prior stays on the device once it is there."""
        return self.priors.placement is Placement.RESIDENT

    @property
    def num_bytes(self) -> int:
        """Memory of its weights that are loaded, and of the windows that run."""
        vqvae = self._vqvae
        codec = [] if vqvae is None else list(vqvae.state_dict().values())
        codec_bytes = sum(int(tensor.nbytes) for tensor in codec)
        return codec_bytes + self.priors.num_bytes + self.engine.cache_bytes

    @property
    def vqvae(self) -> JukeboxVQVAE:
        """Codes to sound, loaded once. Raises CheckpointError when its file does not fit."""
        with self._vqvae_lock:
            if self._vqvae is None:
                self._fetch(self._directory, "vqvae")
                self._vqvae = load_vqvae_of(self._directory, device=self._device)
            return self._vqvae

    @cached_property
    def codebook_ids(self) -> dict[Level, str]:
        """Which codec its codes belong to, by level. Raises what `vqvae` raises."""
        return codebook_ids(self.vqvae)

    def _load_prior(self, level: Level, home: torch.device) -> JukeboxPrior:
        self._fetch(self._directory, f"prior_{level.label}")
        started = time.monotonic()
        prior = load_prior_of(
            self._directory, level, device=home, dtype=self._dtype, weights=self._weights
        )
        seconds = time.monotonic() - started
        self._on_loaded(seconds)
        log.info(
            "prior loaded",
            extra={
                "model": self._directory.name,
                "level": level.label,
                "seconds": round(seconds, 3),
            },
        )
        return prior


class ModelShelf:
    """The models used last, at most `max_models` of them; the least lately used leaves first.

    A model with work in its engine stays, even if that makes one too many. One without work leaves
    when it was not used for `idle_unload_sec`; 0 lets it stay.

    Args:
        load: gives a model that is not here.
        max_models: see above.
        idle_unload_sec: see above.
        clock: seconds.
    """

    def __init__(
        self,
        load: Callable[[str], LoadedModel],
        *,
        max_models: int,
        idle_unload_sec: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load, self._max_models = load, max_models
        self._idle_unload_sec, self._clock = idle_unload_sec, clock
        self._models: OrderedDict[str, LoadedModel] = OrderedDict()
        self._used_at: dict[str, float] = {}

    def get(self, name: str, busy: Collection[str] = ()) -> LoadedModel:
        """The model called `name`, loaded if need be; those of `busy` are in use and stay.

        Raises:
            NoRoomBeside: it does not fit beside the models that stay.
            JukeboxError: there is no such model, it is too large, or its files are broken.
        """
        if name not in self._models:
            self._make_room(busy)
            self._models[name] = self._loaded(name, busy)
        self._models.move_to_end(name)
        self._used_at[name] = self._clock()
        return self._models[name]

    def _loaded(self, name: str, busy: Collection[str]) -> LoadedModel:
        """In the place of those that are idle, if it does not fit beside them."""
        while True:
            try:
                return self._load(name)
            except NoRoomBeside:
                idle = next(iter(self._idle_names(busy)), None)
                if idle is None:
                    raise
                log.info("model forgotten", extra={"model": idle})
                self.forget(idle)

    def peek(self, name: str) -> LoadedModel | None:
        """The model called `name` if it is in memory."""
        return self._models.get(name)

    def names(self) -> tuple[str, ...]:
        """Of the models in memory."""
        return tuple(self._models)

    @property
    def planned_bytes(self) -> int:
        """What the models in memory may take at most, together."""
        return sum(model.planned_bytes for model in self._models.values())

    def in_memory(self) -> tuple[ModelInMemory, ...]:
        """What is known of the models in memory; also asked for by other threads."""
        now = datetime.now(UTC)
        return tuple(
            ModelInMemory(
                name=name,
                memory_bytes=model.num_bytes,
                idle_since=None if model.engine.has_work else now - self._idle_for(name),
            )
            for name, model in self._models.copy().items()
        )

    def _idle_for(self, name: str) -> timedelta:
        return timedelta(seconds=max(self._clock() - self._used_at.get(name, self._clock()), 0.0))

    def forget(self, name: str) -> None:
        """Drop a model, e.g. because its engine broke; the next `get` loads it anew."""
        model = self._models.pop(name, None)
        self._used_at.pop(name, None)
        if model is not None:
            device = model.device
            del model
            return_free_memory(device)

    def unload_idle(self, busy: Collection[str] = ()) -> None:
        """Forget the models that have been idle for too long; those of `busy` are in use."""
        if not self._idle_unload_sec:
            return
        for name, model in list(self._models.items()):
            if model.engine.has_work or name in busy:
                self._used_at[name] = self._clock()
            elif self._clock() - self._used_at[name] >= self._idle_unload_sec:
                log.info("idle model unloaded", extra={"model": name})
                del model
                self.forget(name)

    def next_unload_sec(self) -> float | None:
        """Seconds until `unload_idle` may have something to do; None if it never will."""
        if not self._idle_unload_sec or not self._used_at:
            return None
        return max(min(self._used_at.values()) + self._idle_unload_sec - self._clock(), 0.0)

    def _idle_names(self, busy: Collection[str]) -> list[str]:
        """Models without work, the least lately used first."""
        return [
            name
            for name, model in self._models.items()
            if name not in busy and not model.engine.has_work
        ]

    def _make_room(self, busy: Collection[str]) -> None:
        for name in self._idle_names(busy)[: max(len(self._models) - self._max_models + 1, 0)]:
            log.info("model forgotten", extra={"model": name})
            self.forget(name)
