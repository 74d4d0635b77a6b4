"""What many clients ask for at about the same time, made once for all of them."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class MadeOnce(Generic[Value]):
    """Keeps the newest `max_values` values by key; for one event loop. What failed is not kept."""

    def __init__(self, max_values: int) -> None:
        self._max_values = max_values
        self._made: OrderedDict[Hashable, asyncio.Task[Value]] = OrderedDict()

    async def get(self, key: Hashable, make: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """What `make` gives for whoever asks first. Raises what it raises."""
        if key not in self._made:
            task = self._made[key] = asyncio.create_task(make())
            task.add_done_callback(lambda done: self._forget_failure(key, done))
            while len(self._made) > self._max_values:
                self._made.popitem(last=False)
        # A client that disconnects must not take the answer from the others.
        return await asyncio.shield(self._made[key])

    def _forget_failure(self, key: Hashable, task: asyncio.Task[Value]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._made.pop(key, None)
