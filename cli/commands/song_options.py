"""Options of songs that commands take together, and the fields of `POST /jobs` that they become.

A field of a request is None for what was not said: what the service or the song before has counts.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from cli import options, raw_ids
from cli.commands.downloads import SoundTarget
from cli.outputs import Overwrite

_LEVELS = ["top", "middle", "bottom"]

LastLevel = Annotated[
    str,
    typer.Option(
        "--stop-after", help="Last level to generate: top for a draft, bottom for the full song."
    ),
]


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What a new song is about."""

    artist: options.Artist = ""
    genre: options.Genre = ""
    artist_ids: raw_ids.ArtistIdOption = None
    genre_numbers: raw_ids.GenreIdsOption = None
    lyrics: options.Lyrics = ""
    lyrics_format: options.LyricsFormatOption = None

    def fields(self) -> dict[str, Any]:
        """Raises UsageError or typer.BadParameter for numbers or lyrics that cannot be read."""
        return {
            "artist": self.artist,
            "genre": self.genre,
            "artist_id": raw_ids.artist_id(self.artist_ids),
            "genre_ids": raw_ids.genre_ids(self.genre_numbers),
            "lyrics": options.lyrics_text(self.lyrics),
            "lyrics_format": self.lyrics_format,
        }


@dataclass(frozen=True, kw_only=True)
class LabelsOfJob:
    """What a song is about that goes on from another."""

    model: Annotated[
        str | None,
        typer.Option("--model", help="Model (default: that of the job; for codes, the only one)."),
    ] = None
    artist: Annotated[
        str | None,
        typer.Option("--artist", help="Artist (default: that of the job; required for codes)."),
    ] = None
    genre: Annotated[
        str | None,
        typer.Option("--genre", help="Genre (default: that of the job; required for codes)."),
    ] = None
    lyrics: Annotated[
        str | None,
        typer.Option("--lyrics", help="Lyrics, or @FILE to read them (default: those of the job)."),
    ] = None
    lyrics_format: options.LyricsFormatOption = None

    def fields(self) -> dict[str, Any]:
        """Raises typer.BadParameter for lyrics that cannot be read."""
        return {
            "model": self.model,
            "artist": self.artist,
            "genre": self.genre,
            "lyrics": None if self.lyrics is None else options.lyrics_text(self.lyrics),
            "lyrics_format": self.lyrics_format,
        }


@dataclass(frozen=True, kw_only=True)
class SamplingOfJob:
    """How a song is drawn that goes on from another."""

    seed: options.Seed = None
    temperature: options.Temperature = None
    stop_after: Annotated[
        str | None,
        typer.Option("--stop-after", help="Last level to generate (default: that of the job)."),
    ] = None
    speed: Annotated[
        options.SpeedName | None,
        typer.Option(
            "--speed",
            help="exact (default), or parallel: generate segments concurrently. parallel is "
            "faster; the same seed gives a different song.",
        ),
    ] = None
    channels: options.Channels = None
    left_genre: Annotated[
        str | None,
        typer.Option("--left-genre", help="Genre of the left channel (implies --channels 2)."),
    ] = None
    right_genre: Annotated[
        str | None,
        typer.Option("--right-genre", help="Genre of the right channel (implies --channels 2)."),
    ] = None

    @property
    def genres(self) -> tuple[str | None, str | None] | None:
        """Of the left and the right channel, if any has one of its own."""
        genres = (self.left_genre, self.right_genre)
        return None if genres == (None, None) else genres

    @property
    def num_channels(self) -> int | None:
        """A genre for one channel asks for stereo."""
        return 2 if self.channels is None and self.genres is not None else self.channels

    def fields(self) -> dict[str, Any]:
        """Raises typer.BadParameter for a level that is none."""
        levels = None if self.stop_after is None else levels_down_to(self.stop_after)
        params = None if self.temperature is None else {"temperature": self.temperature}
        genres = self.genres
        return {
            "seed": self.seed,
            "levels": levels,
            "sampling": params and dict.fromkeys(levels or _LEVELS, params),
            "speed": self.speed,
            "channels": self.num_channels,
            "stereo_genres": genres and dict(zip(("left", "right"), genres, strict=True)),
        }


@dataclass(frozen=True, kw_only=True)
class Sampling(SamplingOfJob):
    """How a song is drawn that has all levels unless fewer are asked for."""

    stop_after: LastLevel = "bottom"


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """What becomes of a job that is submitted."""

    audio_format: Annotated[
        options.SoundFormat | None,
        typer.Option("--format", help="Audio format (default: from the -o suffix, else wav)."),
    ] = None
    webhook: Annotated[
        str | None,
        typer.Option("--webhook", metavar="URL", help="URL to notify when the job ends."),
    ] = None
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", help="Fail the job after this time."),
    ] = None
    title: options.Title = None
    tags: options.Tags = None
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the job id and exit.")] = False
    play: options.Play = False
    output: options.Output = None
    overwrite: Overwrite = False
    as_json: options.AsJson = False
    url: options.Url = options.DEFAULT_URL

    def target(self, takes: int | None) -> SoundTarget | None:
        """Where the sound of `takes` takes goes; see `SoundTarget.of_new_job`."""
        return SoundTarget.of_new_job(
            self.output,
            self.audio_format,
            overwrite=self.overwrite,
            takes=takes,
            no_wait=self.no_wait,
        )

    def fields(self, target: SoundTarget | None) -> dict[str, Any]:
        """What the service is told of it."""
        return {
            "audio_format": self.audio_format if target is None else target.audio_format,
            "webhook_url": self.webhook,
            "timeout_seconds": self.timeout,
            "title": self.title,
            "tags": self.tags or None,
        }


@dataclass(frozen=True, kw_only=True)
class NewJobOfJob(NewJob):
    """The same of a job that goes on from others."""

    audio_format: Annotated[
        options.SoundFormat | None,
        typer.Option(
            "--format",
            help="Audio format (default: from the -o suffix, else that of the job, else wav).",
        ),
    ] = None
    webhook: str | None = field(default=None, init=False)
    timeout: float | None = field(default=None, init=False)
    play: bool = field(default=False, init=False)


def levels_down_to(last: str) -> list[str]:
    """The levels to draw, from the top down to `last`.

    Raises:
        typer.BadParameter: there is no such level.
    """
    if last not in _LEVELS:
        raise typer.BadParameter(
            f"unknown level {last!r}; use top, middle or bottom", param_hint="--stop-after"
        )
    return _LEVELS[: _LEVELS.index(last) + 1]
