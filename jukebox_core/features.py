"""What a top prior makes of audio: activations of one of its layers, for use in other work.

The recipe is that of jukemir and jukemirlib, which made these representations known: audio
normalized to its peak, encoded to top codes, read by the prior as a song of an unknown artist and
genre, without lyrics. They read one window of one clip; here the audio may be of any length.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.config import JukeboxPriorConfig
from jukebox_core.errors import AudioError, FeatureError
from jukebox_core.labels import SongLabels, window_labels
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.windows import Window, hop_tokens, plan_windows
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE
from jukebox_core.vqvae.long_audio import encode_chunked

Pool = Literal["none", "mean"]
Resampling = Literal["mean", "fft"]

UNKNOWN_SONG = SongLabels(artist_id=0, genre_ids=(0,))
"""A song of which nothing is known: id 0 is the unknown artist and the unknown genre."""

_FORGIVEN = 1e-9
"""What binary fractions may take from the place of a token among the frames."""

_FOURIER_COLUMNS = 256
"""Columns resampled at a time: their spectrum is twice as large in float64 as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureParams:
    """Which activations of a top prior are wanted, and how many of them.

    `layer` counts the layers that were run: 36 is the middle of the released models, as in
    jukemirlib. `pool` "mean" gives one vector for all of the audio; otherwise `rate_hz` says how
    many vectors there are for a second, and None keeps one for each token. With `resampling`
    "mean" each is the mean of the tokens that begin in its frame; "fft" is what jukemirlib does:
    the frequencies above half the rate are cut off.

    `hop_fraction` is the part of a window that is new: the smaller, the more of the past each token
    has been read with, and the longer it takes. `song_duration_sec` is the length of the imagined
    song; longer audio, and what the prior was trained on, make it longer. `normalize` brings the
    peak of the audio to 1.
    """

    layer: int
    pool: Pool = "none"
    rate_hz: float | None = None
    resampling: Resampling = "mean"
    hop_fraction: float = 0.5
    song_duration_sec: float = 62.0
    normalize: bool = True


@dataclass(frozen=True, slots=True)
class Features:
    """`values` float32 [frames, width]; `rate_hz` frames for each second, None if it is one mean.

    Frame f covers the audio from f / rate_hz to (f + 1) / rate_hz seconds; resampled by FFT, it is
    the state at f / rate_hz seconds.
    """

    values: NDArray[np.float32]
    rate_hz: float | None


Allocate = Callable[[int, tuple[int, int]], NDArray[np.float32]]
"""Gives the array of zeros that the values of a layer are put into: (layer, shape) -> float32."""

OnTokens = Callable[[int, int], None]
"""Called with the tokens that are done, and those of all the audio."""


