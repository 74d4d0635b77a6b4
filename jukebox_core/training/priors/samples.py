"""Something to listen to while a prior is trained."""

from pathlib import Path

import torch

from jukebox_core.audio import write_audio
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.sampler import RowSampling, draw
from jukebox_core.song import SamplingParams
from jukebox_core.training.priors.windows import Place, PriorWindows
from jukebox_core.vqvae import JukeboxVQVAE

_MAX_SONGS = 4


def write_prior_samples(
    prior: JukeboxPrior,
    vqvae: JukeboxVQVAE,
    windows: PriorWindows,
    directory: Path,
    *,
    seed: int = 0,
) -> None:
    """One window of several songs, from the song's labels and its true codes above.

    Writes `drawn_0.wav` and, from the song's own codes of this level, `true_0.wav`, and so on.
    """
    places = [Place(song, 0) for song in range(min(len(windows.songs), _MAX_SONGS))]
    device = prior.position_embedding.device
    batch = {name: tensor.to(device) for name, tensor in windows.batch(places).items()}
    sampling = RowSampling.from_params([SamplingParams()] * len(places), device=device)
    num_tokens = prior.config.context_tokens
    generator = torch.Generator().manual_seed(seed)
    uniforms = torch.rand(len(places), num_tokens, dtype=torch.float64, generator=generator).to(
        device
    )
    drawn = prior.sample(
        num_tokens,
        batch["labels"],
        batch.get("upper_codes"),
        draw=lambda logits, numbers: draw(logits, numbers, sampling),
        uniforms=uniforms,
    )
    for kind, codes in (("drawn", drawn), ("true", batch["codes"])):
        for number, row in enumerate(codes.to(next(vqvae.parameters()).device)):
            audio = vqvae.decode([row.unsqueeze(0)], start_level=prior.config.level)
            file = directory / f"{kind}_{number}.wav"
            write_audio(file, audio[0], prior.config.sample_rate_hz)
