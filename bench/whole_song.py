"""How long does a whole song take through the service, what memory, and is its forecast true?

`python -m bench.whole_song DIRECTORY --seconds 6`. One job from `POST /jobs` to its files, by an
API and a worker of its own with their ordinary settings (`JUKEBOX_...` in the environment are
taken over). `bench.model write` writes a directory of released size.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.linux import cpu_name, resident_memory_of
from bench.report import print_table, tell
from cli.local.signals import StopSignals
from cli.local.stack import StackSettings, free_port, running_stack
from jukebox_client import Job, JukeboxClient
from jukebox_core.config import JukeboxConfig
from jukebox_core.models.catalog import locate_model, read_config
from jukebox_core.sampling.cascade import default_song_duration_sec, plan_song
from jukebox_core.sampling.song_plan import SongPlan
from jukebox_core.sampling.step_cost import LevelWork, StepCosts
from jukebox_core.song import Song, Speed
from jukebox_core.units import COARSE_TO_FINE, Level

LYRICS = "The river runs beside the road and carries every word away"
_POLL_SEC = 0.5
_TOLD_SEC = 20.0
_MEASURED_FROM_SEC = 60.0
"""From here on the forecast has to be right."""
_END_SHARE = 0.95
"""What is left of a song at its end is too little to compare a forecast with."""


@dataclass(frozen=True, slots=True)
class Look:
    """A job and its worker at one moment, `at_sec` after the request."""

    at_sec: float
    value: float
    eta_sec: float | None
    level: str | None
    memory: Mapping[str, int]


@dataclass(slots=True)
class Watched:
    """A job while it runs, and what came of it."""

    looks: list[Look] = field(default_factory=list)
    first_token_sec: float | None = None
    seconds: float = 0.0
    job: Job | None = None

    @property
    def peak(self) -> Mapping[str, int]:
        """The memory of the worker where most of it was resident."""
        return max((look.memory for look in self.looks), key=lambda each: each.get("VmRSS", 0))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure; print tables, and the same as JSON in the last line."""
    options = _parser().parse_args(arguments)
    model_dir = locate_model(options.model)
    config = read_config(model_dir)
    with tempfile.TemporaryDirectory(prefix="jukebox-song") as name:
        settings = StackSettings(
            data_dir=Path(name), models_dir=model_dir.resolve().parent, port=free_port()
        )
        with running_stack(settings, StopSignals()) as stack, JukeboxClient(stack.url) as client:
            watched = watch_job(client, request_of(model_dir.name, options), options.limit)
    figures = figures_of(watched, config, options)
    print_table(figures["levels"])
    print_table(figures["forecast"])
    tell({"machine": cpu_name(), "cores": len(os.sched_getaffinity(0)), **figures})


def request_of(model: str, options: argparse.Namespace) -> dict[str, Any]:
    """The body of `POST /jobs`."""
    return {
        "model": model,
        "artist": "artist1",
        "genre": "genre1",
        "lyrics": LYRICS,
        "duration_seconds": options.seconds,
        "seed": 1,
        "speed": options.speed,
    }


def watch_job(client: JukeboxClient, request: Mapping[str, Any], limit_sec: float) -> Watched:
    """Post a job and look at it until it ends, or until `limit_sec` are over."""
    watched, worker = Watched(), worker_pid()
    started = time.monotonic()
    job_id = client.create_job(request).id
    told_sec = 0.0
    while watched.seconds < limit_sec:
        job = client.get_job(job_id)
        watched.seconds, watched.job = time.monotonic() - started, job
        progress = job.progress
        look = Look(
            at_sec=watched.seconds,
            value=progress.value,
            eta_sec=job.eta_seconds,
            level=progress.level,
            memory=resident_memory_of(worker),
        )
        watched.looks.append(look)
        if watched.first_token_sec is None and any(level.tokens_done for level in progress.levels):
            watched.first_token_sec = watched.seconds
        if job.completed_at is not None:
            break
        if watched.seconds >= told_sec:
            print(_line_of(look), file=sys.stderr, flush=True)
            told_sec += _TOLD_SEC
        time.sleep(_POLL_SEC)
    return watched


def worker_pid() -> int:
    """The worker among the children of this process. Raises RuntimeError if there is none."""
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, children.read_text().split()):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"worker" in command:
                return pid
    raise RuntimeError("no worker was started by this process")


def figures_of(
    watched: Watched, config: JukeboxConfig, options: argparse.Namespace
) -> dict[str, Any]:
    """Levels, forecast and memory of a watched job."""
    job = watched.job
    if job is None:
        raise RuntimeError("the job was never seen: --limit is too short")
    rows = level_rows(job, config, options)
    total_sec = watched.seconds if job.status == "succeeded" else None
    peak, last = watched.peak, watched.looks[-1].memory
    return {
        "model": config.name,
        "song_seconds": options.seconds,
        "speed": options.speed,
        "status": job.status,
        "seconds": round(watched.seconds, 1),
        "first_token_seconds": _rounded(watched.first_token_sec),
        "first_eta_seconds": _rounded(
            next((look.at_sec for look in watched.looks if look.eta_sec is not None), None)
        ),
        "levels": rows,
        "peak_resident_gb": _gb(max(peak.get("VmHWM", 0), last.get("VmHWM", 0))),
        "of_its_own_gb": _gb(peak.get("RssAnon", 0)),
        "of_mapped_files_gb": _gb(peak.get("RssFile", 0)),
        "forecast": [] if total_sec is None else forecast_rows(watched.looks, total_sec),
        **({} if total_sec is None else errors_of(watched.looks, total_sec)),
        "files": [output.level for output in job.outputs],
        f"predicted_seconds_of_{options.predict:g}_s": predicted_sec(rows),
    }


