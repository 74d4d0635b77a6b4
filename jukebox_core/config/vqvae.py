"""The codec: audio to codes of three levels and back."""

from dataclasses import dataclass

from jukebox_core.errors import ConfigError
from jukebox_core.units import Level, TimeBase


@dataclass(frozen=True, slots=True, kw_only=True)
class PostFilterConfig:
    """A gain for every bin of a short-time Fourier transform, found by convolutions over it.

    n_fft, hop      of the transform, in samples; the window is a Hann window as long as `n_fft`
    width           channels between the convolutions
    time_dilations  one for each convolution, in frames
    bin_dilations   as many, in bins
    """

    n_fft: int = 1024
    hop: int = 256
    width: int = 16
    time_dilations: tuple[int, ...] = (1, 1, 1, 2, 2, 1, 1, 1)
    bin_dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 4, 2, 1)

    def __post_init__(self) -> None:
        for name in ("time_dilations", "bin_dilations"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.n_fft < 4 or self.n_fft % 4 or not 0 < self.hop <= self.n_fft // 4:
            raise ConfigError(
                f"a post-filter with {self.n_fft=} and {self.hop=}: windows must be a multiple of "
                "4 samples and begin every quarter of one or more often"
            )
        if self.n_fft % self.hop:
            raise ConfigError(f"a post-filter with {self.n_fft=} and {self.hop=}: no whole number")
        if len(self.time_dilations) != len(self.bin_dilations) or len(self.time_dilations) < 2:
            raise ConfigError("a post-filter needs a dilation in both directions for each layer")
        if self.width < 1 or min(*self.time_dilations, *self.bin_dilations) < 1:
            raise ConfigError("width and dilations of a post-filter must be at least 1")

    @property
    def reach_samples(self) -> int:
        """Samples to either side that one filtered sample depends on."""
        return self.n_fft + sum(self.time_dilations) * self.hop


@dataclass(frozen=True, slots=True, kw_only=True)
class JukeboxVQVAEConfig:
    """Three separate encoders and decoders, each over the raw audio; level l has l + 1 blocks.

    `downs[l]` convolutions of stride `strides[l]` are added by level l, so that level l takes
    `prod(strides[i] ** downs[i] for i <= l)` samples per token.

    The residual layers of one stack are dilated by powers of `dilation_growth_rate`, from 0 on and
    anew after every `dilation_cycle` layers (None: never); decoders have them in reverse unless
    `reverse_decoder_dilations` is off, which no released model does.

    `codebook_width`, ours: codes are directions in so many dimensions, compared by angle; None:
    points in `embedding_width` dimensions, as in the released models.

    `post_filter`, ours: what the sound of the bottom decoder passes through; None in the released
    models.
    """

    sample_rate_hz: int = 44_100
    downs: tuple[int, int, int] = (3, 2, 2)
    strides: tuple[int, int, int] = (2, 2, 2)
    num_codes: int = 2048
    embedding_width: int = 64
    codebook_width: int | None = None
    width: int = 32
    depth: int = 4
    width_multipliers: tuple[int, int, int] = (2, 1, 1)
    conv_width_ratio: float = 1.0
    dilation_growth_rate: int = 3
    dilation_cycle: int | None = None
    reverse_decoder_dilations: bool = True
    codebook_decay: float = 0.99
    commit_weight: float = 0.02
    spectral_weight: float = 0.0
    multispectral_weight: float = 1.0
    post_filter: PostFilterConfig | None = None

    def __post_init__(self) -> None:
        for name in ("downs", "strides", "width_multipliers"):
            values = tuple(getattr(self, name))
            if len(values) != len(Level):
                raise ConfigError(f"{name} needs three numbers, bottom first, and has {values}")
            object.__setattr__(self, name, values)
        if any(value < 1 for value in (*self.downs, *self.strides, *self.width_multipliers)):
            raise ConfigError("downs, strides and width_multipliers must be positive")
        if self.dilation_cycle is not None and self.dilation_cycle < 1:
            raise ConfigError(f"{self.dilation_cycle=} must be positive, or None")
        if int(self.conv_width_ratio * self.width) < 1:
            raise ConfigError(f"{self.conv_width_ratio=} leaves the convolutions without channels")
        if self.codebook_width is not None and self.codebook_width < 2:
            raise ConfigError(f"{self.codebook_width=}: directions need at least two dimensions")
        if any(stride % 2 for stride in self.strides):
            raise ConfigError(f"{self.strides=}: kernels of twice the stride need even strides")

    @property
    def samples_per_token(self) -> tuple[int, int, int]:
        """Hop of each level, bottom first, e.g. (8, 32, 128)."""
        hops, hop = [], 1
        for down, stride in zip(self.downs, self.strides, strict=True):
            hop *= stride**down
            hops.append(hop)
        return (hops[0], hops[1], hops[2])

    @property
    def time_base(self) -> TimeBase:
        """Conversions between seconds, samples and tokens."""
        return TimeBase(
            sample_rate_hz=self.sample_rate_hz, samples_per_token=self.samples_per_token
        )
