"""What a worker process is made of; built once in `worker.app` and given to every task."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from jobs.files.artifacts import Artifacts
from jobs.queue import JobQueue
from jobs.store import JobStore, WorkerInfo
from jukebox_core.engine.overlap import RowBudget
from jukebox_core.models.catalog import ModelCatalog
from worker.device.backend_choice import BackendChoice
from worker.device.engine_thread import EngineThread
from worker.device.speed import SpeedMeter
from worker.lease.held import HeldLeases
from worker.lease.quarantine import Quarantine
from worker.metrics import WorkerMetrics
from worker.settings import WorkerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerParts:
    """The parts that tasks share. `draining` is set when the process is about to end."""

    settings: WorkerSettings
    store: JobStore
    queue: JobQueue
    artifacts: Artifacts
    catalog: ModelCatalog
    engine: EngineThread
    device_name: str
    metrics: WorkerMetrics
    backends: BackendChoice
    row_budget: RowBudget
    describe: Callable[[], WorkerInfo]
    speed: SpeedMeter
    draining: threading.Event = field(default_factory=threading.Event)
    quarantine: Quarantine = field(default_factory=Quarantine)
    held: HeldLeases = field(default_factory=HeldLeases)