def level_rows(
    job: Job, config: JukeboxConfig, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Each level: what it took, and what a song of `--predict` seconds takes by the same steps."""
    plan = plan_of(config, options.seconds, options.speed)
    longer = plan_of(config, options.predict, options.speed)
    rows = []
    for level in COARSE_TO_FINE:
        segments = plan.levels[level].segments
        work = level_work(config, plan, level)
        row: dict[str, Any] = {
            "level": level.label,
            "tokens": plan.levels[level].total_tokens,
            "segments": len(segments),
            "steps": steps_of(plan, level),
        }
        metrics = job.metrics.levels.get(level.label)
        if metrics is not None:
            ahead = longer.levels[level].total_work(level_work(config, longer, level))
            row |= {
                "seconds": round(metrics.seconds, 1),
                "tokens_per_second": round(metrics.tokens_per_second, 1),
                "ms_per_step": round(1e3 * metrics.seconds / row["steps"], 1),
                "predicted_seconds": round(
                    metrics.seconds * ahead / plan.levels[level].total_work(work), 1
                ),
            }
        rows.append(row)
    return rows


def steps_of(plan: SongPlan, level: Level) -> int:
    """Tokens that the longest segment draws, warm-up included."""
    segments = plan.levels[level].segments
    return max(
        sum(segment.drawn(number).num_new for number in range(len(segment.windows)))
        for segment in segments
    )


def level_work(config: JukeboxConfig, plan: SongPlan, level: Level) -> LevelWork:
    """The model of costs, for one take."""
    return LevelWork(
        costs=StepCosts.of(config.prior(level)),
        unit=1.0,
        num_rows=1,
        num_segments=len(plan.levels[level].segments),
    )


def plan_of(config: JukeboxConfig, seconds: float, speed: str) -> SongPlan:
    """As the service plans it."""
    song = Song(
        artist="",
        genre="",
        lyrics="",
        duration_sec=seconds,
        song_duration_sec=default_song_duration_sec(config, seconds, 0.0),
        speed=Speed(speed),
    )
    return plan_song(config, song, padded=True)


def predicted_sec(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Of all levels one after the other; None unless all were measured."""
    if not all("predicted_seconds" in row for row in rows):
        return None
    return float(round(sum(row["predicted_seconds"] for row in rows), 1))


def forecast_rows(looks: Sequence[Look], total_sec: float) -> list[dict[str, Any]]:
    """What was forecast at some moments, beside what was so."""
    wanted = [10.0, 30.0, *(60.0 * n for n in range(1, int(total_sec // 60.0) + 1))]
    rows = []
    for moment in [each for each in wanted if each < total_sec]:
        look = min(looks, key=lambda each: abs(each.at_sec - moment))
        left = total_sec - look.at_sec
        rows.append(
            {
                "at_seconds": round(look.at_sec, 1),
                "level": look.level,
                "progress": round(look.value, 3),
                "share_of_time": round(look.at_sec / total_sec, 3),
                "eta_seconds": look.eta_sec,
                "was_left": round(left, 1),
                "error": None if look.eta_sec is None else round(look.eta_sec / left - 1.0, 3),
                "resident_gb": _gb(look.memory.get("VmRSS", 0)),
            }
        )
    return rows


def errors_of(looks: Sequence[Look], total_sec: float) -> dict[str, float | None]:
    """The largest error of the forecast from the first minute on, of the time that was left, and
    that of the progress, of the whole time.
    """
    late = [e for e in looks if _MEASURED_FROM_SEC <= e.at_sec < _END_SHARE * total_sec]
    etas = [
        abs(look.eta_sec / (total_sec - look.at_sec) - 1.0)
        for look in late
        if look.eta_sec is not None
    ]
    return {
        "largest_eta_error": round(max(etas), 3) if etas else None,
        "largest_progress_error": round(
            max((abs(e.value - e.at_sec / total_sec) for e in looks), default=0.0), 3
        ),
    }


def _line_of(look: Look) -> str:
    resident = _gb(look.memory.get("VmRSS", 0))
    return (
        f"{look.at_sec:6.1f} s  {100 * look.value:5.1f} %  {look.level or '-':<7}"
        f" eta {look.eta_sec}  {resident} GB"
    )


def _rounded(sec: float | None) -> float | None:
    return None if sec is None else round(sec, 1)


def _gb(num_bytes: int) -> float:
    return round(num_bytes / 1e9, 2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.whole_song", description=__doc__)
    parser.add_argument("model", type=Path, help="directory, or mini")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of the song")
    parser.add_argument("--predict", type=float, default=20.0, help="length of a song to predict")
    parser.add_argument("--speed", choices=list(Speed), default=Speed.PARALLEL)
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds; then told as it is")
    return parser


if __name__ == "__main__":
    main()
