"""`jukebox continue`, `upsample`, `redo`, `upload`, `tree`: songs that begin with something."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import options
from cli.commands.downloads import SoundTarget
from cli.commands.follow import follow_new_job
from cli.commands.song_options import LabelsOfJob, NewJob, NewJobOfJob, Sampling, SamplingOfJob
from cli.commands.song_request import default_model_of, origin, present, show_what_is_sung, upload
from cli.job_lines import family_trees
from cli.option_groups import grouped
from cli.service.job_ids import for_job
from cli.terminal.console import print_fitted, print_json, results
from jukebox_client import JukeboxClient

Song = Annotated[
    str, typer.Argument(metavar="SONG", help="Job id, asset id, or a file of codes (.safetensors).")
]
NumSamples = Annotated[
    int | None,
    typer.Option(
        "--takes", "--num-samples", min=1, help="Number of takes to generate from the chosen take."
    ),
]


@dataclass(frozen=True, kw_only=True)
class _LabelsOfSection(LabelsOfJob):
    lyrics: Annotated[
        str | None,
        typer.Option(
            "--lyrics",
            help="Lyrics of the section, or @FILE to read them (default: those of the song there).",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class _SamplingOfSection(SamplingOfJob):
    """A section has the channels of the song around it."""

    speed: options.SpeedName | None = field(default=None, init=False)
    channels: int | None = field(default=None, init=False)
    left_genre: str | None = field(default=None, init=False)
    right_genre: str | None = field(default=None, init=False)


@grouped
def continue_song(
    *,
    song: Song,
    seconds: Annotated[float, typer.Option("--seconds", min=0.01, help="Seconds to add.")],
    cut: options.Cut = None,
    sample: options.Sample = None,
    takes: NumSamples = None,
    labels: LabelsOfJob,
    song_seconds: options.SongSeconds = None,
    sampling: SamplingOfJob,
    new_job: NewJobOfJob,
) -> None:
    """Extend a finished song; the existing part is unchanged."""
    target = new_job.target(takes)
    request = {
        "mode": "continue",
        "duration_seconds": seconds,
        "cut_seconds": cut,
        "sample": sample,
        "num_samples": takes,
        **labels.fields(),
        "song_duration_seconds": song_seconds,
        **sampling.fields(),
    }
    _go_on(song, request, new_job, target)


@grouped
def upsample(
    *,
    song: Song,
    sample: options.Sample = None,
    takes: NumSamples = None,
    labels: LabelsOfJob,
    song_seconds: options.SongSeconds = None,
    sampling: Sampling,
    new_job: NewJobOfJob,
) -> None:
    """Generate the lower levels of a draft."""
    target = new_job.target(takes)
    request = {
        "mode": "upsample",
        "sample": sample,
        "num_samples": takes,
        **labels.fields(),
        "song_duration_seconds": song_seconds,
        **sampling.fields(),
    }
    _go_on(song, request, new_job, target)


@grouped
def redo(
    *,
    song: Song,
    start: Annotated[
        float, typer.Option("--from", min=0.0, help="Start of the section in seconds.")
    ],
    end: Annotated[
        float | None,
        typer.Option("--to", min=0.0, help="End of the section (default: that of the song)."),
    ] = None,
    sample: options.Sample = None,
    takes: NumSamples = None,
    labels: _LabelsOfSection,
    sampling: _SamplingOfSection,
    new_job: NewJobOfJob,
) -> None:
    """Generate a section of a song again; all else is unchanged."""
    target = new_job.target(takes)
    request = {
        "mode": "redo",
        "start_seconds": start,
        "end_seconds": end,
        "sample": sample,
        "num_samples": takes,
        **labels.fields(),
        **sampling.fields(),
    }
    _go_on(song, request, new_job, target)


def upload_file(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Audio (WAV, FLAC, OGG, MP3) or codes (.safetensors)."),
    ],
    as_json: options.AsJson = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Upload audio or codes and print the asset id."""
    with JukeboxClient(url) as client:
        asset = upload(client, file)
    if as_json:
        print_json(asset)
    else:
        results().print(asset.id)


def tree(
    job_id: options.JobId,
    as_json: options.AsJson = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Show the jobs a job derives from, and those derived from it."""
    with JukeboxClient(url) as client:
        marked = for_job(client, job_id, client.get_job).id
        jobs = list(client.jobs(root=client.get_job(marked).root_id))
    if as_json:
        print_json(jobs)
    else:
        print_fitted(*family_trees(jobs, marked=marked, width=results().width))


def _go_on(
    song: str, request: Mapping[str, Any], new_job: NewJob, target: SoundTarget | None
) -> None:
    with JukeboxClient(new_job.url) as client:
        begun = origin(client, song)
        if "parent_id" not in begun and request["model"] is None:
            begun["model"] = default_model_of(client)
        job = client.create_job({**present({**request, **new_job.fields(target)}), **begun})
        show_what_is_sung(job, request)
        follow_new_job(client, job, target, no_wait=new_job.no_wait, as_json=new_job.as_json)
