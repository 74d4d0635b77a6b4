"""Choosing among the audio files of a job."""

from jukebox_client.errors import OutputNotFound
from jukebox_client.models import Job, Output


def audio_outputs(job: Job, *, level: str | None = None, sample: int | None = None) -> list[Output]:
    """The audio files of one level, by take; of the finest finished level when none is named.

    Raises:
        OutputNotFound: there is no such file yet.
    """
    outputs = job.outputs
    if level is None and outputs:
        coarse_to_fine = [progress.level for progress in job.progress.levels]
        level = max((output.level for output in outputs), key=coarse_to_fine.index)
    chosen = [output for output in outputs if output.level == level]
    if not chosen:
        wanted = f"at level {level}" if level else "yet"
        raise OutputNotFound(f"job {job.id} ({job.status}) has no sound {wanted}")
    in_order = sorted(chosen, key=lambda output: output.sample)
    if sample is None:
        return in_order
    takes = [output.sample for output in in_order]
    if sample not in takes:
        has = ", ".join(map(str, takes))
        raise OutputNotFound(f"job {job.id} has no take {sample} at level {level}; it has {has}")
    return [in_order[takes.index(sample)]]


def named_sha256(output: Output, audio_format: str) -> str | None:
    """The hash that a job names for one of its files; None for a format it did not make."""
    return output.sha256 if audio_format == output.format else None
