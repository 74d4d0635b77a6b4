"""`jukebox codes`: the codes of songs as files."""

from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.console import escape, notes, results
from cli.service.client import JukeboxClient, job_path
from cli.service.download import download

codes_app = typer.Typer(help="Codes of songs as files.", no_args_is_help=True)


@codes_app.command("download")
def download_codes(
    job_id: options.JobId,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File; JOB.safetensors by default.")
    ] = None,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Download the codes of all finished levels, to go on from them here or elsewhere."""
    with JukeboxClient(url) as client:
        job = client.get(job_id)
        target = Path(f"{job['id']}.safetensors") if output is None else output
        path = download(client, f"{job_path(job['id'])}/codes", {}, target)
    results().print(escape(str(path)))


@codes_app.command("import")
def import_codes(
    source: Annotated[Path, typer.Argument(help="The original's data.pth.tar.")],
    destination: Annotated[Path, typer.Argument(help="File to write, OUT.safetensors.")],
) -> None:
    """Turn codes that the original saved into a file that this service takes.

    What else the file holds is left aside, and code in it is not run.
    """
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.checkpoints.openai_codes import import_openai_codes

    num_tokens = import_openai_codes(source, destination)
    for level, (num_songs, tokens) in num_tokens.items():
        notes().print(f"{level}: {num_songs} x {tokens:,}")
    results().print(escape(str(destination)))
