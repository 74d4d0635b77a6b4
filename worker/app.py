"""Puts a worker together and runs it until somebody asks it to stop."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from celery import Celery, signals

from jobs.errors import DataFolderMismatch, StoreUnavailable
from jobs.files.shared_folder import SharedFolder
from jobs.queue import RUN_STAGE_TASK, CeleryJobQueue, celery_app, queue_name
from jobs.record.job import Stage
from jobs.setting_groups import InvalidSettings
from jobs.store import JobStore
from jukebox_core.engine.overlap import OverlapMode, RowBudget
from jukebox_core.errors import BucketError
from jukebox_core.models.catalog import BUNDLED_MODELS, ModelCatalog
from worker.celery_pool import WakingPool
from worker.device.description import worker_description
from worker.device.engine_thread import EngineThread
from worker.device.model_loader import ModelLoader
from worker.device.models import ModelShelf, choose_device
from worker.device.speed import SpeedMeter
from worker.health import Presence
from worker.lease.reaper import Reaper
from worker.metrics import SongPart, WorkerMetrics, metrics_page
from worker.parts import WorkerParts
from worker.settings import WorkerSettings
from worker.tasks import run_song

log = logging.getLogger(__name__)

JOIN_SEC = 5.0
_STORE_RETRY_SEC = 1.0


def build_parts(settings: WorkerSettings) -> WorkerParts:
    """The real parts. Nothing connects or starts yet.

    Raises:
        InvalidSettings: this machine has not what they insist on.
    """
    models = settings.open_models()
    catalog = ModelCatalog(models.folder, BUNDLED_MODELS)
    if fault := catalog.fault():
        log.warning("%s", fault)
    device = choose_device(settings.device)
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    metrics = WorkerMetrics(device_name, device)
    loader = ModelLoader.of(
        settings,
        catalog,
        device,
        fetch=models.fetch,
        on_loaded=lambda seconds: metrics.spend(SongPart.LOADING, seconds),
    )
    shelf = ModelShelf(
        lambda name: loader.load(name, beside_bytes=shelf.planned_bytes),
        max_models=settings.max_models,
        idle_unload_sec=settings.idle_unload_sec,
    )
    engine = EngineThread(shelf, on_broken=_end_at_once)
    speed = SpeedMeter(
        engine, catalog, loader.backends, folder=settings.local_dir, plan=loader.memory.plan
    )
    return WorkerParts(
        settings=settings,
        store=JobStore(
            settings.redis_url, max_attempts=settings.max_attempts, on_ended=metrics.end_job
        ),
        queue=CeleryJobQueue(settings.redis_url),
        artifacts=settings.open_storage().artifacts,
        catalog=catalog,
        engine=engine,
        speed=speed,
        describe=worker_description(
            settings.worker_name,
            device_name,
            settings.stages,
            num_jobs=settings.concurrency,
            catalog=catalog,
            memory=loader.memory,
            shelf=shelf,
            backends=loader.backends,
            speed=speed,
        ),
        device_name=device_name,
        metrics=metrics,
        backends=loader.backends,
        row_budget=RowBudget(OverlapMode(settings.overlap), settings.native_threads),
    )


def create_app(worker: WorkerParts) -> Celery:
    """The Celery application with its one task."""
    app = celery_app(worker.settings.redis_url)

    @app.task(name=RUN_STAGE_TASK)  # type: ignore[untyped-decorator]
    def run_stage_task(job_id: str, stage: str) -> None:
        run_song(worker, job_id, Stage(stage))

    return app


def run_worker(worker: WorkerParts) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status.

    On the signal the running stages stop after their present step, give their jobs back and send
    them to whoever comes next; all that takes a second or two.

    Raises:
        InvalidSettings: the data folder is not the one that the API uses.
    """
    torch.set_num_threads(worker.settings.cpu_threads or 1)
    app = create_app(worker)
    settings = worker.settings
    with (
        metrics_page(worker.metrics, settings.metrics_host, settings.metrics_port),
        _background_threads(worker) as presence,
    ):
        _wait_for_shared_folder(settings)

        def become_ready(**_: object) -> None:
            presence.set_ready()
            worker.speed.start()

        def drain(**_: object) -> None:
            log.info("draining")
            worker.draining.set()

        # Celery keeps weak references to receivers; these live as long as the worker runs.
        signals.worker_ready.connect(become_ready)
        signals.worker_shutting_down.connect(drain)
        signals.setup_logging.connect(_leave_logging_alone)
        celery_worker = app.Worker(
            hostname=f"jukebox@{worker.settings.worker_name}",
            pool_cls=WakingPool,
            concurrency=worker.settings.concurrency,
            queues=[queue_name(stage) for stage in worker.settings.stages],
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        )
        celery_worker.start()
    return int(celery_worker.exitcode or 0)


def _wait_for_shared_folder(settings: WorkerSettings) -> None:
    """Before the first job: is this the folder that the API reads? Waits for the store to answer.

    Raises:
        InvalidSettings: it is another folder, or cannot be written to.
    """
    folder = SharedFolder(settings.data_dir, settings.redis_url)
    while True:
        try:
            folder.check()
            return
        except StoreUnavailable as error:
            log.warning("waiting for the job store: %s", error)
            time.sleep(_STORE_RETRY_SEC)
        except BucketError as error:
            if not error.may_pass:
                raise InvalidSettings(f"The worker cannot start. {error}") from error
            log.warning("waiting for the bucket: %s", error)
            time.sleep(_STORE_RETRY_SEC)
        except (DataFolderMismatch, OSError) as error:
            raise InvalidSettings(f"The worker cannot start. {error}") from error


@contextmanager
def _background_threads(worker: WorkerParts) -> Iterator[Presence]:
    """Engine, reaper and signs of life, for as long as the block runs."""
    settings = worker.settings
    presence = Presence(
        worker.store,
        worker.describe,
        health_file=settings.health_file,
        is_engine_alive=worker.engine.is_alive,
    )
    reaper = Reaper(worker.store, worker.queue, every_sec=settings.reaper_sec)
    threads = (worker.engine, reaper, presence)
    for thread in threads:
        thread.start()
    try:
        yield presence
    finally:
        worker.speed.stop()
        for thread in reversed(threads):
            thread.stop()
        for thread in threads:
            thread.join(JOIN_SEC)


def _end_at_once() -> None:
    # Not by an exception: threads that wait for the device would keep the process alive.
    os._exit(1)


def _leave_logging_alone(**_: object) -> None:
    """Celery configures logging unless somebody listens to this signal."""
