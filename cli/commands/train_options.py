"""Options that all commands share which train, and what runs them."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import escape, notes, results
from jukebox_core.training.settings import Decay, Precision

if TYPE_CHECKING:
    from jukebox_core.training.progress import TrainingProgress
    from jukebox_core.training.settings import TrainingSettings
    from jukebox_core.training.task import TrainingTask

Steps = Annotated[int, typer.Option(min=1, help="Steps of the whole run.")]
RunDir = Annotated[
    Path, typer.Option("--run-dir", help="Folder for the run's state, log and samples.")
]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Examples in one process at a time.")]
Accumulate = Annotated[int, typer.Option(min=1, help="Batches that make one step.")]
LearningRate = Annotated[float, typer.Option("--lr", help="Highest learning rate.")]
Warmup = Annotated[int, typer.Option(min=0, help="Steps in which the learning rate rises.")]
DecayOption = Annotated[Decay, typer.Option("--decay", help="How it falls to 0.")]
Hold = Annotated[float, typer.Option(min=0, max=1, help="Share of the steps before it falls.")]
WeightDecay = Annotated[float, typer.Option(min=0, help="AdamW's, of matrices and kernels.")]
Clip = Annotated[float, typer.Option(min=0, help="Largest norm of the gradients; 0 lets all be.")]
Ema = Annotated[float, typer.Option(min=0, max=1, help="Decay of averaged weights; 0: none.")]
PrecisionOption = Annotated[Precision, typer.Option("--precision", help="Of most products.")]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same losses.")]
Checkpointing = Annotated[
    bool,
    typer.Option("--gradient-checkpointing", help="Compute twice what there is no memory for."),
]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to torch.")]
LogEvery = Annotated[int, typer.Option(min=1, help="Steps between two lines of the log.")]
EvaluateEvery = Annotated[int, typer.Option(min=0, help="Steps between looks at held-out songs.")]
SampleEvery = Annotated[int, typer.Option(min=0, help="Steps between samples; 0: none.")]
SaveEvery = Annotated[int, typer.Option(min=0, help="Steps between saved states.")]
MaxMinutes = Annotated[
    float | None, typer.Option(help="Stop after that time; the same command goes on.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Begin anew instead of resuming.")]


def run_training(
    task: "TrainingTask",
    settings: "TrainingSettings",
    run_dir: Path,
    *,
    fresh: bool,
    max_minutes: float | None,
) -> bool:
    """Train with lines about it on the screen; whether it came to the end.

    Ctrl-C or SIGTERM stops after the step, with the state saved.
    """
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.training.loop import train

    with stop_wish() as stop_wished:
        result = train(
            task,
            settings,
            run_dir,
            resume=not fresh,
            max_seconds=None if max_minutes is None else 60 * max_minutes,
            watch=show_progress,
            should_stop=stop_wished,
        )
    if not result.finished:
        notes().print(f"stopped at step {result.step:,}; the same command goes on from there")
    results().print(escape(str(run_dir)))
    return result.finished


def show_progress(progress: "TrainingProgress") -> None:
    """One line per line of the log, and one for held-out songs."""
    share = f"{progress.step:>7,}/{progress.steps:,}"
    line = f"{share}  loss {progress.loss:.4f}{_figures(progress.metrics)}"
    speed = f"{progress.tokens_per_sec:,.0f} tokens/s"
    notes().print(escape(f"{line}  {speed}, {_duration(progress.seconds_left)} left"))
    if progress.evaluation:
        notes().print(escape(f"{'':>{len(share)}}  held out:{_figures(progress.evaluation)}"))


@contextmanager
def stop_wish() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM has come; the second Ctrl-C interrupts at once."""
    wished = False

    def receive(signum: int, frame: FrameType | None) -> None:
        nonlocal wished
        if wished and signum == signal.SIGINT:
            raise KeyboardInterrupt
        wished = True
        notes().print("stopping after this step ...")

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: wished
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _figures(figures: Mapping[str, float]) -> str:
    return "".join(
        f"  {name.replace('_', ' ')} {value:,.{_decimals(value)}f}"
        for name, value in figures.items()
    )


def _decimals(value: float) -> int:
    return 0 if abs(value) >= 100 else 3


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
