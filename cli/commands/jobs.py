"""`jukebox submit`, `watch`, `list`, `show`, `cancel`, `retry`, `download`."""

from datetime import datetime
from typing import Annotated, Literal

import typer

from cli import options
from cli.commands.downloads import ArchiveTarget, SoundTarget, download_all, download_archive
from cli.commands.follow import follow_new_job, show_figures, wait_for_end
from cli.commands.song_options import Labels, NewJob, Sampling
from cli.commands.song_request import audio_asset, default_model_of, present, show_what_is_sung
from cli.errors import UsageError
from cli.job_lines import job_details, jobs_table
from cli.option_groups import grouped
from cli.outputs import Overwrite
from cli.player import find_player
from cli.service.job_ids import for_job
from cli.terminal.console import notes, print_fitted, print_json, results
from jukebox_client import Job, JukeboxClient
from jukebox_client.models import ListJobsQuery


@grouped
def submit(
    *,
    model: Annotated[
        str | None, typer.Option("--model", help="Model (default: the only one of the service).")
    ] = None,
    labels: Labels,
    seconds: options.Seconds = 10.0,
    mode: Annotated[
        Literal["ancestral", "primed"] | None,
        typer.Option(
            help="ancestral: start from nothing. primed: continue --prompt (implied by it)."
        ),
    ] = None,
    prompt: options.Prompt = None,
    prompt_start: options.PromptStart = 0.0,
    prompt_seconds: options.PromptSeconds = None,
    song_seconds: options.SongSeconds = None,
    offset: options.Offset = 0.0,
    takes: options.Takes = 1,
    sampling: Sampling,
    new_job: NewJob,
) -> None:
    """Submit a song and wait until it is done.

    --seconds is the full length, including the prompt.
    """
    if mode is not None and (mode == "primed") != (prompt is not None):
        raise UsageError("--mode primed and --prompt must be used together")
    if prompt is None and (prompt_start or prompt_seconds):
        raise UsageError("--prompt-start and --prompt-seconds require --prompt")
    if new_job.play and new_job.no_wait:
        raise UsageError("--no-wait cannot be combined with --play")
    player = find_player() if new_job.play else None
    target = new_job.target(takes)
    request = {
        **labels.fields(),
        "duration_seconds": seconds,
        "song_duration_seconds": song_seconds,
        "offset_seconds": offset,
        "num_samples": takes,
        **sampling.fields(),
        **new_job.fields(target),
    }
    with JukeboxClient(new_job.url) as client:
        request["model"] = model if model is not None else default_model_of(client)
        if prompt is not None:
            part = {"start_seconds": prompt_start, "seconds": prompt_seconds}
            request |= {
                "mode": "primed",
                "prompt": present({"asset_id": audio_asset(client, prompt), **part}),
            }
        job = client.create_job(present(request))
        show_what_is_sung(job, request)
        follow_new_job(
            client, job, target, no_wait=new_job.no_wait, as_json=new_job.as_json, player=player
        )


