"""`jukebox align`: when each word of a song is sung."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli import options
from cli.console import escape, results
from cli.service.client import JukeboxClient

TextFormat = Literal["json", "lrc", "vtt"]
_FORMATS: dict[str, TextFormat] = {".json": "json", ".lrc": "lrc", ".vtt": "vtt"}


def align(
    job_id: options.JobId,
    text_format: Annotated[
        TextFormat | None,
        typer.Option(
            "--format", help="json, lrc (music players) or vtt (browsers); as -o is called."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File; standard output by default.")
    ] = None,
    sample: Annotated[int, typer.Option("--sample", "--take", min=0, help="Which take.")] = 0,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Fetch the times of characters, words and lines; needs a model that can tell them."""
    if text_format is None:
        text_format = _FORMATS.get(output.suffix.lower(), "json") if output else "json"
    with JukeboxClient(url) as client:
        text = client.alignment(job_id, sample=sample, text_format=text_format)
    if output is None:
        results().out(text, end="", highlight=False)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    results().print(escape(str(output)))
