"""Writing one trained level into a model directory, beside what others wrote there."""

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from jukebox_core.atomic_files import whole_file
from jukebox_core.checkpoints.native import VQVAE_FILE, write_tensors
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
    parts = {
        "encoders": trained.encoder,
        "decoders": trained.decoder,
        "codebooks": trained.codebook,
    }
    return {
        f"{part}.{level.value}.{name}": tensor.detach().float().cpu().contiguous()
        for part, module in parts.items()
        for name, tensor in module.state_dict().items()
    }
