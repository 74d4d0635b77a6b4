"""`jukebox splice`: one song from parts of others."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from cli.commands.follow import follow_new_job
from cli.commands.song_options import LabelsOfJob, NewJobOfJob, SamplingOfJob
from cli.commands.song_request import origin, present, show_what_is_sung
from cli.option_groups import grouped
from cli.parts import PartText, parse_part
from cli.terminal.console import notes
from jukebox_client import Job, JukeboxClient

Parts = Annotated[
    list[str],
    typer.Argument(
        metavar="PART",
        help="SONG[:takeN][:FROM-TO]: a job id, an asset id or a file of codes; the take, counted "
        "from 0 (default: 0); a stretch in seconds (default: all; FROM- to the end).",
    ),
]


@dataclass(frozen=True, kw_only=True)
class _LabelsOfParts(LabelsOfJob):
    model: Annotated[
        str | None, typer.Option("--model", help="Model, if no part tells it (default: theirs).")
    ] = None
    artist: Annotated[
        str | None, typer.Option("--artist", help="Artist of all parts (default: each its own).")
    ] = None
    genre: Annotated[
        str | None, typer.Option("--genre", help="Genre of all parts (default: each its own).")
    ] = None
    lyrics: Annotated[
        str | None,
        typer.Option(
            "--lyrics",
            help="Lyrics of the song, or @FILE to read them (default: those of the parts).",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class _SamplingOfJoins(SamplingOfJob):
    temperature: float | None = field(default=None, init=False)
    stop_after: Annotated[
        str | None,
        typer.Option("--stop-after", help="Last level (default: the last that all parts have)."),
    ] = None


@grouped
def splice(
    *,
    parts: Parts,
    mend: Annotated[
        float | None,
        typer.Option(
            "--mend",
            metavar="SECONDS",
            min=0.0,
            help="Generate the finer levels again for SECONDS around each join (default: 0, "
            "all codes stay as they are).",
        ),
    ] = None,
    labels: _LabelsOfParts,
    sampling: _SamplingOfJoins,
    new_job: NewJobOfJob,
) -> None:
    """Join parts of songs: trim, delete, insert, repeat, reorder.

    A:0-12 trims A. A:0-12 A:15- deletes three seconds of it. A:0-12 B:take2:2-5 A:12- inserts three
    seconds of take 2 of B. A:0-12 A:8-12 repeats a stretch. A:8- A:0-8 reorders. All codes stay as
    they are; parts are cut at the nearest token of the top level.
    """
    wanted = [parse_part(part) for part in parts]
    target = new_job.target(None)
    request = {
        "mode": "splice",
        "mend_seconds": mend,
        **labels.fields(),
        **sampling.fields(),
        **new_job.fields(target),
    }
    with JukeboxClient(new_job.url) as client:
        job = client.create_job({**present(request), "parts": _parts_of(client, wanted)})
        show_what_is_sung(job, request)
        _show_parts(job)
        follow_new_job(client, job, target, no_wait=new_job.no_wait, as_json=new_job.as_json)


def _parts_of(client: JukeboxClient, wanted: list[PartText]) -> list[dict[str, Any]]:
    """The parts of the request; what is named several times is looked up and sent once."""
    sources: dict[str, str] = {}
    for part in wanted:
        if part.song not in sources:
            begun = origin(client, part.song)
            sources[part.song] = begun.get("parent_id") or begun["prompt"]["asset_id"]
    return [
        present(
            {
                "source": sources[part.song],
                "sample": part.take,
                "start_seconds": part.start_sec,
                "end_seconds": part.end_sec,
            }
        )
        for part in wanted
    ]


def _show_parts(job: Job) -> None:
    """Where each part begins, and where it was cut."""
    for part in job.parts or ():
        notes().print(
            f"{part.position_seconds:8.3f} s: {part.source[:12]} take {part.sample}, "
            f"{part.start_seconds:.3f} to {part.end_seconds:.3f} s"
        )
