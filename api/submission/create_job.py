"""From a body to a recorded job: what it begins with lies in its own folder before it is recorded.

So an accepted job needs neither its parent nor its asset any more. When anything is refused, or the
store is away, nothing is left behind.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus

from api.dependencies import Services, check_data_folder
from api.media import FileRefused, IngestFailed
from api.submission.admission import Prompt, admit, refusal
from api.submission.model_card import check_memory, model_card
from api.submission.part_labels import inherited_spans
from api.submission.policy import granted, within_time
from api.submission.sources import asset_of, cut_codes, inherited_request, origin_of, request_of
from api.submission.splice import spliced
from api.submission.storage import check_room
from api.submission.warnings import warnings_of
from api.submission.webhooks import check_webhook
from api.web.callers import Caller
from api.web.errors import ApiError, invalid_field
from jobs.errors import AssetNotFound, QueueUnavailable, StoreUnavailable
from jobs.files.assets import Asset
from jobs.idempotency import IdempotencyKey
from jobs.record.annotations import Annotations
from jobs.record.bodies import (
    AnyBody,
    ContinueBody,
    FromCodesBody,
    PrimedBody,
    RedoBody,
    SpliceBody,
    UpsampleBody,
)
from jobs.record.job import Job, new_job_id
from jobs.record.request import AudioPrompt
from jobs.record.sections import section_spans
from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import SongError
from jukebox_core.units import Level

_log = logging.getLogger(__name__)

PROMPT_AUDIO_NAME = "prompt.wav"
_FORGIVEN_SEC = 5e-4


def create(
    services: Services,
    caller: Caller,
    body: AnyBody,
    idempotency: IdempotencyKey | None = None,
) -> tuple[Job, bool]:
    """Check, keep what the job begins with, record and publish it. Blocking.

    Returns the job, and whether it was there before: created with the same idempotency key.

    Raises:
        InvalidRequest: it cannot be sung.
        ApiError: 409, its model is too large for every worker.
        IdempotencyKeyReused: the key came with another request before.
        LimitReached: too many jobs wait, or run.
        StoreUnavailable: it may have been recorded; if so, it will be taken back.
    """
    # What it began with may be gone by now, and need not be looked for again.
    earlier = services.store.replay(idempotency) if idempotency is not None else None
    if earlier is not None:
        return earlier, True
    check_data_folder(services)
    check_room(services, caller.owner)
    check_webhook(services.settings, body)
    body = within_time(services.settings, body)
    job_id = new_job_id()
    try:
        prepared = _prepare(services, caller, body, job_id)
        check_memory(services, prepared)
        job = granted(services.settings, prepared, caller.owner)
        job = replace(
            job,
            warnings=warnings_of(services.catalog, body, job),
            **{name: getattr(body, name) for name in Annotations.model_fields},
        )
    except BaseException:
        remove_files(services, job_id)
        raise
    with _withdrawn_when_in_doubt(services, job, idempotency):
        recorded = services.store.create(
            job,
            idempotency=idempotency,
            limits=services.settings.job_limits,
            is_created_now=True,
        )
    if recorded.id != job_id:
        # Another request with the same key recorded one meanwhile.
        remove_files(services, job_id)
        return recorded, True
    publish(services, recorded)
    return recorded, False


def retry(
    services: Services, job_id: str, idempotency: IdempotencyKey | None = None
) -> tuple[Job, bool]:
    """Let a failed job go on. Blocking.

    Returns the job, and whether it was retried before with the same idempotency key.

    Raises:
        ApiError: 409, its model is too large for every worker.
        JobNotFound, NotRetryable, IdempotencyKeyReused, LimitReached: see `JobStore.retry`.
        StoreUnavailable: it may have been recorded.
    """
    job = services.store.get(job_id)
    earlier = services.store.replay(idempotency) if idempotency is not None else None
    if earlier is not None:
        return earlier, True
    if job.error is not None and job.error.retryable:
        check_memory(services, job)
    job, is_replayed = services.store.retry(
        job_id, idempotency=idempotency, limits=services.settings.job_limits
    )
    if not is_replayed:
        publish(services, job)
    return job, is_replayed


def _prepare(
    services: Services,
    caller: Caller,
    body: AnyBody,
    job_id: str,
) -> Job:
    match body:
        case PrimedBody():
            return _primed(services, caller, body, job_id)
        case ContinueBody() | UpsampleBody() | RedoBody():
            return _from_codes(services, caller, body, job_id)
        case SpliceBody():
            return spliced(services, caller, body, job_id)
        case _:
            card = model_card(services, body.model)
            prompt = Prompt(job_id=job_id)
            return admit(request_of(body), card, now=datetime.now(UTC), prompt=prompt)


def _primed(services: Services, caller: Caller, body: PrimedBody, job_id: str) -> Job:
    card = model_card(services, body.model)
    asset = asset_of(services, caller, body.prompt.asset_id, "audio")
    _check_part(asset, body.prompt)
    num_samples = _cut_sound(services, job_id, asset, body.prompt, card.config)
    time_base = card.config.time_base
    num_top_tokens = num_samples // time_base.samples_per_token[Level.TOP]
    if num_top_tokens < 1:
        sentence = "the prompt is shorter than one token of the top level, "
        sentence += f"{time_base.tokens_to_seconds(1, Level.TOP):.3g} s"
        raise invalid_field("body", ["prompt"], sentence)
    if num_top_tokens >= time_base.seconds_to_tokens(body.duration_seconds, Level.TOP):
        prompt_sec = time_base.tokens_to_seconds(num_top_tokens, Level.TOP)
        sentence = f"this is the whole length, and the prompt alone lasts {prompt_sec:.6g} s: ask "
        sentence += "for more, or for a shorter prompt"
        raise invalid_field("body", ["duration_seconds"], sentence)
    levels = [Level.from_label(level) for level in body.levels]
    prompt = Prompt(
        job_id=job_id,
        kept_tokens={
            level: num_top_tokens * time_base.tokens_per_top_token(level) for level in levels
        },
        pointer=("prompt",),
    )
    job = admit(request_of(body), card, now=datetime.now(UTC), prompt=prompt)
    return replace(job, prompt_audio_name=PROMPT_AUDIO_NAME)


def _check_part(asset: Asset, prompt: AudioPrompt) -> None:
    length_sec = asset.duration_sec or 0.0
    if prompt.start_seconds >= length_sec:
        sentence = f"the sound lasts {length_sec:.6g} s and is over by then"
        raise invalid_field("body", ["prompt", "start_seconds"], sentence)
    if prompt.start_seconds + (prompt.seconds or 0.0) > length_sec + _FORGIVEN_SEC:
        left_sec = length_sec - prompt.start_seconds
        sentence = f"from there on the sound lasts {left_sec:.6g} s"
        raise invalid_field("body", ["prompt", "seconds"], sentence)


def _cut_sound(
    services: Services, job_id: str, asset: Asset, prompt: AudioPrompt, config: JukeboxConfig
) -> int:
    """Put the prompt into the job's folder; returns its samples at the model's rate."""
    try:
        with services.artifacts.new_file(job_id, PROMPT_AUDIO_NAME) as path:
            return services.ingest.cut(
                services.assets.path(asset),
                path,
                start_sec=prompt.start_seconds,
                duration_sec=prompt.seconds,
                sample_rate_hz=config.vqvae.sample_rate_hz,
            )
    except FileRefused as error:
        raise invalid_field("body", ["prompt"], str(error)) from error
    except AssetNotFound as error:
        sentence = "this asset was deleted a moment ago"
        raise invalid_field("body", ["prompt", "asset_id"], sentence) from error
    except IngestFailed as error:
        raise ApiError(
            HTTPStatus.INTERNAL_SERVER_ERROR, "ingest_failed", f"Sorry, {error}."
        ) from error


def _from_codes(services: Services, caller: Caller, body: FromCodesBody, job_id: str) -> Job:
    origin = origin_of(services, caller, body)
    request = inherited_request(body, origin)
    card = model_card(services, request.model)
    try:
        codes = cut_codes(origin, request, card.config)
        duration_sec = _whole_length_sec(card.config, codes[Level.TOP].shape[1], body)
    except SongError as error:
        raise refusal(error, request, origin.pointer) from error
    prompt = Prompt(
        job_id=job_id,
        kept_tokens={level: rows.shape[1] for level, rows in codes.items()},
        duration_sec=duration_sec,
        parent=origin.parent,
        pointer=origin.pointer,
    )
    job = admit(request, card, now=datetime.now(UTC), prompt=prompt)
    name = services.artifacts.write_all_codes(
        job_id,
        fence=0,
        codes={level.label: rows for level, rows in codes.items()},
        metadata={"model": request.model},
        kind="prompt",
    )
    match body:
        case RedoBody():
            spans = section_spans(body, job, origin.parent, card.config)
        case _:
            spans = inherited_spans(body, origin.parent, job)
    return replace(
        job, prompt_codes_name=name, spans=spans, lyric_joins=_lyric_joins(body, origin.parent, job)
    )


def _lyric_joins(body: FromCodesBody, parent: Job | None, job: Job) -> tuple[int, ...]:
    """Where the song was continued with the same lyrics; none where its words are others."""
    if parent is None or parent.lyrics != job.lyrics:
        return ()
    if isinstance(body, RedoBody):
        return parent.lyric_joins
    num_kept = job.plan[Level.TOP.label].prompt_tokens
    before = tuple(join for join in parent.lyric_joins if join < num_kept)
    return (*before, num_kept) if isinstance(body, ContinueBody) else before


def _whole_length_sec(config: JukeboxConfig, num_top_tokens: int, body: FromCodesBody) -> float:
    """Raises SongError."""
    more = 0
    if isinstance(body, ContinueBody):
        more = config.time_base.seconds_to_tokens(body.duration_seconds, Level.TOP)
        if more < 1:
            one_token_sec = config.time_base.tokens_to_seconds(1, Level.TOP)
            raise SongError(
                f"add at least {one_token_sec:.3g} s, a token of the top level",
                field="duration_sec",
            )
    return config.time_base.tokens_to_seconds(num_top_tokens + more, Level.TOP)


@contextmanager
def _withdrawn_when_in_doubt(
    services: Services, job: Job, idempotency: IdempotencyKey | None
) -> Iterator[None]:
    """A record that was refused leaves no files; one that may be there will be taken back."""
    try:
        yield
    except StoreUnavailable:
        services.withdrawals.add(job.id)
        # Through its key the client may be given this job yet, if it was recorded after all.
        if idempotency is None:
            remove_files(services, job.id)
        raise
    except BaseException:
        remove_files(services, job.id)
        raise


def publish(services: Services, job: Job) -> None:
    """The message is only a hint: without it the reaper finds the record a little later."""
    try:
        services.queue.publish(job.id, job.stage)
    except QueueUnavailable as error:
        _log.warning("job accepted, but its message was not sent: %s", error)


def forget_files(services: Services, job_id: str) -> None:
    """Delete the files of a job whose record is gone; what fails now is left to the sweeper."""
    try:
        services.artifacts.remove_job(job_id)
        services.store.tidied(job_id)
    except (OSError, StoreUnavailable) as error:
        _log.warning("left to the sweeper: %s", error, extra={"job_id": job_id})


def remove_files(services: Services, job_id: str) -> None:
    """Delete a job's files, if it has any. What cannot be deleted only takes room."""
    try:
        services.artifacts.remove_job(job_id)
    except OSError as error:
        _log.warning("files of a job stay behind: %s", error, extra={"job_id": job_id})
