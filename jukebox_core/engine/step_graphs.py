"""Decode steps that are captured once and replayed: no Python and no launches per kernel.

A step of a large prior is about a thousand small kernels, and a host launches each in more time
than a GPU needs for it. Replayed, they follow each other at once. Steps have fixed shapes and ask
for no value (`step_buffers.py`), so one capture serves every batch of its size.

A graph is used only when it has proved itself: the first time, the plain step draws the same tokens
from the same state, and all of them must agree. If they do not, or there is no capture to be had,
this prior goes on with the plain step, and a warning says why. No song is lost by it.
"""

import logging
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from jukebox_core.engine.graph_plan import GRAPH_STEPS, GraphKey, replay_steps
from jukebox_core.engine.memory import let_go
from jukebox_core.engine.step_buffers import Beginning, BufferSet, DrawnMemory, StepBuffers
from jukebox_core.errors import SamplingError
from jukebox_core.prior import JukeboxPrior
from jukebox_core.step_kind import StepKind

log = logging.getLogger(__name__)

LARGEST_DIFFERENCE = {torch.float32: 2e-5, torch.float16: 0.01, torch.bfloat16: 0.08}
"""Of logits of the same state, as a share of the largest, by compute dtype: the same kernels give
the same numbers, but a library may choose others for another stream. Drawn ids must be the same."""

Replay = Callable[[], None]


