"""`jukebox align` and `lyrics`: when each word is sung, and which words are left."""

from typing import Annotated, Literal

import typer

from cli import options
from cli.outputs import FilesWriter, OutputPath, Overwrite, output_path
from cli.service.job_ids import for_job
from cli.terminal.console import escape, notes, print_json, results
from jukebox_client import JukeboxClient

TextFormat = Literal["json", "lrc", "lrc-lines", "vtt"]
_FORMATS = {each: each for each in ("json", "lrc", "vtt")}


def align(
    job_id: options.JobId,
    text_format: Annotated[
        TextFormat | None,
        typer.Option(
            "--format",
            help="json, lrc (word times), lrc-lines (line times only) or vtt (default: from the -o "
            "suffix, else json).",
        ),
    ] = None,
    output: Annotated[
        OutputPath | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            parser=output_path,
            help="File (.json, .lrc, .vtt) or FOLDER/ (default: standard output).",
        ),
    ] = None,
    overwrite: Overwrite = False,
    sample: Annotated[
        int, typer.Option("--sample", "--take", min=0, help="Take, counted from 0.")
    ] = 0,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Get lyric timings for a song.

    Prints the times of characters, words and lines. Requires a model with an alignment head.
    """
    wanted: str = text_format or "json"
    if output is not None:
        wanted = output.format_among(_FORMATS, said=text_format) or "json"
        (file,) = output.files([f"{job_id}-{sample}.{wanted}"])
        output.check_writable([file], overwrite=overwrite)
    with JukeboxClient(url) as client:
        text = for_job(
            client,
            job_id,
            lambda each: client.download_alignment(each, sample=sample, format=wanted),
        )
    if output is None:
        results().out(text, end="", highlight=False)
        return
    files = FilesWriter(overwrite=overwrite)
    files.write(file, lambda path: path.write_text(text, encoding="utf-8"))
    files.raise_failures()


def lyrics(
    job_id: options.JobId,
    sample: Annotated[
        int, typer.Option("--sample", "--take", min=0, help="Take, counted from 0.")
    ] = 0,
    next_seconds: Annotated[
        float,
        typer.Option("--next", min=0.01, metavar="SECONDS", help="Length that would be added."),
    ] = 10.0,
    as_json: options.AsJson = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Show the lyrics that a song has sung and those that are left."""
    with JukeboxClient(url) as client:
        found = for_job(
            client,
            job_id,
            lambda each: client.get_lyrics(each, sample=sample, next_seconds=next_seconds),
        )
    if as_json:
        print_json(found)
        return
    if found.sung is None:
        notes().print("This take has no lyric timing.")
        return
    for name, text in (("sung", found.sung), ("left", found.left), ("next", found.next)):
        results().print(f"[bold]{name}[/]")
        results().print(escape(text or "(nothing)"))
