"""`jukebox continue`, `upsample`, `redo`, `upload`, `tree`: songs that begin with something."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import options
from cli.commands.downloads import SoundTarget
from cli.commands.follow import follow_new_job
from cli.commands.song_request import default_model_of, origin, present, show_what_is_sung, upload
from cli.job_lines import family_trees
from cli.outputs import Overwrite
from cli.service.job_ids import for_job
from cli.terminal.console import print_fitted, print_json, results
from jukebox_client import JukeboxClient

Song = Annotated[
    str, typer.Argument(metavar="SONG", help="Job id, asset id, or a file of codes (.safetensors).")
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="Model (default: that of the job; for codes, the only one)."),
]
OtherArtist = Annotated[
    str | None,
    typer.Option("--artist", help="Artist (default: that of the job; required for codes)."),
]
OtherGenre = Annotated[
    str | None,
    typer.Option("--genre", help="Genre (default: that of the job; required for codes)."),
]
OtherLyrics = Annotated[
    str | None,
    typer.Option("--lyrics", help="Lyrics, or @FILE to read them (default: those of the job)."),
]
NumSamples = Annotated[
    int | None,
    typer.Option(
        "--takes", "--num-samples", min=1, help="Number of takes to generate from the chosen take."
    ),
]
AudioFormat = Annotated[
    options.SoundFormat | None,
    typer.Option(
        "--format",
        help="Audio format (default: from the -o suffix, else that of the job, else wav).",
    ),
]
LastLevelOfJob = Annotated[
    str | None,
    typer.Option("--stop-after", help="Last level to generate (default: that of the job)."),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Print the job id and exit.")]


def continue_song(
    song: Song,
    seconds: Annotated[float, typer.Option("--seconds", min=0.01, help="Seconds to add.")],
    cut: options.Cut = None,
    sample: options.Sample = None,
    takes: NumSamples = None,
    model: Model = None,
    artist: OtherArtist = None,
    genre: OtherGenre = None,
    lyrics: OtherLyrics = None,
    lyrics_format: options.LyricsFormatOption = None,
    song_seconds: options.SongSeconds = None,
    seed: options.Seed = None,
    temperature: options.Temperature = None,
    stop_after: LastLevelOfJob = None,
    speed: options.Speed = None,
    channels: options.Channels = None,
    left_genre: options.LeftGenre = None,
    right_genre: options.RightGenre = None,
    audio_format: AudioFormat = None,
    title: options.Title = None,
    tags: options.Tags = None,
    no_wait: NoWait = False,
    output: options.Output = None,
    overwrite: Overwrite = False,
    as_json: options.AsJson = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Extend a finished song; the existing part is unchanged."""
    target = SoundTarget.of_new_job(
        output, audio_format, overwrite=overwrite, takes=takes, no_wait=no_wait
    )
    request = {
        "mode": "continue",
        "duration_seconds": seconds,
        "cut_seconds": cut,
        "sample": sample,
        "num_samples": takes,
        "model": model,
        "artist": artist,
        "genre": genre,
        "lyrics": None if lyrics is None else options.lyrics_text(lyrics),
        "lyrics_format": lyrics_format,
        "song_duration_seconds": song_seconds,
        "seed": seed,
        "sampling": _sampling(temperature),
        "levels": None if stop_after is None else options.levels_down_to(stop_after),
        "speed": speed,
        **options.stereo_fields(channels, left_genre, right_genre),
        "audio_format": audio_format if target is None else target.audio_format,
        "title": title,
        "tags": tags or None,
    }
    _go_on(song, request, url, target, no_wait=no_wait, as_json=as_json)


