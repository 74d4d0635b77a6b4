"""How many clients may wait at once: each of them holds a connection here and one to the store."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.errors import LimitReached

_RETRY_SEC = 10.0


class Streams:
    """Counts the open streams and long polls of one process, on its event loop; 0 is no limit."""

    def __init__(self, *, max_all: int, max_per_owner: int) -> None:
        self._max_all, self._max_per_owner = max_all, max_per_owner
        self._by_owner: Counter[str | None] = Counter()

    @property
    def num_open(self) -> int:
        """Of everybody."""
        return self._by_owner.total()

    @contextmanager
    def place(self, owner: str | None) -> Iterator[None]:
        """One of the places, while the block runs. Raises LimitReached.

        Callers without a key (`owner` None) share the places of all.
        """
        if owner is not None and 0 < self._max_per_owner <= self._by_owner[owner]:
            raise _too_many(self._max_per_owner)
        if 0 < self._max_all <= self.num_open:
            raise _too_many(self._max_all)
        self._by_owner[owner] += 1
        try:
            yield
        finally:
            self._by_owner[owner] -= 1
            if not self._by_owner[owner]:
                del self._by_owner[owner]


def _too_many(limit: int) -> LimitReached:
    return LimitReached("too_many_streams", limit, retry_after_sec=_RETRY_SEC)