class Capturer(Protocol):
    """Makes something that can be replayed of a function that works on static memory."""

    def warm_up(self, run: Callable[[], Tensor]) -> Tensor:
        """Run it as it is, where it will be captured; what it returns is ready."""

    def capture(self, run: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
        """Capture `run`: how to replay it, and where a replay leaves what it returns.

        Memory may have been worked on or not. What is returned holds until the next replay of any
        graph of this capturer. Raises whatever is in the way.
        """

    def settle(self) -> None:
        """Wait for the device. Raises if it is broken."""


class StepGraphs:
    """The captured steps of one prior with one cache, each captured when it is first needed.

    Args:
        prior: its weights must stay where they are; if they move, all is captured anew.
        memory: what the steps share; it must never move.
        capturer: of this prior alone, so that memory comes back with the graphs.
    """

    def __init__(self, prior: JukeboxPrior, memory: DrawnMemory, capturer: Capturer) -> None:
        self._prior, self._memory, self._capturer = prior, memory, capturer
        self.buffers = BufferSet(prior.config.context_tokens, memory.ids.device)
        self._replays: dict[GraphKey, Replay] = {}
        self._weight = weakref.ref(_a_weight(prior))
        self._address = 0
        self.reason_against: str | None = None
        self.capture_sec = 0.0

    @property
    def num_captured(self) -> int:
        """Graphs that are ready."""
        return len(self._replays)

    def serves(self, kind: StepKind) -> bool:
        """Whether `draw` may be used for steps of this kind."""
        return self.reason_against is None and kind in GRAPH_STEPS

    def give_up(self, reason: str) -> bool:
        """Use none from now on, and free their memory; False if that was so already."""
        if self.reason_against is not None:
            return False
        self.reason_against = reason
        self._drop()
        level = self._prior.config.level.label
        log.warning("no captured steps any more: %s", reason, extra={"level": level})
        return True

    def close(self) -> None:
        """Free the memory of all graphs; what is drawn later is captured anew."""
        self._drop()

    def draw(self, buffers: StepBuffers, num_steps: int, *, step: StepKind) -> int:
        """Draw up to `num_steps` tokens of every row of `buffers`, at least one; how many it were.

        They are fewer where something went wrong in between; it will show again. Only what draws
        with a graph for the first time waits for the device.
        """
        self._drop_those_of_moved_weights()
        num_drawn = 0
        while num_drawn < num_steps:
            try:
                num_drawn += self._draw_some(buffers, num_steps - num_drawn, step)
            except Exception:
                if num_drawn == 0:
                    raise
                log.exception("a turn ended early")
                break
        return num_drawn

    def _draw_some(self, buffers: StepBuffers, num_left: int, step: StepKind) -> int:
        """One replay, or one plain step where there is none to be had; the number of tokens."""
        key = GraphKey(
            num_rows=buffers.num_rows,
            num_steps=replay_steps(num_left),
            any_top_k=buffers.any_top_k,
            any_top_p=buffers.any_top_p,
            step=step,
        )
        if key in self._replays:
            self._replays[key]()
            return key.num_steps
        if self.reason_against is None and self._draw_first(buffers, key):
            return key.num_steps
        self._steps(buffers, 1, step)
        return 1

    def _steps(self, buffers: StepBuffers, num_steps: int, step: StepKind) -> Tensor:
        """Plain steps; the logits of the last."""
        for _ in range(num_steps - 1):
            buffers.step(self._prior, self._memory, step)
        return buffers.step(self._prior, self._memory, step)

    def _draw_first(self, buffers: StepBuffers, key: GraphKey) -> bool:
        """Draw with a new graph if it proves itself; whether it did. If not, nothing is drawn."""
        begun = Beginning(
            buffers,
            self._memory,
            key.num_steps,
            num_prefix_tokens=self._prior.config.num_prefix_tokens,
        )

        def steps() -> Tensor:
            return self._steps(buffers, key.num_steps, key.step)

        try:
            # What fails in this one is the plain step, and that is for others to handle.
            logits = self._capturer.warm_up(steps).clone()
        except Exception:
            begun.restore()
            raise
        drawn = self._drawn(buffers, begun, key.num_steps)
        begun.restore()
        try:
            self._replays[key] = self._proven(key, steps, buffers, begun, _Proof(drawn, logits))
        except Exception as error:  # noqa: BLE001 - whatever it is, the plain step is left
            let_go(error)
            self._capturer.settle()
            begun.restore()
            self.give_up(f"{type(error).__name__}: {error}")
        return key in self._replays

    def _proven(
        self,
        key: GraphKey,
        steps: Callable[[], Tensor],
        buffers: StepBuffers,
        begun: Beginning,
        plain: "_Proof",
    ) -> Replay:
        start = time.perf_counter()
        replay, logits = self._capturer.capture(steps)
        seconds = time.perf_counter() - start
        begun.restore()
        replay()
        drawn = self._drawn(buffers, begun, key.num_steps)
        own = buffers.is_own
        difference = plain.difference(_Proof(drawn, logits), own)
        if not difference <= LARGEST_DIFFERENCE[self._prior.compute_dtype]:
            raise SamplingError(f"{key} differs from the plain step by {difference:.3g}")
        self.capture_sec += seconds
        log.info(
            "step captured",
            extra={
                "level": self._prior.config.level.label,
                "rows": key.num_rows,
                "steps": key.num_steps,
                "seconds": round(seconds, 3),
                "difference": difference,
            },
        )
        return replay

    def _drawn(self, buffers: StepBuffers, begun: Beginning, num_steps: int) -> Tensor:
        """Ids drawn since the beginning, and where the rows stand: int64 [B, num_steps + 3]."""
        steps = torch.arange(num_steps, device=begun.places.device)
        places = begun.places[:, None] + buffers.advance[:, None] * steps
        standing = torch.stack((buffers.positions, buffers.places, buffers.last_ids), dim=1)
        return torch.cat((self._memory.ids[places], standing), dim=1)

    def _drop_those_of_moved_weights(self) -> None:
        weight = _a_weight(self._prior)
        if self._weight() is weight and self._address == weight.data_ptr():
            return
        if self._replays:
            log.info("weights have moved", extra={"level": self._prior.config.level.label})
        self._drop()
        self._weight, self._address = weakref.ref(weight), weight.data_ptr()

    def _drop(self) -> None:
        if self._replays:
            # One may still be under way.
            self._capturer.settle()
            self._replays.clear()


def _a_weight(prior: JukeboxPrior) -> Tensor:
    """All weights move together. Known by itself, too: others may lie where it lay."""
    return prior.transformer.stack()[0].mlp.input.weight


@dataclass(frozen=True, slots=True)
class _Proof:
    """What some steps left: see `StepGraphs._drawn`, and the logits of the last, [B, V]."""

    drawn: Tensor
    logits: Tensor

    def difference(self, other: "_Proof", is_own: Tensor) -> float:
        """Between logits of the rows that draw, as a share of the largest; waits for the device.

        Raises:
            SamplingError: not the same ids were drawn, or the rows stand elsewhere.
        """
        if not torch.equal(self.drawn, other.drawn):
            num_other = int((self.drawn != other.drawn).sum())
            raise SamplingError(
                f"it went another way than the plain step: {num_other} of {self.drawn.numel()} "
                "ids and places differ"
            )
        mine, others = self.logits[is_own], other.logits[is_own]
        return float((mine - others).abs().amax() / mine.abs().amax())
