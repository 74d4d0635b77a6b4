"""The training loop: schedule, averages, accumulation, and runs that are broken off."""

import json
import signal
import subprocess
import sys

import pytest
import torch
from torch import nn

from jukebox_core.errors import TrainingError
from jukebox_core.training.board import BOARD_FOLDER
from jukebox_core.training.ema_weights import EmaWeights
from jukebox_core.training.loop import train
from jukebox_core.training.run_files import LOG_FILE, STATE_FILE, RunFiles
from jukebox_core.training.schedule import learning_rate_at
from jukebox_core.training.settings import Decay, Precision, TrainingSettings
from tests.training.codec_runs import codec_task, write_tones


class Line:
    """The smallest task: weights that should sum what they are given."""

    def __init__(self):
        torch.manual_seed(0)
        self.modules = nn.Linear(4, 1)
        self.exported = None
        self.batches = []

    def batch(self, step, micro, rank):
        self.batches.append((step, micro, rank))
        chance = torch.Generator().manual_seed(step * 100 + micro)
        x = torch.randn(8, 4, generator=chance)
        return {"x": x, "y": x.sum(dim=1, keepdim=True)}

    def loss(self, batch):
        loss = (self.modules(batch["x"]) - batch["y"]).square().mean()
        return loss, {"noise": torch.rand(())}

    def num_tokens(self, batch):
        return 8

    def after_step(self, step, batch):
        return {}

    def evaluate(self, step):
        return {"first_weight": self.modules.weight[0, 0].item()}

    def write_samples(self, step, directory):
        (directory / "sample.txt").write_text(str(step))

    def export(self, modules):
        self.exported = modules.weight.detach().clone()

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def settings(**changes):
    values = {"steps": 40, "batch_size": 8, "learning_rate": 0.05, "warmup_steps": 4}
    return TrainingSettings(**(values | {"log_every": 10, "save_every": 10} | changes))


def log_of(run_dir):
    """The log without what depends on the clock."""
    lines = [json.loads(line) for line in (run_dir / LOG_FILE).read_text().splitlines()]
    clock = ("tokens_per_sec", "seconds_left")
    return [{k: v for k, v in line.items() if k not in clock} for line in lines]


def test_the_learning_rate_rises_stays_and_falls_to_nothing():
    plan = settings(steps=100, learning_rate=1.0, warmup_steps=10, hold_fraction=0.5)
    assert learning_rate_at(0, plan) == pytest.approx(0.1)
    assert learning_rate_at(9, plan) == 1.0
    assert learning_rate_at(50, plan) == 1.0
    assert learning_rate_at(75, plan) == pytest.approx(0.5)
    assert learning_rate_at(100, plan) == 0.0


def test_it_may_fall_as_a_cosine_or_not_at_all():
    cosine = settings(steps=100, learning_rate=1.0, warmup_steps=0, decay="cosine")
    assert learning_rate_at(50, cosine) == pytest.approx(0.5)
    assert learning_rate_at(25, cosine) == pytest.approx((1 + 0.5**0.5) / 2)
    held = settings(steps=100, learning_rate=1.0, decay=Decay.NONE)
    assert learning_rate_at(99, held) == 1.0


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"learning_rate": 0.0}, {"ema_decay": 1.5}, {"accumulate": 0}]
)
def test_settings_that_make_no_sense_are_refused_by_name(wrong):
    with pytest.raises(TrainingError, match=next(iter(wrong))):
        settings(**wrong)


def test_settings_come_back_from_json():
    plan = settings(betas=(0.8, 0.9), precision=Precision.BF16, decay=Decay.COSINE)
    assert TrainingSettings.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_averaged_weights_follow_the_formula_and_stand_in_for_a_while():
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(1.0)
    ema = EmaWeights(module, decay=0.5)
    for step, weight in ((98, 3.0), (99, 5.0)):
        with torch.no_grad():
            module.weight.fill_(weight)
        ema.update(module, step)
    with ema.in_place(module):
        assert module.weight.item() == pytest.approx(((1 + 3) / 2 + 5) / 2)
    assert module.weight.item() == 5.0
    assert ema.state_dict()["weight"].item() == pytest.approx(3.5)


def test_the_first_averages_forget_the_random_beginning():
    module = nn.Linear(1, 1, bias=False)
    ema = EmaWeights(module, decay=0.999)
    with torch.no_grad():
        before = module.weight.item()
        module.weight.fill_(7.0)
    ema.update(module, 0)
    assert ema.state_dict()["weight"].item() == pytest.approx(0.1 * before + 0.9 * 7)


def test_a_run_learns_logs_samples_and_exports(tmp_path):
    task = Line()
    result = train(
        task, settings(steps=200, sample_every=100, evaluate_every=100, ema_decay=0.9), tmp_path
    )
    assert result.finished
    assert result.loss < 1e-3
    assert task.exported is not None
    torch.testing.assert_close(task.exported, torch.ones(1, 4), atol=0.02, rtol=0)
    lines = log_of(tmp_path)
    assert [line["step"] for line in lines] == list(range(10, 201, 10))
    assert "held_out_first_weight" in lines[9]
    assert "held_out_first_weight" not in lines[8]
    assert (tmp_path / "samples/step_0000100/sample.txt").read_text() == "100"


