"""The codes that a job has, whether it ended well or was stopped: what another can go on from."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from jobs.errors import ArtifactCorrupt, ArtifactNotFound
from jobs.files.artifacts import LocalArtifacts
from jobs.record.job import Job

Codes = NDArray[np.int32]


def kept_codes(artifacts: LocalArtifacts, job: Job) -> dict[str, Codes]:
    """Codes of every level that was begun, int32 [num_samples, T], coarsest first, read only.

    What only filled a context is cut off. Levels that were finished come from their common file;
    the others, and those whose file is lost, from the job's prompt and its windows as far as they
    follow each other. Levels below one that has nothing are left out.
    """
    finished = _read_all(artifacts, job, job.codes_name)
    prompt = _read_all(artifacts, job, job.prompt_codes_name)
    kept: dict[str, Codes] = {}
    for level in job.request.levels:
        codes = finished.get(level)
        if codes is None:
            codes = _from_windows(artifacts, job, level, prompt)
        if codes.shape[1] == 0:
            break
        kept[level] = codes[:, : job.plan[level].heard_tokens]
    return kept


def _read_all(artifacts: LocalArtifacts, job: Job, name: str | None) -> Mapping[str, Codes]:
    if name is None:
        return {}
    try:
        return artifacts.read_stored_codes(job.id, name)
    except (ArtifactNotFound, ArtifactCorrupt):
        return {}


def _from_windows(
    artifacts: LocalArtifacts, job: Job, level: str, prompt: Mapping[str, Codes]
) -> Codes:
    num_samples, end = job.request.num_samples, job.plan[level].prompt_tokens
    nothing = np.zeros((num_samples, 0), dtype=np.int32)
    parts = [nothing]
    if end:
        rows = prompt.get(level, nothing)
        if rows.shape[1] < end or len(rows) not in (1, num_samples):
            return nothing
        parts.append(np.broadcast_to(rows[:, :end], (num_samples, end)))
    for window in job.codes_of(level):
        if window.start != end:
            break
        try:
            parts.append(artifacts.read_codes(job.id, window).astype(np.int32))
        except (ArtifactNotFound, ArtifactCorrupt):
            break
        end = window.end
    return np.concatenate(parts, axis=1)