def zeros_in_memory(layer: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """An `Allocate` of plain arrays."""
    return np.zeros(shape, dtype=np.float32)


def ignore(tokens_done: int, tokens_total: int) -> None:
    """An `OnTokens` that does nothing."""


def extract_features(
    vqvae: JukeboxVQVAE, prior: JukeboxPrior, audio: Tensor, params: FeatureParams
) -> Features:
    """Activations of one layer over `audio`, pooled while they are computed.

    Besides the audio and the answer, memory is that of one window; resampling by FFT takes that of
    one vector for each token as well.

    Args:
        vqvae: the encoder.
        prior: a top prior.
        audio: float32 [T, 1] at the model's sample rate; a tail shorter than one token is left out.
        params: what is wanted.

    Raises:
        AudioError: the audio has another shape, or is shorter than one token.
        FeatureError: the prior has no such layer, is no top prior, or the rate is too high.
    """
    return extract_layers(vqvae, prior, audio, params, (params.layer,))[params.layer]


def extract_layers(
    vqvae: JukeboxVQVAE,
    prior: JukeboxPrior,
    audio: Tensor,
    params: FeatureParams,
    layers: Sequence[int],
    *,
    allocate: Allocate = zeros_in_memory,
    on_tokens: OnTokens = ignore,
) -> dict[int, Features]:
    """As `extract_features`, for several layers in one forward pass; `params.layer` is not used.

    Args:
        vqvae: the encoder.
        prior: a top prior.
        audio: as in `extract_features`; it may be mapped from a file (`audio.map_audio`).
        params: what is wanted of each layer.
        layers: their numbers, counted as `FeatureParams.layer`.
        allocate: where the values go, for instance into a mapped file; memory by default.
        on_tokens: called after every window.

    Raises:
        AudioError: the audio has another shape, or is shorter than one token.
        FeatureError: the prior has no such layers, is no top prior, or the rate is too high.
    """
    token_rate_hz = prior.config.sample_rate_hz / prior.config.samples_per_token
    num_tokens = audio.shape[0] // prior.config.samples_per_token
    width = prior.config.transformer.width
    frames_of = _FourierFrames if params.resampling == "fft" else _Frames
    frames: dict[int, _Frames | _FourierFrames] = {}
    for window, states in iter_layer_activations(vqvae, prior, audio, params, layers):
        for layer, state in zip(layers, states, strict=True):
            if layer not in frames:
                place = partial(allocate, layer)
                frames[layer] = frames_of(params, num_tokens, token_rate_hz, width, place)
            frames[layer].add(window.first_new, state.cpu().numpy())
        on_tokens(window.end, num_tokens)
    return {layer: Features(frames[layer].means(), frames[layer].rate_hz) for layer in layers}


def iter_activations(
    vqvae: JukeboxVQVAE, prior: JukeboxPrior, audio: Tensor, params: FeatureParams
) -> Iterator[tuple[Window, Tensor]]:
    """The same activations before pooling, window by window.

    Yields:
        The window, and float32 [num_new, width] on the prior's device: those of its tokens
        [first_new, end), which follow those of the window before.

    Raises:
        AudioError: the audio has another shape, or is shorter than one token.
        FeatureError: see `extract_features`.
        SongError: the hop is below one token.
    """
    for window, (states,) in iter_layer_activations(vqvae, prior, audio, params, (params.layer,)):
        yield window, states


@torch.inference_mode()
def iter_layer_activations(
    vqvae: JukeboxVQVAE,
    prior: JukeboxPrior,
    audio: Tensor,
    params: FeatureParams,
    layers: Sequence[int],
) -> Iterator[tuple[Window, tuple[Tensor, ...]]]:
    """As `iter_activations`, with the states of each of `layers`; `params.layer` is not used."""
    for layer in layers:
        check_features(prior, replace(params, layer=layer))
    _check_audio(prior, audio)
    codes = encode_chunked(
        vqvae, audio[None], Level.TOP, full_scale=_peak(audio) if params.normalize else 1.0
    )
    total_samples = _song_samples(prior, params, len(audio))
    hop = hop_tokens(prior.config, params.hop_fraction, 1)
    for window in plan_windows(codes.shape[1], prior.config.context_tokens, hop):
        states = _window_activations(prior, codes, window, total_samples, layers)
        yield window, tuple(state[window.num_prefix :] for state in states)


def _peak(audio: Tensor) -> float:
    # Not the maximum of `abs`, which would be a second copy of the sound.
    lowest, highest = audio.aminmax()
    return max(-lowest.item(), highest.item(), torch.finfo(torch.float32).tiny)


def check_features(prior: JukeboxPrior | JukeboxPriorConfig, params: FeatureParams) -> None:
    """Find out before anything is computed whether `prior` can give what `params` ask for.

    Raises:
        FeatureError: the prior has no such layer, is no top prior, or the rate is too high.
    """
    config = prior.config if isinstance(prior, JukeboxPrior) else prior
    if config.level is not Level.TOP:
        raise FeatureError(
            f"features come from a top prior, and this is the {config.level.label} one"
        )
    if not 1 <= params.layer <= config.transformer.num_layers:
        raise FeatureError(
            f"layer {params.layer} is not there: this prior has layers 1 to "
            f"{config.transformer.num_layers}"
        )
    token_rate_hz = config.sample_rate_hz / config.samples_per_token
    if params.rate_hz is not None and not 0.0 < params.rate_hz <= token_rate_hz:
        raise FeatureError(
            f"rate_hz={params.rate_hz:g} must be above 0 and at most {token_rate_hz:g}, the tokens "
            "that this prior reads in a second"
        )
    if params.pool == "mean" and params.rate_hz is not None:
        raise FeatureError("one mean of everything has no rate: give pool='mean' or rate_hz")
    if params.resampling == "fft" and params.rate_hz is None:
        raise FeatureError("resampling='fft' needs a rate: give rate_hz")


def _check_audio(prior: JukeboxPrior, audio: Tensor) -> None:
    hop, rate_hz = prior.config.samples_per_token, prior.config.sample_rate_hz
    if audio.ndim != 2 or audio.shape[1] != 1:
        raise AudioError(f"audio has the shape {tuple(audio.shape)}; wanted [samples, 1]")
    if len(audio) < hop:
        raise AudioError(
            f"the sound lasts {len(audio) / rate_hz:.3g} s ({len(audio)} samples); one token "
            f"takes {hop / rate_hz:.3g} s ({hop} samples)"
        )


def _song_samples(prior: JukeboxPrior, params: FeatureParams, num_samples: int) -> int:
    config = prior.config
    shortest_sec = config.labels.min_duration_sec if config.labels is not None else 0.0
    # A whole number of tokens, as in the recipe.
    imagined_samples = int(params.song_duration_sec * config.sample_rate_hz)
    imagined_samples -= imagined_samples % config.samples_per_token
    shortest_samples = math.ceil(shortest_sec * config.sample_rate_hz)
    return max(imagined_samples, shortest_samples, num_samples)


def _window_activations(
    prior: JukeboxPrior,
    codes: Tensor,
    window: Window,
    total_samples: int,
    layers: Sequence[int],
) -> list[Tensor]:
    labels = window_labels(
        prior.config,
        UNKNOWN_SONG,
        total_samples=total_samples,
        offset_samples=0,
        start_token=window.start,
    )
    device = prior.token_embedding.weight.device
    rows = torch.tensor([labels], dtype=torch.int64, device=device)
    window_codes = codes[:, window.start : window.end].to(device)
    states = prior.layer_activations(window_codes, prior.condition(rows), layers)
    return [state[0] for state in states]


class _Frames:
    """Sums of the tokens that begin in each frame, and their number."""

    def __init__(
        self,
        params: FeatureParams,
        num_tokens: int,
        token_rate_hz: float,
        width: int,
        allocate: Callable[[tuple[int, int]], NDArray[np.float32]],
    ) -> None:
        one_mean = params.pool == "mean"
        self.rate_hz = None if one_mean else (params.rate_hz or token_rate_hz)
        self._frames_per_token = 0.0 if self.rate_hz is None else self.rate_hz / token_rate_hz
        num_frames = int(self._frame_of(np.array(max(num_tokens - 1, 0)))) + 1
        self._sums = allocate((num_frames, width))
        self._counts = np.zeros(num_frames, dtype=np.int64)

    def add(self, first_token: int, states: NDArray[np.float32]) -> None:
        """Count in float32 [n, width], the states of tokens `first_token` and following."""
        frames = self._frame_of(np.arange(first_token, first_token + len(states)))
        begins = np.flatnonzero(np.diff(frames, prepend=-1))
        # In float64: a mean over minutes adds up a hundred thousand numbers.
        sums = np.add.reduceat(states, begins, axis=0, dtype=np.float64)
        self._sums[frames[begins]] += sums.astype(np.float32)
        self._counts += np.bincount(frames, minlength=len(self._counts))

    def means(self) -> NDArray[np.float32]:
        """float32 [frames, width]"""
        np.divide(self._sums, self._counts[:, None], out=self._sums, casting="same_kind")
        return self._sums

    def _frame_of(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        frames: NDArray[np.int64] = np.floor(tokens * self._frames_per_token + _FORGIVEN).astype(
            np.int64
        )
        return frames


class _FourierFrames:
    """All tokens, resampled at the end: `librosa.resample(..., res_type="fft")` along the time."""

    def __init__(
        self,
        params: FeatureParams,
        num_tokens: int,
        token_rate_hz: float,
        width: int,
        allocate: Callable[[tuple[int, int]], NDArray[np.float32]],
    ) -> None:
        self.rate_hz = params.rate_hz or token_rate_hz
        num_frames = math.ceil(num_tokens * (self.rate_hz / token_rate_hz))
        self._states = np.empty((num_tokens, width), dtype=np.float32)
        self._frames = allocate((num_frames, width))

    def add(self, first_token: int, states: NDArray[np.float32]) -> None:
        """Keep float32 [n, width], the states of tokens `first_token` and following."""
        self._states[first_token : first_token + len(states)] = states

    def means(self) -> NDArray[np.float32]:
        """float32 [frames, width]"""
        num_tokens, width = self._states.shape
        num_frames = len(self._frames)
        for first in range(0, width, _FOURIER_COLUMNS):
            columns = slice(first, first + _FOURIER_COLUMNS)
            spectrum = np.fft.rfft(self._states[:, columns].astype(np.float64), axis=0)
            kept = spectrum[: num_frames // 2 + 1]
            if num_frames % 2 == 0 and num_frames < num_tokens:
                # What is left of the highest frequency stands for both of its signs.
                kept[-1] *= 2.0
            scale = num_frames / num_tokens
            self._frames[:, columns] = np.fft.irfft(kept, num_frames, axis=0) * scale
        return self._frames
