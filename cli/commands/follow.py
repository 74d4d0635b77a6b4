"""Following a job on the screen; shared by `submit`, `watch` and `demo`."""

import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import typer

from cli import options
from cli.commands.downloads import SoundTarget, download_all
from cli.errors import CliError
from cli.figures import end_line, figures_table, total_line
from cli.local.stack import LOGS_FOLDER
from cli.player import Player, playing
from cli.program import command
from cli.progress import LevelDisplay, level_display, states_of_job
from cli.terminal.console import escape, notes, print_json, results
from jukebox_client import Job, JukeboxClient, JukeboxClientError

_CHECK_SEC = 0.5


def follow_on_screen(
    client: JukeboxClient, job_id: str, *, check: Callable[[], None] = lambda: None
) -> Job:
    """Show bars until the job is over; returns the job as it ended.

    `check` is called twice a second and may raise to end the wait.
    """
    with level_display(notes()) as display:
        job = None
        for news in with_checks(client.follow_job(job_id), check):
            _show_change(display, job, news)
            job = news
    return news


def show_figures(job: Job) -> None:
    """Write what a job that succeeded took."""
    notes().print(figures_table(job))
    notes().print(total_line(job))


def show_end(job: Job) -> None:
    """Write how the job ended, with its figures if it succeeded."""
    if job.status == "succeeded":
        show_figures(job)
    notes().print(escape(end_line(job)))
    if job.status == "failed" and (log := local_worker_log()).is_file():
        notes().print(escape(f"Worker log on this machine: {log}"))


def local_worker_log() -> Path:
    """The log of the worker that `jukebox serve` starts in this folder, if it does."""
    data_dir = Path(os.environ.get("JUKEBOX_DATA_DIR") or options.DEFAULT_DATA_DIR)
    return data_dir / LOGS_FOLDER / "worker.log"


def follow_new_job(
    client: JukeboxClient,
    job: Job,
    target: SoundTarget | None,
    *,
    no_wait: bool,
    as_json: bool,
    player: Callable[[], Player] | None = None,
) -> None:
    """Print the id of a job that was posted, and see it to its end; with `as_json` the job itself.

    A player begins after that, so that who stops it knows which job goes on.

    Raises:
        typer.Exit: it did not succeed.
    """
    if not as_json:
        results().print(job.id)
    elif no_wait:
        print_json(job)
    if no_wait:
        return
    with nullcontext() if player is None else playing(client.base_url, job.id, player):
        wait_for_end(client, job.id, target, as_json=as_json)


def wait_for_end(
    client: JukeboxClient, job_id: str, target: SoundTarget | None, *, as_json: bool = False
) -> None:
    """Show a job until it is over and, where that is wanted, download it.

    With `as_json` the job as it ended is the only result, and paths are notes.

    Raises:
        typer.Exit: it did not succeed.
    """
    where = f" --url {client.base_url}" if client.base_url != options.DEFAULT_URL else ""
    try:
        job = follow_on_screen(client, job_id)
    except KeyboardInterrupt:
        notes().print(
            f"The job keeps running. `{command(f'watch {job_id}{where}')}` shows it again, "
            f"`{command(f'cancel {job_id}{where}')}` cancels it."
        )
        raise
    show_end(job)
    if as_json:
        print_json(job)
    if job.status != "succeeded":
        raise typer.Exit(1)
    fetch = f"`{command(f'download {job_id}{where}')}`"
    if target is None:
        notes().print(f"{fetch} downloads the audio.")
        return
    try:
        download_all(client, job, target, are_paths_results=not as_json)
    except (CliError, JukeboxClientError, OSError):
        notes().print(f"The song is done and stored by the service: {fetch} downloads it.")
        raise


def with_checks(updates: Iterator[Job], check: Callable[[], None]) -> Iterator[Job]:
    """The same updates, with `check` called in between even while none comes."""
    arrived: queue.Queue[Job | Exception | None] = queue.Queue()
    threading.Thread(target=_pump, args=(updates, arrived), daemon=True).start()
    while True:
        try:
            news = arrived.get(timeout=_CHECK_SEC)
        except queue.Empty:
            check()
            continue
        if news is None:
            return
        if isinstance(news, Exception):
            raise news
        yield news


def _pump(updates: Iterator[Job], arrived: "queue.Queue[Job | Exception | None]") -> None:
    try:
        for news in updates:
            arrived.put(news)
    except Exception as error:  # noqa: BLE001 - raised again by the thread that reads the queue
        arrived.put(error)
    else:
        arrived.put(None)


def _show_change(display: LevelDisplay, before: Job | None, now: Job) -> None:
    position = now.queue_position
    if before is None or now.status != before.status:
        waiting = f", {position} before it" if now.status == "queued" and position else ""
        display.say(f"{now.status}{waiting}")
    known = {(output.level, output.sample) for output in (before.outputs if before else ())}
    for output in now.outputs:
        if (output.level, output.sample) not in known:
            seconds = output.duration_seconds
            display.say(
                f"take {output.sample} can be heard at level {output.level} ({seconds:.1f} s)"
            )
    display.show(states_of_job(now))
