"""`jukebox codes`: the codes of songs as files."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.outputs import (
    CODES_FORMATS,
    HERE,
    OutputPath,
    Overwrite,
    move_into_place,
    output_path,
    write_whole,
)
from cli.service.job_ids import for_job
from cli.terminal.console import escape, notes, results
from jukebox_client import JukeboxClient

codes_app = typer.Typer(help="Download and import song codes.", no_args_is_help=True)


@codes_app.command("download")
def download_codes(
    job_id: options.JobId,
    output: Annotated[
        OutputPath | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            parser=output_path,
            help="File (.safetensors) or FOLDER/ (default: JOB.safetensors).",
        ),
    ] = None,
    overwrite: Overwrite = False,
    url: options.Url = options.DEFAULT_URL,
) -> None:
    """Download the codes of all finished levels.

    `jukebox continue`, `upsample` and `generate` accept the file.
    """
    where = output or HERE
    where.format_among(CODES_FORMATS)
    with JukeboxClient(url) as client:
        job = for_job(client, job_id, client.get_job)
        (target,) = where.files([f"{job.id}.safetensors"])
        where.check_writable([target], overwrite=overwrite)
        move = partial(move_into_place, overwrite=overwrite)
        path = client.download_codes(job.id, target, move=move)
    results().print(escape(str(path)))


@codes_app.command("import")
def import_codes(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="data.pth.tar written by OpenAI's sample.py.")
    ],
    destination: Annotated[
        OutputPath,
        typer.Argument(
            metavar="DESTINATION",
            parser=output_path,
            help="File to write (.safetensors), or FOLDER/.",
        ),
    ],
    overwrite: Overwrite = False,
) -> None:
    """Convert codes saved by OpenAI's sample.py to .safetensors.

    Other content of the file is ignored, and code in it is never executed.
    """
    destination.format_among(CODES_FORMATS, option="DESTINATION")
    (target,) = destination.files([f"{source.name.partition('.')[0]}.safetensors"])
    destination.check_writable([target], overwrite=overwrite)
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.checkpoints.openai_codes import import_openai_codes

    def write(path: Path) -> None:
        for level, (num_songs, tokens) in import_openai_codes(source, path).items():
            notes().print(f"{level}: {num_songs} x {tokens:,}")

    place = write_whole(target, write, overwrite=overwrite)
    results().print(escape(str(place)))
