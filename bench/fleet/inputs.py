"""What the simulation of fleets goes by, by name: priors, cards, prices, songs and delays.

Each value says where it is from. Prices and speeds of cards are assumptions to be replaced by those
of whoever asks: `python -m bench.fleet predict --card h200 --usd-per-hour 2.5`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MB = 1e6


@dataclass(frozen=True, slots=True)
class PriorWork:
    """What a step of a prior of released size takes in half precision.

    `weight_bytes` are read once for a step and `row_bytes` for each of its rows, in the middle of a
    window; `num_weights` are multiplied for each row. `slot_bytes` of memory hold one song.
    """

    num_launches: int
    weight_bytes: float
    row_bytes: float
    num_weights: float
    slot_bytes: float


PRIORS: Mapping[str, PriorWork] = {
    # `python -m bench.model sizes`: docs/explanation/performance.md, "The Triton backend" (launches
    # and bytes at 1 and at 128 rows) and "Memory at released sizes" (cache and position inputs).
    "5b_lyrics": PriorWork(403, 10_808 * MB, 35.69 * MB, 5.4e9, 1_140 * MB),
    "1b_lyrics": PriorWork(365, 1_833 * MB, 18.42 * MB, 0.92e9, 388 * MB),
    "upsampler": PriorWork(361, 1_612 * MB, 7.39 * MB, 0.81e9, 449 * MB),
}
"""The two upsamplers have the same size."""

PRIOR_OF_LEVEL: Mapping[str, Mapping[str, str]] = {
    "5b_lyrics": {"top": "5b_lyrics", "middle": "upsampler", "bottom": "upsampler"},
    "1b_lyrics": {"top": "1b_lyrics", "middle": "upsampler", "bottom": "upsampler"},
}


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU as the datasheet of its maker describes it, and the price of an hour.

    `bytes_per_sec` and `flop_per_sec` (half precision, dense) are peaks.
    """

    name: str
    memory_bytes: float
    bytes_per_sec: float
    flop_per_sec: float
    usd_per_hour: float
    spot_usd_per_hour: float


# Memory, bandwidth and flops: NVIDIA's datasheets. Prices: round assumptions, no offer of anybody.
CARDS: Mapping[str, Card] = {
    card.name: card
    for card in (
        Card("h200", 141e9, 4.8e12, 989e12, usd_per_hour=3.50, spot_usd_per_hour=1.75),
        Card("h100", 80e9, 3.35e12, 989e12, usd_per_hour=2.50, spot_usd_per_hour=1.25),
        Card("a100", 80e9, 2.0e12, 312e12, usd_per_hour=1.50, spot_usd_per_hour=0.75),
        Card("l4", 24e9, 0.3e12, 121e12, usd_per_hour=0.70, spot_usd_per_hour=0.30),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """Shares of a card's peaks that kernels reach, and what comes beside them: assumptions.

    The first two shares are those of `bench/model/sizes.py`, and so is `boundary_sec`.
    `product_share` is that of large matrix products. `memory_share` of the memory is used.
    `render_sec` a song keeps its place after its last token: sound, files, the last writes.
    """

    weight_share: float = 0.85
    attention_share: float = 0.6
    product_share: float = 0.5
    boundary_sec: float = 2.5e-6
    memory_share: float = 0.9
    render_sec: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Which songs are asked for, and when: assumptions.

    `lengths` maps seconds to shares of the songs; `draft_share` of them stop after the top level.
    The rate over a day is a sine whose peak is `1 + swing` times the mean.
    """

    songs_per_day: float
    lengths: Mapping[float, float]
    draft_share: float = 0.2
    swing: float = 0.6


LENGTHS: Mapping[float, float] = {30.0: 0.5, 60.0: 0.35, 180.0: 0.15}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """How a fleet is run: assumptions, the first three those of deploy/kubernetes.

    Every `look_sec` the pool is given a card for each `songs_per_card` songs that wait or run; one
    that is not needed goes after `cooldown_sec`. A new one serves after `start_sec`: machine,
    image, weights. A spot card is taken away after `spot_mean_sec` on average, and its songs wait
    again from their last whole window. A card that serves several levels holds `songs_per_row`
    songs for each row of a level (`JUKEBOX_CONCURRENCY` over `JUKEBOX_MAX_ROWS`), since each song
    is at one level only.
    """

    look_sec: float = 30.0
    cooldown_sec: float = 300.0
    start_sec: float = 240.0
    spot_mean_sec: float | None = None
    min_cards: int = 1
    max_cards: int = 10_000
    is_deterministic: bool = True
    songs_per_row: float = 2.0
