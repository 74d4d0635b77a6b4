"""Jobs for people to read: a table, a tree, and everything about one."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from cli.service.job_ids import short_ids
from cli.terminal.tables import WIDE_COLUMNS, Column, clean, fitted_table
from jukebox_client import Job

_STYLES = {
    **dict.fromkeys(("succeeded",), "green"),
    **dict.fromkeys(("failed", "expired"), "red"),
    **dict.fromkeys(("running", "canceling"), "cyan"),
    **dict.fromkeys(("queued", "canceled"), "yellow"),
}
_COLUMNS = (
    Column(heading="job"),
    Column(heading="status"),
    Column(heading="takes", justify="right"),
    Column(heading="level"),
    Column(heading="length", justify="right"),
    Column(heading="title", is_flexible=True),
    Column(heading="created", rank=1),
    Column(heading="model", rank=2),
    Column(heading="mode", rank=3),
    Column(heading="tags", rank=4),
)


def jobs_table(jobs: Sequence[Job], width: int) -> Table:
    """A line for each job."""
    ids = shown_ids([job.id for job in jobs], width)
    rows: list[list[str | Text]] = [
        [
            ids[job.id],
            status_text(job),
            str(job.input.num_samples),
            level_of(job),
            f"{job.duration_seconds:g} s",
            title_of(job),
            local_time(job.created_at),
            str(job.input.model),
            str(job.input.mode),
            ", ".join(job.tags),
        ]
        for job in jobs
    ]
    return fitted_table(_COLUMNS, rows, width)


def shown_ids(ids: Sequence[str], width: int) -> Mapping[str, str]:
    """Whole ids where there is room, as in a pipe; elsewhere short ones, which commands accept."""
    return {each: each for each in ids} if width >= WIDE_COLUMNS else short_ids(ids)


def status_text(job: Job) -> Text:
    """The status, with the progress of a job that runs: `running 45%`."""
    status = str(job.status)
    progress = f" {job.progress.value:.0%}" if status == "running" else ""
    return Text(status + progress, style=_STYLES.get(status, ""))


def level_of(job: Job) -> str:
    """The finest level that can be heard; before the first, the one that is sampled."""
    order = [level.level for level in job.progress.levels]
    heard = [output.level for output in job.outputs]
    if heard:
        return str(max(heard, key=order.index))
    return str(job.progress.level or "")


def title_of(job: Job) -> str:
    """What the song is called, else artist, genre and the first line of the lyrics."""
    favorite = "\u2605 " if job.favorite else ""
    return favorite + (job.title or _description(job))


def _description(job: Job) -> str:
    wanted = job.input
    names = ", ".join(name for name in (wanted.artist, wanted.genre) if name)
    lines = [line.strip() for line in (wanted.lyrics or "").splitlines() if line.strip()]
    return ": ".join(part for part in (names, *lines[:1]) if part) or "(no names)"


def local_time(moment: datetime | None) -> str:
    """A moment on this machine's clock."""
    if moment is None:
        return ""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def family_trees(jobs: Sequence[Job], *, marked: str, width: int) -> list[Tree]:
    """Jobs under their parents, oldest first; those whose parent was deleted stand alone."""
    oldest_first = sorted(jobs, key=lambda job: (job.created_at, job.id))
    ids = shown_ids([job.id for job in oldest_first], width)
    nodes = {
        job.id: Tree(_tree_line(job, ids[job.id], is_marked=job.id == marked))
        for job in oldest_first
    }
    roots = []
    for job in oldest_first:
        node = nodes[job.id]
        if job.parent_id in nodes:
            nodes[job.parent_id].children.append(node)
        else:
            roots.append(node)
    return roots


def _tree_line(job: Job, shown_id: str, *, is_marked: bool) -> Text:
    """What must be read comes first: a narrow terminal cuts the end."""
    wanted = job.input
    chosen = "" if wanted.sample is None else f" of take {wanted.sample}"
    cut = "" if wanted.cut_seconds is None else f" cut at {wanted.cut_seconds:g} s"
    section = job.section
    if section is not None:
        cut = f" from {section.start_seconds:g} to {section.end_seconds:g} s"
    takes = "" if wanted.num_samples == 1 else f", {wanted.num_samples} takes"
    finest = job.progress.levels[-1].level
    line = Text(no_wrap=True, overflow="ellipsis", style="bold" if is_marked else "")
    line.append(f"{shown_id}  ").append_text(status_text(job))
    length = f"{job.duration_seconds:g} s"
    line.append(f"  {wanted.mode}{chosen}{cut}: {length} down to {finest}{takes}")
    return line.append(f"  {clean(title_of(job)).plain}", style="dim")


def job_details(job: Job) -> Table:
    """Everything about one job that a person may want to know, a line or more for each."""
    wanted = job.input
    lines: list[tuple[str, str | Text]] = [
        ("job", job.id),
        ("status", status_text(job)),
        ("title", title_of(job)),
        ("sung", _description(job) if job.title else ""),
        ("tags", ", ".join(job.tags)),
        ("notes", job.notes or ""),
        *job.metadata.items(),
        ("model", wanted.model),
        ("mode", str(wanted.mode)),
        ("parent", job.parent_id or ""),
        ("length", f"{job.duration_seconds:g} s"),
        ("takes", str(wanted.num_samples)),
        ("levels", _levels_line(job)),
        ("can be heard", _outputs_line(job)),
        ("seed", str(job.seed)),
        ("created", local_time(job.created_at)),
        ("started", local_time(job.started_at)),
        ("ended", local_time(job.completed_at)),
        ("expires", "never (pinned)" if job.pinned else local_time(job.expires_at)),
        ("deleted", _deleted_line(job)),
        ("error", _error_line(job)),
        *(("warning", warning.detail) for warning in job.warnings),
    ]
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in lines:
        if str(value):
            table.add_row(name, clean(value))
    return table


def _levels_line(job: Job) -> str:
    return ", ".join(
        f"{level.level} {level.tokens_done / max(level.tokens_total, 1):.0%}"
        for level in job.progress.levels
    )


def _outputs_line(job: Job) -> str:
    by_level: dict[str, list[Any]] = {}
    for output in job.outputs:
        by_level.setdefault(output.level, []).append(output.sample)
    return "; ".join(
        f"{level}: {'take' if len(takes) == 1 else 'takes'} {', '.join(map(str, sorted(takes)))}"
        for level, takes in by_level.items()
    )


def _deleted_line(job: Job) -> str:
    if job.deleted_at is None:
        return ""
    until = local_time(job.expires_at)
    return f"{local_time(job.deleted_at)}; can be restored until {until}"


def _error_line(job: Job) -> str:
    error = job.error
    return "" if error is None else f"{error.message} ({error.code})"
