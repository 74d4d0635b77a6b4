"""What a client may not have meant, said when the job is accepted."""

from collections.abc import Iterator
from dataclasses import asdict, replace

from jobs.record.bodies import AnyBody
from jobs.record.job import Job, JobWarning
from jukebox_core.errors import JukeboxError
from jukebox_core.labels.warnings import LabelWarning, lyrics_warnings, name_warnings
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
            *_channel_warnings(catalog, job),
        )
    except JukeboxError:
        # The model was taken away a moment ago.
        return ()
    return tuple(JobWarning(**asdict(warning)) for warning in found)


def _channel_warnings(catalog: ModelCatalog, job: Job) -> Iterator[LabelWarning]:
    """Genres of the channels of a stereo song that the levels below the top do not know."""
    for level in job.request.levels[1:2]:
        labels = job.labels.get(level, {})
        for channel, genres in labels.get("stereo_genres", {}).items():
            genre = job.request.channel_genres[channel] or ""
            resolution = {**labels, "genres": genres}
            for warning in name_warnings(
                resolution, "", genre, lambda: catalog.search(job.request.model)
            ):
                yield replace(warning, field=f"stereo_genres/{channel}")
