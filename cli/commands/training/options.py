"""Options that all commands share which train, and what runs them."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Self, TypeVar

import typer

from cli.commands.training.presets import LEAST_FITTED_STEPS, PresetName, preset_values
from cli.errors import CliError, UsageError
from cli.terminal.console import escape, notes, results
from cli.terminal.training_display import TrainingDisplay, duration
from jukebox_core.training.settings import Decay, Precision, TrainingSettings
from jukebox_core.units import Level

if TYPE_CHECKING:
    from jukebox_core.training.task import TrainingTask

    MakeTask = Callable[[TrainingSettings], TrainingTask]

Settings = TypeVar("Settings")

_PATIENCE = 1.5
"""A run whose steps were fitted into some minutes is stopped after so many times these minutes."""

LevelName = Annotated[str, typer.Option("--level", help="Level to train: top, middle or bottom.")]
Preset = Annotated[
    PresetName,
    typer.Option(
        "--preset",
        help="quick: about 20 minutes for all six runs. full: hours.",
    ),
]
StepsOfPreset = Annotated[
    int | None,
    typer.Option(
        "--steps", min=1, help="Total number of training steps (default: from the preset)."
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        min=0.05,
        help="Train for about this long: measure the time per step and choose the number of steps, "
        "at most --steps.",
    ),
]
RunDir = Annotated[
    Path | None,
    typer.Option(
        "--run-dir",
        help="Directory for checkpoints, log and samples (default: runs/MODEL/...).",
    ),
]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Batch size per process.")]
Accumulate = Annotated[int, typer.Option(min=1, help="Gradient accumulation: batches per step.")]
LearningRate = Annotated[float, typer.Option("--lr", help="Peak learning rate.")]
Warmup = Annotated[int, typer.Option("--warmup", min=0, help="Warmup steps of the learning rate.")]
DecayOption = Annotated[Decay, typer.Option("--decay", help="Learning rate decay to 0.")]
Hold = Annotated[
    float,
    typer.Option("--hold", min=0, max=1, help="Fraction of the steps before the decay starts."),
]
WeightDecay = Annotated[
    float, typer.Option(min=0, help="AdamW weight decay of matrices and kernels.")
]
Clip = Annotated[
    float, typer.Option("--clip", min=0, help="Gradient clipping norm; 0 disables it.")
]
Ema = Annotated[
    float,
    typer.Option(
        "--ema", min=0, max=1, help="Decay of the moving average of the weights; 0 disables it."
    ),
]
PrecisionOption = Annotated[
    Precision, typer.Option("--precision", help="Precision of most matrix products.")
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]
Checkpointing = Annotated[
    bool,
    typer.Option("--gradient-checkpointing", help="Save memory by recomputing activations."),
]
Threads = Annotated[
    int, typer.Option(min=0, help="CPU threads; 0 measures which number is fastest.")
]
LogEvery = Annotated[int, typer.Option(min=1, help="Steps between log lines.")]
EvaluateEvery = Annotated[
    int,
    typer.Option(min=0, help="Steps between evaluations on held-out songs; 0: only at the end."),
]
SampleEvery = Annotated[int, typer.Option(min=0, help="Steps between samples; 0 disables them.")]
SaveEvery = Annotated[
    int, typer.Option(min=0, help="Steps between checkpoints; 0: only at the end.")
]
MaxMinutes = Annotated[
    float | None,
    typer.Option(help="Stop after this time and save; the same command resumes."),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start over instead of resuming.")]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What any run can be told; commands subclass it for defaults of their own.

    The fields have the names that they have in `TrainingSettings` and in the presets.
    """

    preset: Preset = PresetName.FULL
    steps: StepsOfPreset = None
    minutes: Minutes = None
    run_dir: RunDir = None
    batch_size: Batch = 8
    accumulate: Accumulate = 1
    learning_rate: LearningRate = 1e-3
    warmup_steps: Warmup = 100
    decay: DecayOption = Decay.LINEAR
    hold_fraction: Hold = 0.3
    weight_decay: WeightDecay = 0.0
    clip_norm: Clip = 1.0
    ema_decay: Ema = 0.0
    precision: PrecisionOption = Precision.FP32
    seed: Seed = 0
    gradient_checkpointing: Checkpointing = False
    threads: Threads = 0
    log_every: LogEvery = 50
    evaluate_every: EvaluateEvery = 1000
    sample_every: SampleEvery = 0
    save_every: SaveEvery = 250
    max_minutes: MaxMinutes = None
    fresh: Fresh = False

    def with_preset(self, context: typer.Context, part: str, level: str) -> Self:
        """With the values of the preset in place of those that nobody typed."""
        return replace(self, **preset_values(context, self.preset, part, level))

    def folder(self, model: Path, part: str) -> Path:
        """The folder of the run: that of `--run-dir`, or `runs/MODEL/PART`."""
        return self.run_dir or Path("runs") / model.absolute().name / part

    def settings(self) -> TrainingSettings:
        """The options that are settings of the run. Raises TrainingError: they make no sense."""
        names = {each.name for each in fields(TrainingSettings)}
        return TrainingSettings(**{n: v for n, v in vars(self).items() if n in names})


