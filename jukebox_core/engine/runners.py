"""The model runners of an engine, and what is given up where the device has no room for them."""

import logging
from collections.abc import Callable, Iterator, Mapping

import torch

from jukebox_core.backends.graphs.step_graphs import Capturer
from jukebox_core.backends.memory import is_out_of_memory, let_go, return_free_memory
from jukebox_core.engine.model_runner import ModelRunner
from jukebox_core.engine.scheduler import Scheduler
from jukebox_core.engine.sequence import Sequence
from jukebox_core.errors import SamplingError
from jukebox_core.prior import JukeboxPrior
from jukebox_core.prior.mapped_pages import give_back
from jukebox_core.units import Level

log = logging.getLogger(__name__)


class Runners(Mapping[Level, ModelRunner]):
    """Those there are now, by level: made for the first newcomer, dropped when memory is short.

    Where it is, something is given up, that which costs least first: the caches of other priors
    that nobody uses now, then captured steps, then the number of rows. Each method that gives up
    something says whether there was anything left.

    Args:
        priors, device, min_rows, backend, make_capturer, free_bytes: as `Engine` has them.
        scheduler: who runs, how many may, and how many of them may step together.
    """

    def __init__(
        self,
        priors: Mapping[Level, JukeboxPrior],
        scheduler: Scheduler,
        *,
        device: torch.device,
        min_rows: int,
        backend: str,
        make_capturer: Callable[[], Capturer] | None,
        free_bytes: Callable[[], int | None],
    ) -> None:
        self.priors, self._scheduler = priors, scheduler
        self._device, self.min_rows = device, min_rows
        self.backend, self.make_capturer = backend, make_capturer
        self._free_bytes = free_bytes
        self._runners: dict[Level, ModelRunner] = {}

    def __getitem__(self, level: Level) -> ModelRunner:
        return self._runners[level]

    def __iter__(self) -> Iterator[Level]:
        return iter(self._runners)

    def __len__(self) -> int:
        return len(self._runners)

    def all(self) -> list[ModelRunner]:
        """Those there are now; also asked for by other threads."""
        return list(self._runners.copy().values())

    def for_newcomer(self, level: Level) -> ModelRunner:
        """The runner for a newcomer of `level`, with as many slots as there are now.

        Raises:
            MemoryError: there is no room for one more window.
            SamplingError: there is no such prior.
        """
        num_slots = self._scheduler.num_slots(level)
        if level in self._runners and self._runners[level].num_slots != num_slots:
            # The slots were halved, and those who held the old ones have finished.
            self._drop(level)
            return_free_memory(self._device)
        self.make_way_for(level)
        self._rest_others(level)
        if level not in self._runners:
            self._runners[level] = self._made(level, num_slots)
        elif self._scheduler.one_level_at_a_time and (
            # Nobody of this level ran, so its weights may have left; they come back by this.
            self.priors[level] is not self._runners[level].prior
        ):
            self._drop(level)
            self._runners[level] = self._made(level, num_slots)
        self._require_room(self._runners[level])
        return self._runners[level]

    def make_way_for(self, level: Level) -> None:
        """Where one level is held at a time, let go of the others, of which nobody runs."""
        if self._scheduler.one_level_at_a_time and self._drop_idle(level):
            return_free_memory(self._device)

    def _require_room(self, runner: ModelRunner) -> None:
        """Asked before a window takes it: the kernel promises what it has not, and kills later."""
        free_bytes = self._free_bytes()
        if free_bytes is not None and free_bytes < runner.row_bytes:
            raise MemoryError(
                f"a window takes {runner.row_bytes / 1e6:.0f} MB, and {free_bytes / 1e6:.0f} MB "
                "are free"
            )

    def _rest_others(self, level: Level) -> None:
        """Give back mapped weights of priors that draw nothing now, while they draw nothing."""
        for other, runner in self._runners.items():
            is_idle = other is not level and not self._scheduler.running(other)
            # Weights that are int8 are never trained: nobody has written to them.
            if is_idle and runner.prior.has_int8_weights:
                give_back(runner.prior)

    def _made(self, level: Level, num_slots: int) -> ModelRunner:
        if level not in self.priors:
            raise SamplingError(f"this engine has no {level.label} prior")
        return ModelRunner(
            self.priors[level],
            num_slots=num_slots,
            min_rows=self.min_rows,
            device=self._device,
            backend=self.backend,
            make_capturer=self.make_capturer,
        )

    def make_room_for(self, newcomer: Sequence, error: Exception) -> bool:
        """Put a newcomer back in line, to begin with more memory than `error` tells of.

        If nothing else is left, that is half as many slots. The smaller cache is made when the
        present one is empty: those who run finish first.
        """
        level = newcomer.level
        let_go(error)
        if not self._free_memory(level) and not self._scheduler.halve_slots(level):
            return False
        if newcomer.slot is not None and level in self._runners:
            self._runners[level].free(newcomer.slot)
        self._scheduler.put_back(newcomer)
        return_free_memory(self._device)
        log.warning(
            "out of memory: a window has to wait",
            extra={"level": level.label, "rows": self._scheduler.num_slots(level)},
        )
        return True

    def step_with_less(self, level: Level, num_rows: int, error: Exception) -> bool:
        """Make the next step of `level` smaller, or the room for it larger, than `error` tells of.

        If nothing else is left, half of the `num_rows` that were too many step together.
        """
        let_go(error)
        if self._free_memory(level):
            return True
        step_rows = self._scheduler.step_rows(level)
        num_computed = max(num_rows, min(self._runners[level].min_rows, step_rows))
        if num_computed == 1:
            return False
        self._scheduler.limit_step_rows(level, num_computed // 2)
        log.warning(
            "out of memory: fewer rows step together",
            extra={"level": level.label, "rows": num_computed // 2},
        )
        return True

    def explained(self, error: Exception, level: Level) -> Exception:
        """What to tell of an error that stopped a sequence of `level`."""
        if not is_out_of_memory(error):
            return error
        explained = torch.OutOfMemoryError(
            f"one window of the {level.label} prior alone does not fit into the free memory of "
            f"{self._device}: {error}"
        )
        explained.__cause__ = error
        return explained

    def _free_memory(self, level: Level) -> bool:
        """Give up what the songs of `level` can do without."""
        if self._drop_idle(level):
            return True
        return any([runner.release("out of memory") for runner in self._runners.values()])

    def _drop_idle(self, level: Level) -> bool:
        """Forget the caches of other priors that draw nothing now."""
        others = [other for other in self._runners if other is not level]
        idle = [other for other in others if not self._scheduler.running(other)]
        for other in idle:
            self._drop(other)
        return bool(idle)

    def _drop(self, level: Level) -> None:
        self._runners.pop(level).close()
