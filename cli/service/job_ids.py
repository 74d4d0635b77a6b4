"""Ids of jobs as people type them: whole, or so much of the beginning as names one job."""

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from cli.errors import UsageError
from jukebox_client import JukeboxClient, NotFound, ProblemError

PREFIX = "job_"
SHORT_DIGITS = 8
"""Digits of a short id, unless more are needed to tell the jobs of a list apart."""
_WHOLE = re.compile(r"job_[0-9a-f]{32}")
_BEGINNING = re.compile(r"(job_)?[0-9a-f]{1,32}")

Answer = TypeVar("Answer")


def is_whole_id(text: str) -> bool:
    """Whether `text` is a job's id from beginning to end."""
    return _WHOLE.fullmatch(text) is not None


def looks_like_a_job(text: str) -> bool:
    """Whether `text` could be the id of a job, or its beginning."""
    return _BEGINNING.fullmatch(text.strip().lower()) is not None


def for_job(
    client: JukeboxClient, typed: str, ask: Callable[[str], Answer], *, in_trash: bool = False
) -> Answer:
    """What `ask` answers for the job that was typed: as it is, else as the beginning of an id.

    Jobs in the trash are looked for first if such jobs are meant, and last otherwise: the service
    says of them what became of them.

    Raises:
        UsageError: several jobs begin like that.
        ProblemError: there is no such job, or the service refuses.
    """
    try:
        return ask(typed)
    except NotFound as problem:
        if problem.code != "job_not_found" or is_whole_id(typed) or not looks_like_a_job(typed):
            raise
        whole = _whole_id(client, typed, problem, in_trash=in_trash)
    return ask(whole)


def _whole_id(client: JukeboxClient, typed: str, unknown: ProblemError, *, in_trash: bool) -> str:
    beginning = PREFIX + typed.strip().lower().removeprefix(PREFIX)
    for trashed in (True, False) if in_trash else (False, True):
        try:
            # Releases without a trash refuse the parameter.
            jobs = client.jobs(trashed=True) if trashed else client.jobs()
            found = [job.id for job in jobs if job.id.startswith(beginning)]
        except ProblemError as problem:  # a key that may not list jobs
            raise unknown from problem
        if found:
            break
    else:
        raise unknown
    if len(found) > 1:
        some = ", ".join(found[:3]) + (" ..." if len(found) > 3 else "")
        raise UsageError(
            f"the ids of {len(found)} jobs begin with {typed!r}: {some}. Type more of it"
        )
    return found[0]


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """A short id for each id: equally many digits, as few as tell them apart."""
    digits = {each: each.removeprefix(PREFIX) for each in ids}
    length = SHORT_DIGITS
    while len({text[:length] for text in digits.values()}) < len(digits):
        length += 1
    return {each: text[:length] for each, text in digits.items()}
