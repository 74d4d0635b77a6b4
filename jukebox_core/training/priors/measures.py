"""How well a prior knows songs that it was not trained on, and what it listens to."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.config import JukeboxPriorConfig
from jukebox_core.labels import SongLabels
from jukebox_core.prior import JukeboxPrior
from jukebox_core.training.priors.guide import attention_hits
from jukebox_core.training.priors.windows import Place, PriorWindows

Swap = Callable[[SongLabels, SongLabels], SongLabels]
"""One song's labels with something of another's."""

SWAPS: dict[str, Swap] = {
    "genre": lambda own, other: replace(own, genre_ids=other.genre_ids),
    "artist": lambda own, other: replace(own, artist_id=other.artist_id),
    "lyrics": lambda own, other: replace(own, lyric_ids=other.lyric_ids),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorMeasures:
    """Figures on the same windows, all in bits per token but for the last.

    bits                what the prior needs to name the codes
    lyric_bits          and the characters; 0 without lyrics
    unigram_bits        what one needs who only knows how often each code comes
    rise_*              how many more bits when genre, artist, lyrics or the codes above are those
                        of another song
    attention_accuracy  share of sung tokens where the alignment head peaks within one character
                        of the truth; nan where nothing is known
    """

    bits: float
    lyric_bits: float
    unigram_bits: float
    rises: dict[str, float]
    attention_accuracy: float

    def to_dict(self) -> dict[str, float]:
        """Plain numbers by name; what is not known is left out."""
        figures = {
            "bits_per_token": self.bits,
            "unigram_bits": self.unigram_bits,
            **{f"d_{name}": rise for name, rise in self.rises.items()},
        }
        if self.lyric_bits:
            figures["lyric_bits"] = self.lyric_bits
        if not math.isnan(self.attention_accuracy):
            figures["attention_accuracy"] = self.attention_accuracy
        return figures


@torch.no_grad()
def measure_prior(
    prior: JukeboxPrior,
    windows: PriorWindows,
    places: Sequence[Place],
    *,
    code_bits: NDArray[np.float64],
    batch_size: int = 8,
) -> PriorMeasures:
    """Figures of a prior on given windows; see `PriorMeasures`.

    code_bits  float64 [num_codes], see `unigram_code_bits`
    """
    reader = _Reader(prior, windows, batch_size)
    own = reader.read(places, watch_attention=True)
    rises = {}
    for name, swapped in _swapped_labels(windows, places).items():
        rises[name] = reader.read(places, labels=swapped).bits - own.bits
    if windows.config.conditioner is not None:
        rises["upper"] = reader.read(places, upper=_other_upper(windows, places)).bits - own.bits
    return PriorMeasures(
        bits=own.bits,
        lyric_bits=own.lyric_bits,
        unigram_bits=_unigram_bits(windows, places, code_bits),
        rises=rises,
        attention_accuracy=own.attention_accuracy,
    )


def unigram_code_bits(windows: PriorWindows) -> NDArray[np.float64]:
    """-log2 of the share of each code in these songs, float64 [num_codes]; none is impossible."""
    counts = np.ones(windows.config.num_codes)
    for song in windows.songs:
        counts += np.bincount(song.codes, minlength=windows.config.num_codes)
    bits: NDArray[np.float64] = -np.log2(counts / counts.sum())
    return bits


def spread_places(windows: PriorWindows, num_windows: int, seed: int = 0) -> list[Place]:
    """`num_windows` windows of as many songs as there are, always the same for the same songs."""
    random = np.random.default_rng(seed)
    places = []
    for number in range(num_windows):
        song = number % len(windows.songs)
        one_song = PriorWindows(windows.config, [windows.songs[song]])
        # Of short songs and the first round the beginning, which is always sung from nothing.
        start_share = 1.0 if number % 4 == 0 else 0.0
        places.append(Place(song, one_song.random_place(random, start_share).start))
    return places


@dataclass(frozen=True, slots=True)
class _Reading:
    bits: float
    lyric_bits: float
    attention_accuracy: float


class _Reader:
    """Reads the same windows again and again, told different things about them."""

    def __init__(self, prior: JukeboxPrior, windows: PriorWindows, batch_size: int) -> None:
        self._prior, self._windows, self._batch_size = prior, windows, batch_size
        lyrics = prior.config.lyrics
        self._layer = lyrics.alignment_layer if lyrics is not None else None
        self._head = lyrics.alignment_head if lyrics is not None else None

    def read(
        self,
        places: Sequence[Place],
        *,
        labels: Sequence[SongLabels | None] | None = None,
        upper: Sequence[NDArray[np.int64]] | None = None,
        watch_attention: bool = False,
    ) -> _Reading:
        layer = self._layer if watch_attention else None
        sums = torch.zeros(5, dtype=torch.float64)
        for part in _parts(len(places), self._batch_size):
            batch = self._windows.batch(
                places[part],
                labels=None if labels is None else labels[part],
                upper=None if upper is None else upper[part],
            )
            sums += self._read_batch(batch, layer)
        bits, num_codes, lyric_bits, hits, num_sung = sums.tolist()
        return _Reading(
            bits=bits / num_codes,
            lyric_bits=lyric_bits / len(places),
            attention_accuracy=hits / num_sung if num_sung else math.nan,
        )

    def _read_batch(self, batch: dict[str, Tensor], layer: int | None) -> Tensor:
        """Bits, codes, lyric bits times windows, hits of the head, sung tokens: float64 [5]."""
        device = self._prior.position_embedding.device
        columns = batch.pop("columns", None)
        placed = {name: tensor.to(device) for name, tensor in batch.items()}
        output = self._prior(**placed, record_attention=layer)
        num_codes = placed["counted"].sum()
        hits = num_sung = num_codes.new_zeros(())
        if output.attention is not None and columns is not None and self._head is not None:
            weights = lyric_attention(output.attention, self._prior.config)
            hits, num_sung = attention_hits(weights, columns.to(device), self._head)
        lyric_bits = output.lyric_loss * len(placed["codes"])
        figures = (output.music_loss * num_codes, num_codes, lyric_bits, hits, num_sung)
        return torch.stack([figure.double() for figure in figures]).cpu()


def lyric_attention(attention: Tensor, config: JukeboxPriorConfig) -> Tensor:
    """The part of [B, H, T, K] from music to lyrics: [B, H, context_tokens, lyric tokens]."""
    num_lyrics = 0 if config.lyrics is None else config.lyrics.num_tokens
    return attention[:, :, config.num_prefix_tokens :, :num_lyrics]


def _parts(length: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, length, size))


def _swapped_labels(
    windows: PriorWindows, places: Sequence[Place]
) -> dict[str, list[SongLabels | None]]:
    """For each kind of label: what every window is told of it instead, where songs differ in it."""
    config = windows.config
    if config.labels is None:
        return {}
    names = [name for name in SWAPS if name != "lyrics" or config.lyrics is not None]
    swapped: dict[str, list[SongLabels | None]] = {}
    for name in names:
        told = [_with_other(windows, place.song, SWAPS[name]) for place in places]
        if any(labels is not None for labels in told):
            swapped[name] = told
    return swapped


def _with_other(windows: PriorWindows, number: int, swap: Swap) -> SongLabels | None:
    """The song's labels with something of the next song that has it otherwise."""
    own = windows.songs[number].labels
    for distance in range(1, len(windows.songs)):
        other = swap(own, windows.songs[(number + distance) % len(windows.songs)].labels)
        if other != own:
            return other
    return None


def _other_upper(windows: PriorWindows, places: Sequence[Place]) -> list[NDArray[np.int64]]:
    """For each window the codes above the next one."""
    return [windows.upper_at(place) for place in (*places[1:], places[0])]


def _unigram_bits(
    windows: PriorWindows, places: Sequence[Place], code_bits: NDArray[np.float64]
) -> float:
    codes = [windows.codes_at(place)[windows.counted_at(place)] for place in places]
    return float(code_bits[np.concatenate(codes)].mean())
