"""`jukebox train encode`: the codes of all songs, computed once."""

from cli.commands.train_new import DataFolder, ModelFolder
from cli.console import escape, notes
from cli.local_model import Device, device_and_dtype


def encode(data: DataFolder, model: ModelFolder, device: Device = "auto") -> None:
    """Turn all songs in DATA into codes with the VQ-VAE of MODEL, and keep them for the priors.

    They lie in DATA and are found again as long as neither the sound nor the VQ-VAE changes.
    Training a prior does this too, for the levels that it needs.
    """
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.checkpoints import load_vqvae_of
    from jukebox_core.training.dataset.codes_cache import encode_all
    from jukebox_core.training.dataset.data import TrainingData

    def report(line: str) -> None:
        notes().print(escape(line))

    chosen, _ = device_and_dtype(device)
    vqvae = load_vqvae_of(model, device=chosen)
    songs = TrainingData(data, vqvae.config.sample_rate_hz, report=report)
    for level, codes in encode_all(songs, vqvae, report=report).items():
        used = len(set(codes.flat[:: max(len(codes.flat) // 1_000_000, 1)].tolist()))
        notes().print(f"{level.label:<7}{len(codes.flat):>14,} codes, about {used:,} different")
