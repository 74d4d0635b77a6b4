"""Slots for slow work, shared out between API keys: who holds fewest of them is served next."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

P = ParamSpec("P")
Result = TypeVar("Result")


class FairSlots:
    """At most `num_slots` calls at a time, on threads of their own so that they block nobody else.

    A key gets a second slot only while no other key waits for one. For one event loop. Callers
    without a key (`owner` None) count as one key.
    """

    def __init__(self, num_slots: int) -> None:
        self._num_free = num_slots
        self._threads = CapacityLimiter(num_slots)
        self._held: Counter[str | None] = Counter()
        self._waiting: list[tuple[str | None, asyncio.Future[None]]] = []

    @property
    def num_waiting(self) -> int:
        """Calls that have no slot yet."""
        return len(self._waiting)

    async def run(
        self,
        owner: str | None,
        function: Callable[P, Result],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        """The result of a blocking call, made once there is a slot for `owner`."""
        async with self.slot(owner):
            call = partial(function, *args, **kwargs)
            return await to_thread.run_sync(call, limiter=self._threads)

    @asynccontextmanager
    async def slot(self, owner: str | None) -> AsyncIterator[None]:
        """A slot for `owner` while the block runs, for work that is no blocking call."""
        await self._acquire(owner)
        try:
            yield
        finally:
            self._release(owner)

    async def _acquire(self, owner: str | None) -> None:
        if self._num_free:
            self._give(owner)
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (owner, granted)
        self._waiting.append(entry)
        try:
            await granted
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            elif not granted.cancelled():
                self._release(owner)
            raise

    def _give(self, owner: str | None) -> None:
        self._num_free -= 1
        self._held[owner] += 1

    def _release(self, owner: str | None) -> None:
        self._num_free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        self._waiting = [each for each in self._waiting if not each[1].done()]
        if self._waiting:
            # `min` takes the first of equals: who came earlier.
            entry = min(self._waiting, key=lambda each: self._held[each[0]])
            self._waiting.remove(entry)
            self._give(entry[0])
            entry[1].set_result(None)
