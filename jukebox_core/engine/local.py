"""One song in a process of its own: an engine for it, and a number of threads that suits it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch

from jukebox_core.backends.choose import REFERENCE, is_small
from jukebox_core.backends.graphs.cuda_graphs import capturer_maker
from jukebox_core.backends.graphs.graph_plan import GraphWish
from jukebox_core.config import JukeboxConfig
from jukebox_core.engine.drive import LevelOrder, drive
from jukebox_core.engine.engine import Engine
from jukebox_core.engine.song_run import SongRun, WindowRun
from jukebox_core.models.device_memory import free_bytes_of
from jukebox_core.models.placed_priors import PlacedPriors
from jukebox_core.models.placement import Placement
from jukebox_core.prior.projection import MIN_CPU_ROWS
from jukebox_core.sampling.options import LevelProgress


def generate_windows(
    priors: PlacedPriors,
    run: SongRun,
    order: LevelOrder,
    *,
    device: torch.device,
    backend: str,
    max_batch_size: int,
    progress: LevelProgress | None,
) -> Iterator[WindowRun]:
    """Every window that a song lacks, once it is there.

    Args:
        priors: of the model.
        run: the song, with all its levels open.
        order: which levels go on.
        device: where the priors are used.
        backend: computes its tokens, see `backends/choose.py`.
        max_batch_size: rows of a level that step together, at most.
        progress: told how far a level is, whenever it has come further.

    Raises what stopped a sequence.
    """
    most_rows = max((level.num_rows for level in run.levels), default=1)
    max_rows = max(min(max_batch_size, most_rows), 1)
    engine = local_engine(priors, device=device, max_rows=max_rows, backend=backend)
    windows = drive(engine, run, order, _reporter(run, progress))
    while True:
        # Not around a `yield`: the number of threads is one for the whole process.
        with threads_for(run.inputs.config, device):
            window = next(windows, None)
        if window is None:
            return
        yield window


def local_engine(
    priors: PlacedPriors, *, device: torch.device, max_rows: int, backend: str = REFERENCE
) -> Engine:
    """Captures graphs where the device has them, as a worker does.

    On the CPU it has as many slots at least as a step computes rows: a song of one take is computed
    as it is among others in a worker, and so is the same to the bit. Windows wait there as long as
    the host has no memory for them.
    """
    is_on_cpu = device.type == "cpu"
    if is_on_cpu:
        max_rows = max(max_rows, MIN_CPU_ROWS)
    return Engine(
        priors,
        max_rows=max_rows,
        device=device,
        backend=backend,
        free_bytes=partial(free_bytes_of, device) if is_on_cpu else lambda: None,
        one_level_at_a_time=priors.placement is Placement.ONE_AT_A_TIME,
        make_capturer=capturer_maker(
            device,
            GraphWish.AUTO,
            weights_stay=priors.placement is not Placement.OFFLOADED,
        ),
    )


@contextmanager
def threads_for(config: JukeboxConfig, device: torch.device) -> Iterator[None]:
    """Meanwhile torch computes a small model on the CPU with one thread, as in a worker.

    Products of one token are so small that several threads mostly wait for each other: on two busy
    cores a second of `mini` took 109 s with torch's own number of threads, and 2.9 s with one.
    """
    before = torch.get_num_threads()
    if device.type == "cpu" and is_small(config):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _reporter(run: SongRun, progress: LevelProgress | None) -> Callable[[], None]:
    if progress is None:
        return lambda: None
    told = {level.level: level.num_tokens for level in run.levels}

    def report() -> None:
        for level in run.levels:
            num_tokens = level.num_tokens
            if num_tokens > told[level.level]:
                told[level.level] = num_tokens
                progress(level.level, num_tokens, level.plan.total_tokens)

    return report
