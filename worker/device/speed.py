"""How long steps of a model take here: a few of them are timed while nothing is generated."""

import logging
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from jobs.model_figures import (
    ModelFigures,
    ModelSpeed,
    read_figures,
    seconds_of_music,
    write_figures,
)
from jobs.version import VERSION
from jukebox_core.backends.batch import SlotMemory
from jukebox_core.backends.choose import backend_class, is_small
from jukebox_core.errors import JukeboxError
from jukebox_core.models.bucket_models import priors_are_here
from jukebox_core.models.catalog import ModelCard, ModelCatalog
from jukebox_core.models.memory_plan import MemoryPlan
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.step_cost import CPU_WEIGHTS_PER_SEC, PLANNED_ROWS
from jukebox_core.units import COARSE_TO_FINE, Level
from worker.device.backend_choice import BackendChoice
from worker.device.engine_thread import EngineThread
from worker.device.models import LoadedModel
from worker.device.works import Slices, WorkInterrupted

log = logging.getLogger(__name__)

NUM_STEPS = 3
IDLE_SEC = 15.0
"""So long nothing was generated before a model is measured."""
LOOK_SEC = 10.0
"""How often a worker looks for models that it has not measured: they come without a restart."""
_POLL_SEC = 0.5
StepTimes = dict[Level, tuple[float, float]]
"""Seconds for one token of each level: alone, and of several rows together."""


def step_slices(
    level: Level,
    backend: str,
    row_counts: Sequence[int],
    clock: Callable[[], float] = time.perf_counter,
) -> Slices:
    """Seconds of `NUM_STEPS` steps for each number of rows, each a slice and a tensor [1].

    Each begins with one step that is not counted, which reads the weights from the disk.
    """

    def slices(model: LoadedModel) -> Iterator[Tensor]:
        prior = model.priors[level]
        for num_rows in row_counts:
            step = one_step(prior, backend, num_rows, model.device)
            step()
            for _ in range(NUM_STEPS):
                started = clock()
                step()
                yield torch.tensor([clock() - started])

    return slices