def test_two_half_batches_make_the_step_of_a_whole_one(tmp_path):
    class Halves(Line):
        def batch(self, step, micro, rank):
            whole = super().batch(step, 0, rank)
            return {name: x[micro * 4 : micro * 4 + 4] for name, x in whole.items()}

    whole, halves = Line(), Halves()
    train(whole, settings(steps=5), tmp_path / "whole")
    train(halves, settings(steps=5, accumulate=2), tmp_path / "halves")
    torch.testing.assert_close(whole.exported, halves.exported)


def test_a_run_that_is_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    plan = settings(ema_decay=0.9)
    whole, parts = Line(), Line()
    train(whole, plan, tmp_path / "whole")
    asked = iter([False] * 16 + [True])
    stopped = train(parts, plan, tmp_path / "parts", should_stop=lambda: next(asked))
    assert (stopped.step, stopped.finished) == (17, False)
    assert parts.exported is not None
    assert not torch.equal(whole.exported, parts.exported)
    parts = Line()
    train(parts, plan, tmp_path / "parts")
    assert parts.batches[0] == (17, 0, 0)
    assert torch.equal(whole.exported, parts.exported)
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "parts")


def test_a_run_stops_when_its_time_is_over(tmp_path):
    task = Line()
    result = train(task, settings(steps=100_000), tmp_path, max_seconds=0.2)
    assert not result.finished
    assert torch.equal(task.exported, task.modules.weight)
    assert RunFiles(tmp_path).load_state()["step"] == result.step


def test_every_step_is_told_from_the_first_that_is_missing(tmp_path):
    steps = []
    train(Line(), settings(), tmp_path, max_seconds=0.0, on_step=steps.append)
    assert steps == [0, 1]
    train(Line(), settings(), tmp_path, on_step=steps.append)
    assert steps[2:] == list(range(1, 41))


def test_the_end_may_be_brought_nearer_when_a_run_goes_on(tmp_path):
    train(Line(), settings(steps=1000), tmp_path, max_seconds=0.0)
    result = train(Line(), settings(steps=20), tmp_path)
    assert (result.step, result.finished) == (20, True)
    assert log_of(tmp_path)[-1]["lr"] == pytest.approx(0.05 / 16)


def test_a_run_with_other_settings_is_not_gone_on_with(tmp_path):
    train(Line(), settings(), tmp_path, max_seconds=0.0)
    with pytest.raises(TrainingError, match=r"learning_rate was 0\.05 and is now 0\.1"):
        train(Line(), settings(learning_rate=0.1), tmp_path)
    assert train(Line(), settings(learning_rate=0.1), tmp_path, resume=False).finished


def test_half_a_line_in_the_log_is_forgotten(tmp_path):
    train(Line(), settings(), tmp_path, max_seconds=0.0)
    with (tmp_path / LOG_FILE).open("a") as file:
        file.write('{"step": 10, "lo')
    train(Line(), settings(), tmp_path)
    assert [line["step"] for line in log_of(tmp_path)] == [10, 20, 30, 40]


def test_a_state_that_cannot_be_read_is_told_about(tmp_path):
    (tmp_path / STATE_FILE).write_bytes(b"no state")
    with pytest.raises(TrainingError, match=STATE_FILE):
        train(Line(), settings(), tmp_path)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    class Broken(Line):
        def loss(self, batch):
            return super().loss(batch)[0] * float("nan"), {}

    with pytest.raises(TrainingError, match="not a number at step 10"):
        train(Broken(), settings(), tmp_path)


def test_bfloat16_trains_too(tmp_path):
    assert train(Line(), settings(steps=100, precision="bf16"), tmp_path).loss < 0.01


def test_a_killed_run_continued_gives_the_losses_of_one_that_was_not(tmp_path):
    data_dir = write_tones(tmp_path / "songs")
    values = {
        "steps": 12, "batch_size": 2, "warmup_steps": 2, "log_every": 1, "save_every": 3,
        "evaluate_every": 0, "ema_decay": 0.9, "threads": 1,
    }  # fmt: skip
    plan = TrainingSettings.from_dict(values)
    task = codec_task(data_dir, tmp_path, plan)
    task.export = lambda modules: None
    train(task, plan, tmp_path / "whole")

    killed = tmp_path / "killed"
    arguments = [str(data_dir), str(tmp_path), str(killed), json.dumps(plan.to_dict())]
    command = [sys.executable, "-m", "tests.training.codec_runs", *arguments]
    first = subprocess.run([*command, "5"], check=False, timeout=600)
    assert first.returncode == -signal.SIGKILL
    assert [line["step"] for line in log_of(killed)] == [1, 2, 3, 4, 5]
    subprocess.run(command, check=True, timeout=600)
    assert log_of(killed) == log_of(tmp_path / "whole")


def test_tensorboard_gets_the_figures_where_it_is_installed(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(Line(), settings(), tmp_path)
    board = EventAccumulator(str(tmp_path / BOARD_FOLDER)).Reload()
    points = [(point.step, point.value) for point in board.Scalars("loss")]
    logged = [(line["step"], pytest.approx(line["loss"])) for line in log_of(tmp_path)]
    assert points == logged
