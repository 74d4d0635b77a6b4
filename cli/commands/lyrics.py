"""`jukebox align`: when each word of a song is sung."""

from typing import Annotated, Literal

import typer

from cli import options
from cli.outputs import FilesWriter, OutputPath, Overwrite, output_path
from cli.service.job_ids import for_job
from cli.terminal.console import results
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
