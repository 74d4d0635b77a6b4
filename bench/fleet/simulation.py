"""Fleets as discrete events: songs wait for workers, step together, and go from level to level.

Time is simulated, and chance comes from a given seed. Rows of a level advance together, so a level
of a worker is one number, tokens since the beginning, and a song ends at one of its values.
"""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy

from bench.fleet.inputs import Demand
from bench.fleet.planner import (
    HostPlan,
    LevelSpeed,
    LevelWork,
    PoolFigures,
    PoolPlan,
    SimulatedSong,
    rows_computed,
    song_work,
    songs_per_sec,
)
from jukebox_core.engine.turn_order import turn_shares

Process = Generator[simpy.Event, Any, None]

_EPSILON_TOKENS = 1e-6
_EPSILON_SEC = 1e-9


class Fleet:
    """Pools of workers over one set of queues."""

    def __init__(self, plans: Sequence[PoolPlan], *, seed: int = 0) -> None:
        self.env = simpy.Environment()
        self.rng = random.Random(seed)
        self.pools = [Pool(self, plan) for plan in plans]
        self.done: list[SimulatedSong] = []
        self.num_arrived = 0
        self._is_over = self.env.event()
        self._more_to_come = True

    def submit(self, song: SimulatedSong) -> None:
        """Put a song into the queue of its next level, or end it."""
        if not song.levels:
            song.done_at = self.env.now
            self.done.append(song)
            self._end_if_over()
            return
        song.queued_at = self.env.now
        level = song.levels[0][0]
        pool = next(pool for pool in self.pools if level in pool.plan.levels)
        pool.waiting.append(song)
        pool.wake_one()

    def run(self, arrivals: Iterable[SimulatedSong], until: float | None = None) -> None:
        """Let songs arrive in order, until all are done or this moment."""
        self.env.process(self._arrive(arrivals))
        for pool in self.pools:
            pool.start()
        self.env.run(until=self._is_over if until is None else until)

    def _arrive(self, arrivals: Iterable[SimulatedSong]) -> Process:
        for song in arrivals:
            yield self.env.timeout(max(song.arrived_at - self.env.now, 0.0))
            self.num_arrived += 1
            self.submit(song)
        self._more_to_come = False
        self._end_if_over()

    def _end_if_over(self) -> None:
        is_over = not self._more_to_come and len(self.done) == self.num_arrived
        if is_over and not self._is_over.triggered:
            self._is_over.succeed()


