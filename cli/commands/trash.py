"""`jukebox delete` (or `rm`) and `restore`: the trash, and the way out of it."""

from functools import partial
from typing import Annotated

import typer

from cli import options
from cli.job_lines import local_time
from cli.program import command
from cli.service.job_ids import for_job
from cli.terminal.console import notes, print_json, results
from jukebox_client import JukeboxClient, NotFound

JobIds = Annotated[list[str], typer.Argument(metavar="JOB...", help="Job ids, or unique prefixes.")]


def delete(
    job_ids: JobIds,
    permanent: Annotated[
        bool, typer.Option("--permanent", help="Delete at once, which cannot be undone.")
    ] = False,
    as_json: options.AsJson = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Delete finished jobs and their songs.

    Deleted jobs can be restored for an hour. Jobs derived from them are kept.
    """
    with JukeboxClient(url) as client:
        # All are looked up first, so that one that is mistyped leaves the others alone.
        # What is in the trash already can only be deleted for good.
        look = partial(_id_in_trash if permanent else _id_of, client)
        found = [for_job(client, job_id, look) for job_id in job_ids]
        for whole_id in dict.fromkeys(found):
            client.delete_job(whole_id, permanent=permanent or None)
            if as_json:
                print_json({"id": whole_id, "deleted": True})
            else:
                results().print(f"{whole_id}: deleted")
    if not permanent and not as_json:
        notes().print(f"Undo: {command('restore')} {' '.join(dict.fromkeys(found))}")


def _id_of(client: JukeboxClient, job_id: str) -> str:
    return client.get_job(job_id).id


def _id_in_trash(client: JukeboxClient, job_id: str) -> str:
    """The same, also for a job in the trash."""
    try:
        return _id_of(client, job_id)
    except NotFound as problem:
        if problem.code != "job_in_trash":
            raise
    return job_id


def restore(
    job_ids: JobIds,
    as_json: options.AsJson = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Take deleted jobs out of the trash; see `jukebox list --trash`."""
    with JukeboxClient(url) as client:
        for job_id in job_ids:
            job = for_job(client, job_id, client.restore_job, in_trash=True)
            if as_json:
                print_json(job)
                continue
            until = local_time(job.expires_at)
            results().print(f"{job.id}: restored" + (f", kept until {until}" if until else ""))
