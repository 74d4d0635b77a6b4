"""Loading a model as this worker has it: which backend, how much memory, where its weights stay."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import torch

from jobs.record.job import Stage
from jobs.record.songs import level_of
from jukebox_core.backends.choose import Target
from jukebox_core.config import Weights
from jukebox_core.models.catalog import ModelCatalog
from worker.device.backend_choice import BackendChoice
from worker.device.memory import WorkerMemory
from worker.device.models import LoadedModel, choose_dtype
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoader:
    """What is decided once for all models of a worker, and what loads one of them by that.

    `fetch` is called with a model's directory and a part before that part is read, and `on_loaded`
    with the seconds that reading it took.
    """

    settings: WorkerSettings
    catalog: ModelCatalog
    device: torch.device
    dtype: torch.dtype
    backends: BackendChoice
    memory: WorkerMemory
    fetch: Callable[[Path, str], None]
    on_loaded: Callable[[float], None]

    @classmethod
    def of(
        cls,
        settings: WorkerSettings,
        catalog: ModelCatalog,
        device: torch.device,
        *,
        fetch: Callable[[Path, str], None],
        on_loaded: Callable[[float], None],
    ) -> Self:
        """The loader that the settings ask for.

        Raises:
            InvalidSettings: this machine has not what they insist on.
        """
        dtype = choose_dtype(settings.dtype, device)
        backends = BackendChoice(
            wanted=settings.backend,
            target=Target(
                device_type=device.type,
                is_float32=dtype == torch.float32,
                weights_stay=settings.placement in ("auto", "resident"),
            ),
            weights=settings.weights,
            threads=settings.native_threads,
            product_threads=settings.cpu_threads or None,
        )
        for model, words in backends.setups(catalog).items():
            log.info("model %s: %s", model, words)
        memory = WorkerMemory(
            device=device,
            dtype=dtype,
            has_int8_weights=lambda card: backends.setup_for(card).weights is Weights.INT8,
            levels=[level_of(stage) for stage in settings.stages if stage is not Stage.RENDER],
            max_rows=settings.max_rows,
            placement=settings.placement,
        )
        return cls(
            settings=settings,
            catalog=catalog,
            device=device,
            dtype=dtype,
            backends=backends,
            memory=memory,
            fetch=fetch,
            on_loaded=on_loaded,
        )

    def load(self, name: str, *, beside_bytes: int) -> LoadedModel:
        """A model, beside others that may take `beside_bytes` together.

        Raises:
            NoRoomBeside: it does not fit beside them.
            JukeboxError: there is no such model, or it is too large.
        """
        card = self.catalog.get(name)
        setup = self.backends.setup_for(card)
        plan = self.memory.plan_beside(card, beside_bytes)
        log.info(
            "model placed",
            extra={
                "model": name,
                "placement": plan.placement,
                "rows": {level.label: rows for level, rows in plan.rows.items()},
                "memory_bytes": plan.total_bytes,
                **asdict(setup),
            },
        )
        return LoadedModel(
            card.directory,
            device=self.device,
            dtype=self.dtype,
            max_rows=plan.rows,
            placement=plan.placement,
            weights=setup.weights,
            on_loaded=self.on_loaded,
            deterministic=self.settings.deterministic == "on",
            graphs=self.settings.graphs,
            native_threads=setup.threads,
            product_threads=setup.product_threads,
            fetch=self.fetch,
            planned_bytes=plan.total_bytes,
            free_bytes=self.memory.free_bytes if self.device.type == "cpu" else lambda: None,
        )
