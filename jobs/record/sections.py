"""What a `redo` makes of its request: the section in tokens, its margin, its lyrics, its noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from jobs.record.bodies import RedoBody
from jobs.record.job import Job, JobSection, SongSpan
from jobs.record.request import MAX_LYRICS_CHARACTERS, JobRequest
from jobs.record.spans import cut_spans, joined_spans, relabelled, request_span, spans_of
from jukebox_core.config import JukeboxConfig
from jukebox_core.config.decoder_reach import decoder_reach_tokens
from jukebox_core.errors import SongError
from jukebox_core.sampling.infill import Infill, section_infills, section_tokens
from jukebox_core.sampling.section_lyrics import paced, section_of, with_lyrics
from jukebox_core.units import Level

UNSUNG = " "
"""`lyrics` of a redo in whose section nothing is sung; without any, the words stay as they are."""


@dataclass(frozen=True, slots=True)
class PlannedSection:
    """A section and what is sampled again of each level that is there."""

    section: JobSection
    infills: Mapping[Level, tuple[Infill, ...]]


def plan_section(
    request: JobRequest,
    config: JukeboxConfig,
    given_tokens: Mapping[Level, int],
    parent: Job | None,
) -> PlannedSection:
    """Lay out the section of a complete request.

    Args:
        request: with song duration filled in, see `complete_request`.
        config: of its model.
        given_tokens: codes of each level that is there, per sample.
        parent: the job that they are of.

    Raises:
        SongError: the section is not inside the song, or the lyrics are too long.
    """
    time_base, total = config.time_base, given_tokens[Level.TOP]
    start, end = section_tokens(time_base, request.start_seconds or 0.0, request.end_seconds, total)
    infills = section_infills(time_base, start, end, total)
    infills = {level: infills[level] for level in infills if given_tokens.get(level)}
    start_sec, end_sec = (time_base.tokens_to_seconds(each, Level.TOP) for each in (start, end))
    seed, samples = _noise_of(request, parent)
    section = JobSection(
        start_sec=start_sec,
        end_sec=end_sec,
        margin_sec=_margin_sec(config, request, infills, end_sec),
        lyrics=_song_text(request, parent, start_sec, end_sec),
        noise_seed=seed,
        noise_samples=samples,
    )
    return PlannedSection(section, infills)


def section_spans(
    body: RedoBody, job: Job, parent: Job | None, config: JukeboxConfig
) -> tuple[SongSpan, ...]:
    """What the parts of a redone song are sung as; none where all of it is as the request says.

    Around the section that is what it was. In it the labels of the body hold, and its lyrics are
    read in the time that the section takes.
    """
    section = job.section
    if section is None:
        return ()
    before = spans_of(parent) if parent is not None else (request_span(job, position_sec=0.0),)
    start_sec, end_sec = section.start_sec, section.end_sec
    redone = [
        _redone(span, body, job, config)
        for span in cut_spans(before, start_sec, end_sec, position_sec=start_sec)
    ]
    spans = joined_spans(
        (
            *cut_spans(before, 0.0, start_sec),
            *redone,
            *cut_spans(before, end_sec, job.duration_sec, position_sec=end_sec),
        )
    )
    is_plain = parent is None or not parent.spans
    return () if is_plain and spans == tuple(before) else spans


def _redone(span: SongSpan, body: RedoBody, job: Job, config: JukeboxConfig) -> SongSpan:
    """A span of the old song in the section, with what the body says of it."""
    span = relabelled(span, body)
    given = {name for name in body.model_fields_set if getattr(body, name) is not None}
    if given & {"song_duration_seconds", "offset_seconds"}:
        whole = request_span(job, position_sec=span.position_sec)
        times = (whole.song_duration_sec, whole.offset_sec)
        span = replace(span, song_duration_sec=times[0], offset_sec=times[1])
    if not job.request.lyrics or job.section is None:
        return span
    moments = (job.section.start_sec, job.section.end_sec)
    shares = _shares(span.song_duration_sec, span.offset_sec, *moments)
    readers = [prior.lyrics.num_tokens for prior in config.priors if prior.lyrics is not None]
    text = with_lyrics(section_of(span.lyrics, *shares), job.request.lyrics)
    read = paced(text, *shares, max(readers, default=0))
    return replace(span, lyrics=read, own_lyrics=text.lyrics)


def _shares(song_sec: float, offset_sec: float, start: float, end: float) -> tuple[float, float]:
    """Two moments of the generated part as shares of the whole imagined song."""
    first, last = (min(max((offset_sec + each) / song_sec, 0.0), 1.0) for each in (start, end))
    return first, last


def _song_text(request: JobRequest, parent: Job | None, start_sec: float, end_sec: float) -> str:
    """Raises SongError."""
    old = "" if parent is None else parent.lyrics
    if not request.lyrics:
        return old
    song_sec = request.song_duration_seconds or end_sec
    shares = _shares(song_sec, request.offset_seconds, start_sec, end_sec)
    new = with_lyrics(section_of(old, *shares), request.lyrics)
    if len(new.text) > MAX_LYRICS_CHARACTERS:
        raise SongError(
            f"with these lyrics the song would have {len(new.text)} characters of them, more than "
            f"{MAX_LYRICS_CHARACTERS}",
            field="lyrics",
        )
    return new.text


def _noise_of(request: JobRequest, parent: Job | None) -> tuple[int | None, tuple[int, ...]]:
    """The seed that the song was sampled with first, and the number that each take had then."""
    if parent is None:
        return None, ()
    first = parent.request.sample or 0
    numbers: Sequence[int] = range(first, first + parent.request.num_samples)
    seed = parent.request.seed
    if parent.section is not None and parent.section.noise_seed is not None:
        seed, numbers = parent.section.noise_seed, parent.section.noise_samples
    if request.sample is not None:
        return seed, (numbers[request.sample],) * request.num_samples
    if len(numbers) == 1:
        return seed, (numbers[0],) * request.num_samples
    return seed, tuple(numbers)


def _margin_sec(
    config: JukeboxConfig,
    request: JobRequest,
    infills: Mapping[Level, Sequence[Infill]],
    end_sec: float,
) -> float:
    """How far from the section codes or sound of the levels that are asked for may change.

    The join is looked for behind it, and a decoder looks to either side.
    """
    time_base = config.time_base
    margins = [0.0]
    for level in map(Level.from_label, request.levels):
        ends = [each.join_end for each in infills.get(level, ())]
        changed = [time_base.tokens_to_seconds(end, level) for end in ends]
        reach_tokens = decoder_reach_tokens(config.vqvae, level)
        reach_sec = time_base.tokens_to_seconds(reach_tokens, level)
        margins.append(max([end_sec, *changed]) - end_sec + reach_sec)
    return max(margins)
