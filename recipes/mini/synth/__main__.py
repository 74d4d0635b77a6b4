"""`python -m recipes.mini.synth`: writes a folder of synthetic songs with labels."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.errors import UsageError
from cli.main import run
from cli.terminal.console import escape, notes, results
from recipes.mini.synth import write_songs

_LINE_EVERY_SONGS = 500

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; made if need be.")],
    songs: Annotated[int, typer.Option("--songs", min=1, help="How many.")] = 64,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same songs.")] = 0,
    seconds: Annotated[
        str, typer.Option("--seconds", metavar="MIN-MAX", help="Shortest and longest song.")
    ] = "8-24",
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes; 0: one for each core.")
    ] = 0,
    held_out_pairs: Annotated[
        bool,
        typer.Option(
            "--held-out-pairs",
            help="Also pair the artists and genres that training data leaves out.",
        ),
    ] = False,
    sections: Annotated[
        float,
        typer.Option(
            "--sections", min=0, max=1, help="Share of songs with an intro, verses and choruses."
        ),
    ] = 0.0,
    short: Annotated[
        float,
        typer.Option("--short", min=0, max=1, help="Share of songs that end within 12 seconds."),
    ] = 0.0,
    rate: Annotated[int, typer.Option("--rate", min=8_000, help="Samples a second.")] = 16_000,
) -> None:
    """Write songs as WAV files, and songs.json with artist, genre, lyrics and when each is sung."""
    duration_sec = _range(seconds)
    live = notes().is_terminal
    columns = (TextColumn("songs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notes(), disable=not live) as progress:
        bar = progress.add_task("songs", total=songs)

        def on_song(num_written: int) -> None:
            progress.update(bar, completed=num_written)
            if not live and num_written % _LINE_EVERY_SONGS == 0:
                notes().print(f"{num_written} of {songs} songs")

        manifest = write_songs(
            out,
            songs,
            seed,
            workers=workers or os.cpu_count() or 1,
            duration_sec=duration_sec,
            sample_rate_hz=rate,
            held_out_pairs=held_out_pairs,
            sections_share=sections,
            short_share=short,
            on_song=on_song,
        )
    results().print(escape(str(manifest)))


def _range(text: str) -> tuple[float, float]:
    shortest, _, longest = text.partition("-")
    try:
        return float(shortest), float(longest or shortest)
    except ValueError:
        raise UsageError(f"--seconds is {text!r}; wanted two numbers such as 8-24") from None


if __name__ == "__main__":
    run(app)
