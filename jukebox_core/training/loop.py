"""The training loop: accelerate runs it on a CPU, one GPU or several."""

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from jukebox_core.errors import TrainingError
from jukebox_core.training.board import Board
from jukebox_core.training.ema_weights import EmaWeights
from jukebox_core.training.processes import trains_on_cpu
from jukebox_core.training.progress import (
    Stopwatch,
    TrainingProgress,
    TrainingResult,
    Watcher,
)
from jukebox_core.training.run_files import RunFiles
from jukebox_core.training.schedule import learning_rate_at
from jukebox_core.training.settings import Precision, TrainingSettings
from jukebox_core.training.task import Batch, TrainingTask

STATE_VERSION = 1

_MIXED_PRECISION = {Precision.FP32: "no", Precision.BF16: "bf16", Precision.FP16: "fp16"}


def train(
    task: TrainingTask,
    settings: TrainingSettings,
    run_dir: Path,
    *,
    resume: bool = True,
    max_seconds: float | None = None,
    watch: Watcher | None = None,
    on_step: Callable[[int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> TrainingResult:
    """Train until the last step, and write the weights into the model directory.

    A run that is stopped before writes the weights that it has then, and its state, to be resumed.

    resume       go on with the run in `run_dir` if there is one: the losses are those of a run
                 that was never stopped. False begins anew and replaces it.
    max_seconds  stop after that time
    watch        called with every line of the log, in the main process
    on_step      called with the number of steps that are done: before the first and after each
    should_stop  asked after every step; True stops as `max_seconds` does

    Raises:
        TrainingError: the run in `run_dir` was begun with other settings, or the loss is no
            longer a number.
    """
    return _Run(task, settings, run_dir, watch, on_step).go(resume, max_seconds, should_stop)


class _LossModule(nn.Module):
    """The task's loss as a forward pass, which is what accelerate wraps for several devices."""

    def __init__(self, task: TrainingTask) -> None:
        super().__init__()
        self.trained = task.modules
        self._task = task

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        return self._task.loss(batch)


class _Run:
    """One call of `train`."""

    def __init__(
        self,
        task: TrainingTask,
        settings: TrainingSettings,
        run_dir: Path,
        watch: Watcher | None,
        on_step: Callable[[int], None] | None = None,
    ) -> None:
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.task, self.settings = task, settings
        self.files = RunFiles(run_dir)
        self._watch, self._on_step = watch, on_step
        # accelerate keeps the precision for the whole process, and another run may want another.
        AcceleratorState._reset_state()
        self.accelerator = Accelerator(
            cpu=trains_on_cpu(), mixed_precision=_MIXED_PRECISION[settings.precision]
        )
        task.modules.to(self.accelerator.device)
        self.ema = EmaWeights(task.modules, settings.ema_decay)
        trained = [weight for weight in task.modules.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(
            _decay_groups(trained, settings.weight_decay),
            lr=settings.learning_rate,
            betas=settings.betas,
            eps=settings.epsilon,
        )
        self.module, self.optimizer = self.accelerator.prepare(_LossModule(task), optimizer)
        self._trained = trained
        self._sums: dict[str, Tensor] = {}
        self._num_summed = 0
        self._stopwatch = Stopwatch()
        self._board = Board(None, 0)
        self._last_loss = float("nan")
        self._last_evaluation: Mapping[str, float] = {}

    def go(
        self,
        resume: bool,
        max_seconds: float | None,
        should_stop: Callable[[], bool] | None,
    ) -> TrainingResult:
        """All steps from the first, or from where the run was."""
        began = time.monotonic()
        first = self._resume() if resume else 0
        if self.accelerator.is_main_process:
            self.files.begin_log(first)
            self._board = Board(self.files.directory, first)
        self._stopwatch = Stopwatch()
        self.task.modules.train()
        self._tell_step(first)
        for step in range(first, self.settings.steps):
            self._step(step)
            done = step + 1
            self._between_steps(done)
            self._tell_step(done)
            out_of_time = max_seconds is not None and time.monotonic() - began >= max_seconds
            if done < self.settings.steps and self._agree(
                out_of_time or (should_stop is not None and should_stop())
            ):
                self._save(done)
                self._export()
                return self._result(done)
        self._export()
        return self._result(max(first, self.settings.steps))

    def _step(self, step: int) -> None:
        settings = self.settings
        rank = self.accelerator.process_index
        torch.manual_seed(_step_seed(settings.seed, step, rank))
        rate = learning_rate_at(step, settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        num_tokens = 0
        for micro in range(settings.accumulate):
            batch = self._to_device(self.task.batch(step, micro, rank))
            num_tokens += self.task.num_tokens(batch)
            last = micro == settings.accumulate - 1
            with nullcontext() if last else self.accelerator.no_sync(self.module):
                loss, metrics = self.module(batch)
                self.accelerator.backward(loss / settings.accumulate)
            self._add({"loss": loss.detach(), **metrics}, 1 / settings.accumulate)
        self.accelerator.unscale_gradients(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self._trained, settings.clip_norm or float("inf"))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.task.modules, step)
        self._add({"grad_norm": norm, **self.task.after_step(step, batch)})
        self._num_summed += 1
        self._stopwatch.count(num_tokens * self.accelerator.num_processes)

    def _between_steps(self, done: int) -> None:
        settings = self.settings
        last = done == settings.steps
        evaluation: Mapping[str, float] = {}
        if last or _is_due(done, settings.evaluate_every):
            evaluation = self._evaluate(done)
        if last or evaluation or _is_due(done, settings.log_every):
            self._log(done, evaluation)
        if _is_due(done, settings.sample_every):
            self._write_samples(done)
        if last or _is_due(done, settings.save_every):
            self._save(done)

    def _evaluate(self, done: int) -> Mapping[str, float]:
        began = time.monotonic()
        evaluation: Mapping[str, float] = {}
        if self.accelerator.is_main_process:
            with self.ema.in_place(self.task.modules), torch.no_grad():
                self.task.modules.eval()
                evaluation = self.task.evaluate(done)
                self.task.modules.train()
            self._last_evaluation = evaluation
        self.accelerator.wait_for_everyone()
        self._stopwatch.pause(time.monotonic() - began)
        return evaluation

    def _write_samples(self, done: int) -> None:
        began = time.monotonic()
        if self.accelerator.is_main_process:
            with self.ema.in_place(self.task.modules), torch.no_grad():
                self.task.modules.eval()
                self.task.write_samples(done, self.files.samples_of(done))
                self.task.modules.train()
        self.accelerator.wait_for_everyone()
        self._stopwatch.pause(time.monotonic() - began)

    def _log(self, done: int, evaluation: Mapping[str, float]) -> None:
        means = self._means()
        loss = means.pop("loss", self._last_loss)
        self._last_loss = loss
        tokens_per_sec, sec_per_step = self._stopwatch.look()
        if loss != loss:  # nan
            raise TrainingError(
                f"the loss is not a number at step {done}: resume from the last saved state with "
                "a lower learning rate, or in fp32"
            )
        progress = TrainingProgress(
            step=done,
            steps=self.settings.steps,
            loss=loss,
            metrics=means,
            evaluation=evaluation,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            tokens_per_sec=tokens_per_sec,
            seconds_left=sec_per_step * (self.settings.steps - done),
        )
        if self.accelerator.is_main_process:
            self.files.log(progress.to_dict())
            self._board.add(progress)
            if self._watch is not None:
                self._watch(progress)

    def _tell_step(self, done: int) -> None:
        if self._on_step is not None and self.accelerator.is_main_process:
            self._on_step(done)

    def _export(self) -> None:
        if self.accelerator.is_main_process:
            with self.ema.in_place(self.task.modules):
                self.task.modules.eval()
                self.task.export(self.task.modules)
        self.accelerator.wait_for_everyone()

    def _save(self, done: int) -> None:
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            self.files.save_state(
                {
                    "version": STATE_VERSION,
                    "step": done,
                    "settings": self.settings.to_dict(),
                    "modules": self.task.modules.state_dict(),
                    "optimizer": _inner(self.optimizer).state_dict(),
                    "ema": self.ema.state_dict(),
                    "task": self.task.state_dict(),
                    "scaler": scaler.state_dict() if scaler is not None else {},
                    "sums": self._sums,
                    "num_summed": self._num_summed,
                    "loss": self._last_loss,
                    "evaluation": dict(self._last_evaluation),
                }
            )
        self.accelerator.wait_for_everyone()

    def _resume(self) -> int:
        state = self.files.load_state()
        if state is None:
            return 0
        if state.get("version") != STATE_VERSION:
            raise TrainingError(
                f"{self.files.directory} holds a run of format {state.get('version')}; this "
                f"version resumes format {STATE_VERSION}"
            )
        self.settings.check_resume(TrainingSettings.from_dict(state["settings"]))
        try:
            self.task.modules.load_state_dict(state["modules"])
        except RuntimeError as error:
            raise TrainingError(
                f"the run in {self.files.directory} is of another model: {error}"
            ) from error
        _inner(self.optimizer).load_state_dict(state["optimizer"])
        self.ema.load_state_dict(state["ema"])
        self.task.load_state_dict(state["task"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self._sums = {name: self._to_own(value) for name, value in state["sums"].items()}
        self._num_summed = state["num_summed"]
        self._last_loss, self._last_evaluation = state["loss"], state["evaluation"]
        step: int = state["step"]
        return step

    def _result(self, done: int) -> TrainingResult:
        if self._num_summed:
            self._last_loss = self._means().get("loss", self._last_loss)
        return TrainingResult(
            step=done,
            finished=done >= self.settings.steps,
            loss=self._last_loss,
            evaluation=self._last_evaluation,
        )

    def _to_device(self, batch: Batch) -> Batch:
        return {name: self._to_own(tensor) for name, tensor in batch.items()}

    def _to_own(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.accelerator.device, non_blocking=True)

    def _add(self, figures: Mapping[str, Tensor], weight: float = 1.0) -> None:
        # Summed where they are: reading each step's figures would wait for the device.
        for name, value in figures.items():
            value = value.detach().float() * weight
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def _means(self) -> dict[str, float]:
        count = max(self._num_summed, 1)
        names = list(self._sums)
        values = torch.stack([self._sums[name].to(self.accelerator.device) for name in names])
        means = self.accelerator.reduce(values / count, reduction="mean")
        self._sums, self._num_summed = {}, 0
        return dict(zip(names, means.tolist(), strict=True))

    def _agree(self, stop: bool) -> bool:
        """Whether any process wants to stop: they must all stop at the same step."""
        if self.accelerator.num_processes == 1:
            return stop
        wishes = torch.tensor([float(stop)], device=self.accelerator.device)
        return bool(self.accelerator.reduce(wishes, reduction="sum").item() > 0)


def _decay_groups(weights: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices and kernels shrink; biases, gains and single vectors do not."""
    return [
        {"params": [w for w in weights if w.ndim >= 2], "weight_decay": weight_decay},
        {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
    ]


def _inner(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer without accelerate's wrapping, whose state is the same on any device."""
    inner: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inner


def _is_due(done: int, every: int) -> bool:
    return every > 0 and done % every == 0


def _step_seed(seed: int, step: int, rank: int) -> int:
    return (seed * 1_000_003 + step * 1_009 + rank) % 2**63
