"""Decode steps that are captured once and replayed: no Python and no launches per kernel.

A step of a large prior is about a thousand small kernels, and a host launches each in more time
than a GPU needs for it. Replayed, they follow each other at once. Steps have fixed shapes and ask
for no value (`step_buffers.py`), so one capture serves every batch of its size.

A graph is used only where it has agreed (`proof.py`): the first time, the inner backend samples the
same tokens from the same state. If they differ, or nothing can be captured, this prior goes on with
the inner backend, and a warning says why.
"""

import logging
import time
import weakref
from collections.abc import Callable
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from jukebox_core.backends.backend import Backend
from jukebox_core.backends.batch import Batch
from jukebox_core.backends.graphs.graph_plan import GraphKey, bucket_rows, replay_steps
from jukebox_core.backends.memory import let_go
from jukebox_core.backends.proof import Outcome
from jukebox_core.backends.step_buffers import Snapshot, StepBuffers
from jukebox_core.prior import Conditioning, JukeboxPrior

log = logging.getLogger(__name__)

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


class GraphBackend(Backend):
    """The steps of another backend, each captured when it is first needed.

    Args:
        inner: what computes the steps. If the weights of its prior move, all is captured anew.
        capturer: of this backend alone, so that memory comes back with the graphs.
    """

    largest_difference: ClassVar[dict[torch.dtype, float]] = {
        torch.float32: 2e-5,
        torch.float16: 0.01,
        torch.bfloat16: 0.08,
    }
    """The same kernels give the same numbers, but a library may choose others for another stream.
    Sampled ids must be the same."""

    def __init__(self, inner: Backend, capturer: Capturer) -> None:
        super().__init__(inner.prior, inner.memory)
        self._inner, self._capturer = inner, capturer
        self._replays: dict[GraphKey, Replay] = {}
        self._weight = weakref.ref(_a_weight(self.prior))
        self._address = 0
        self.reason_against: str | None = None
        self.capture_sec = 0.0

    @property
    def num_captured(self) -> int:
        """Graphs that are ready."""
        return len(self._replays)

    @property
    def samples_several(self) -> bool:
        """See `Backend.samples_several`."""
        return self.reason_against is None

    def prefill(self, codes: Tensor, conditioning: Conditioning, slots: Tensor) -> Tensor:
        """See `Backend.prefill`."""
        return self._inner.prefill(codes, conditioning, slots)

    def decode(self, ids: Tensor, positions: Tensor, slots: Tensor) -> Tensor:
        """See `Backend.decode`."""
        return self._inner.decode(ids, positions, slots)

    def forget(self) -> None:
        """See `Backend.forget`."""
        super().forget()
        self._inner.forget()

    def release(self, reason: str) -> bool:
        """Use no graphs from now on, and free their memory; False if that was so already."""
        if self.reason_against is not None:
            return False
        self.reason_against = reason
        self.close()
        level = self.prior.config.level.label
        log.warning("no captured steps any more: %s", reason, extra={"level": level})
        return True

    def close(self) -> None:
        """Free the memory of all graphs; what is sampled later is captured anew."""
        if self._replays:
            # One may still be under way.
            self._capturer.settle()
            self._replays.clear()

    def sample(self, batch: Batch, num_steps: int) -> int:
        """See `Backend.sample`. Only what a graph samples first waits for the device.

        Fewer tokens are sampled where something went wrong in between; it will show again.
        """
        if self.reason_against is not None:
            return self._inner.sample(batch, num_steps)
        num_slots = min(self.memory.num_slots, batch.max_rows)
        num_rows = bucket_rows(len(batch.key), min_rows=batch.min_rows, num_slots=num_slots)
        buffers = self.buffers.holding(batch, num_rows)
        self._drop_those_of_moved_weights()
        num_sampled = 0
        while num_sampled < num_steps:
            try:
                num_sampled += self._sample_some(buffers, num_steps - num_sampled)
            except Exception:
                if num_sampled == 0:
                    raise
                log.exception("a turn ended early")
                break
        return num_sampled

    def _sample_some(self, buffers: StepBuffers, num_left: int) -> int:
        """One replay, or one step where there is none to be had; the number of tokens."""
        key = GraphKey(
            num_rows=buffers.num_rows,
            num_steps=replay_steps(num_left),
            any_top_k=buffers.sampling.any_top_k,
            any_top_p=buffers.sampling.any_top_p,
        )
        if key in self._replays:
            self._replays[key]()
            return key.num_steps
        if self.reason_against is None and self._sample_first(buffers, key):
            return key.num_steps
        self._steps(buffers, 1)
        return 1

    def _steps(self, buffers: StepBuffers, num_steps: int) -> Tensor:
        """Steps of the inner backend; the logits of the last."""
        for _ in range(num_steps - 1):
            buffers.step_all(self.decode)
        return buffers.step_all(self.decode)

    def _sample_first(self, buffers: StepBuffers, key: GraphKey) -> bool:
        """Sample with a new graph if it agrees; whether it did. If not, nothing is sampled."""
        begun = Snapshot(
            buffers,
            self.memory,
            key.num_steps,
            num_prefix_tokens=self.prior.config.num_prefix_tokens,
        )

        def steps() -> Tensor:
            return self._steps(buffers, key.num_steps)

        try:
            # What fails in this one is the inner backend, and that is for others to handle.
            logits = self._capturer.warm_up(steps)
        except Exception:
            begun.restore()
            raise
        wanted = self._outcome(buffers, begun, key.num_steps, logits)
        begun.restore()
        try:
            self._replays[key] = self._proven(key, steps, buffers, begun, wanted)
        except Exception as error:  # noqa: BLE001 - whatever it is, the inner backend is left
            let_go(error)
            self._capturer.settle()
            begun.restore()
            self.release(f"{type(error).__name__}: {error}")
        return key in self._replays

    def _proven(
        self,
        key: GraphKey,
        steps: Callable[[], Tensor],
        buffers: StepBuffers,
        begun: Snapshot,
        wanted: Outcome,
    ) -> Replay:
        start = time.perf_counter()
        replay, logits = self._capturer.capture(steps)
        seconds = time.perf_counter() - start
        begun.restore()
        replay()
        found = self._outcome(buffers, begun, key.num_steps, logits)
        found.require_agreement(wanted, self.largest_difference[self.prior.compute_dtype])
        self.capture_sec += seconds
        log.info(
            "step captured",
            extra={
                "level": self.prior.config.level.label,
                "rows": key.num_rows,
                "steps": key.num_steps,
                "seconds": round(seconds, 3),
            },
        )
        return replay

    def _outcome(
        self, buffers: StepBuffers, begun: Snapshot, num_steps: int, logits: Tensor
    ) -> Outcome:
        """With ids and where the rows stand: int64 [num_rows, num_steps + 3]."""
        steps = torch.arange(num_steps, device=begun.places.device)
        places = begun.places[:, None] + buffers.advance[:, None] * steps
        standing = torch.stack((buffers.positions, buffers.places, buffers.last_ids), dim=1)
        sampled = torch.cat((self.memory.flat_ids[places], standing), dim=1)
        return Outcome(logits[: buffers.num_own].clone(), sampled)

    def _drop_those_of_moved_weights(self) -> None:
        weight = _a_weight(self.prior)
        if self._weight() is weight and self._address == weight.data_ptr():
            return
        if self._replays:
            log.info("weights have moved", extra={"level": self.prior.config.level.label})
        self.close()
        self._weight, self._address = weakref.ref(weight), weight.data_ptr()


def _a_weight(prior: JukeboxPrior) -> Tensor:
    """All weights move together. Known by itself, too: others may lie where it lay."""
    return prior.transformer.stack()[0].mlp.input.weight
