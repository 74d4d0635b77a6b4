"""Which files of a job its record still means, and the removal of all others."""

from jobs.errors import JobNotFound
from jobs.files.artifacts import Artifacts, alignment_name
from jobs.record.job import Job
from jobs.store import JobStore

MANIFEST_NAME = "manifest.json"


def names_to_keep(job: Job) -> set[str]:
    """What the record names; with its sounds stays what was made of them (`prune`)."""
    sounds = {output.name for output in job.outputs}
    named = {job.codes_name, job.prompt_codes_name, job.prompt_audio_name}
    times = {alignment_name(sample) for sample in range(job.request.num_samples)}
    return {MANIFEST_NAME, *sounds, *times, *filter(None, named)} | {f.name for f in job.windows}


def remove_leftovers(store: JobStore, artifacts: Artifacts, job_id: str) -> None:
    """Delete what no record names: all of a job that is gone, what is over of one that is there.

    Files of the present claim stay while it may be running. Raises StoreUnavailable, OSError,
    RecordUnreadable.
    """
    try:
        job = store.get(job_id, with_windows=True)
    except JobNotFound:
        artifacts.remove_job(job_id)
        return
    num_fences = job.fence + 1 if job.is_terminal else job.fence
    artifacts.prune(job_id, names_to_keep(job), fences=range(num_fences))
