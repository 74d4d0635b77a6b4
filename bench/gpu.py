"""What is this GPU worth? Everything that ten minutes on one can tell, in one go.

`python -m bench.gpu` runs the tests that need a device, then measures: limits of the device, steps
of priors of released size with random weights in half precision (plain, captured as graphs, with
the kernels of this project), and from these a minute of 5b_lyrics. Each part is a process with a
budget of time, and is ended when it takes longer; what it has found by then is in the file of
results, a line of JSON each. A table comes at the end, also after Ctrl-C; `--show FILE` makes it
again. Without a GPU, or with `--device cpu`, a small form runs with tiny models in a minute.
"""

import argparse
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.commands import add_parts
from bench.machine import kernel_boundary, machine_limits, median_seconds
from bench.priors import PRIORS, random_prior
from bench.report import print_table, significant, tell
from bench.steps import engine_run, label_rows, summary, upper_code_rows, ways_on
from jukebox_core.config import JukeboxConfig
from jukebox_core.models.released import released_config
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.cascade import default_song_duration_sec, plan_song
from jukebox_core.sampling.song_plan import SongPlan
from jukebox_core.song import Song, Speed
from jukebox_core.tiny import tiny_config
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE

Row = dict[str, Any]
ROOT = Path(__file__).parents[1]
MINUTE_MODEL = "5b_lyrics"
BUDGETS = {
    "machine": 20,
    "upsampler": 90,
    "1b_lyrics": 90,
    "5b_lyrics": 120,
    "sound": 30,
    "tests": 200,
}
"""The parts, in their order, with seconds of ten minutes. What one leaves is shared by the rest."""
_SOUND_SEC = 10.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts, print the tables, and the same as JSON in the last line."""
    options = _parser().parse_args(arguments)
    if options.run_part is not None:
        device = torch.device(options.device)
        for row in _PARTS[options.run_part](device):
            write(options.results, {"part": options.run_part, **row})
        return
    if options.show is None:
        options.results.unlink(missing_ok=True)
        previous = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
        try:
            run_parts(options.parts, options.device, 60.0 * options.minutes, options.results)
        except KeyboardInterrupt:
            print("interrupted; this is what was found by then")
        finally:
            signal.signal(signal.SIGTERM, previous)
    show(read(options.show or options.results))


def run_parts(parts: Sequence[str], device: str, seconds: float, results: Path) -> None:
    """Run each part as a process; `results` has its rows, and one with `status` at its end."""
    deadline = time.monotonic() + seconds
    for number, part in enumerate(parts):
        shares = [BUDGETS[each] for each in parts[number:]]
        budget_sec = max(deadline - time.monotonic(), 0.0) * shares[0] / sum(shares)
        print(f"{part}: at most {budget_sec:.0f} s", flush=True)
        command = ["-m", "bench.gpu", "--run-part", part, "--device", device]
        command = [sys.executable, *command, "--results", str(results)]
        ended: Row = {"status": "interrupted"}
        try:
            ended = run_for(command, budget_sec)
        finally:
            write(results, {"part": part, **ended})


def run_for(command: Sequence[str], budget_sec: float) -> Row:
    """Run a command for so long at most; it and its children are ended then, and on Ctrl-C."""
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            returncode: int | None = process.wait(budget_sec)
        except subprocess.TimeoutExpired:
            returncode = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        log.seek(0)
        lines = log.read().splitlines()
    ended = {"seconds": round(time.monotonic() - started, 1)}
    if returncode is None:
        return {"status": "out of time", **ended}
    if returncode:
        return {"status": "failed", **ended, "log": lines[-8:]}
    return {"status": "done", **ended}


def write(results: Path, row: Row) -> None:
    """Add a line to the file, whole or not at all."""
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read(results: Path) -> list[Row]:
    """The lines of a file; none if it is not there."""
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    return [json.loads(line) for line in lines]


# ---- the parts, each in a process of its own ----


def measure_machine(device: torch.device) -> Iterator[Row]:
    """What the device is, and its limits."""
    yield machine_limits(device) if is_large(device) else machine_limits(device, num_bytes=2**26)
    yield kernel_boundary(device)


def run_tests(device: torch.device) -> Iterator[Row]:
    """The tests that need a device; without one all are skipped."""
    folders = ["tests"] if is_large(device) else ["tests/prior/test_gpu.py"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
        subprocess.run([*command, f"--junitxml={report}", *folders], cwd=ROOT, check=False)
        suite = next(ElementTree.parse(report).iter("testsuite"))
    failed = [
        f"{case.get('classname')}.{case.get('name')}"
        for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "skipped")}
    passed = counts["tests"] - counts["skipped"] - len(failed)
    yield {"passed": passed, "failed": len(failed), "skipped": counts["skipped"], "which": failed}


def measure_prior(name: str, device: torch.device) -> Iterator[Row]:
    """Steps of each number of rows, every way to compute them; then how long windows begin for."""
    config = model_config(PRIORS[name][0], device).prior(PRIORS[name][1])
    prior = random_prior(config, device, "fp16" if is_large(device) else "fp32")
    num_tokens = 200 if is_large(device) else 8
    for prefix in (0, config.context_tokens // 2):
        begin_sec = _begin_sec(prior, prefix, device)
        yield {"prior": name, "prefix": prefix, "begin_ms": round(1e3 * begin_sec, 3)}
    for num_rows in (1, 8, 32) if is_large(device) else (1, 8):
        for way in ways_on(prior, device):
            try:
                run = engine_run(prior, num_rows, num_tokens, way=way)
                yield summary(name, prior, num_rows, way, [run])
            except torch.OutOfMemoryError:
                yield {"prior": name, "batch": num_rows, "step": way.name, "warnings": "no memory"}


@torch.inference_mode()
def _begin_sec(prior: JukeboxPrior, prefix: int, device: torch.device) -> float:
    """Seconds until the first logits of a window: conditioning, and the pass over its prefix."""
    labels, upper = label_rows(prior.config, 1).to(device), upper_code_rows(prior.config, 1)
    upper = None if upper is None else upper.to(device)
    cache, slots = prior.allocate_cache(1), torch.zeros(1, dtype=torch.int64, device=device)
    codes = torch.zeros(1, prefix, dtype=torch.int64, device=device)
    return median_seconds(
        lambda: prior.prefill(codes, prior.condition(labels, upper), cache, slots),
        device,
        repeats=2,
    )


@torch.inference_mode()
def measure_sound(device: torch.device) -> Iterator[Row]:
    """What a second of sound of the finest level takes."""
    config = model_config(MINUTE_MODEL, device)
    vqvae = JukeboxVQVAE(config.vqvae).to(device).eval()
    seconds = _SOUND_SEC if is_large(device) else 1.0
    num_tokens = config.time_base.seconds_to_tokens(seconds, Level.BOTTOM)
    codes = torch.zeros(1, num_tokens, dtype=torch.int64, device=device)
    spent = median_seconds(lambda: vqvae.decode_chunked(codes, Level.BOTTOM), device, repeats=2)
    yield {"sound_sec_per_sec": significant(spent / seconds)}


_PARTS: Mapping[str, Callable[[torch.device], Iterator[Row]]] = {
    "machine": measure_machine,
    **{name: partial(measure_prior, name) for name in PRIORS},
    "sound": measure_sound,
    "tests": run_tests,
}


def is_large(device: torch.device) -> bool:
    """Whether models of released size are measured, and not tiny ones."""
    return device.type == "cuda"


def model_config(model: str, device: torch.device) -> JukeboxConfig:
    """A released model, or a tiny one in its place."""
    return released_config(model) if is_large(device) else tiny_config()


# ---- what it comes to ----


def show(rows: Sequence[Row]) -> None:
    """Tables for people, and everything in the last line."""
    steps = compare_steps(rows)
    minutes = predict_minutes(rows)
    parts = [{"part": row["part"], "status": row["status"]} for row in rows if "status" in row]
    for table in (steps, minutes):
        if table:
            print_table(table)
            print()
    for row in rows:
        is_amiss = row.get("status") not in (None, "done") or row.get("warnings")
        if row["part"] in ("machine", "tests") or is_amiss:
            print(", ".join(f"{name} {value}" for name, value in row.items()))
    tell({"parts": parts, "steps": steps, "minutes": minutes, "rows": list(rows)})


def compare_steps(rows: Iterable[Row]) -> list[Row]:
    """Steps of each prior and batch: the share of the floor, and each way beside others.

    `times_plain` stands beside plain torch, and `times_torch_graph` of other backends beside
    graphs of torch.
    """
    steps = {(row["prior"], row["batch"], row["step"]): row for row in rows if "step_ms" in row}
    found = []
    for (prior, batch, step), row in steps.items():
        beside: Row = {}
        others = {"times_plain": "torch", "times_torch_graph": "torch graph"}
        for name, other in others.items():
            base = steps.get((prior, batch, other))
            beside[name] = None if base is None else round(base["step_ms"] / row["step_ms"], 2)
        names = ("tokens_per_sec", "step_ms", "floor_ms", "floor_share", "peak_mb")
        shown = {"prior": prior, "batch": batch, "step": step} | {n: row[n] for n in names}
        found.append(shown | beside | {"warnings": row["warnings"]})
    return found


def predict_minutes(rows: Sequence[Row]) -> list[Row]:
    """Seconds that a song of `MINUTE_MODEL` should take, for each way that all its priors have.

    Every level's steps at the number of rows that its segments make, the beginnings of all windows,
    and the sound. Both upsamplers take the same.
    """
    steps = {(row["prior"], row["batch"], row["step"]): row for row in rows if "step_ms" in row}
    begins = {(r["prior"], r["prefix"] > 0): r["begin_ms"] for r in rows if "prefix" in r}
    sound = next((row["sound_sec_per_sec"] for row in rows if "sound_sec_per_sec" in row), None)
    machine = next((row for row in rows if "device" in row), None)
    if sound is None or machine is None:
        return []
    device = torch.device(machine["device"])
    seconds = 60.0 if is_large(device) else 4.0
    found = []
    for speed in Speed:
        plan = song_plan(model_config(MINUTE_MODEL, device), seconds, speed)
        for step in dict.fromkeys(step for *_, step in steps):
            with contextlib.suppress(KeyError):
                levels = level_seconds(plan, steps, begins, step)
                total_sec = sum(levels.values()) + sound * seconds
                found.append(
                    {
                        "model": MINUTE_MODEL if is_large(device) else "tiny",
                        "music_seconds": seconds,
                        "speed": str(speed),
                        "step": step,
                        **{level: round(sec, 2) for level, sec in levels.items()},
                        "sound": round(sound * seconds, 2),
                        "predicted_seconds": round(total_sec, 2),
                    }
                )
    return found


def level_seconds(
    plan: SongPlan,
    steps: Mapping[tuple[str, int, str], Row],
    begins: Mapping[tuple[str, bool], float],
    step: str,
) -> dict[str, float]:
    """Seconds of each level. Raises KeyError if a step that it needs was not measured."""
    found = {}
    for level, level_plan in plan.levels.items():
        prior = MINUTE_MODEL if level is Level.TOP else "upsampler"
        works = [
            [segment.drawn(number) for number in range(len(segment.windows))]
            for segment in level_plan.segments
        ]
        batch = 1 if len(works) == 1 else 8
        longest = max(sum(window.num_new for window in windows) for windows in works)
        num_steps = longest * math.ceil(len(works) / batch)
        begin_ms = sum(
            begins[prior, window.num_prefix > 0] for windows in works for window in windows
        )
        found[level.label] = (num_steps * steps[prior, batch, step]["step_ms"] + begin_ms) / 1e3
    return found


def song_plan(config: JukeboxConfig, seconds: float, speed: Speed) -> SongPlan:
    """A song of so many seconds at the beginning of one at least three times as long."""
    whole_sec = max(default_song_duration_sec(config, seconds, 0.0), 3 * seconds)
    song = Song(
        artist="",
        genre="",
        lyrics="",
        duration_sec=seconds,
        song_duration_sec=whole_sec,
        speed=speed,
    )
    return plan_song(config, song, padded=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_parts(parser, BUDGETS)
    parser.add_argument("--minutes", type=float, default=10.0, help="in all")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--results", type=Path, default=Path("gpu-results.jsonl"))
    parser.add_argument("--show", type=Path, metavar="FILE", help="results of an earlier run")
    parser.add_argument("--run-part", choices=BUDGETS, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
