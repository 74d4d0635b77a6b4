"""`jukebox train encode`: the codes of all songs, computed once."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from cli.commands.training import options
from cli.commands.training.new import DataFolder, ModelFolder
from cli.commands.training.steps import after_encode, say_next
from cli.errors import CliError
from cli.local_model import Device, device_and_dtype
from cli.terminal.console import escape, notes

if TYPE_CHECKING:
    from jukebox_core.training.dataset.code_use import CodeUse


def encode(data: DataFolder, model: ModelFolder, device: Device = "auto") -> None:
    """Encode the songs in DATA with the VQ-VAE of MODEL.

    Codes are cached in DATA until the audio or the VQ-VAE changes. `jukebox train prior` encodes
    the levels it needs if this was not done. Levels with low codebook usage are reported;
    collapsed levels are an error.
    """
    options.begin(f"encoding the songs of {data}")
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.checkpoints import load_vqvae_of
    from jukebox_core.training.dataset.code_use import code_use
    from jukebox_core.training.dataset.codes_cache import encode_all
    from jukebox_core.training.dataset.data import TrainingData

    chosen, _ = device_and_dtype(device)
    vqvae = load_vqvae_of(model, device=chosen)
    songs = TrainingData(data, vqvae.config.sample_rate_hz, report=options.report)
    uses = []
    for level, codes in encode_all(songs, vqvae, report=options.report).items():
        use = code_use(codes, vqvae.config.num_codes)
        notes().print(
            f"{level.label:<7}{len(codes.flat):>12,} codes, {use.used:,} of {use.num_codes:,} "
            f"different"
        )
        uses.append(use)
    check_use(uses, data, model)
    say_next(after_encode(data, model))


def check_use(uses: "list[CodeUse]", data: Path, model: Path) -> None:
    """Warn of levels that use few of their codes, and refuse those that use hardly more than one.

    Raises:
        CliError: a level has collapsed.
    """
    collapsed = [use for use in uses if use.is_collapsed]
    for use in uses:
        if use.is_poor and not use.is_collapsed:
            notes().print(
                f"[yellow]warning:[/] {escape(use.sentence)}: songs will sound dull. More songs or "
                "more steps of `jukebox train vqvae` help."
            )
    if collapsed:
        command = shlex.join(["jukebox", "train", "vqvae", str(data), str(model)])
        raise CliError(
            "; ".join(use.sentence for use in collapsed)
            + ". A prior can learn nothing from a level that is untrained or has collapsed. Train "
            f"it: {command} --level {collapsed[0].level.label} (if that was done, longer, or anew "
            "with --fresh and half the --lr)"
        )
