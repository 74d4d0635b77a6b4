"""`jukebox pin`, `unpin`: jobs that are kept for longer than jobs are kept."""

from cli import options
from cli.service.job_ids import for_job
from cli.terminal.console import print_json, results
from jukebox_client import Job, JukeboxClient


def pin(
    job_id: options.JobId,
    as_json: options.AsJson = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Exempt a job and its codes from expiry."""
    _set_pinned(job_id, True, url, as_json=as_json)


def unpin(
    job_id: options.JobId,
    as_json: options.AsJson = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Let a job expire; its lifetime restarts now."""
    _set_pinned(job_id, False, url, as_json=as_json)


def _set_pinned(job_id: str, is_pinned: bool, url: str, *, as_json: bool) -> None:
    with JukeboxClient(url) as client:
        job = for_job(client, job_id, client.pin_job if is_pinned else client.unpin_job)
    if as_json:
        print_json(job)
    else:
        results().print(f"{job.id}: {_kept(job)}")


def _kept(job: Job) -> str:
    if job.pinned:
        return "pinned"
    return f"kept until {job.to_dict()['expires_at']}" if job.expires_at else "not pinned"
