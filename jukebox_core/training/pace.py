"""How long a step takes on this machine, and with how many CPU threads it takes least.

More threads are not always faster: with other work on the machine, threads that wait for each other
can take ten times as long as one. So it is measured, on a task that is thrown away afterwards.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from jukebox_core.training.settings import Precision, TrainingSettings
from jukebox_core.training.task import TrainingTask

MEASURED_STEPS = 2
"""After one that is not counted: it allocates memory and chooses kernels."""

_WORTH = 0.9
"""More threads are taken where a step takes at most this share of the time."""
_PROBE_NUMBERS = 2**18
_PROBE_SEC = 0.2
_DTYPES = {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}


@dataclass(frozen=True, slots=True)
class Pace:
    """`threads` CPU threads are the fastest number; a step takes `sec_per_step` with them."""

    threads: int
    sec_per_step: float


def measure_pace(
    task: TrainingTask,
    settings: TrainingSettings,
    device: torch.device,
    *,
    max_threads: int,
    clock: Callable[[], float] = time.perf_counter,
    probe: Callable[[int], float] | None = None,
) -> Pace:
    """Do a few steps of `task`, which must not be trained afterwards: its weights have changed.

    With `settings.threads` only that number is measured; on another device than a CPU only one
    thread. Otherwise 1, 2, 4 ... up to `max_threads`, as long as more are faster. Torch is left
    with the number that was chosen.

    Args:
        task: any task; a second one with the same arguments is the one to train.
        settings: of the run.
        device: where it will run.
        max_threads: the largest number that is tried.
        clock: seconds.
        probe: the time of small operations with some threads: a number that is no faster at
            these than one thread is not tried on the task, where it could take minutes.
    """
    probe = probe or _time_of_small_operations
    task.modules.to(device)
    steps = _Steps(task, settings, device, clock)
    if settings.threads or device.type != "cpu":
        threads = settings.threads or torch.get_num_threads()
        return Pace(threads, steps.measure(threads))
    best = Pace(1, steps.measure(1))
    alone_sec = probe(1) if max_threads > 1 else 0.0
    for threads in _candidates(max_threads):
        if probe(threads) >= alone_sec:
            break
        pace = Pace(threads, steps.measure(threads))
        if pace.sec_per_step > _WORTH * best.sec_per_step:
            break
        best = pace
    torch.set_num_threads(best.threads)
    return best


def fitting_steps(pace: Pace, seconds: float, *, least: int, most: int) -> int:
    """How many steps fit into the time, between two bounds."""
    return min(max(int(seconds / pace.sec_per_step), least), most)


def _candidates(max_threads: int) -> Sequence[int]:
    doubled = [2**power for power in range(1, max(max_threads, 1).bit_length())]
    return [threads for threads in doubled if threads < max_threads] + (
        [max_threads] if max_threads > 1 else []
    )


class _Steps:
    """Steps as the loop does them, without what costs hardly any time."""

    def __init__(
        self,
        task: TrainingTask,
        settings: TrainingSettings,
        device: torch.device,
        clock: Callable[[], float],
    ) -> None:
        self._task, self._settings, self._device, self._clock = task, settings, device, clock
        self._weights = [each for each in task.modules.parameters() if each.requires_grad]
        self._optimizer = torch.optim.AdamW(self._weights, lr=0.0)
        self._step = 0
        task.modules.train()

    def measure(self, threads: int) -> float:
        """Seconds of a step with so many threads."""
        torch.set_num_threads(threads)
        self._do()
        began = self._clock()
        for _ in range(MEASURED_STEPS):
            self._do()
        return (self._clock() - began) / MEASURED_STEPS

    def _do(self) -> None:
        settings, device = self._settings, self._device
        dtype = _DTYPES.get(settings.precision)
        for micro in range(settings.accumulate):
            made = self._task.batch(self._step, micro, 0)
            batch = {name: tensor.to(device) for name, tensor in made.items()}
            with torch.autocast(device.type, dtype) if dtype is not None else nullcontext():
                loss, _ = self._task.loss(batch)
            torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._weights, settings.clip_norm or float("inf"))
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._task.after_step(self._step, batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        self._step += 1


def _time_of_small_operations(threads: int) -> float:
    """Seconds of one, measured for a fifth of a second, whatever waits on whom."""
    torch.set_num_threads(threads)
    numbers = torch.zeros(_PROBE_NUMBERS)
    numbers.tanh_()
    began = time.perf_counter()
    count = 0
    while time.perf_counter() - began < _PROBE_SEC:
        numbers.tanh_()
        count += 1
    return (time.perf_counter() - began) / count
