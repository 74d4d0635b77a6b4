"""`jukebox delete` (or `rm`) and `restore`: the trash, and the way out of it."""

from typing import Annotated

import typer

from cli import options
from cli.job_lines import local_time
from cli.program import command
from cli.service.job_ids import for_job
from cli.terminal.console import notes, print_json, results
from jukebox_client import JukeboxClient

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
        found = [for_job(client, job_id, client.get_job).id for job_id in job_ids]
        for whole_id in dict.fromkeys(found):
            client.delete_job(whole_id, permanent=permanent or None)
            if as_json:
                print_json({"id": whole_id, "deleted": True})
            else:
                results().print(f"{whole_id}: deleted")
    if not permanent and not as_json:
        notes().print(f"Undo: {command('restore')} {' '.join(dict.fromkeys(found))}")


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
