"""Many songs on one device, one step at a time."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from jukebox_core.backends.backend import Backend
from jukebox_core.backends.choose import REFERENCE
from jukebox_core.backends.graphs.step_graphs import Capturer, GraphBackend
from jukebox_core.backends.memory import is_out_of_memory, return_free_memory
from jukebox_core.engine.background import BackgroundCall
from jukebox_core.engine.run_ahead import RunAhead, run_ahead_of
from jukebox_core.engine.runners import Runners
from jukebox_core.engine.scheduler import Scheduler
from jukebox_core.engine.sequence import Sequence
from jukebox_core.engine.shared_turn import SharedTurn, sample_together
from jukebox_core.engine.turn_length import Pace
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
        max_rows: slots for each prior, or those of each: how many sequences of a level run at the
            same time.
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
        backend: computes the sequences that name none, see `backends/choose.py`.
        make_capturer: makes what captures the steps of a backend (see `backends/graphs/`); by
            default nothing is captured.
        make_pace: makes what decides how many tokens a turn of one level draws.
        num_threads: cores of the host that backends may use; by default as many as torch does. A
            song is the same with any number of them.
        run_ahead: how far the host may run ahead of the device; by default two turns on CUDA.
        free_bytes: memory that may still be taken, where windows take it as they begin (on a CPU);
            None, or without it, nobody asks. One for which too little is left has to wait.
    """

    def __init__(
        self,
        priors: Mapping[Level, JukeboxPrior],
        *,
        max_rows: int | Mapping[Level, int],
        device: torch.device | str = "cpu",
        deterministic: bool = True,
        min_rows: int | None = None,
        one_level_at_a_time: bool = False,
        clock: Callable[[], float] = time.perf_counter,
        backend: str = REFERENCE,
        make_capturer: Callable[[], Capturer] | None = None,
        make_pace: Callable[[], Pace] = Pace,
        num_threads: int | None = None,
        run_ahead: RunAhead | None = None,
        free_bytes: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.device = torch.device(device)
        self._scheduler = Scheduler(max_rows, one_level_at_a_time=one_level_at_a_time)
        self._runners = Runners(
            priors,
            self._scheduler,
            device=self.device,
            min_rows=min_rows or self._default_rows(max_rows, deterministic),
            backend=backend,
            make_capturer=make_capturer,
            free_bytes=free_bytes,
        )
        self._sequences: dict[str, Sequence] = {}
        self._clock = clock
        self._paces = {level: make_pace() for level in Level}
        self._num_threads = num_threads or torch.get_num_threads()
        self._run_ahead = run_ahead or run_ahead_of(self.device)

    def _default_rows(self, max_rows: int | Mapping[Level, int], deterministic: bool) -> int:
        if self.device.type == "cpu":
            return MIN_CPU_ROWS
        if not deterministic:
            return 1
        # Each runner has its own number of slots, and computes no more.
        return max_rows if isinstance(max_rows, int) else max(max_rows.values(), default=1)

    @property
    def has_work(self) -> bool:
        """`step` would do something."""
        return self._scheduler.has_work

    @property
    def cache_bytes(self) -> int:
        """Memory of the windows that there is room for now; on a CPU, of those that run."""
        return sum(runner.cache_bytes for runner in self._runners.all())

    def is_free_for(self, level: Level) -> bool:
        """Whether somebody else may use the prior of `level` between this step and the next.

        Where the device holds one prior only, not while windows of another level run.
        """
        return self._scheduler.is_free_for(level)

    def make_way_for(self, level: Level) -> None:
        """Let go of other levels, if `is_free_for(level)` and they are held one at a time.

        Before the prior of `level` is asked for by somebody else.
        """
        self._runners.make_way_for(level)

    def graphs(self, level: Level) -> GraphBackend | None:
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
            return self._sequences[sequence_id].num_sampled
        except KeyError:
            raise SamplingError(f"no sequence {sequence_id!r} is in the engine") from None

    def codes_so_far(self, sequence_id: str) -> NDArray[np.int64]:
        """Codes of a sequence that waits or runs, int64 [progress]; waits for the device.

        Raises:
            SamplingError: no such sequence is here (any more).
        """
        if not self.progress(sequence_id):
            return np.zeros(0, np.int64)
        sequence = self._sequences[sequence_id]
        return self._runners[sequence.level].new_codes(sequence)

    def step(self) -> list[SequenceUpdate]:
        """One turn of one prior; returns the sequences that ended in it.

        Songs that are computed on cores of the host move in every turn, those of all priors
        together, each prior on a core of its own if there are as many; with several, also while a
        newcomer is prefilled.

        A newcomer that cannot be prefilled ends with its error and harms nobody. When the step of
        a prior fails, each of its running sequences is stepped alone, and those with which that
        fails as well end with the error. Lack of memory is no such failure: then fewer rows step
        together, or fewer run, and only a sequence that does not fit even alone ends with
        `torch.OutOfMemoryError`. A fault of the device itself ends them all.
        """
        turn = self._scheduler.next_turn()
        if turn is None:
            return []
        newcomer, others = turn.admitted, self._shared_batches(without=turn.admitted)
        if newcomer is None:
            updates = self._decode_together(others)
        elif others and self._num_threads > 1 and not self._shares_tokens(newcomer):
            updates = self._decode_together(others, newcomer)
        else:
            updates = self._prefill(newcomer) + self._decode_together(self._shared_batches())
        for batch in self._batches(turn.level, is_shared=False):
            updates += self._decode(turn.level, batch)
        return updates

    @property
    def shares_tokens(self) -> bool:
        """Whether all cores of the host work on each token of a prior that is here.

        Other work on one of them would hold up the others at every product.
        """
        return self._num_threads > 1 and any(map(self._is_large, self._runners))

    def _shared_batches(self, without: Sequence | None = None) -> list[tuple[Sequence, ...]]:
        """Batches of songs of all priors that are computed on cores of the host."""
        levels = list(self._runners)
        return [each for level in levels for each in self._batches(level, True, without=without)]

    def _batches(
        self, level: Level, is_shared: bool, *, without: Sequence | None = None
    ) -> list[tuple[Sequence, ...]]:
        """Those who run, or those of them who are or are not computed on cores of the host."""
        running = [each for each in self._scheduler.running(level) if each is not without]
        batches = self._scheduler.batches(running)
        return [each for each in batches if self._backend_of(each).uses_cores is is_shared]

    def _shares_tokens(self, sequence: Sequence) -> bool:
        """Whether all cores begin its window together, which leaves none for others meanwhile."""
        return sequence.level in self._runners and self._is_large(sequence.level)

    def _is_large(self, level: Level) -> bool:
        return self._runners[level].prior.config.transformer.is_large

    def _backend_of(self, batch: tuple[Sequence, ...]) -> Backend:
        return self._runners[batch[0].level].backend_of(batch)

    def _prefill(self, sequence: Sequence) -> list[SequenceUpdate]:
        try:
            self._runners.for_newcomer(sequence.level).prefill(sequence)
            sequence.num_sampled = 1
        except Exception as error:
            if is_out_of_memory(error) and self._runners.make_room_for(sequence, error):
                return []
            log.exception("a window could not begin", extra={"sequence": sequence.id})
            return [self._end(sequence, self._runners.explained(error, sequence.level))]
        return self._finished([sequence])

    def _decode(self, level: Level, batch: tuple[Sequence, ...]) -> list[SequenceUpdate]:
        num_rows = self._scheduler.step_rows(level)
        try:
            self._wait_for_device()
            num_steps = self._num_steps(level, batch)
            start = self._clock()
            num_sampled = self._runners[level].decode(batch, max_rows=num_rows, num_steps=num_steps)
        except Exception as error:
            smaller = self._to_try_again(level, batch, error)
            if smaller is None:
                ids = [sequence.id for sequence in batch]
                log.exception("a step failed", extra={"level": level.label, "sequences": ids})
                explained = self._runners.explained(error, level)
                return [self._end(sequence, explained) for sequence in batch]
        else:
            if self._run_ahead is None:
                self._paces[level].record(num_sampled, self._clock() - start)
            else:
                self._run_ahead.turn_ended(level, num_sampled)
            return self._counted(batch, num_sampled)
        # Outside of the handler: what the failed step held is free only here.
        return_free_memory(self.device)
        return [update for part in smaller for update in self._decode(level, part)]

    def _decode_together(
        self, batches: list[tuple[Sequence, ...]], newcomer: Sequence | None = None
    ) -> list[SequenceUpdate]:
        """Batches of any levels, all in one call, and who begins meanwhile on a core of his own."""
        if not batches:
            return []
        turns = [
            SharedTurn(
                self._runners[batch[0].level],
                batch,
                self._num_steps(batch[0].level, batch, waits_for_newcomers=newcomer is None),
            )
            for batch in batches
        ]
        if newcomer is None:
            return self._counted_turns(turns, self._seconds_of(turns, self._num_threads))
        prefill = BackgroundCall(partial(self._prefill, newcomer))
        try:
            seconds = self._seconds_of(turns, self._num_threads - prefill.num_threads)
        finally:
            prefill.wait()
        # Counted in any case: what is drawn must not be drawn once more.
        updates = self._counted_turns(turns, seconds)
        return prefill.result() + updates

    def _seconds_of(self, turns: list[SharedTurn], num_threads: int) -> list[float] | None:
        """Draw them; the seconds that each took, or None if nothing could be drawn."""
        try:
            return sample_together(turns, num_threads=num_threads)
        except Exception:
            log.exception("a turn failed, and is tried for each prior alone")
            return None

    def _counted_turns(
        self, turns: list[SharedTurn], seconds: list[float] | None
    ) -> list[SequenceUpdate]:
        updates: list[SequenceUpdate] = []
        for number, turn in enumerate(turns):
            level = turn.batch[0].level
            if seconds is None:
                updates += self._decode(level, turn.batch)
            else:
                self._paces[level].record(turn.num_steps, seconds[number])
                updates += self._counted(turn.batch, turn.num_steps)
        return updates

    def _wait_for_device(self) -> None:
        """Until it is not too far behind. A fault of what it was given before may show here."""
        if self._run_ahead is not None:
            for turn in self._run_ahead.wait():
                self._paces[turn.level].record(turn.num_steps, turn.seconds)

    def _counted(self, batch: tuple[Sequence, ...], num_sampled: int) -> list[SequenceUpdate]:
        """Of those who ended with so many more tokens of each."""
        for sequence in batch:
            sequence.num_sampled += num_sampled
        return self._finished(batch)

    def _num_steps(
        self, level: Level, batch: tuple[Sequence, ...], *, waits_for_newcomers: bool = True
    ) -> int:
        is_fast = self._backend_of(batch).samples_several
        limit = self._paces[level].num_steps if is_fast else 1
        return self._scheduler.num_steps(batch, limit, waits_for_newcomers=waits_for_newcomers)

    def _to_try_again(
        self, level: Level, batch: tuple[Sequence, ...], error: Exception
    ) -> list[tuple[Sequence, ...]] | None:
        """Parts of a batch whose step failed that may go well by themselves; None if none may."""
        if is_out_of_memory(error):
            is_less = self._runners.step_with_less(level, len(batch), error)
            return list(self._scheduler.batches(batch)) if is_less else None
        if len(batch) == 1 or isinstance(error, torch.AcceleratorError):
            return None
        log.warning("a step failed, and is tried for each alone: %r", error)
        return [(sequence,) for sequence in batch]

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