def one_step(
    prior: JukeboxPrior, backend: str, num_rows: int, device: torch.device
) -> Callable[[], Tensor]:
    """One step of so many rows, each in the middle of a window of its own."""
    computing = backend_class(backend)(prior, SlotMemory(prior, num_rows, device))
    ids = prior.codes_to_ids(torch.zeros(num_rows, dtype=torch.int64, device=device))
    positions = torch.full_like(ids, prior.config.context_tokens // 2)
    slots = torch.arange(num_rows, device=device)

    def step() -> Tensor:
        with torch.inference_mode():
            return computing.decode(ids, positions, slots)

    return step


class SpeedMeter(threading.Thread):
    """Measures large models one after the other while the worker is idle, and keeps what it found.

    Small ones are measured by their songs, which take seconds. So are all on a GPU.

    Args:
        folder: of the figures.
        plan: how a model is held here; raises JukeboxError where it does not fit. Models are
            measured where it has all levels, with as many rows together as it lets run.
    """

    def __init__(
        self,
        engine: EngineThread,
        catalog: ModelCatalog,
        backends: BackendChoice,
        *,
        folder: Path,
        plan: Callable[[ModelCard], MemoryPlan],
        idle_sec: float = IDLE_SEC,
    ) -> None:
        super().__init__(name="speed meter", daemon=True)
        self._engine, self._catalog, self._backends = engine, catalog, backends
        self._folder, self._plan = folder, plan
        self._idle_sec = idle_sec
        self._is_stopping = threading.Event()
        self._figures: dict[str, ModelFigures] = {}
        self._due: dict[str, ModelCard] = {}
        self._seen: dict[str, ModelCard] = {}
        """The models as they were when they were last looked at; a replaced one is another card."""
        self._writing = threading.Lock()

    def speed_of(self, card: ModelCard) -> ModelSpeed:
        """What is known of the speed of a model here, for forecasts; a guess included."""
        figures = self._figures.get(card.name, ModelFigures(setup=""))
        setup, is_large = self._backends.setup_for(card), not is_small(card.config)
        plan, on_cpu = self._plan_of(card), self._backends.is_on_cpu
        return ModelSpeed(
            rows={} if plan is None else {each.label: num for each, num in plan.rows.items()},
            steps=figures.steps,
            product_sec=figures.product_sec,
            weights_per_sec=CPU_WEIGHTS_PER_SEC[setup.weights] if on_cpu and is_large else None,
            is_on_gpu=not on_cpu,
            has_spare_core=on_cpu and not (is_large and setup.threads > 1),
        )

    def note_part(self, model: str, part: str, product_sec: float) -> None:
        """A part of a song took so long for each multiplication."""
        with self._writing:
            figures = self._figures.get(model)
            if figures is None:
                return
            self._figures = self._figures | {model: figures.with_product_sec(part, product_sec)}
        self._keep()

    def seconds(self) -> dict[str, tuple[float, float]]:
        """For one second of music, `exact` and in parallel, of every model that is measured."""
        return {
            name: (each.seconds_per_second, each.seconds_in_parallel)
            for name, each in self._figures.items()
            if each.seconds_per_second is not None and each.seconds_in_parallel is not None
        }

    def stop(self) -> None:
        """Measure nothing more."""
        self._is_stopping.set()

    def run(self) -> None:
        """Until `stop`: measure the models that there are, and those that come."""
        while not self._is_stopping.is_set():
            self.measure_new()
            self._is_stopping.wait(LOOK_SEC)

    def measure_new(self) -> None:
        """Until every model that is new here, or was replaced, is measured, or `stop`.

        One in a bucket is when its weights are here: fetching them is for songs.
        """
        self._note_new()
        for name, card in [*self._due.items()]:
            if priors_are_here(card.directory):
                del self._due[name]
                if not self._measure_in_rests(card):
                    return

    def _note_new(self) -> None:
        new = [card for card in self._cards() if self._seen.get(card.name) is not card]
        if not new:
            return
        self._seen |= {card.name: card for card in new}
        kept = read_figures(self._folder)
        for card in new:
            self._due.pop(card.name, None)
            if not self._take_over(card, kept.get(card.name)):
                self._due[card.name] = card
        self._keep()

    def _measure_in_rests(self, card: ModelCard) -> bool:
        """Whether there is time for the next one: False on `stop`.

        A song that comes interrupts it. Afterwards it goes on with the levels that are missing.
        """
        timed: StepTimes = {}
        while self._wait_for_rest():
            try:
                self._measure(card, timed)
            except WorkInterrupted:
                continue
            except Exception:
                log.exception("a model could not be measured", extra={"model": card.name})
            finally:
                self._engine.unload(card.name)
            return True
        return False

    def _cards(self) -> Iterator[ModelCard]:
        for name in self._catalog.names():
            try:
                yield self._catalog.get(name)
            except JukeboxError:  # `GET /models` says what is wrong with it
                continue

    def _take_over(self, card: ModelCard, kept: ModelFigures | None) -> bool:
        """Begin with what is known of a model; whether there is nothing to measure."""
        plan = self._plan_of(card)
        figures = ModelFigures(
            setup=str(self._backends.setup_for(card)),
            memory_bytes=None if plan is None else plan.total_bytes,
        )
        if plan is not None and kept is not None and kept.measured_as == self._described(card):
            figures = replace(kept, setup=figures.setup, memory_bytes=figures.memory_bytes)
        elif kept is not None and kept.setup == figures.setup:
            figures = replace(figures, product_sec=kept.product_sec)
        with self._writing:
            self._figures = self._figures | {card.name: figures}
        is_measured = figures.seconds_per_second is not None and bool(figures.steps)
        is_due = self._backends.is_on_cpu and not is_small(card.config)
        return is_measured or not is_due or plan is None or set(plan.rows) != set(Level)

    def _plan_of(self, card: ModelCard) -> MemoryPlan | None:
        try:
            return self._plan(card)
        except JukeboxError:
            return None

    def _rows(self, card: ModelCard) -> dict[Level, int]:
        """Segments of each level that are sampled together."""
        rows = self._plan(card).rows
        return {level: min(rows[level], PLANNED_ROWS) for level in COARSE_TO_FINE if level in rows}

    def _described(self, card: ModelCard) -> str:
        rows = "/".join(str(each) for each in self._rows(card).values())
        setup = self._backends.setup_for(card)
        return f"{setup}, {rows} rows, {card.num_bytes} bytes, release {VERSION}"

    def _wait_for_rest(self) -> bool:
        """Wait until nothing was generated for a while; False on `stop`."""
        idle_since = time.monotonic()
        while not self._is_stopping.is_set():
            if not self._engine.is_idle:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since >= self._idle_sec:
                return True
            self._is_stopping.wait(_POLL_SEC)
        return False

    def _measure(self, card: ModelCard, timed: StepTimes) -> None:
        """Fill in what `timed` lacks, and keep the figures.

        Raises WorkInterrupted, and what stopped the steps.
        """
        for level, num_rows in self._rows(card).items():
            if level in timed:
                continue
            slices = step_slices(level, self._backends.setup_for(card).backend, (1, num_rows))
            work = self._engine.run_slices(card.name, slices, level=level, gives_way=True)
            while not work.wait(_POLL_SEC):
                if self._is_stopping.is_set():
                    self._engine.cancel(work)
                    return
            seconds = [float(piece) for piece in work.pieces()]
            alone, together = seconds[:NUM_STEPS], seconds[NUM_STEPS:]
            timed[level] = statistics.median(alone), statistics.median(together)
        rows = self._rows(card)
        exact, in_parallel = seconds_of_music(
            card.config,
            {level: alone for level, (alone, _) in timed.items()},
            {level: together / rows[level] for level, (_, together) in timed.items()},
        )
        with self._writing:
            measured = replace(
                self._figures[card.name],
                seconds_per_second=round(exact, 3),
                seconds_in_parallel=round(in_parallel, 3),
                measured_as=self._described(card),
                steps={level.label: each for level, each in timed.items()},
            )
            self._figures = self._figures | {card.name: measured}
        log.info(
            "model %s takes %.0f s for a second of music, %.0f s in parallel",
            *(card.name, exact, in_parallel),
        )
        self._keep()

    def _keep(self) -> None:
        try:
            with self._writing:
                self._folder.mkdir(parents=True, exist_ok=True)
                write_figures(self._folder, self._figures)
        except OSError as error:
            log.warning("figures of models are not kept: %s", error)
