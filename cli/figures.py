"""What a finished job has to say about itself."""

from rich.table import Table

from cli.option_names import in_options
from cli.program import command
from jukebox_client import Job
from jukebox_client.models import JobFailure


def figures_table(job: Job) -> Table:
    """Per level: tokens, seconds, tokens per second; below, the whole job against its sound."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("", "tokens", "seconds", "tokens/s"):
        table.add_column(heading, justify="left" if not heading else "right")
    measured = job.metrics.levels
    for level in job.progress.levels:
        figures = measured.get(level.level)
        if figures is not None:
            table.add_row(
                level.level,
                f"{level.tokens_total * job.input.num_samples * _channels_of(job, level.level):,}",
                f"{figures.seconds:.2f}",
                f"{figures.tokens_per_second:,.0f}",
            )
    return table


def _channels_of(job: Job, level: str) -> int:
    """The top level of a stereo song is the same in both channels."""
    return 1 if level == "top" else job.input.channels or 1


def total_line(job: Job) -> str:
    """One sentence: seconds of work per second of sound."""
    work_sec = elapsed_sec(job)
    if work_sec is None or not job.outputs:
        return ""
    takes = job.input.num_samples
    sound_sec = takes * max(output.duration_seconds for output in job.outputs)
    queued = job.metrics.queue_seconds
    waited = "" if queued is None else f" after {queued:.2f} s in the queue"
    return (
        f"{sound_sec:.2f} s of sound in {work_sec:.2f} s{waited}: "
        f"real-time factor {work_sec / sound_sec:.2f} (seconds of work per second of sound)"
    )


def elapsed_sec(job: Job) -> float | None:
    """Seconds from the first claim to the end; None before the end."""
    if not (job.started_at and job.completed_at):
        return None
    return (job.completed_at - job.started_at).total_seconds()


def end_line(job: Job) -> str:
    """How a job ended, for a person."""
    if job.status != "failed":
        return f"job {job.id}: {job.status}"
    error = job.error or JobFailure(code="unknown", message="no reason was given", retryable=False)
    retry = command(f"retry {job.id}")
    again = f" `{retry}` tries again." if error.retryable else ""
    return f"job {job.id} failed ({error.code}): {in_options(error.message)}{again}"
