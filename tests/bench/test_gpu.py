"""The script for a GPU runs in its small form, keeps to its time, and tells what it has so far."""

import signal
import subprocess
import sys
import time

import pytest

from bench import gpu
from bench.priors import PRIORS
from jukebox_core.song import Speed
from jukebox_core.tiny import tiny_config
from tests.bench.last_line import last_line

pytestmark = pytest.mark.nightly("bench")
# In the small form both tops are the same tiny one.
RUN_FOR = gpu.run_for
PARTS = [part for part in gpu.BUDGETS if part != "1b_lyrics"]


def run_here(command, budget_sec):
    """Parts in this process, but for one: each interpreter takes seconds to begin."""
    if "machine" in command:
        return RUN_FOR(command, 600.0)
    gpu.main(command[command.index("bench.gpu") + 1 :])
    return {"status": "done", "seconds": 0.0}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    results = tmp_path_factory.mktemp("gpu") / "results.jsonl"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(gpu, "run_for", run_here)
        told = last_line(gpu.main, *PARTS, "--device", "cpu", "--results", results)
    assert gpu.read(results) == told["rows"]
    assert last_line(gpu.main, "--show", results) == told
    return told


def test_every_part_is_done_and_has_its_rows(told):
    assert told["parts"] == [{"part": part, "status": "done"} for part in PARTS]
    rows = {row["part"]: row for row in told["rows"] if "status" not in row}
    assert set(rows) == set(PARTS)
    assert rows["tests"]["failed"] == rows["tests"]["passed"] == 0 < rows["tests"]["skipped"]
    assert rows["sound"]["sound_sec_per_sec"] > 0


def test_every_prior_and_batch_is_compared_with_plain_torch_and_the_floor(told):
    plain = [row for row in told["steps"] if row["step"] == "torch"]
    assert {(row["prior"], row["batch"]) for row in plain} == {
        (prior, n) for prior in ("upsampler", "5b_lyrics") for n in (1, 8)
    }
    for row in plain:
        assert row["times_plain"] == 1.0
        assert row["tokens_per_sec"] >= 0 < row["floor_share"]
        assert row["warnings"] == ""


def test_a_song_is_predicted_from_the_parts_at_both_speeds(told):
    found = {row["speed"]: row for row in told["minutes"] if row["step"] == "torch"}
    assert set(found) == {"exact", "parallel"}
    for row in found.values():
        parts = sum(row[name] for name in ("top", "middle", "bottom", "sound"))
        assert row["predicted_seconds"] == pytest.approx(parts, abs=0.05)


def test_a_level_takes_its_steps_and_the_beginnings_of_its_windows():
    step_ms = {("5b_lyrics", 1): 2.0, ("upsampler", 1): 1.0, ("upsampler", 8): 3.0}
    steps = {(*which, "torch"): {"step_ms": ms} for which, ms in step_ms.items()}
    begins = {(prior, has_prefix): 0.0 for prior in PRIORS for has_prefix in (False, True)}

    def seconds(speed):
        return gpu.level_seconds(gpu.song_plan(tiny_config(), 4.0, speed), steps, begins, "torch")

    assert seconds(Speed.EXACT) == {"top": 0.5, "middle": 1.0, "bottom": 4.0}
    assert seconds(Speed.PARALLEL)["bottom"] < 3 * 4.0 / 4  # fewer steps, of eight rows
    begins["upsampler", False] = 100.0  # one window of each level begins without a prefix
    assert seconds(Speed.EXACT) == pytest.approx({"top": 0.5, "middle": 1.1, "bottom": 4.1})


def test_graphs_stand_beside_plain_steps_and_other_backends_beside_graphs():
    rest = {"tokens_per_sec": 1.0, "floor_ms": 1.0, "floor_share": 1.0, "peak_mb": 1.0}
    rest |= {"prior": "upsampler", "batch": 1, "warnings": ""}
    times = {"torch": 8.0, "torch graph": 4.0, "triton graph": 2.0}
    rows = gpu.compare_steps([{**rest, "step": step, "step_ms": ms} for step, ms in times.items()])
    assert [(row["times_plain"], row["times_torch_graph"]) for row in rows] == [
        *((1.0, 0.5), (2.0, 1.0), (4.0, 2.0)),
    ]


def test_nothing_is_predicted_from_parts_that_are_missing(told):
    rows = [row for row in told["rows"] if row["part"] != "upsampler"]
    assert gpu.predict_minutes(rows) == []
    assert gpu.predict_minutes([]) == []


def test_a_part_that_takes_too_long_is_ended_with_its_children(tmp_path, monkeypatch):
    started, budget_sec = tmp_path / "pid", 3.0

    class Process(subprocess.Popen):
        """Its time is up when its own child runs."""

        def wait(self, timeout=None):
            if timeout != budget_sec:
                return super().wait(timeout)
            while not (started.exists() and started.read_text()):
                assert self.poll() is None
                time.sleep(0.02)
            raise subprocess.TimeoutExpired(self.args, timeout)

    monkeypatch.setattr(subprocess, "Popen", Process)
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', {!r}])"
    grandchild = f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); "
    command = [sys.executable, "-c", child.format(grandchild + "time.sleep(600)")]
    assert gpu.run_for(command, budget_sec)["status"] == "out of time"
    pid = started.read_text()
    deadline = time.monotonic() + 60.0  # it is killed, and ends when the kernel comes to it
    while _state(pid) not in ("", "Z") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _state(pid) in ("", "Z")


def _state(pid):
    told = subprocess.run(["ps", "-o", "stat=", pid], capture_output=True, text=True, check=False)
    return told.stdout[:1]


def test_a_part_that_fails_says_why():
    ended = gpu.run_for([sys.executable, "-c", "raise SystemExit('no such device')"], 60.0)
    assert (ended["status"], ended["log"]) == ("failed", ["no such device"])


def test_an_interrupted_run_still_shows_what_it_has(tmp_path, monkeypatch):
    def run_until_killed(command, budget_sec):
        if "upsampler" in command:
            signal.raise_signal(signal.SIGTERM)
        return {"status": "done", "seconds": 1.0}

    monkeypatch.setattr(gpu, "run_for", run_until_killed)
    parts = ("machine", "upsampler", "sound")
    told = last_line(gpu.main, *parts, "--device", "cpu", "--results", tmp_path / "results.jsonl")
    assert told["parts"] == [
        {"part": "machine", "status": "done"},
        {"part": "upsampler", "status": "interrupted"},
    ]
