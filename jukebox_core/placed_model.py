"""A model whose weights lie where there is room for them: loaded, moved, cast and saved whole."""

from pathlib import Path
from typing import Self, cast

import torch
from torch import nn

from jukebox_core.backends.choose import AUTO as AUTO_BACKEND
from jukebox_core.backends.choose import REFERENCE, Target, choose_backend
from jukebox_core.casts import Conversion, device_only, requested_dtype
from jukebox_core.checkpoints import LoadedParts, load_directory, load_openai, save_directory
from jukebox_core.checkpoints.load import read_directory_config, stored_weights
from jukebox_core.config import JukeboxConfig, Weights
from jukebox_core.errors import ConfigError, LabelError
from jukebox_core.labels import JukeboxTokenizer
from jukebox_core.models.catalog import locate_model
from jukebox_core.models.placed_priors import PlacedPriors, decide_placement, home_device
from jukebox_core.models.placement import AUTO, Placement
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae import JukeboxVQVAE

_COMPUTE_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


class PlacedModel(nn.Module):
    """The VQ-VAE and its three priors, without what they are made for: see `model.py`."""

    def __init__(
        self,
        parts: LoadedParts,
        *,
        device: torch.device | str | None = None,
        placement: Placement = Placement.RESIDENT,
    ) -> None:
        super().__init__()
        self.config: JukeboxConfig = parts.config
        self.vqvae: JukeboxVQVAE = parts.vqvae
        self.priors = nn.ModuleList(parts.priors)
        if placement is not Placement.RESIDENT:
            self.vqvae.to(device)
        self._placed = PlacedPriors(
            self._loaded_prior, device=torch.device(device or "cpu"), placement=placement
        )
        self._tokenizer: JukeboxTokenizer | None = parts.tokenizer
        self.backend = self._wanted_backend = REFERENCE
        """What computes the tokens, see `use_backend`."""

    @classmethod
    def from_pretrained(
        cls,
        directory: str | Path,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        weights: Weights | str = Weights.FULL,
        placement: Placement | str = AUTO,
        backend: str = AUTO_BACKEND,
    ) -> Self:
        """Load a directory in our own format or in that of transformers 4.

        Args:
            directory: see `docs/guides/models.md` for its files; or `mini`, which is bundled.
            device: where the weights go.
            dtype: of the transformer stacks and their caches; by default float32 on the CPU and
                float16 elsewhere. What the original keeps in float32 stays so.
            weights: "full", or "int8", which keeps those of the stacks as int8
                (`prior/int8_weights.py`): a quarter of float32 in memory, computed with in `dtype`.
                Those of a directory that has int8 ones stay so with either.
            placement: "resident", "one_at_a_time" or "offloaded"; "auto" takes the first of them
                for which `device` has enough free memory now.
            backend: what computes the tokens, see `use_backend`.

        Raises:
            CheckpointError: tensors are unknown, missing or misshapen, or the files are not there.
            ConfigError: the configuration is broken, or there is no such placement, weights or
                backend.
        """
        if weights not in list(Weights):
            raise ConfigError(f"weights {weights!r} are not known: {', '.join(Weights)}")
        directory = locate_model(directory)
        is_int8 = Weights.INT8 in (weights, stored_weights(directory))
        chosen = decide_placement(
            read_directory_config(directory),
            device=torch.device(device),
            dtype=dtype or default_dtype(device),
            int8_weights=is_int8,
            wanted=placement,
        )
        home = home_device(chosen, torch.device(device))
        parts = load_directory(
            directory,
            device=home,
            dtype=dtype or default_dtype(device),
            weights=Weights(weights),
        )
        model = cls(parts, device=device, placement=chosen)
        model.use_backend(backend)
        return model

    @classmethod
    def from_openai(
        cls,
        config: JukeboxConfig,
        *,
        vqvae: str | Path,
        top: str | Path,
        middle: str | Path,
        bottom: str | Path,
        labels_dir: str | Path | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Self:
        """Load the original's `.pth.tar` files; `labels_dir` holds its four label lists.

        Raises:
            CheckpointError: tensors are unknown, missing or misshapen, or a file is not there.
        """
        parts = load_openai(
            config,
            vqvae=Path(vqvae),
            priors={
                Level.TOP: Path(top),
                Level.MIDDLE: Path(middle),
                Level.BOTTOM: Path(bottom),
            },
            labels_dir=None if labels_dir is None else Path(labels_dir),
            device=device,
            dtype=dtype or default_dtype(device),
        )
        return cls(parts)

    def use_backend(self, wanted: str = AUTO_BACKEND) -> str:
        """Choose what computes the tokens of all priors; returns its name.

        All give the same numbers up to rounding, so a song may differ after many tokens.

        Args:
            wanted: "torch", "native" or "triton"; "auto" takes what a worker would: the native one
                for small models in float32 on a CPU, where there is a C compiler.

        Raises:
            ConfigError: that backend cannot be used here, or there is none of that name.
        """
        target = Target(
            device_type=self._device.type,
            is_float32=cast(JukeboxPrior, self.priors[0]).compute_dtype == torch.float32,
            weights_stay=self._placed.placement is Placement.RESIDENT,
        )
        self.backend = choose_backend(self.config, target, wanted)
        self._wanted_backend = wanted
        return self.backend

    def _apply(self, fn: Conversion, recurse: bool = True) -> Self:
        """`.to(...)`, `.half()` and their kin: the stacks of the priors change their dtype.

        Everything around them stays float32, as with `dtype=` of `from_pretrained`, and the
        backend is chosen again.

        Raises:
            ConfigError: no stack computes in that dtype, or the weights have no fixed place.
        """
        if self._placed.placement is not Placement.RESIDENT:
            raise ConfigError(
                f"with placement {self._placed.placement.value!r} weights move by themselves: give "
                "device= and dtype= to from_pretrained instead of moving or casting the model"
            )
        dtype = requested_dtype(fn)
        if dtype not in (None, *_COMPUTE_DTYPES):
            known = ", ".join(str(each) for each in _COMPUTE_DTYPES)
            raise ConfigError(f"the model cannot compute in {dtype}: choose one of {known}")
        convert = fn if dtype is None else device_only(fn)
        super()._apply(convert, recurse)  # type: ignore[no-untyped-call]
        if dtype is not None:
            for prior in self.priors:
                cast(JukeboxPrior, prior).set_compute_dtype(dtype)
        self.use_backend(self._wanted_backend)
        return self

    def save_pretrained(self, directory: str | Path) -> None:
        """Write our own format: `config.json`, one safetensors file per part, the label lists.

        Raises:
            CheckpointError: the weights are int8, which is nothing to keep.
        """
        self._placed.to_host()
        save_directory(
            Path(directory),
            self.config,
            self.vqvae,
            [self._placed.loaded(level) for level in COARSE_TO_FINE],
            self._tokenizer,
        )

    @property
    def tokenizer(self) -> JukeboxTokenizer:
        """Words to labels. Raises LabelError when the model came without label lists."""
        if self._tokenizer is None:
            raise LabelError(
                "this model came without label lists, so names cannot be turned into ids: "
                "load it with labels_dir=, or pass ids as SongLabels"
            )
        return self._tokenizer

    def prior(self, level: Level) -> JukeboxPrior:
        """The prior of one level, ready on the device; asking for another may take it away.

        Raises ValueError for what is no level.
        """
        return self._placed[Level(level)]

    def _loaded_prior(self, level: Level, _: torch.device) -> JukeboxPrior:
        return cast(JukeboxPrior, self.priors[COARSE_TO_FINE.index(level)])

    @property
    def _device(self) -> torch.device:
        if self._placed.placement is not Placement.RESIDENT:
            return self._placed.device
        # The module may have been moved since.
        return self.prior(Level.TOP).position_embedding.device


def default_dtype(device: torch.device | str) -> torch.dtype:
    """Exact on the CPU, half precision on an accelerator, as the original sampled."""
    return torch.float32 if torch.device(device).type == "cpu" else torch.float16
