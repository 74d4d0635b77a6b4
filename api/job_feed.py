"""The events of all jobs, read from the store once for a process, however many clients follow."""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from api.web.made_once import MadeOnce
from jobs.errors import StoreUnavailable
from jobs.store import FeedEvent, JobWatcher, event_order

_log = logging.getLogger(__name__)

MAX_PENDING = 100
"""Events that wait in memory for a slow client; more is read from the store again."""
_MAX_MADE = 128
_WAIT_SEC = 15.0


class FeedEnded(Exception):
    """Nothing more comes: the store went away, or the service stops."""


class PastNotKept(Exception):
    """Some of the events after the one that was asked for are not kept any more."""


@dataclass(slots=True, eq=False)
class Follower:
    """One client: whose events it gets, which of them wait for it, and after which it goes on.

    owner       None: everybody's
    is_behind   what comes next has to be read from the store
    """

    owner: str | None
    position: str
    is_behind: bool
    pending: deque[FeedEvent] = field(default_factory=deque)
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def sees(self, event: FeedEvent) -> bool:
        """Whether the event is for this client, and not one that it has had."""
        is_new = event_order(event.id) > event_order(self.position)
        return is_new and self.owner in (None, event.owner)

    def offer(self, event: FeedEvent) -> None:
        """Something happened. With too much in line, all of it is left to the store."""
        if self.is_behind:
            return
        if len(self.pending) == MAX_PENDING:
            self.pending.clear()
            self.is_behind = True
        else:
            self.pending.append(event)
        self.woken.set()


class JobFeed:
    """Follows the feed while the process serves, from the first client on; for one event loop.

    Each client costs a bounded number of references to events, and for each event as much work as
    there are clients who see it.
    """

    def __init__(self, watcher: JobWatcher, stopping: asyncio.Event) -> None:
        self._watcher, self._stopping = watcher, stopping
        self._followers: defaultdict[str | None, set[Follower]] = defaultdict(set)
        self.made: MadeOnce[bytes] = MadeOnce(_MAX_MADE)
        """Of events, as clients of one audience get them."""
        self._position = ""
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    @property
    def num_followers(self) -> int:
        """Clients that follow now."""
        return sum(len(each) for each in self._followers.values())

    async def start(self) -> None:
        """Read the feed from now on, unless that is being done. Raises StoreUnavailable."""
        async with self._starting:
            if self._reading is None or self._reading.done():
                self._position = await self._watcher.feed_position()
                self._reading = asyncio.create_task(self._read())

    async def close(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    @contextmanager
    def following(self, owner: str | None, *, after: str | None) -> Iterator[Follower]:
        """A client while the block runs; `after` is the last event it knows, None: no past.

        `start` comes before.
        """
        follower = Follower(
            owner=owner, position=after or self._position, is_behind=after is not None
        )
        self._followers[owner].add(follower)
        try:
            yield follower
        finally:
            self._followers[owner].discard(follower)
            if not self._followers[owner]:
                del self._followers[owner]

    async def next_events(self, follower: Follower) -> AsyncIterator[FeedEvent | None]:
        """What comes next for a client, as far as it is there; None when nothing comes for a while.

        Raises:
            PastNotKept: the client has missed something; from now on it goes on with the present.
            FeedEnded: nothing more comes.
            StoreUnavailable: what the client has missed cannot be read.
        """
        while True:
            if follower.is_behind:
                async for event in self._missed(follower):
                    yield event
            while follower.pending:
                event = follower.pending.popleft()
                if follower.sees(event):
                    follower.position = event.id
                    yield event
            if not follower.is_behind and not await self._wait(follower):
                yield None

    async def _missed(self, follower: Follower) -> AsyncIterator[FeedEvent]:
        """From the store. What happens meanwhile waits in memory, and is told apart by its id."""
        follower.is_behind, has_more = False, True
        while has_more:
            page = await self._watcher.feed_page(follower.position)
            if not page.is_whole:
                follower.position = await self._watcher.feed_position()
                raise PastNotKept
            for event in page.events:
                if follower.sees(event):
                    yield event
            follower.position, has_more = page.position, page.has_more

    async def _wait(self, follower: Follower) -> bool:
        """Until there is something for a client; False when there is nothing for too long."""
        try:
            async with asyncio.timeout(_WAIT_SEC):
                while not follower.pending and not follower.is_behind:
                    follower.woken.clear()
                    if self._stopping.is_set() or self._reading is None or self._reading.done():
                        raise FeedEnded
                    await follower.woken.wait()
        except TimeoutError:
            return False
        return True

    async def _read(self) -> None:
        stop = asyncio.create_task(self._stopping.wait())
        try:
            while not stop.done():
                events = asyncio.ensure_future(
                    self._watcher.feed_events(self._position, timeout_sec=_WAIT_SEC)
                )
                try:
                    await asyncio.wait({stop, events}, return_when=asyncio.FIRST_COMPLETED)
                    for event in events.result() if events.done() else ():
                        self._give_out(event)
                finally:
                    events.cancel()
                    await asyncio.gather(events, return_exceptions=True)
        except StoreUnavailable as error:
            _log.warning("clients that follow all jobs have to come back: %s", error)
        finally:
            stop.cancel()
            asyncio.get_running_loop().call_soon(self._wake_all)

    def _give_out(self, event: FeedEvent) -> None:
        self._position = event.id
        everybody = self._followers.get(None, ()) if event.owner is not None else ()
        for follower in (*self._followers.get(event.owner, ()), *everybody):
            follower.offer(event)

    def _wake_all(self) -> None:
        """Once the reading is over, so that they see that it is."""
        for followers in self._followers.values():
            for follower in followers:
                follower.woken.set()
