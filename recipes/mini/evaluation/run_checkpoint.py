"""The codec of a training run that still goes on, to be examined before it is exported."""

from pathlib import Path

from jukebox_core.errors import TrainingError
from jukebox_core.training.run_files import STATE_FILE, RunFiles
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE

_PARTS = {"encoder": "encoders", "codebook": "codebooks", "decoder": "decoders"}


def take_level_from_run(vqvae: JukeboxVQVAE, level: Level, run_dir: Path) -> int:
    """Put the last saved weights of a run into one level of a VQ-VAE, averages where it keeps them.

    Args:
        vqvae: changed in place.
        level: which one the run trains.
        run_dir: of `jukebox train vqvae`; it is only read.

    Returns:
        how many steps the run had done.

    Raises:
        TrainingError: nothing is saved there, or it is of another level or model.
    """
    if not (run_dir / STATE_FILE).is_file():
        raise TrainingError(f"the run in {run_dir} has not saved anything yet")
    state = RunFiles(run_dir).load_state() or {}
    weights = {**state["modules"], **state["ema"]}
    tensors = {
        f"{_PARTS[part]}.{int(level)}.{name}": tensor.float()
        for part, _, name, tensor in (
            (*full_name.partition("."), tensor) for full_name, tensor in weights.items()
        )
        if part in _PARTS
    }
    wanted = {
        name: tensor.shape
        for name, tensor in vqvae.state_dict().items()
        if name.split(".")[:2] in ([part, str(int(level))] for part in _PARTS.values())
    }
    if wanted != {name: tensor.shape for name, tensor in tensors.items()}:
        raise TrainingError(
            f"the run in {run_dir} is not of the {level.label} level of such a model"
        )
    vqvae.load_state_dict(tensors, strict=False)
    step: int = state["step"]
    return step
