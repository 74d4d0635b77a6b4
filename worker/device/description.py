"""What a worker tells the fleet about itself."""

from collections.abc import Callable
from dataclasses import replace

from jobs.model_figures import ModelSpeed
from jobs.record.job import Stage
from jobs.store import WorkerInfo
from jukebox_core.errors import JukeboxError
from jukebox_core.models.catalog import ModelCatalog
from jukebox_core.models.memory_plan import ModelTooLarge
from worker.device.backend_choice import BackendChoice
from worker.device.memory import WorkerMemory
from worker.device.models import ModelShelf
from worker.device.speed import SpeedMeter
from worker.health import describe_worker


def worker_description(
    name: str,
    device: str,
    stages: tuple[Stage, ...],
    *,
    num_jobs: int,
    catalog: ModelCatalog,
    memory: WorkerMemory,
    shelf: ModelShelf,
    backends: BackendChoice,
    speed: SpeedMeter,
) -> Callable[[], WorkerInfo]:
    """Describes this worker as it is when asked: what `GET /system` shows of it."""

    def describe() -> WorkerInfo:
        names = catalog.names()
        sizes: dict[str, int] = {}
        too_large: dict[str, str] = {}
        speeds: dict[str, ModelSpeed] = {}
        for model in names:
            try:
                card = catalog.get(model)
                sizes[model] = memory.plan(card).total_bytes
                speeds[model] = speed.speed_of(card)
            except ModelTooLarge as error:
                too_large[model] = str(error)
            except JukeboxError:  # `GET /models` says what is wrong with it
                continue
        return replace(
            describe_worker(name, device, lambda: names, stages),
            model_memory=sizes,
            too_large=too_large,
            loaded_models=shelf.in_memory(),
            model_setups=backends.setups(catalog),
            model_seconds=speed.seconds(),
            model_speeds=speeds,
            num_jobs=num_jobs,
        )

    return describe
