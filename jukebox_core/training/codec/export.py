"""Writing one trained level into a model directory, and reading one to train it further."""

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

from jukebox_core.atomic_files import whole_file
from jukebox_core.checkpoints.native import VQVAE_FILE, write_tensors
from jukebox_core.errors import TrainingError
from jukebox_core.models.catalog import read_config
from jukebox_core.training.codec.level import VQVAELevel
from jukebox_core.training.dataset.data import locked
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE


def export_level(model_dir: Path, level: Level, trained: VQVAELevel) -> None:
    """Replace the tensors of one level in the directory's VQ-VAE; the other levels stay.

    Several runs may do this at once: they wait for each other. Levels that were never written are
    random.
    """
    file = model_dir / VQVAE_FILE
    with locked(model_dir / f".{VQVAE_FILE}.lock"):
        tensors = (
            load_file(file)
            if file.is_file()
            else dict(JukeboxVQVAE(read_config(model_dir).vqvae).state_dict())
        )
        tensors |= level_tensors(level, trained)
        with whole_file(file) as unfinished:
            write_tensors(unfinished, tensors)


def level_tensors(level: Level, trained: VQVAELevel) -> dict[str, Tensor]:
    """The tensors of one level under the names of the whole VQ-VAE, on the CPU in float32."""
    return {
        f"{part}.{level.value}.{name}": tensor.detach().float().cpu().contiguous()
        for part, module in _parts(trained).items()
        for name, tensor in module.state_dict().items()
    }


def _parts(trained: VQVAELevel) -> dict[str, nn.Module]:
    """What is kept, by the names of the whole VQ-VAE."""
    return {
        "encoders": trained.encoder,
        "decoders": trained.decoder,
        "codebooks": trained.codebook,
    }


def load_level(model_dir: Path, level: Level, trained: VQVAELevel) -> None:
    """Begin with the level that the directory holds: its weights, and averages that fit its codes.

    Raises:
        TrainingError: the directory has no such weights.
    """
    file = model_dir / VQVAE_FILE
    if not file.is_file():
        raise TrainingError(f"{model_dir} has no {VQVAE_FILE} to begin with")
    tensors = load_file(file)
    for part, module in _parts(trained).items():
        prefix = f"{part}.{level.value}."
        try:
            module.load_state_dict(
                {
                    name.removeprefix(prefix): tensor.float()
                    for name, tensor in tensors.items()
                    if name.startswith(prefix)
                }
            )
        except RuntimeError as error:
            raise TrainingError(f"{file} holds another kind of level: {error}") from error
    trained.learner.begin_with(trained.codebook)
