"""`jukebox train pack`: a trained model in half the space."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.training.new import ModelFolder
from cli.outputs import Overwrite, check_new_folder
from cli.terminal.console import escape, notes, results


def pack(
    model: ModelFolder,
    destination: Annotated[Path, typer.Argument(metavar="DST", help="New model directory.")],
    overwrite: Overwrite = False,
) -> None:
    """Copy MODEL with 16-bit weights, for distribution."""
    check_new_folder(destination, overwrite=overwrite)
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.training.dataset.packing import pack_model

    packed = pack_model(model, destination)
    notes().print(
        f"{packed.bytes_before / 1e6:,.1f} MB became {packed.bytes_after / 1e6:,.1f} MB; "
        f"no weight changed by more than {packed.largest_change:.2g}"
    )
    results().print(escape(str(destination)))
