"""The codes that a job has, whether it ended well or was stopped: what another can go on from."""

import os
from collections.abc import Mapping
from dataclasses import replace

from jobs.errors import ArtifactCorrupt, ArtifactNotFound
from jobs.files.artifacts import Artifacts
from jobs.files.stored_codes import CodesSpool, OpenFile, StoredCodes
from jobs.record.job import Job
from jukebox_core.channels import spread_rows
from jukebox_core.units import Level


def kept_codes(artifacts: Artifacts, job: Job) -> dict[str, StoredCodes]:
    """Codes of every level that was begun, int32 [rows, T], coarsest first, on disk.

    There is a row for each sample; of a stereo song two in the levels below the top, see
    `jukebox_core/channels.py`.

    What only filled a context is cut off. Levels that were finished come from their common file;
    the others, and those whose file is lost, from the job's prompt and its windows as far as they
    follow each other. Levels below one that has nothing are left out. The codebook of windows is
    known where a prompt came before them: they were only drawn if it was the model's.
    """
    finished = _open_all(artifacts, job, job.codes_name)
    prompt = _open_all(artifacts, job, job.prompt_codes_name)
    kept: dict[str, StoredCodes] = {}
    for level in job.request.levels:
        codes = finished.get(level) or _from_windows(artifacts, job, level, prompt)
        if codes is None or codes.num_tokens == 0:
            break
        kept[level] = codes.first_tokens(job.plan[level].output_tokens)
    return kept


def _open_all(artifacts: Artifacts, job: Job, name: str | None) -> Mapping[str, StoredCodes]:
    if name is None:
        return {}
    try:
        return artifacts.open_codes(job.id, name)
    except (ArtifactNotFound, ArtifactCorrupt):
        return {}


def _from_windows(
    artifacts: Artifacts, job: Job, level: str, prompt: Mapping[str, StoredCodes]
) -> StoredCodes | None:
    """The prompt and the windows behind it, put together in a file that has no name."""
    windows, plan = job.codes_of(level), job.plan[level]
    num_samples, num_given = job.request.num_samples, plan.prompt_tokens
    if plan.infills:
        # Up to the first that is sampled again: what comes behind its join is not known yet.
        num_given = min(plan.given_tokens, *(start for start, _, _ in plan.infills))
        windows = tuple(each for each in windows if each.end <= plan.infills[0][1])
    end = max([num_given, *(window.end for window in windows)])
    with artifacts.nameless_file() as file:
        num_rows = num_samples * job.channels_of(level)
        spool = CodesSpool(OpenFile(os.dup(file.fileno())), num_rows, end)
    codebook = None
    if num_given:
        given = prompt.get(level)
        if given is None or given.num_tokens < num_given:
            return None
        try:
            rows = spread_rows(
                given.first_tokens(num_given).to_array(),
                num_given_takes=len(prompt[Level.TOP.label]),
                num_takes=num_samples,
                num_channels=job.channels_of(level),
            )
        except (KeyError, ValueError):
            return None
        spool.append(rows)
        codebook = given.codebook
    with artifacts.read_ahead(job.id, windows):
        for window in windows:
            if window.start != spool.num_tokens:
                break
            try:
                spool.append(artifacts.read_codes(job.id, window))
            except (ArtifactNotFound, ArtifactCorrupt, ValueError):
                break
    return replace(spool.codes(), codebook=codebook)
