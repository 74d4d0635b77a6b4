"""What loading gives, and the two kinds of module it is made of."""

from dataclasses import dataclass
from pathlib import Path

import torch

from jukebox_core.checkpoints.assemble import OpenedPart, assemble, lay_out
from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig, JukeboxVQVAEConfig, Weights
from jukebox_core.errors import CheckpointError
from jukebox_core.labels import JukeboxTokenizer
from jukebox_core.prior import JukeboxPrior
from jukebox_core.vqvae import JukeboxVQVAE

# Every prior has the first of these tensors, and every upsampler the second; their types stand for
# all projections of the stacks and all convolutions of the conditioner.
_A_PROJECTION = "transformer.layers.0.mlp.input.weight"
_A_CONVOLUTION = "conditioner.input.weight"


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
    config: JukeboxVQVAEConfig, part: OpenedPart, *, device: torch.device | str
) -> JukeboxVQVAE:
    """The VQ-VAE from a part, which is used up; in float32 always."""
    return assemble(lambda: JukeboxVQVAE(config), part, device=device)


def build_prior(
    config: JukeboxPriorConfig,
    part: OpenedPart,
    *,
    device: torch.device | str,
    dtype: torch.dtype | None,
    weights: Weights = Weights.FULL,
) -> JukeboxPrior:
    """A prior from a part, which is used up.

    `dtype` is that of the transformer stacks, None the one they are stored in. Embeddings, norms,
    conditioner and logits are computed in float32 always, as in the original.

    Weights that are stored as int8 stay so. With `Weights.INT8` those of a file without any become
    int8 one by one, on the host: no device ever holds the whole ones.
    """
    stored_as = _stored_dtype(part, _A_PROJECTION)
    computed_in = dtype or (torch.float32 if stored_as is torch.int8 else stored_as)
    is_int8 = stored_as is torch.int8 or weights is Weights.INT8

    def build() -> JukeboxPrior:
        prior = JukeboxPrior(config).set_compute_dtype(computed_in)
        return _in_int8(prior, part) if is_int8 else prior

    return assemble(build, part, device=device)


def vqvae_layout(config: JukeboxVQVAEConfig, part: OpenedPart) -> JukeboxVQVAE:
    """The names, shapes and types in which a file keeps a VQ-VAE, on the meta device."""
    return lay_out(lambda: JukeboxVQVAE(config), part)


def prior_layout(
    config: JukeboxPriorConfig,
    part: OpenedPart,
    *,
    dtype: torch.dtype | None = None,
    weights: Weights = Weights.FULL,
) -> JukeboxPrior:
    """The names, shapes and types in which a file keeps a prior, on the meta device.

    `dtype` is that of the weights of the stacks, None the one they are stored in; their biases are
    float32, as all else is. With `Weights.INT8` they are int8, and those of the conditioner too.

    Raises:
        CheckpointError: int8 weights are to become others, which would give nothing back.
    """
    stored_as = _stored_dtype(part, _A_PROJECTION)
    is_int8 = weights is Weights.INT8 or (stored_as is torch.int8 and dtype is None)
    if stored_as is torch.int8 and not is_int8:
        raise CheckpointError(
            f"{part.where} has int8 weights: what they were made from cannot be had from them"
        )

    def build() -> JukeboxPrior:
        prior = JukeboxPrior(config)
        return _in_int8(prior, part) if is_int8 else prior.set_weight_dtype(dtype or stored_as)

    return lay_out(build, part)


def _in_int8(prior: JukeboxPrior, part: OpenedPart) -> JukeboxPrior:
    """Files of format version 2 keep the conditioner in float32, and give the same songs still."""
    projections, convolutions = (
        _stored_dtype(part, name) for name in (_A_PROJECTION, _A_CONVOLUTION)
    )
    if projections is torch.int8 and convolutions is not torch.int8:
        return prior.use_int8_stacks()
    return prior.use_int8_weights()


def _stored_dtype(part: OpenedPart, name: str) -> torch.dtype:
    return part.tensors[name].dtype if name in part.tensors else torch.float32
