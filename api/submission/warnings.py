"""What a client may not have meant, said when the job is accepted."""

from dataclasses import asdict

from jobs.record.bodies import AnyBody
from jobs.record.job import Job, JobWarning
from jukebox_core.errors import JukeboxError
from jukebox_core.labels.warnings import lyrics_warnings, name_warnings
from jukebox_core.models.catalog import ModelCatalog


def warnings_of(
    catalog: ModelCatalog,
    body: AnyBody,
    job: Job,
) -> tuple[JobWarning, ...]:
    """The warnings for a job that is about to be recorded. Never refuses it."""
    request = job.request
    labels = job.labels.get(request.levels[0], {})
    try:
        tokenizer = catalog.get(request.model).tokenizer
        found = (
            *lyrics_warnings(tokenizer, body.lyrics, body.lyrics_format),
            *name_warnings(
                labels, request.artist, request.genre, lambda: catalog.search(request.model)
            ),
        )
    except JukeboxError:
        # The model was taken away a moment ago.
        return ()
    return tuple(JobWarning(**asdict(warning)) for warning in found)
