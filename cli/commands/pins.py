"""`jukebox pin`, `unpin`: jobs that are kept for longer than jobs are kept."""

from cli import options
from cli.console import results
from cli.service.client import JobView, JukeboxClient


def pin(job_id: options.JobId, url: options.Url = options.DEFAULT_URL) -> None:
    """Keep a job and its codes until it is unpinned."""
    _set_pinned(job_id, True, url)


def unpin(job_id: options.JobId, url: options.Url = options.DEFAULT_URL) -> None:
    """Let a job be forgotten in its time, which counts from now."""
    _set_pinned(job_id, False, url)


def _set_pinned(job_id: str, is_pinned: bool, url: str) -> None:
    with JukeboxClient(url) as client:
        job = client.set_pinned(job_id, is_pinned)
    results().print(f"{job['id']}: {_kept(job)}")


def _kept(job: JobView) -> str:
    if job["pinned"]:
        return "pinned"
    return f"kept until {job['expires_at']}" if job["expires_at"] else "not pinned"
