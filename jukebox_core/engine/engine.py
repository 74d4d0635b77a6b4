"""Many songs on one device, one step at a time."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from jukebox_core.engine.memory import is_out_of_memory, let_go, return_free_memory
from jukebox_core.engine.model_runner import ModelRunner
from jukebox_core.engine.native_turn import NativeTurn, draw_together
from jukebox_core.engine.pace import Pace
from jukebox_core.engine.run_ahead import RunAhead, run_ahead_of
from jukebox_core.engine.scheduler import Scheduler
from jukebox_core.engine.sequence import Sequence
from jukebox_core.engine.step_graphs import Capturer, StepGraphs
from jukebox_core.errors import SamplingError
from jukebox_core.prior import JukeboxPrior
from jukebox_core.prior.projection import MIN_CPU_ROWS
from jukebox_core.units import Level

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceUpdate:
    """How a sequence ended: with `codes` int64 [num_new], or with the `error` that stopped it."""

    id: str
    codes: NDArray[np.int64] | None = None
    error: Exception | None = None


class Engine:
    """Draws windows of many songs together: each `step` moves one prior by one token, or several.

    Not safe for threads: one thread owns an engine and its device. `priors` are asked for by level
    when the first sequence of the level comes, so a mapping may load them only then.

    Args:
        priors: the prior of each level that will be drawn, on `device`; with `one_level_at_a_time`
            each is asked for anew whenever its turn comes, and may leave when another's does.
        max_rows: slots for each prior: how many sequences of a level run at the same time.
        device: where the priors are.
        deterministic: a song is the same whatever its company. On the CPU four rows in a step do
            for that. Elsewhere every step then computes all `max_rows`: one shape, and so the same
            kernels, for any number of songs. Otherwise a step is as small as its batch allows.
        min_rows: rows that every step computes at least (see `ModelRunner`), in place of what
            `deterministic` says.
        one_level_at_a_time: the device holds one prior only: windows of one level are finished
            before those of another begin, whose cache and weights take the place of the first.
        clock: seconds, by which several tokens are taken for one turn where that is faster (see
            `Pace`). Codes do not depend on it.
        make_capturer: makes what captures the steps of one prior (see `step_graphs.py`); by default
            nothing is captured.
        make_pace: makes what decides how many tokens a turn of one level draws.
        num_threads: cores that the native step may use; by default as many as torch does. A song
            is the same with any number of them.
        run_ahead: how far the host may run ahead of the device; by default two turns on CUDA.
    """

    def __init__(
        self,
        priors: Mapping[Level, JukeboxPrior],
        *,
        max_rows: int,
        device: torch.device | str = "cpu",
        deterministic: bool = True,
        min_rows: int | None = None,
        one_level_at_a_time: bool = False,
        clock: Callable[[], float] = time.perf_counter,
        make_capturer: Callable[[], Capturer] | None = None,
        make_pace: Callable[[], Pace] = Pace,
        num_threads: int | None = None,
        run_ahead: RunAhead | None = None,
    ) -> None:
        self.device = torch.device(device)
        self._priors = priors
        self._scheduler = Scheduler(max_rows, one_level_at_a_time=one_level_at_a_time)
        self._runners: dict[Level, ModelRunner] = {}
        self._sequences: dict[str, Sequence] = {}
        self._clock = clock
        self._paces = {level: make_pace() for level in Level}
        self._num_threads = num_threads or torch.get_num_threads()
        self._min_rows = min_rows or self._default_rows(max_rows, deterministic)
        self._make_capturer = make_capturer
        self._run_ahead = run_ahead or run_ahead_of(self.device)

    def _default_rows(self, max_rows: int, deterministic: bool) -> int:
        if self.device.type == "cpu":
            return MIN_CPU_ROWS
        return max_rows if deterministic else 1

    @property
    def has_work(self) -> bool:
        """`step` would do something."""
        return self._scheduler.has_work

    def is_free_for(self, level: Level) -> bool:
        """Whether somebody else may use the prior of `level` between this step and the next.

        Where the device holds one prior only, not while windows of another level run.
        """
        return self._scheduler.is_free_for(level)

    def graphs(self, level: Level) -> StepGraphs | None:
        """The captured steps of a prior that was used; None where none are wanted."""
        return self._runners[level].graphs if level in self._runners else None

    def submit(self, sequence: Sequence) -> None:
        """Put a sequence in line; `step` reports it when it ends.

        Raises:
            SamplingError: a sequence with this id is already here.
        """
        if sequence.id in self._sequences:
            raise SamplingError(f"a sequence {sequence.id!r} is already in the engine")
        self._sequences[sequence.id] = sequence
        self._scheduler.submit(sequence)

    def cancel(self, sequence_id: str) -> bool:
        """Take a sequence out without an update; False when it is not here (any more)."""
        sequence = self._sequences.get(sequence_id)
        if sequence is None:
            return False
        self._remove(sequence)
        return True

    def progress(self, sequence_id: str) -> int:
        """Tokens drawn so far of a sequence that waits or runs.

        Raises:
            SamplingError: no such sequence is here (any more).
        """
        try:
            return self._sequences[sequence_id].num_drawn
        except KeyError:
            raise SamplingError(f"no sequence {sequence_id!r} is in the engine") from None

    def step(self) -> list[SequenceUpdate]:
        """One turn of one prior; returns the sequences that ended in it.

        Songs that are drawn in C move in every turn, those of all priors together, each prior on a
        core of its own if there are as many; with several, also while a newcomer is prefilled.

        A newcomer that cannot be prefilled ends with its error and harms nobody. When the step of
        a prior fails, each of its running sequences is stepped alone, and those with which that
        fails as well end with the error. Lack of memory is no such failure: then fewer rows step
        together, or fewer run, and only a sequence that does not fit even alone ends with
        `torch.OutOfMemoryError`. A fault of the device itself ends them all.
        """
        turn = self._scheduler.next_turn()
        if turn is None:
            return []
        updates = self._native_turn(turn.admitted)
        for batch in self._batches(turn.level, is_native=False):
            updates += self._decode(turn.level, batch)
        return updates

    def _native_turn(self, newcomer: Sequence | None) -> list[SequenceUpdate]:
        """The newcomer, and the songs of all priors that are drawn in C."""
        others = self._native_batches(without=newcomer)
        if newcomer is not None and others and self._num_threads > 1:
            return self._decode_natively(others, newcomer)
        updates = [] if newcomer is None else self._prefill(newcomer)
        return updates + self._decode_natively(self._native_batches())

    def _native_batches(self, without: Sequence | None = None) -> list[tuple[Sequence, ...]]:
        levels = list(self._runners)
        return [each for level in levels for each in self._batches(level, True, without=without)]

    def _batches(
        self, level: Level, is_native: bool, *, without: Sequence | None = None
    ) -> list[tuple[Sequence, ...]]:
        """Those who run, or those of them who are or are not drawn in C."""
        running = [each for each in self._scheduler.running(level) if each is not without]
        batches = self._scheduler.batches(running)
        return [batch for batch in batches if self._runners[level].is_native(batch) is is_native]

    def _prefill(self, sequence: Sequence) -> list[SequenceUpdate]:
        try:
            self._runner(sequence.level).prefill(sequence)
            sequence.num_drawn = 1
        except Exception as error:
            if is_out_of_memory(error) and self._make_room_for(sequence, error):
                return []
            log.exception("a window could not begin", extra={"sequence": sequence.id})
            return [self._end(sequence, self._explained(error, sequence.level))]
        return self._finished([sequence])

    def _make_room_for(self, sequence: Sequence, error: Exception) -> bool:
        """Put a newcomer back in line, to begin with more memory; False if no more can be had.

        What helps is the caches of other priors that nobody uses now, then to do without captured
        steps, then a smaller cache of its own. The last is made when the present one is empty:
        those who run finish first.
        """
        level = sequence.level
        let_go(error)
        if not self._free_memory(level) and not self._scheduler.halve_slots(level):
            return False
        if sequence.slot is not None and level in self._runners:
            self._runners[level].free(sequence.slot)
        self._scheduler.put_back(sequence)
        return_free_memory(self.device)
        log.warning(
            "out of memory: a window has to wait",
            extra={"level": level.label, "rows": self._scheduler.num_slots(level)},
        )
        return True

    def _decode(self, level: Level, batch: tuple[Sequence, ...]) -> list[SequenceUpdate]:
        if self._run_ahead is not None:
            for turn in self._run_ahead.wait():
                self._paces[turn.level].record(turn.num_steps, turn.seconds)
        num_rows, num_steps = self._scheduler.step_rows(level), self._num_steps(level, batch)
        start = self._clock()
        try:
            num_drawn = self._runners[level].decode(batch, max_rows=num_rows, num_steps=num_steps)
        except Exception as error:
            smaller = self._to_try_again(level, batch, error)
            if smaller is None:
                ids = [sequence.id for sequence in batch]
                log.exception("a step failed", extra={"level": level.label, "sequences": ids})
                explained = self._explained(error, level)
                return [self._end(sequence, explained) for sequence in batch]
        else:
            if self._run_ahead is None:
                self._paces[level].record(num_drawn, self._clock() - start)
            else:
                self._run_ahead.turn_ended(level, num_drawn)
            for sequence in batch:
                sequence.num_drawn += num_drawn
            return self._finished(batch)
        # Outside of the handler: what the failed step held is free only here.
        return_free_memory(self.device)
        return [update for part in smaller for update in self._decode(level, part)]

    def _decode_natively(
        self, batches: list[tuple[Sequence, ...]], newcomer: Sequence | None = None
    ) -> list[SequenceUpdate]:
        """Batches of any levels, all in one call, and who begins meanwhile on a core of his own."""
        if not batches:
            return []
        turns = [
            NativeTurn(
                self._runners[batch[0].level],
                batch,
                self._num_steps(batch[0].level, batch, waits_for_newcomers=newcomer is None),
            )
            for batch in batches
        ]
        updates: list[SequenceUpdate] = []
        try:
            with self._prefilling(newcomer, updates) as num_busy:
                seconds = draw_together(turns, num_threads=self._num_threads - num_busy)
        except Exception:
            log.exception("a turn failed, and is tried for each prior alone")
            for batch in batches:
                updates += self._decode(batch[0].level, batch)
            return updates
        for turn, lasted in zip(turns, seconds, strict=True):
            self._paces[turn.batch[0].level].record(turn.num_steps, lasted)
            for sequence in turn.batch:
                sequence.num_drawn += turn.num_steps
        return updates + self._finished([sequence for batch in batches for sequence in batch])

    @contextmanager
    def _prefilling(
        self, newcomer: Sequence | None, updates: list[SequenceUpdate]
    ) -> Iterator[int]:
        """Prefill beside what is done in the context; gives the number of cores that it takes."""
        if newcomer is None:
            yield 0
            return
        beside = threading.Thread(target=lambda: updates.extend(self._prefill(newcomer)))
        beside.start()
        try:
            yield 1
        finally:
            beside.join()

    def _num_steps(
        self, level: Level, batch: tuple[Sequence, ...], *, waits_for_newcomers: bool = True
    ) -> int:
        is_fast = self._runners[level].draws_several(batch)
        limit = self._paces[level].num_steps if is_fast else 1
        return self._scheduler.num_steps(batch, limit, waits_for_newcomers=waits_for_newcomers)

    def _to_try_again(
        self, level: Level, batch: tuple[Sequence, ...], error: Exception
    ) -> list[tuple[Sequence, ...]] | None:
        """Parts of a batch whose step failed that may go well by themselves; None if none may."""
        if is_out_of_memory(error):
            is_less = self._step_with_less(level, batch, error)
            return list(self._scheduler.batches(batch)) if is_less else None
        if len(batch) == 1 or isinstance(error, torch.AcceleratorError):
            return None
        log.warning("a step failed, and is tried for each alone: %r", error)
        return [(sequence,) for sequence in batch]

    def _step_with_less(self, level: Level, batch: tuple[Sequence, ...], error: Exception) -> bool:
        """Free memory, or allow only half of the rows that were too many; False if it was one."""
        let_go(error)
        if self._free_memory(level):
            return True
        step_rows = self._scheduler.step_rows(level)
        num_rows = max(len(batch), min(self._runners[level].min_rows, step_rows))
        if num_rows == 1:
            return False
        self._scheduler.limit_step_rows(level, num_rows // 2)
        log.warning(
            "out of memory: fewer rows step together",
            extra={"level": level.label, "rows": num_rows // 2},
        )
        return True

    def _free_memory(self, level: Level) -> bool:
        """Give up what the songs of `level` can do without; whether there was anything."""
        if self._drop_idle_runners(level):
            return True
        graphs = [runner.graphs for runner in self._runners.values() if runner.graphs is not None]
        return any([each.give_up("out of memory") for each in graphs])

    def _drop_idle_runners(self, level: Level) -> bool:
        """Forget the caches of other priors that draw nothing now; whether there were any."""
        idle = [
            other
            for other in self._runners
            if other is not level and not self._scheduler.running(other)
        ]
        for other in idle:
            self._drop_runner(other)
        return bool(idle)

    def _drop_runner(self, level: Level) -> None:
        graphs = self._runners.pop(level).graphs
        if graphs is not None:
            graphs.close()

    def _explained(self, error: Exception, level: Level) -> Exception:
        if not is_out_of_memory(error):
            return error
        explained = torch.OutOfMemoryError(
            f"one window of the {level.label} prior alone does not fit into the free memory of "
            f"{self.device}: {error}"
        )
        explained.__cause__ = error
        return explained

    def _finished(self, sequences: list[Sequence] | tuple[Sequence, ...]) -> list[SequenceUpdate]:
        return [self._finish(sequence) for sequence in sequences if sequence.is_complete]

    def _finish(self, sequence: Sequence) -> SequenceUpdate:
        try:
            codes = self._runners[sequence.level].new_codes(sequence)
        except Exception as error:  # what failed on a device earlier may only show here
            log.exception("codes could not be read back", extra={"sequence": sequence.id})
            return self._end(sequence, error)
        self._remove(sequence)
        return SequenceUpdate(id=sequence.id, codes=codes)

    def _end(self, sequence: Sequence, error: Exception) -> SequenceUpdate:
        self._remove(sequence)
        return SequenceUpdate(id=sequence.id, error=error)

    def _remove(self, sequence: Sequence) -> None:
        slot = sequence.slot
        self._scheduler.remove(sequence)
        del self._sequences[sequence.id]
        if slot is not None and sequence.level in self._runners:
            self._runners[sequence.level].free(slot)

    def _runner(self, level: Level) -> ModelRunner:
        """The runner for a newcomer of `level`, with as many slots as there are now."""
        num_slots = self._scheduler.num_slots(level)
        if level in self._runners and self._runners[level].num_slots != num_slots:
            # The slots were halved, and those who held the old ones have finished.
            self._drop_runner(level)
            return_free_memory(self.device)
        if self._scheduler.one_level_at_a_time and self._drop_idle_runners(level):
            return_free_memory(self.device)
        if level not in self._runners:
            if level not in self._priors:
                raise SamplingError(f"this engine has no {level.label} prior")
            self._runners[level] = ModelRunner(
                self._priors[level],
                num_slots=num_slots,
                min_rows=self._min_rows,
                device=self.device,
                capturer=None if self._make_capturer is None else self._make_capturer(),
            )
        elif self._scheduler.one_level_at_a_time:
            # Nobody of this level ran, so its weights may have left; they come back by this.
            _ = self._priors[level]
        return self._runners[level]
