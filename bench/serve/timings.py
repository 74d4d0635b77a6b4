"""Answers timed, and clients that run beside a measurement."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from bench.report import Figures


class _Answer(Protocol):
    @property
    def is_error(self) -> bool: ...


AnswerT = TypeVar("AnswerT", bound=_Answer)


@dataclass(slots=True)
class Timings:
    """How long answers of one kind took, and which were none."""

    milliseconds: list[float] = field(default_factory=list)
    num_refused: int = 0

    async def time(self, ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """Ask, and note how long the whole answer took."""
        started = time.perf_counter()
        response = await ask()
        self.milliseconds.append((time.perf_counter() - started) * 1e3)
        self.num_refused += response.is_error
        return response

    def summary(self) -> Figures:
        """Percentiles in milliseconds."""
        ordered = sorted(self.milliseconds)
        shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99} if ordered else {}
        return {
            "number": len(ordered),
            "refused": self.num_refused,
            **{
                name: round(ordered[int(len(ordered) * share)], 2) for name, share in shares.items()
            },
            "max_ms": round(ordered[-1], 2) if ordered else None,
        }


@asynccontextmanager
async def running(*makers: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Tasks for as long as the block runs. An error in one of them is raised at its end."""
    tasks = [asyncio.ensure_future(make()) for make in makers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        endings = await asyncio.gather(*tasks, return_exceptions=True)
    for ending in endings:
        if isinstance(ending, Exception):
            raise ending
