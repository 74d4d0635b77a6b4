"""When each character is sung: attention of one head from music to lyrics.

The layer and the head were chosen by hand after training (`align.py` of the original).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

import torch
from torch import Tensor

from jukebox_core.errors import SamplingError
from jukebox_core.labels import SongLabels, relevant_lyrics
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.song_plan import SongTiming
from jukebox_core.sampling.window_inputs import window_label_rows
from jukebox_core.sampling.windows import Window, plan_windows


def align_lyrics(
    prior: JukeboxPrior, codes: Tensor, song: SongLabels, timing: SongTiming, hop_tokens: int
) -> Tensor:
    """Attention of every top token to every character of the whole lyrics.

    Windows are read as in sampling; where they overlap the earlier one is kept, as in the
    original.

    Args:
        prior: a top prior with an alignment head.
        codes: int64 [T], the codes of one song.
        song: its labels as this prior reads them.
        timing: where the codes lie in the song.
        hop_tokens: distance of two windows.

    Returns:
        float32 [T, characters], on the CPU; rows need not sum to 1, since a window sees only
        its own part of the lyrics, and padding takes its share.

    Raises:
        SamplingError: the prior has no alignment head.
    """
    nothing = torch.zeros(0, len(song.lyric_ids))
    return torch.cat([nothing, *iter_alignment(prior, codes, song, timing, hop_tokens)])


def iter_alignment(
    prior: JukeboxPrior, codes: Tensor, song: SongLabels, timing: SongTiming, hop_tokens: int
) -> Iterator[Tensor]:
    """The rows of `align_lyrics` in order, float32 [n, characters] for each window that is read.

    Memory does not grow with the length of the song. Takes and raises what `align_lyrics` does.
    """
    num_characters = len(song.lyric_ids)
    windows = plan_windows(len(codes), prior.config.context_tokens, hop_tokens)
    overlapping: list[_ReadWindow] = []
    for window, following in zip_longest(windows, windows[1:]):
        start, end = window.start, window.end if following is None else following.start
        overlapping = [earlier for earlier in overlapping if earlier.window.end > start]
        overlapping.append(_read_window(prior, codes, song, timing, window))
        # One column more than there are characters: padding (index -1) falls into it.
        rows = torch.zeros(end - start, num_characters + 1)
        for read in reversed(overlapping):
            shared = slice(start - read.window.start, min(read.window.end, end) - read.window.start)
            weights = read.weights[shared]
            rows[: len(weights), read.columns] = weights
        yield rows[:, :num_characters]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReadWindow:
    """Attention float32 [tokens, lyric tokens], and the character of each column."""

    window: Window
    weights: Tensor
    columns: Tensor


def _read_window(
    prior: JukeboxPrior, codes: Tensor, song: SongLabels, timing: SongTiming, window: Window
) -> _ReadWindow:
    weights = _window_attention(prior, codes[window.start : window.end], song, timing, window.start)
    _, indices = relevant_lyrics(
        prior.config,
        song,
        total_samples=timing.total_samples,
        offset_samples=timing.offset_samples,
        start_token=window.start,
    )
    columns = torch.tensor([index % (len(song.lyric_ids) + 1) for index in indices])
    return _ReadWindow(window=window, weights=weights, columns=columns)


def _window_attention(
    prior: JukeboxPrior, codes: Tensor, song: SongLabels, timing: SongTiming, start_token: int
) -> Tensor:
    """Attention of the alignment head in one window: float32 [len(codes), lyric tokens].

    A window at the end of a song may be shorter than the context. It is read as it is: the original
    fills it up with zeros, which no code before them sees.
    """
    lyrics = prior.config.lyrics
    if lyrics is None or lyrics.alignment_layer is None or lyrics.alignment_head is None:
        raise SamplingError("this prior has no alignment head: it was trained without lyrics")
    device = prior.token_embedding.weight.device
    labels = window_label_rows(prior, [song], timing, start_token).to(device)
    attention = prior.attention_of_window(codes[None].to(device), labels, lyrics.alignment_layer)
    weights = attention[0, lyrics.alignment_head].float().cpu()
    return weights[prior.config.num_prefix_tokens :, : lyrics.num_tokens]
