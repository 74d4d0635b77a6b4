"""A whole job on a pretended clock: each part takes what it is said to take, without computing."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np

from jobs.forecast import PartKind, song_costs
from jobs.model_figures import ModelSpeed
from jobs.record.job import Job, JobStatus, Stage, new_job_id
from jobs.record.request import JobRequest
from jobs.record.songs import complete_request, plan_request
from jukebox_core.engine.level_run import LevelRun
from jukebox_core.units import Level
from worker.device.works import SliceTime
from worker.lease.progress import StageProgress

BEAT_SEC = 1.0
STEPS_AT_ONCE = 32
END_SHARE = 0.95


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What things take: seconds.

    step     of one row of each level, `row_share` more for each further one of `rows` together
    window   to begin a window of a level, and `read_share` steps for each token that it reads
    others   the parts of a job besides its tokens, by kind and level
    """

    step: dict[Level, float]
    window: dict[Level, float]
    others: dict[tuple[PartKind, str | None], float]
    rows: dict[Level, int]
    row_share: float = 0.05
    read_share: float = 0.2

    def slowed(self, factor):
        """The same machine with others at work on it."""
        return Machine(
            step={level: factor * seconds for level, seconds in self.step.items()},
            window={level: factor * seconds for level, seconds in self.window.items()},
            others={part: factor * seconds for part, seconds in self.others.items()},
            rows=self.rows,
            row_share=self.row_share,
            read_share=self.read_share,
        )


def planned_job(config, *, prompt_tokens=None, infills=None, **wanted):
    """A job as the API accepts it, and its plan."""
    values = {"model": config.name, "artist": "a", "genre": "g", "lyrics": "la la la", "seed": 1}
    job_fields = {
        name: wanted.pop(name) for name in ("parent_id", "prompt_audio_name") if name in wanted
    }
    request = JobRequest(**(values | wanted))
    duration_sec = request.duration_seconds
    request = complete_request(request, config, duration_sec, None)
    planned = plan_request(
        request,
        config,
        duration_sec=duration_sec,
        prompt_tokens=prompt_tokens or {},
        infills=infills,
    )
    job = Job(
        id=new_job_id(),
        status=JobStatus.RUNNING,
        request=request,
        labels={},
        plan=planned.level_plans(),
        stage=Stage(request.levels[0]),
        created_at=datetime.now(UTC),
        duration_sec=duration_sec,
        **job_fields,
    )
    return job, planned


@dataclass
class PretendedSong:
    """Runs a job on a `Machine`; `looks` are (seconds, value, seconds left) at every heartbeat.

    Everything takes `slowness(now)` times as long as the machine says.
    """

    job: Job
    planned: object
    machine: Machine
    speed: ModelSpeed
    rates: dict = field(default_factory=dict)
    slowness: Callable[[float], float] = lambda _now: 1.0
    now: float = 0.0
    looks: list = field(default_factory=list)

    def run(self):
        """From the claim to the end."""
        self.progress = StageProgress(self.job, clock=lambda: self.now)
        self.costs = song_costs(self.planned, self.job, self.rates, self.speed)
        costs = self.costs
        self.progress.set_works(costs.tokens, costs.unit_sec, costs.parts, costs.beginnings)
        self._do(PartKind.PROMPT, None)
        for level, plan in self.planned.plan.levels.items():
            self._draw(level, plan)
            for kind in (PartKind.SOUND, PartKind.FILES, PartKind.LYRIC_TIMES):
                self._do(kind, level.label)
        self._pass(self.machine.others.get((PartKind.RENDERING, None), 0.0))
        self.progress.set_rendered(1.0)
        self._look()
        return self

    def largest_error(self, *, from_sec=60.0):
        """Of what was said to be left, as a part of what was, but for the very end."""
        total = self.looks[-1][0]
        errors = [0.0]
        for at, _, told in self.looks[:-1]:
            if from_sec <= at < END_SHARE * total:
                errors.append(abs(told / (total - at) - 1.0))
        return max(errors)

    def _do(self, kind, level):
        seconds = self.machine.others.get((kind, level), 0.0)
        time = SliceTime(clock=lambda: self.now)
        if seconds:
            self.progress.parts.watch(kind, level, time)
            with time:
                self._pass(seconds)
        self.progress.parts.end(kind, level)

    def _draw(self, level, plan):
        rows = self.costs.levels[level].num_rows
        run = LevelRun(level, plan, np.zeros((rows, plan.total_tokens), dtype=np.int64))
        work = self.costs.levels[level]
        self.progress.watch(
            level.label,
            lambda: self.progress._levels[level.label],
            lambda: run.sampled_work(work),
        )
        if run.is_done:
            return
        self._pass(self.machine.others.get((PartKind.LOADING, level.label), 0.0))
        waiting, running = deque(run.segments), []
        room = self.machine.rows[level]
        while waiting or running:
            while waiting and (not running or (len(running) + 1) * rows <= room):
                running.append(self._begun(level, waiting.popleft(), rows))
            self._step(level, running, rows, room)
            for segment in [each for each in running if _is_there(each)]:
                running.remove(segment)
                window = segment.next_sampled
                segment.take(np.zeros((rows, window.num_new), dtype=np.int64))
                if not segment.is_done:
                    waiting.append(segment)

    def _begun(self, level, segment, rows):
        window = segment.next_sampled
        segment.begin(tuple(SimpleNamespace(num_sampled=0) for _ in range(rows)))
        reading = self.machine.read_share * self.machine.step[level] * window.num_prefix
        self._pass(rows * (self.machine.window[level] + reading))
        for sequence in segment.at[1]:
            sequence.num_sampled = 1
        return segment

    def _step(self, level, running, rows, room):
        """Some steps of all windows that run; more rows than there is room for take turns."""
        left = min(each.next_sampled.num_new - each.at[1][0].num_sampled for each in running)
        steps = min(left, STEPS_AT_ONCE)
        turns, rest = divmod(rows * len(running), room)
        one = turns * (1.0 + self.machine.row_share * (room - 1))
        one += 1.0 + self.machine.row_share * (rest - 1) if rest else 0.0
        self._pass(steps * one * self.machine.step[level])
        for segment in running:
            for sequence in segment.at[1]:
                sequence.num_sampled += steps

    def _pass(self, seconds):
        until = self.now + self.slowness(self.now) * seconds
        while (beat := (self.now // BEAT_SEC + 1) * BEAT_SEC) <= until:
            self.now = beat
            self._look()
        self.now = until

    def _look(self):
        now = self.progress.snapshot()
        self.looks.append((self.now, now.value, now.seconds_left))


def _is_there(segment):
    return segment.at[1][0].num_sampled >= segment.next_sampled.num_new
