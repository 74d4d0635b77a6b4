"""Work on several processor cores: one process each, with one thread and a model of its own."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch

from jukebox_core.child_processes import TORCH_VARIABLES, spawning_environment
from jukebox_core.model import JukeboxModel

Job = TypeVar("Job")
Result = TypeVar("Result")


class ProcessPool:
    """Does jobs in the order in which they are given; with one process, in this one.

    Jobs and results are pickled, and the function is found again by its name: it belongs at the
    top of a module.
    """

    def __init__(self, pool: ProcessPoolExecutor | None) -> None:
        self._pool = pool

    def map(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """The results one after the other, as soon as they and all before them are there."""
        return map(function, jobs) if self._pool is None else self._pool.map(function, jobs)


@contextmanager
def process_pool(num_processes: int) -> Iterator[ProcessPool]:
    """A pool that is shut down at the end."""
    if num_processes < 2:
        yield ProcessPool(None)
        return
    context = multiprocessing.get_context("spawn")
    with (
        spawning_environment(*TORCH_VARIABLES),
        ProcessPoolExecutor(num_processes, context, initializer=_begin) as pool,
    ):
        yield ProcessPool(pool)


def default_processes() -> int:
    """As many as there are cores to use, but no more than four: every one holds a model."""
    return min(len(os.sched_getaffinity(0)), 4)


def _begin() -> None:
    torch.set_num_threads(1)


@cache
def loaded_model(directory: Path, device: str) -> JukeboxModel:
    """The model of a directory, loaded once for a process.

    On a CPU in float32, with the native backend where it can be used.
    """
    return JukeboxModel.from_pretrained(directory, device=device, dtype=_dtype(device)).eval()


def _dtype(device: str) -> torch.dtype:
    return torch.float32 if device == "cpu" else torch.float16
