"""Which part of the lyrics is read while each window is drawn; no torch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from jukebox_core.labels import JukeboxTokenizer
from jukebox_core.labels.lyrics import LyricAlphabet, lyric_window
from jukebox_core.sampling.label_spans import LabelSpan, span_at
from jukebox_core.sampling.song_plan import SongPlan

MAX_CHARACTERS_PER_SEC = 12.0
"""About 120 words a minute: fast singing. A ballad has half of it."""

_FORGIVEN_SEC = 1e-3
"""Lengths are cut to whole tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowLyrics:
    """The characters that the prior reads while it draws one window of the song.

    Times are seconds of the drawn part; `first_character` counts in the whole text, and is 0 where
    that has not what is read.
    """

    start_sec: float
    end_sec: float
    first_character: int
    text: str


def window_lyrics(
    tokenizer: JukeboxTokenizer,
    plan: SongPlan,
    lyrics: str,
    spans: Sequence[tuple[LabelSpan, str]] = (),
) -> tuple[WindowLyrics, ...]:
    """The windows of `plan` that are heard, of the coarsest level that reads lyrics.

    `lyrics` are as they come into the model, see `read_lyrics`. Empty where no level that is drawn
    reads any. The parts of an edited song may have texts of their own, in `spans`.

    Raises:
        LabelError: a window begins outside the song.
    """
    config = tokenizer.config
    for level, level_plan in plan.levels.items():
        prior = config.prior(level)
        if prior.lyrics is None or prior.labels is None:
            continue
        alphabet = LyricAlphabet(prior.labels.version)
        text = alphabet.normalize(lyrics)
        windows = []
        for window in level_plan.windows:
            if window.start >= level_plan.output_tokens:
                break
            read, timing = lyrics, plan.timing
            if spans:
                first_new_samples = window.first_new * prior.samples_per_token
                span = span_at([span for span, _ in spans], first_new_samples)
                read = next(words for each, words in spans if each is span)
                timing = span.timing_for(prior, window.start)
            part = lyric_window(
                alphabet.encode(read),
                prior.lyrics.num_tokens,
                total_samples=timing.total_samples,
                offset_samples=timing.offset_samples + window.start * prior.samples_per_token,
                duration_samples=prior.context_samples,
            )
            first = next((place for place in part.indices if place >= 0), 0)
            if read != lyrics:
                first = max(text.find(alphabet.decode(part.ids).strip()), 0)
            end = min(window.end, level_plan.output_tokens)
            windows.append(
                WindowLyrics(
                    start_sec=config.time_base.tokens_to_seconds(window.start, level),
                    end_sec=config.time_base.tokens_to_seconds(end, level),
                    first_character=first,
                    text=alphabet.decode(part.ids),
                )
            )
        return tuple(windows)
    return ()


def paced_lyrics(text: str, plan: SongPlan) -> str:
    """The part of `text` that falls to the drawn part, sung evenly over the whole song."""
    first = len(text) * plan.offset_samples // plan.total_samples
    end = -(-len(text) * (plan.offset_samples + plan.num_audio_samples) // plan.total_samples)
    return text[first:end]


@dataclass(frozen=True, slots=True, kw_only=True)
class PacedWord:
    """A word and when it would be sung, in seconds of the drawn part; that may be before it.

    It `fits` if it lies inside the drawn part.
    """

    text: str
    first_character: int
    start_sec: float
    end_sec: float
    fits: bool


def paced_words(text: str, plan: SongPlan, sample_rate_hz: int) -> tuple[PacedWord, ...]:
    """The words of `text`, sung evenly over the whole song, but no faster than people sing."""
    total_sec, offset_sec, drawn_sec = (
        samples / sample_rate_hz
        for samples in (plan.total_samples, plan.offset_samples, plan.num_audio_samples)
    )
    each_sec = max(total_sec / max(len(text), 1), 1.0 / MAX_CHARACTERS_PER_SEC)
    words = []
    for found in re.finditer(r"\S+", text):
        start_sec, end_sec = (place * each_sec - offset_sec for place in found.span())
        words.append(
            PacedWord(
                text=found[0],
                first_character=found.start(),
                start_sec=start_sec,
                end_sec=end_sec,
                fits=start_sec >= -_FORGIVEN_SEC and end_sec <= drawn_sec + _FORGIVEN_SEC,
            )
        )
    return tuple(words)
