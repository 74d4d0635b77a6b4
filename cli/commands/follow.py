"""Following a job on the screen; shared by `submit`, `watch` and `demo`."""

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import typer

from cli import options
from cli.console import escape, notes, results
from cli.figures import end_line, figures_table, total_line
from cli.progress import LevelDisplay, level_display, states_of_job
from cli.service.client import JobView, JukeboxClient
from cli.service.download import audio_outputs, download_audio

_CHECK_SEC = 0.5


def follow_on_screen(
    client: JukeboxClient, job_id: str, *, check: Callable[[], None] = lambda: None
) -> JobView:
    """Show bars until the job is over; returns the job as it ended.

    `check` is called twice a second and may raise to end the wait.
    """
    with level_display(notes()) as display:
        job: JobView = {}
        for news in with_checks(client.follow(job_id), check):
            _show_change(display, job, news)
            job = news
    return job


def show_figures(job: JobView) -> None:
    """Write what a job that succeeded took."""
    notes().print(figures_table(job))
    notes().print(total_line(job))


def show_end(job: JobView) -> None:
    """Write how the job ended, with its figures if it succeeded."""
    if job["status"] == "succeeded":
        show_figures(job)
    notes().print(escape(end_line(job)))


def wait_for_end(
    client: JukeboxClient, job_id: str, output: Path | None, *, should_download: bool
) -> None:
    """Show a job until it is over and, where that is wanted, download it.

    Raises:
        typer.Exit: it did not succeed.
    """
    try:
        job = follow_on_screen(client, job_id)
    except KeyboardInterrupt:
        where = f" --url {client.base_url}" if client.base_url != options.DEFAULT_URL else ""
        notes().print(
            f"The job goes on. `jukebox watch {job_id}{where}` shows it again, "
            f"`jukebox cancel {job_id}{where}` stops it."
        )
        raise
    show_end(job)
    if job["status"] != "succeeded":
        raise typer.Exit(1)
    if should_download:
        download_all(client, job, output)
    else:
        notes().print(f"`jukebox download {job_id}` fetches the sound.")


def download_all(
    client: JukeboxClient,
    job: JobView,
    target: Path | None,
    *,
    level: str | None = None,
    audio_format: str | None = None,
) -> list[Path]:
    """Fetch every take of one level; write and return the paths.

    `target` is a file name for one take or an existing folder; the present folder by default.
    """
    outputs = audio_outputs(job, level=level)
    audio_format = audio_format or str(job["input"]["audio_format"])
    paths = []
    for output in outputs:
        name = f"{job['id']}-{output['level']}-{output['sample']}.{audio_format}"
        path = _path_of(target, name, is_single=len(outputs) == 1, sample=int(output["sample"]))
        download_audio(client, job["id"], output, path, audio_format=audio_format)
        results().print(escape(str(path)))
        paths.append(path)
    return paths


def with_checks(updates: Iterator[JobView], check: Callable[[], None]) -> Iterator[JobView]:
    """The same updates, with `check` called in between even while none comes."""
    arrived: queue.Queue[JobView | Exception | None] = queue.Queue()
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


def _pump(updates: Iterator[JobView], arrived: "queue.Queue[JobView | Exception | None]") -> None:
    try:
        for news in updates:
            arrived.put(news)
    except Exception as error:  # noqa: BLE001 - raised again by the thread that reads the queue
        arrived.put(error)
    else:
        arrived.put(None)


def _show_change(display: LevelDisplay, before: JobView, now: JobView) -> None:
    position = now.get("queue_position")
    if now["status"] != before.get("status"):
        waiting = f", {position} before it" if now["status"] == "queued" and position else ""
        display.say(f"{now['status']}{waiting}")
    known = {(output["level"], output["sample"]) for output in before.get("outputs", ())}
    for output in now["outputs"]:
        if (output["level"], output["sample"]) not in known:
            seconds = float(output["duration_seconds"])
            display.say(
                f"take {output['sample']} can be heard at level {output['level']} ({seconds:.1f} s)"
            )
    display.show(states_of_job(now))


def _path_of(target: Path | None, name: str, *, is_single: bool, sample: int) -> Path:
    if target is None:
        return Path(name)
    if target.is_dir():
        return target / name
    return target if is_single else target.with_stem(f"{target.stem}-{sample}")
