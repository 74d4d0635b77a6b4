"""`jukebox edit`: what people write on a job."""

from typing import Annotated

import typer

from cli import options
from cli.errors import UsageError
from cli.job_lines import job_details
from cli.service.job_ids import for_job
from cli.terminal.console import print_fitted, print_json
from jukebox_client import JukeboxClient
from jukebox_client.models import JobChanges


def edit(
    job_id: options.JobId,
    title: Annotated[
        str | None, typer.Option("--title", help='What the song is called ("" for nothing).')
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option(
            "--tag", metavar="TAG", help='Tag, repeatable; replaces all tags ("" for none).'
        ),
    ] = None,
    favorite: Annotated[
        bool | None, typer.Option("--favorite/--no-favorite", help="Mark as a favorite, or not.")
    ] = None,
    notes: Annotated[
        str | None, typer.Option("--notes", help='Notes, or @FILE to read them ("" for none).')
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            "--metadata",
            metavar="NAME=TEXT",
            help='Name and text of your own, repeatable; replaces all ("" for none).',
        ),
    ] = None,
    as_json: options.AsJson = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Change the title, tags, notes or metadata of a job.

    Options that are omitted keep their values.
    """
    changes: JobChanges = {}
    if title is not None:
        changes["title"] = title
    if tags is not None:
        changes["tags"] = [tag for tag in tags if tag]
    if favorite is not None:
        changes["favorite"] = favorite
    if notes is not None:
        changes["notes"] = options.lyrics_text(notes)
    if metadata is not None:
        changes["metadata"] = _pairs(metadata)
    if not changes:
        raise UsageError("say what to change: --title, --tag, --favorite, --notes or --metadata")
    with JukeboxClient(url) as client:
        job = for_job(client, job_id, lambda each: client.update_job(each, **changes))
    if as_json:
        print_json(job)
    else:
        print_fitted(job_details(job))


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in filter(None, texts):
        name, equals, value = text.partition("=")
        if not equals or not name or name in pairs:
            raise UsageError(f"--metadata {text!r} is not NAME=TEXT with a name of its own")
        pairs[name] = value
    return pairs