def upsample(
    song: Song,
    sample: options.Sample = None,
    takes: NumSamples = None,
    model: Model = None,
    artist: OtherArtist = None,
    genre: OtherGenre = None,
    lyrics: OtherLyrics = None,
    lyrics_format: options.LyricsFormatOption = None,
    song_seconds: options.SongSeconds = None,
    seed: options.Seed = None,
    temperature: options.Temperature = None,
    stop_after: options.LastLevel = "bottom",
    speed: options.Speed = None,
    channels: options.Channels = None,
    left_genre: options.LeftGenre = None,
    right_genre: options.RightGenre = None,
    audio_format: AudioFormat = None,
    title: options.Title = None,
    tags: options.Tags = None,
    no_wait: NoWait = False,
    output: options.Output = None,
    overwrite: Overwrite = False,
    as_json: options.AsJson = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Generate the lower levels of a draft."""
    target = SoundTarget.of_new_job(
        output, audio_format, overwrite=overwrite, takes=takes, no_wait=no_wait
    )
    request = {
        "mode": "upsample",
        "sample": sample,
        "num_samples": takes,
        "model": model,
        "artist": artist,
        "genre": genre,
        "lyrics": None if lyrics is None else options.lyrics_text(lyrics),
        "lyrics_format": lyrics_format,
        "song_duration_seconds": song_seconds,
        "seed": seed,
        "sampling": _sampling(temperature),
        "levels": options.levels_down_to(stop_after),
        "speed": speed,
        **options.stereo_fields(channels, left_genre, right_genre),
        "audio_format": audio_format if target is None else target.audio_format,
        "title": title,
        "tags": tags or None,
    }
    _go_on(song, request, url, target, no_wait=no_wait, as_json=as_json)


def redo(
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
    model: Model = None,
    artist: OtherArtist = None,
    genre: OtherGenre = None,
    lyrics: Annotated[
        str | None,
        typer.Option(
            "--lyrics",
            help="Lyrics of the section, or @FILE to read them (default: those of the song there).",
        ),
    ] = None,
    lyrics_format: options.LyricsFormatOption = None,
    seed: options.Seed = None,
    temperature: options.Temperature = None,
    stop_after: LastLevelOfJob = None,
    audio_format: AudioFormat = None,
    title: options.Title = None,
    tags: options.Tags = None,
    no_wait: NoWait = False,
    output: options.Output = None,
    overwrite: Overwrite = False,
    as_json: options.AsJson = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Generate a section of a song again; all else is unchanged."""
    target = SoundTarget.of_new_job(
        output, audio_format, overwrite=overwrite, takes=takes, no_wait=no_wait
    )
    request = {
        "mode": "redo",
        "start_seconds": start,
        "end_seconds": end,
        "sample": sample,
        "num_samples": takes,
        "model": model,
        "artist": artist,
        "genre": genre,
        "lyrics": None if lyrics is None else options.lyrics_text(lyrics),
        "lyrics_format": lyrics_format,
        "seed": seed,
        "sampling": _sampling(temperature),
        "levels": None if stop_after is None else options.levels_down_to(stop_after),
        "audio_format": audio_format if target is None else target.audio_format,
        "title": title,
        "tags": tags or None,
    }
    _go_on(song, request, url, target, no_wait=no_wait, as_json=as_json)


def upload_file(
    file: Annotated[
        Path, typer.Argument(help="Audio (WAV, FLAC, OGG, MP3) or codes (.safetensors).")
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


def _sampling(temperature: float | None) -> dict[str, Any] | None:
    if temperature is None:
        return None
    return {level: {"temperature": temperature} for level in options.levels_down_to("bottom")}


def _go_on(
    song: str,
    request: Mapping[str, Any],
    url: str,
    target: SoundTarget | None,
    *,
    no_wait: bool,
    as_json: bool,
) -> None:
    with JukeboxClient(url) as client:
        begun = origin(client, song)
        if "parent_id" not in begun and request["model"] is None:
            begun["model"] = default_model_of(client)
        job = client.create_job({**present(request), **begun})
        show_what_is_sung(job, request)
        follow_new_job(client, job, target, no_wait=no_wait, as_json=as_json)
