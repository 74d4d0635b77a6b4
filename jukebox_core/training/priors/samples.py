"""Something to listen to while a prior is trained."""

from pathlib import Path

import numpy as np
import torch

from jukebox_core.audio import write_audio
from jukebox_core.engine import Engine, Sequence
from jukebox_core.engine.drive import sample_windows
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.noise import CounterNoise
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
    noise = CounterNoise(seed)
    labels, upper = batch["labels"].tolist(), batch.get("upper_codes")
    sequences = [
        Sequence(
            id=f"song {row}",
            level=prior.config.level,
            labels=tuple(labels[row]),
            prefix_codes=np.zeros(0, dtype=np.int64),
            upper_codes=None if upper is None else upper[row].cpu().numpy(),
            start_token=0,
            num_new=prior.config.context_tokens,
            sample=row,
            params=SamplingParams(),
            noise=noise,
        )
        for row in range(len(places))
    ]
    engine = Engine({prior.config.level: prior}, max_rows=len(places), device=device)
    drawn = torch.from_numpy(sample_windows(engine, sequences))
    for kind, codes in (("drawn", drawn), ("true", batch["codes"])):
        for number, row in enumerate(codes.to(next(vqvae.parameters()).device)):
            audio = vqvae.decode([row.unsqueeze(0)], start_level=prior.config.level)
            file = directory / f"{kind}_{number}.wav"
            write_audio(file, audio[0], prior.config.sample_rate_hz)
