"""Songs put together from parts of others: what each part is, and where it is cut.

The codes are copied into the folder of the new job, joined. What parts are sung as is in
`part_labels.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from api.dependencies import Services
from api.submission.admission import Prompt, admit, check_labels, refusal
from api.submission.model_card import model_card
from api.submission.part_labels import (
    LABELS,
    PlacedTake,
    completed_part,
    given_lyrics,
    spliced_spans,
)
from api.submission.sources import (
    Codes,
    Origin,
    check_range,
    origin_of_asset,
    origin_of_job,
)
from api.web.callers import Caller
from api.web.errors import InvalidRequest, invalid_field
from jobs.files.stored_codes import JoinedCodes
from jobs.record.bodies import SpliceBody
from jobs.record.job import Job, SongSpan
from jobs.record.request import (
    LEVEL_NAMES,
    MAX_LYRICS_CHARACTERS,
    JobRequest,
    LevelName,
    SplicePart,
    StereoGenres,
)
from jobs.record.spans import lyrics_of
from jukebox_core.channels import rows_of_level
from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import SongError
from jukebox_core.models.catalog import ModelCard
from jukebox_core.sampling.splice import SplicePlan, Stretch, mend_infills, plan_splice
from jukebox_core.units import Level


def spliced(services: Services, caller: Caller, body: SpliceBody, job_id: str) -> Job:
    """The job of a `splice`, with its codes in its folder. Raises InvalidRequest."""
    origins = _origins(services, caller, body)
    card = model_card(services, _model_of(body, origins))
    _check_label_versions(origins, card)
    _check_labels(body, card)
    takes = [_take(part, origin) for part, origin in zip(body.parts, origins, strict=True)]
    try:
        plan = _planned(card.config, body, takes)
    except SongError as error:
        raise _refusal(error) from error
    parts = [
        PlacedTake(wanted=wanted, origin=origin, codes=codes, placed=placed)
        for wanted, origin, codes, placed in zip(
            body.parts, origins, takes, plan.parts, strict=True
        )
    ]
    levels = _levels(body, plan)
    duration_sec = card.config.time_base.tokens_to_seconds(plan.num_top_tokens, Level.TOP)
    spans = spliced_spans(body, parts, card.config, duration_sec)
    request = _request(body, card, parts, spans, levels)
    num_tokens = plan.num_tokens(card.config.time_base)
    kept = {level: number for level, number in num_tokens.items() if level.label in levels}
    _check_codecs(kept, takes)
    mended = mend_infills(card.config.time_base, plan, body.mend_seconds)
    infills = {level: mended[level] for level in kept if level in mended}
    _check_takes(request, num_given=0 if infills else len(kept))
    prompt = Prompt(
        job_id=job_id,
        kept_tokens=kept,
        duration_sec=duration_sec,
        pointer=("parts",),
        infills=infills,
    )
    job = admit(request, card, now=datetime.now(UTC), prompt=prompt)
    name = services.artifacts.write_all_codes(
        job_id,
        fence=0,
        codes={level.label: _joined(card.config, parts, level, request.channels) for level in kept},
        metadata={"model": request.model},
        kind="prompt",
    )
    parents = list({p.origin.parent.id: p.origin.parent for p in parts if p.origin.parent}.values())
    return replace(
        job,
        prompt_codes_name=name,
        spans=spans,
        parent_id=parents[0].id if parents else None,
        parent_ids=tuple(parent.id for parent in parents),
        root_id=parents[0].root_id if parents else job.id,
    )


def _origins(services: Services, caller: Caller, body: SpliceBody) -> list[Origin]:
    """Of each part; what is named several times is opened once. Raises InvalidRequest."""
    opened: dict[str, Origin] = {}
    for number, part in enumerate(body.parts):
        if part.source not in opened:
            is_job = part.source.startswith("job_")
            open_origin = origin_of_job if is_job else origin_of_asset
            pointer = ("parts", number, "source")
            opened[part.source] = open_origin(services, caller, part.source, pointer)
    return [opened[part.source] for part in body.parts]


def _model_of(body: SpliceBody, origins: Sequence[Origin]) -> str:
    """The one model of all parts. Raises InvalidRequest."""
    model = body.model or next((each.model for each in origins if each.model), None)
    if model is None:
        sentence = "this field is required: the uploaded codes do not name their model"
        raise invalid_field("body", ["model"], sentence)
    for number, origin in enumerate(origins):
        if origin.model not in (None, model):
            sentence = f"the codes belong to {origin.model}, and those before to {model}: parts of "
            sentence += "different models cannot be joined"
            if body.model is not None:
                sentence = f"the codes belong to {origin.model}, and only that model can use them"
            raise invalid_field("body", ["parts", number, "source"], sentence)
    return model


def _check_label_versions(origins: Sequence[Origin], card: ModelCard) -> None:
    """A model of the same name may have been replaced since. Raises InvalidRequest."""
    for number, origin in enumerate(origins):
        labels = origin.parent.labels if origin.parent is not None else {}
        for level, resolved in labels.items():
            known = card.config.prior(Level.from_label(level)).labels
            version = known.version if known is not None else None
            if resolved.get("version") != version:
                sentence = (
                    f"the {level} level was sung with labels {resolved.get('version')}, and "
                    f"{card.name} reads {version}: the codes are those of another model"
                )
                raise invalid_field("body", ["parts", number, "source"], sentence)


def _check_codecs(levels: Iterable[Level], takes: Sequence[Codes]) -> None:
    """A model of the same name may have another codec since. Raises InvalidRequest."""
    for level in levels:
        known: str | None = None
        for number, take in enumerate(takes):
            codebook = take[level].codebook
            if None not in (known, codebook) and known != codebook:
                sentence = (
                    f"the codes of the {level.label} level were made with the codebook {codebook}, "
                    f"and those before with {known}: parts of different codecs cannot be joined"
                )
                raise invalid_field("body", ["parts", number, "source"], sentence)
            known = known or codebook


def _check_labels(body: SpliceBody, card: ModelCard) -> None:
    """Admission sees those of the first part alone. Raises InvalidRequest."""
    check_labels(body, card, ())
    for number, part in enumerate(body.parts):
        for name, ids in (("artist", "artist_id"), ("genre", "genre_ids")):
            given = getattr(part, ids)
            if given is not None and not isinstance(given, dict) and getattr(part, name):
                sentence = f"give a name here or {ids}, not both"
                raise invalid_field("body", ["parts", number, name], sentence)
        check_labels(part, card, ("parts", number))


def _take(part: SplicePart, origin: Origin) -> Codes:
    """All channels of a take."""
    num_takes = len(origin.codes[Level.TOP])
    rows = slice(part.sample, None, num_takes)
    return {level: codes.select(rows) for level, codes in origin.codes.items()}


def _planned(config: JukeboxConfig, body: SpliceBody, takes: Sequence[Codes]) -> SplicePlan:
    """Raises SongError."""
    for number, codes in enumerate(takes):
        if not len(codes[Level.TOP]):
            raise SongError("there is no such take", field=f"parts.{number}.sample")
        try:
            check_range(codes, config)
        except SongError as error:
            raise SongError(str(error), field=f"parts.{number}.source") from error
    stretches = [
        Stretch(
            source=f"{part.source}:{part.sample}",
            num_tokens={level: rows.shape[1] for level, rows in codes.items()},
            start_sec=part.start_seconds,
            end_sec=part.end_seconds,
        )
        for part, codes in zip(body.parts, takes, strict=True)
    ]
    return plan_splice(config.time_base, stretches)


def _refusal(error: SongError) -> InvalidRequest:
    """What the planner found, in the words of the request; its fields are those of the body."""
    placeholder = JobRequest(mode="splice", model="any", artist="", genre="")
    return refusal(error, placeholder, ("parts",))


def _levels(body: SpliceBody, plan: SplicePlan) -> tuple[LevelName, ...]:
    """Those that are asked for, or else those that all parts have."""
    if "levels" in body.model_fields_set:
        return body.levels
    return LEVEL_NAMES[: len(plan.levels)]


def _check_takes(request: JobRequest, *, num_given: int) -> None:
    """Raises InvalidRequest for several takes of levels that are all there as they are."""
    if request.num_samples > 1 and num_given == len(request.levels):
        sentence = "nothing is generated, so all takes would be the same: ask for one"
        raise invalid_field("body", ["num_samples"], sentence)


def _joined(
    config: JukeboxConfig, parts: Sequence[PlacedTake], level: Level, num_channels: int
) -> JoinedCodes:
    """The codes of all parts. In a stereo song a mono part is the same in both channels."""
    num_rows = rows_of_level(level, 1, num_channels)
    return JoinedCodes(
        tuple(
            part.codes[level]
            .tokens(part.placed.tokens(config.time_base, level))
            .for_channels(num_rows)
            for part in parts
        )
    )


def _num_channels(body: SpliceBody, parts: Sequence[PlacedTake]) -> int:
    """Stereo if any part is, unless the body says something else."""
    if "channels" in body.model_fields_set:
        return body.channels
    wanted = [part.origin.parent.request.channels for part in parts if part.origin.parent]
    return max([*wanted, *(len(rows) for part in parts for rows in part.codes.values())])


def _request(
    body: SpliceBody,
    card: ModelCard,
    parts: Sequence[PlacedTake],
    spans: Sequence[SongSpan],
    levels: tuple[LevelName, ...],
) -> JobRequest:
    """The body as the record keeps it: the first part's labels, and the words of all parts."""
    sung = body.model_fields_set & JobRequest.model_fields.keys()
    given = {name: getattr(body, name) for name in sung}
    lyrics = given_lyrics(body)
    if lyrics is None:
        lyrics = lyrics_of(spans)
    if len(lyrics) > MAX_LYRICS_CHARACTERS:
        sentence = f"those of all parts have {len(lyrics)} characters, and at most "
        sentence += f"{MAX_LYRICS_CHARACTERS} are taken: give the lyrics of the song here"
        raise invalid_field("body", ["lyrics"], sentence)
    first = next((part.origin.parent for part in parts if part.origin.parent is not None), None)
    inherited: dict[str, Any] = {} if first is None else {"sampling": first.request.sampling}
    num_channels = _num_channels(body, parts)
    sides = StereoGenres(left=spans[0].left_genre, right=spans[0].right_genre)
    if num_channels > 1 and sides != StereoGenres():
        inherited["stereo_genres"] = sides
    whole = {name: getattr(spans[0], name) for name in LABELS}
    return JobRequest(
        **{
            **inherited,
            **given,
            **whole,
            "channels": num_channels,
            "model": card.name,
            "lyrics": lyrics,
            "lyrics_format": "plain",
            "levels": levels,
            "parts": tuple(completed_part(part, spans, card.config) for part in parts),
        }
    )