def begin(what: str) -> None:
    """Say at once what is being done: loading torch alone takes seconds."""
    notes().print(escape(f"{what}: loading torch ..."))


def level_named(name: str) -> Level:
    """The level that an option names. Raises CliError for what is no level."""
    try:
        return Level.from_label(name)
    except ValueError as error:
        raise CliError(str(error)) from error


def with_given(defaults: Settings, given: Mapping[str, object]) -> Settings:
    """`defaults` with the values of those options that were given: not None."""
    values = {name: value for name, value in given.items() if value is not None}
    return replace(defaults, **values)  # type: ignore[type-var]


def report(line: str) -> None:
    """One line about something that takes long."""
    notes().print(escape(line))


def report_once() -> Callable[[str], None]:
    """As `report`, for what may be done twice: the same line is shown once."""
    shown = set[str]()

    def report_new(line: str) -> None:
        if line not in shown:
            shown.add(line)
            report(line)

    return report_new


def run_training(
    make_task: "MakeTask", settings: TrainingSettings, run_dir: Path, run: RunOptions
) -> None:
    """Train with lines about it on the screen.

    Ctrl-C or SIGTERM stops after the step, with the state saved and the weights written.

    Args:
        make_task: makes the task with some settings; called twice if its steps are measured first.
        settings: of the run. On a CPU `threads` 0 means the number that is fastest.
        run_dir: the folder of the run.
        run: how long it may take, and whether it begins anew. As many steps are done as fit into
            `run.minutes`, at most `settings.steps`.
    """
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.training.loop import train

    max_minutes = run.max_minutes
    if max_minutes is None and run.minutes is not None:
        max_minutes = _PATIENCE * run.minutes
    settings = _measured(make_task, settings, run_dir, run)
    with stop_wish() as stop_wished:
        display = TrainingDisplay(notes(), settings.steps)
        task = make_task(settings)
        with display.shown():
            result = train(
                task,
                settings,
                run_dir,
                resume=not run.fresh,
                max_seconds=None if max_minutes is None else 60 * max_minutes,
                watch=display.log_line,
                on_step=display.step,
                should_stop=stop_wished,
            )
    if not result.finished:
        notes().print(
            f"stopped at step {result.step:,} of {settings.steps:,}. The model has the weights of "
            "this step; the same command resumes."
        )
    results().print(escape(str(run_dir)))


def _measured(
    make_task: "MakeTask", settings: TrainingSettings, run_dir: Path, run: RunOptions
) -> TrainingSettings:
    """`settings` with the number of threads, and of steps where `minutes` tell it."""
    import torch

    from jukebox_core.training.pace import fitting_steps, measure_pace
    from jukebox_core.training.processes import process_state
    from jukebox_core.training.run_files import RunFiles

    files, minutes = RunFiles(run_dir), run.minutes
    planned = None if run.fresh or minutes is None else files.planned_steps()
    if planned is not None:
        settings, minutes = replace(settings, steps=planned), None
    if minutes is not None and process_state().num_processes > 1:
        raise UsageError("--minutes works with one process only: use --steps")
    device, max_threads = process_state().device, torch.get_num_threads()
    # Making a task computes too: waiting threads must not slow that down before it is measured.
    torch.set_num_threads(settings.threads or 1)
    is_settled = settings.threads or device.type != "cpu" or max_threads == 1
    if (is_settled and minutes is None) or process_state().num_processes > 1:
        return settings
    notes().print("measuring a few steps ...")
    pace = measure_pace(make_task(settings), settings, device, max_threads=max_threads)
    if minutes is not None:
        most = settings.steps
        steps = fitting_steps(pace, 60 * minutes, least=LEAST_FITTED_STEPS, most=most)
        settings = replace(settings, steps=steps)
        files.save_plan(steps)
    if device.type == "cpu":
        settings = replace(settings, threads=pace.threads)
        threads = f" with {pace.threads} of {max_threads} CPU threads, the fastest number"
        threads = " on one CPU thread" if max_threads == 1 else threads
    else:
        threads = f" on {device}"
    notes().print(f"{pace.sec_per_step:.3g} s per step{threads}")
    notes().print(
        f"{settings.steps:,} steps take about {duration(settings.steps * pace.sec_per_step)}"
    )
    return settings


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