class Pool:
    """Workers that come and go, and the songs that wait for them, first come first served."""

    def __init__(self, fleet: Fleet, plan: PoolPlan) -> None:
        self.fleet, self.env, self.plan = fleet, fleet.env, plan
        self.waiting: deque[SimulatedSong] = deque()
        self.workers: list[Worker] = []
        self._hosts: list[Host] = []
        self.figures = PoolFigures()
        self._num_starting = 0
        self._needed_at = 0.0

    @property
    def num_songs(self) -> int:
        """That wait for this pool or are in it."""
        return len(self.waiting) + sum(worker.num_songs for worker in self.workers)

    def start(self) -> None:
        """The first workers serve from the beginning."""
        for _ in range(max(self.plan.operation.min_cards, self.plan.first_cards)):
            self._add()
        if self.plan.operation.max_cards > self.plan.operation.min_cards:
            self.env.process(self._scale())

    def wake_one(self) -> None:
        """Give a waiting song to the worker with the fewest."""
        free = [worker for worker in self.workers if worker.num_songs < self.plan.max_songs]
        if free:
            min(free, key=lambda worker: worker.num_songs).wake()

    def wake_soon(self) -> Process:
        """The same once whoever is at work now has come to its end."""
        yield self.env.timeout(0.0)
        self.wake_one()

    def remove(self, worker: "Worker") -> None:
        """It serves no more."""
        self.workers.remove(worker)
        self.figures.card_seconds += self.env.now - worker.began_at

    def close(self) -> None:
        """Count the workers that are still there."""
        for worker in self.workers:
            self.figures.card_seconds += self.env.now - worker.began_at

    def _add(self) -> None:
        self.workers.append(Worker(self, self._host()))
        self.figures.most_cards = max(self.figures.most_cards, len(self.workers))

    def _host(self) -> "Host | None":
        """With room for one more worker."""
        plan = self.plan.host
        if plan is None:
            return None
        for host in self._hosts:
            if plan.num_workers is None or len(host.workers) < plan.num_workers:
                return host
        self._hosts.append(Host(plan))
        return self._hosts[-1]

    def _add_later(self) -> Process:
        self._num_starting += 1
        yield self.env.timeout(self.plan.operation.start_sec)
        self._num_starting -= 1
        self._add()

    def _scale(self) -> Process:
        operation = self.plan.operation
        while True:
            yield self.env.timeout(operation.look_sec)
            wanted = -(-self.num_songs // self.plan.max_songs)
            wanted = min(max(wanted, operation.min_cards), operation.max_cards)
            present = len(self.workers) + self._num_starting
            if wanted >= present:
                self._needed_at = self.env.now
            for _ in range(wanted - present):
                self.env.process(self._add_later())
            if wanted < present and self.env.now - self._needed_at >= operation.cooldown_sec:
                idle = [worker for worker in self.workers if not worker.num_songs]
                for worker in idle[: present - wanted]:
                    worker.stop()


class Host:
    """A machine whose cores some workers share."""

    def __init__(self, plan: HostPlan) -> None:
        self._plan = plan
        self.workers: list[Worker] = []

    @property
    def slowdown(self) -> float:
        """Of each worker now."""
        return self._plan.slowdown(sum(bool(worker.num_songs) for worker in self.workers))

    def wake(self) -> None:
        """Another number of workers is busy, so all go at another pace from now on."""
        for worker in self.workers:
            worker.wake()


class Worker:
    """One worker: songs of several levels, which take turns on its device."""

    def __init__(self, pool: Pool, host: Host | None) -> None:
        self._pool, self._env, self._plan = pool, pool.env, pool.plan
        self.began_at = pool.env.now
        self._levels = {level: _LevelRows() for level in pool.plan.levels}
        self._rendering: list[_Rendering] = []
        self._host = host
        if host is not None:
            host.workers.append(self)
        self._updated_at = pool.env.now
        self._pace = 1.0
        self._wakes: simpy.Event = pool.env.event()
        self._is_stopped = False
        pool.env.process(self._run())
        if pool.plan.operation.spot_mean_sec is not None:
            pool.env.process(self._be_preempted(pool.plan.operation.spot_mean_sec))

    @property
    def num_songs(self) -> int:
        """That it holds, those that it renders included."""
        return len(self._rendering) + sum(len(rows.songs) for rows in self._levels.values())

    def wake(self) -> None:
        """Something has changed."""
        if not self._wakes.triggered:
            self._wakes.succeed()

    def stop(self) -> None:
        """Serve no more; it holds no song."""
        self._is_stopped = True
        self._pool.remove(self)
        if self._host is not None:
            self._host.workers.remove(self)
            self._host.wake()
        self.wake()

    def _run(self) -> Process:
        while not self._is_stopped:
            was_busy = bool(self.num_songs)
            self._advance()
            self._end_renders()
            self._end_levels()
            self._take_song()
            self._wakes = self._env.event()
            if self._host is not None:
                self._pace = self._host.slowdown
                if bool(self.num_songs) != was_busy:
                    self._host.wake()
            next_end = self._next_end_sec()
            if next_end is None:
                yield self._wakes
            else:
                yield self._wakes | self._env.timeout(next_end)

    def _take_song(self) -> None:
        """One, and let the worker that has the fewest by then take the next."""
        waiting = self._pool.waiting
        if not waiting or self.num_songs >= self._plan.max_songs:
            return
        song = waiting.popleft()
        song.queued_sec += self._env.now - song.queued_at
        if song.began_at is None:
            song.began_at = self._env.now
            song.waited_sec = song.began_at - song.arrived_at
        self._begin_level(song)
        if waiting:
            self._env.process(self._pool.wake_soon())

    def _begin_level(self, song: SimulatedSong) -> None:
        level, work = song.levels[0]
        self._levels[level].add(song, work, self._plan.speeds[level])

    def _token_sec(self) -> dict[str, float]:
        """Seconds in which each song of a level gets a token, of levels with songs.

        Levels share the device. Songs without a row wait for one, window by window, so all of the
        level are slower.
        """
        num_songs = {level: len(rows.songs) for level, rows in self._levels.items() if rows.songs}
        if self._plan.has_equal_turns:
            shares = dict.fromkeys(num_songs, 1.0 / max(len(num_songs), 1))
        else:
            shares = turn_shares(num_songs)
        found = {}
        for level, number in num_songs.items():
            speed = self._plan.speeds[level]
            num_rows = min(number, speed.max_rows)
            computed = rows_computed(
                num_rows, speed.max_rows, is_deterministic=self._plan.operation.is_deterministic
            )
            prefix_sec = self._levels[level].prefix_sec_per_token * num_rows / number
            step_sec = speed.step_sec[computed - 1] + prefix_sec
            found[level] = self._pace * step_sec / shares[level] * number / num_rows
        return found

    def _advance(self) -> None:
        """Count the tokens since the last change."""
        spent, self._updated_at = self._env.now - self._updated_at, self._env.now
        if spent <= 0.0:
            return
        for level, token_sec in self._token_sec().items():
            self._levels[level].tokens += spent / token_sec
        for rendering in self._rendering:
            rendering.seconds -= spent / self._pace

    def _next_end_sec(self) -> float | None:
        ends = [
            max(self._levels[level].songs[0][0] - self._levels[level].tokens, 0.0) * token_sec
            for level, token_sec in self._token_sec().items()
        ]
        ends += [max(rendering.seconds, 0.0) * self._pace for rendering in self._rendering]
        return min(ends, default=None)

    def _end_levels(self) -> None:
        for rows in self._levels.values():
            for song in rows.pop_ended():
                song.levels.popleft()
                song.tokens_done = 0.0
                self._go_on(song)

    def _go_on(self, song: SimulatedSong) -> None:
        """With the next level where this worker serves it; else the song is somebody else's."""
        if not song.levels:
            self._rendering.append(_Rendering(self._plan.render_sec, song))
        elif song.levels[0][0] in self._plan.levels:
            self._begin_level(song)
        else:
            self._pool.fleet.submit(song)

    def _end_renders(self) -> None:
        ended = [each for each in self._rendering if each.seconds <= _EPSILON_SEC]
        for rendering in ended:
            self._rendering.remove(rendering)
            self._pool.fleet.submit(rendering.song)

    def _be_preempted(self, mean_sec: float) -> Process:
        """The card is taken away; another one comes, and windows that were not whole are lost."""
        yield self._env.timeout(self._pool.fleet.rng.expovariate(1.0 / mean_sec))
        if self._is_stopped:
            return
        self._advance()
        self._pool.figures.num_preempted += 1
        songs = [song for rows in self._levels.values() for song in rows.give_up()]
        songs += [rendering.song for rendering in self._rendering]  # seconds: taken as done
        self.stop()
        self._env.process(self._pool._add_later())
        for song in songs:
            self._pool.fleet.submit(song)


@dataclass(slots=True, eq=False)
class _Rendering:
    """A song that keeps its place, for so many seconds more of a worker that is alone."""

    seconds: float
    song: SimulatedSong


@dataclass(slots=True)
class _LevelRows:
    """Songs at one level: `tokens` is how far every row has come since the beginning."""

    tokens: float = 0.0
    songs: list[tuple[float, int, SimulatedSong, float]] = field(default_factory=list)
    """By the value of `tokens` at which they end; last the share of `prefix_sec_per_token`."""
    prefix_sec_per_token: float = 0.0
    """Time in which all rows wait for prefixes of one or the other, for each token of a row."""
    _order: Iterator[int] = field(default_factory=itertools.count)

    def add(self, song: SimulatedSong, work: LevelWork, speed: LevelSpeed) -> None:
        """A song begins, or goes on after its whole windows."""
        end = self.tokens + work.num_tokens - song.tokens_done
        prefix_sec = speed.prefix_sec * work.num_prefix / work.num_tokens
        heapq.heappush(self.songs, (end, next(self._order), song, prefix_sec))
        self.prefix_sec_per_token += prefix_sec

    def pop_ended(self) -> Iterator[SimulatedSong]:
        """Songs that are done with this level."""
        while self.songs and self.songs[0][0] <= self.tokens + _EPSILON_TOKENS:
            _, _, song, prefix_sec = heapq.heappop(self.songs)
            self.prefix_sec_per_token = max(self.prefix_sec_per_token - prefix_sec, 0.0)
            yield song

    def give_up(self) -> list[SimulatedSong]:
        """Songs with the whole windows that they have."""
        songs = []
        for end, _, song, _ in self.songs:
            work = song.levels[0][1]
            window = work.num_tokens / work.num_windows
            done = work.num_tokens - (end - self.tokens)
            song.tokens_done = max(done // window * window, song.tokens_done)
            songs.append(song)
        self.songs.clear()
        self.prefix_sec_per_token = 0.0
        return songs


def arrivals(
    model: str, demand: Demand, until: float, rng: random.Random, *, begin: float = 0.0
) -> Iterator[SimulatedSong]:
    """Songs of a Poisson process whose rate changes over the day, by thinning."""
    most = demand.songs_per_day / 86_400.0 * (1.0 + demand.swing)
    lengths, shares = zip(*demand.lengths.items(), strict=True)
    now = 0.0
    while (now := now + rng.expovariate(most)) < until:
        if rng.random() * most < songs_per_sec(demand, begin + now):
            is_draft = rng.random() < demand.draft_share
            work = song_work(model, rng.choices(lengths, shares)[0], is_draft=is_draft)
            yield SimulatedSong(arrived_at=now, levels=deque(work.items()))
