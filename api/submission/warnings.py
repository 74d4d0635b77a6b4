"""What a client may not have meant, said when the job is accepted."""

from collections.abc import Iterator
from dataclasses import asdict, replace

from jobs.record.bodies import AnyBody, RedoBody, SpliceBody
from jobs.record.job import Job, JobWarning
from jobs.record.request import SplicePart
from jukebox_core.errors import JukeboxError
from jukebox_core.labels import JukeboxTokenizer
from jukebox_core.labels.warnings import LabelWarning, lyrics_warnings, name_warnings
from jukebox_core.models.catalog import ModelCatalog


def warnings_of(
    catalog: ModelCatalog,
    body: AnyBody,
    job: Job,
) -> tuple[JobWarning, ...]:
    """The warnings for a job that is about to be recorded. Never refuses it."""
    try:
        if isinstance(body, SpliceBody):
            found = tuple(_splice_warnings(catalog, body, job))
        else:
            found = (*_lyrics_warnings(catalog, body, job), *_name_warnings(catalog, job))
        found = (*found, *_channel_warnings(catalog, job))
    except JukeboxError:
        # The model was taken away a moment ago.
        return ()
    return tuple(JobWarning(**asdict(warning)) for warning in found)


def _lyrics_warnings(catalog: ModelCatalog, body: AnyBody, job: Job) -> Iterator[LabelWarning]:
    if isinstance(body, RedoBody) and body.lyrics.strip().lower() in ("", "[instrumental]"):
        # The way to ask for a section in which nothing is sung.
        return
    tokenizer = catalog.get(job.request.model).tokenizer
    yield from lyrics_warnings(tokenizer, body.lyrics, body.lyrics_format)


def _name_warnings(catalog: ModelCatalog, job: Job) -> Iterator[LabelWarning]:
    request = job.request
    labels = job.labels.get(request.levels[0], {})
    yield from name_warnings(
        labels, request.artist, request.genre, lambda: catalog.search(request.model)
    )


def _splice_warnings(catalog: ModelCatalog, body: SpliceBody, job: Job) -> Iterator[LabelWarning]:
    """What is given for the whole song and for each part, the same mistake once."""
    tokenizer = catalog.get(job.request.model).tokenizer
    givers: list[tuple[str, SpliceBody | SplicePart]] = [("", body)]
    givers += [(f"parts/{number}/", part) for number, part in enumerate(body.parts)]
    seen: set[tuple[str, str]] = set()
    for prefix, giver in givers:
        found = [*lyrics_warnings(tokenizer, giver.lyrics or "", body.lyrics_format)]
        if tokenizer is not None:
            found += _given_name_warnings(catalog, tokenizer, giver, job)
        for warning in found:
            if (warning.code, warning.message) not in seen:
                seen.add((warning.code, warning.message))
                yield replace(warning, field=prefix + warning.field)


def _given_name_warnings(
    catalog: ModelCatalog, tokenizer: JukeboxTokenizer, giver: SpliceBody | SplicePart, job: Job
) -> Iterator[LabelWarning]:
    artist, genre = giver.artist or "", giver.genre or ""
    if artist or genre:
        resolved = tokenizer.resolve(artist, genre)
        labels = resolved.get(job.request.levels[0], {})
        yield from name_warnings(labels, artist, genre, lambda: catalog.search(job.request.model))


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
