"""What loading gives, and the two kinds of module it is made of."""

from dataclasses import dataclass
from pathlib import Path

import torch

from jukebox_core.checkpoints.assemble import assemble
from jukebox_core.checkpoints.tensor_files import StoredTensor
from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig, JukeboxVQVAEConfig
from jukebox_core.labels import JukeboxTokenizer
from jukebox_core.prior import JukeboxPrior
from jukebox_core.vqvae import JukeboxVQVAE

# Every prior has this tensor; its type stands for all projections of the stack.
_A_PROJECTION = "transformer.layers.0.mlp.input.weight"


@dataclass(frozen=True, slots=True)
class LoadedParts:
    """A whole model: `priors` in sampling order (top, middle, bottom).

    `tokenizer` is None when there were no label lists; `labels_dir` says where they lie if they
    are lists of this library's or the original's format.
    """

    config: JukeboxConfig
    vqvae: JukeboxVQVAE
    priors: tuple[JukeboxPrior, JukeboxPrior, JukeboxPrior]
    tokenizer: JukeboxTokenizer | None = None
    labels_dir: Path | None = None


def build_vqvae(
    config: JukeboxVQVAEConfig,
    stored: dict[str, StoredTensor],
    *,
    where: str,
    unknown: list[str] | None = None,
    device: torch.device | str,
) -> JukeboxVQVAE:
    """The VQ-VAE from tensors under our names, which are used up; in float32 always."""
    return assemble(
        lambda: JukeboxVQVAE(config), stored, where=where, unknown=unknown, device=device
    )


def build_prior(
    config: JukeboxPriorConfig,
    stored: dict[str, StoredTensor],
    *,
    where: str,
    unknown: list[str] | None = None,
    device: torch.device | str,
    dtype: torch.dtype | None,
    for_file: bool = False,
) -> JukeboxPrior:
    """A prior from tensors under our names, which are used up.

    `dtype` is that of the transformer stacks, None the one they are stored in. Embeddings, norms,
    conditioner and logits are float32 always, as in the original. With `for_file` it is that of
    their weights alone: their biases are float32, too, and the prior is not to be computed with.
    """
    if dtype is None:
        dtype = stored[_A_PROJECTION].dtype if _A_PROJECTION in stored else torch.float32

    def build() -> JukeboxPrior:
        prior = JukeboxPrior(config)
        return prior.set_weight_dtype(dtype) if for_file else prior.set_compute_dtype(dtype)

    return assemble(
        build,
        stored,
        where=where,
        unknown=unknown,
        device=device,
    )