def watch(
    job_id: options.JobId,
    output: options.Output = None,
    overwrite: Overwrite = False,
    as_json: options.AsJson = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Show the progress of a job until it ends."""
    target = None if output is None else SoundTarget.of(output, None, overwrite=overwrite)
    if output is not None and not output.is_folder:
        output.check_writable([output.path], overwrite=overwrite)
    with JukeboxClient(url) as client:
        whole_id = for_job(client, job_id, client.get_job).id
        wait_for_end(client, whole_id, target, as_json=as_json)


def list_jobs(
    search: Annotated[
        str | None,
        typer.Option(
            "--search",
            metavar="WORDS",
            help="Only jobs with all these words, or beginnings of words, in title, tags, notes, "
            "artist, genre or lyrics.",
        ),
    ] = None,
    favorite: Annotated[bool, typer.Option("--favorite", help="Only favorites.")] = False,
    tag: Annotated[str | None, typer.Option("--tag", help="Only jobs with this tag.")] = None,
    artist: Annotated[
        str | None, typer.Option("--artist", help="Only jobs of this artist.")
    ] = None,
    genre: Annotated[str | None, typer.Option("--genre", help="Only jobs of this genre.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only jobs of this model.")] = None,
    status: Annotated[str | None, typer.Option(help="Only jobs with this status.")] = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="MOMENT", help="Only jobs created after this.")
    ] = None,
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="MOMENT", help="Only jobs created before this."),
    ] = None,
    sort: Annotated[
        Literal["newest", "oldest", "title"], typer.Option("--sort", help="Order of the list.")
    ] = "newest",
    trash: Annotated[
        bool, typer.Option("--trash", help="Deleted jobs that can be restored.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Maximum number of jobs.")] = 20,
    as_json: options.AsJson = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """List and search jobs, newest first.

    A MOMENT is a date such as 2026-11-22, or 2026-11-22T07:30, on this machine's clock.
    """
    filters: ListJobsQuery = {
        "q": search,
        "favorite": favorite or None,
        "tag": tag,
        "artist": artist,
        "genre": genre,
        "model": model,
        "status": status,
        "created_after": _moment(after, "--after"),
        "created_before": _moment(before, "--before"),
        "limit": limit,
    }
    # What is not asked for is not sent: the service may be of a release that does not know it.
    if sort != "newest":
        filters["sort"] = {"oldest": "created_at", "title": "title"}[sort]
    if trash:
        filters["trashed"] = True
    with JukeboxClient(url) as client:
        page = client.list_jobs(**filters)
    if as_json:
        print_json(page)
        return
    if page.data:
        print_fitted(jobs_table(page.data, results().width))
    else:
        notes().print("No jobs.")
    if page.has_more:
        total = "More" if page.total is None else f"{page.total - len(page.data)} more"
        notes().print(f"{total} jobs exist: increase --limit, or use the API's cursor.")


def _moment(text: str | None, option: str) -> str | None:
    """A date or moment of this machine's clock, as the service takes it. Raises UsageError."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{option} {text!r} is no date, such as 2026-11-22") from error


def show(
    job_id: options.JobId,
    as_json: options.AsJson = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Show the details of a job."""
    with JukeboxClient(url) as client:
        job = for_job(client, job_id, client.get_job)
    if as_json:
        print_json(job)
        return
    print_fitted(job_details(job))
    if job.status == "succeeded":
        show_figures(job)


def cancel(
    job_id: options.JobId,
    as_json: options.AsJson = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Cancel a job; finished levels are kept."""
    with JukeboxClient(url) as client:
        _print_status(for_job(client, job_id, client.cancel_job), as_json=as_json)


def retry(
    job_id: options.JobId,
    as_json: options.AsJson = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Retry a failed job from the tokens already sampled."""
    with JukeboxClient(url) as client:
        _print_status(for_job(client, job_id, client.retry_job), as_json=as_json)


def _print_status(job: Job, *, as_json: bool) -> None:
    if as_json:
        print_json(job)
    else:
        results().print(f"{job.id}: {job.status}")


def download(
    job_id: options.JobId,
    output: options.Output = None,
    overwrite: Overwrite = False,
    level: options.LevelOption = None,
    take: Annotated[
        int | None,
        typer.Option("--take", "--sample", min=0, help="Download only this take, counted from 0."),
    ] = None,
    audio_format: options.FormatOption = None,
    archive: Annotated[
        bool,
        typer.Option("--archive", help="Download takes, lyrics and codes as one ZIP file."),
    ] = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Download the audio of a job.

    Downloads all takes, or one with --take. Interrupted downloads are resumed.
    """
    if archive:
        if level is not None or take is not None:
            raise UsageError(
                "--archive has all takes: it cannot be combined with --level or --take"
            )
        place = ArchiveTarget.of(output, audio_format, overwrite=overwrite)
        with JukeboxClient(url) as client:
            download_archive(client, for_job(client, job_id, client.get_job), place)
        return
    target = SoundTarget.of(output, audio_format, overwrite=overwrite)
    with JukeboxClient(url) as client:
        job = for_job(client, job_id, client.get_job)
        download_all(client, job, target, level=level, take=take, may_refuse=True)
