"""From records to answers: pure functions, no store, no clock."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import TypeVar

from pydantic import BaseModel

from api.access.signed_urls import UrlSigner
from api.views.job_schemas import (
    JobUrls,
    JobView,
    LevelMetricsView,
    LevelProgressView,
    MetricsView,
    OutputView,
    PartView,
    ProgressView,
    SectionView,
    SignedUrls,
    WarningView,
)
from api.views.service_schemas import (
    AssetUrls,
    AssetView,
    ModelLevelView,
    ModelLimits,
    ModelView,
    NameView,
    WorkerView,
)
from jobs.files.assets import Asset
from jobs.model_figures import seconds_of_music
from jobs.record.job import Job, JobStatus, LevelProgress, Output, Stage
from jobs.record.request import LevelName
from jobs.store import WorkerInfo
from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig
from jukebox_core.labels.search import NameMatch
from jukebox_core.models.catalog import ModelCard, ModelState
from jukebox_core.models.released import ReleasedModel
from jukebox_core.sampling.step_cost import token_cost
from jukebox_core.units import Level

View = TypeVar("View", bound=BaseModel)

MAX_REQUEST_DURATION_SEC = 600.0
"""Bound of `JobRequest.duration_seconds`, whatever the model."""


def job_view(
    job: Job,
    *,
    queue_position: int | None,
    eta_sec: float | None,
    root: str,
    lyrics_as_read: str | None = None,
    signer: UrlSigner | None = None,
) -> JobView:
    """A record as its owner sees it; `root` is put before every path (a proxy's prefix)."""
    urls = job_urls(job.id, root, signer)
    return _filled(
        JobView,
        job,
        queue_position=queue_position,
        eta_seconds=eta_sec,
        progress=_progress_view(job),
        duration_seconds=job.duration_sec,
        outputs=[_output_view(output, urls) for output in job.outputs],
        lyrics_as_read=lyrics_as_read,
        warnings=[
            WarningView(code=each.code, pointer=f"/{each.field}", detail=each.message)
            for each in job.warnings
        ],
        parts=_part_views(job),
        section=_section_view(job),
        seed=job.request.seed or 0,
        metrics=_metrics_view(job),
        urls=urls,
        input=job.request,
    )


def _section_view(job: Job) -> SectionView | None:
    section = job.section
    if section is None:
        return None
    return SectionView(
        start_seconds=section.start_sec,
        end_seconds=section.end_sec,
        margin_seconds=section.margin_sec,
    )


def _filled(view: type[View], record: object, **others: object) -> View:
    """A view of a record: `others`, and the fields that the record has by the same name."""
    names = view.model_fields.keys() - others.keys()
    same = {name: getattr(record, name) for name in names if hasattr(record, name)}
    return view.model_validate({**same, **others}, from_attributes=True)


def job_urls(job_id: str, root: str, signer: UrlSigner | None = None) -> JobUrls:
    """All paths of a job."""
    path = f"{root}/jobs/{job_id}"
    return JobUrls(
        self=path,
        events=f"{path}/events",
        cancel=f"{path}/cancel",
        retry=f"{path}/retry",
        pin=f"{path}/pin",
        audio=f"{path}/audio",
        live=f"{path}/live",
        codes=f"{path}/codes",
        alignment=f"{path}/alignment",
        lyrics=f"{path}/lyrics",
        children=f"{path}/children",
        peaks=f"{path}/peaks",
        spectrogram=f"{path}/spectrogram.png",
        archive=f"{path}/archive",
        signed=signer and _signed_urls(job_id, root, signer),
    )


def _signed_urls(job_id: str, root: str, signer: UrlSigner) -> SignedUrls:
    def signed(kind: str) -> str:
        path = f"/jobs/{job_id}/{kind}"
        return f"{root}{path}?{signer.query(path)}"

    return SignedUrls(
        audio=signed("audio"),
        live=signed("live"),
        codes=signed("codes"),
        alignment=signed("alignment"),
        events=signed("events"),
        peaks=signed("peaks"),
        spectrogram=signed("spectrogram.png"),
        archive=signed("archive"),
        expires_at=datetime.fromtimestamp(signer.expires_at, UTC),
    )


def asset_view(
    asset: Asset, root: str, expires_at: datetime | None, *, stored_bytes: int
) -> AssetView:
    """An asset as clients see it."""
    return _filled(
        AssetView,
        asset,
        format=asset.audio_format or "safetensors",
        bytes=asset.num_bytes,
        stored_bytes=stored_bytes,
        expires_at=expires_at,
        duration_seconds=asset.duration_sec,
        channels=asset.num_channels,
        tokens=asset.num_tokens,
        urls=AssetUrls(self=f"{root}/assets/{asset.id}"),
    )


def format_of(output: Output) -> str:
    """`wav`, `flac`, ...: the ending of the stored file."""
    return output.name.rpartition(".")[2].lower()


def _output_view(output: Output, urls: JobUrls) -> OutputView:
    audio_format = format_of(output)
    query = f"sample={output.sample}&level={output.level}&format={audio_format}"
    return _filled(
        OutputView,
        output,
        url=f"{urls.audio}?{query}",
        signed_url=urls.signed and f"{urls.signed.audio}&{query}",
        format=audio_format,
        duration_seconds=output.duration_sec,
        bytes=output.num_bytes,
    )


def _part_views(job: Job) -> list[PartView] | None:
    """The parts one after the other, from the moments that admission has filled in."""
    if job.request.parts is None:
        return None
    lengths = [(part.end_seconds or 0.0) - part.start_seconds for part in job.request.parts]
    positions = accumulate(lengths, initial=0.0)
    return [
        _filled(PartView, part, position_seconds=round(position, 9))
        for part, position in zip(job.request.parts, positions, strict=False)
    ]


def _progress_view(job: Job) -> ProgressView:
    levels = []
    for level in job.request.levels:
        plan, done = job.plan[level], _done(job, level)
        levels.append(
            LevelProgressView(
                level=level,
                tokens_done=done.tokens_done,
                tokens_total=plan.tokens_total,
                windows_done=done.windows_done,
                windows_total=plan.windows_total,
            )
        )
    drawing = not job.is_terminal and job.stage is not Stage.RENDER
    return ProgressView(
        value=job.progress_value,
        level=_level_name(job.stage) if drawing else None,
        levels=levels,
    )


def _done(job: Job, level: str) -> LevelProgress:
    """What is kept from a prompt was there before anything was drawn."""
    nothing_drawn = LevelProgress(tokens_done=job.plan[level].prompt_tokens)
    return job.progress.get(level, nothing_drawn)


def _metrics_view(job: Job) -> MetricsView:
    waited = None
    if job.started_at is not None:
        waited = max((job.started_at - job.created_at).total_seconds(), 0.0)
    levels = {level: _filled(LevelMetricsView, each) for level, each in job.metrics.items()}
    return MetricsView(queue_seconds=waited, levels=levels)


def _level_name(level: str) -> LevelName:
    names: Mapping[str, LevelName] = {"top": "top", "middle": "middle", "bottom": "bottom"}
    return names[level]


def remaining_sec(job: Job, rates: Mapping[Stage, float]) -> float | None:
    """Seconds of work left in a job itself; None while nothing is known.

    Its worker measures them. Before it has, the mean rates of the model tell; a stage may be among
    those that were never measured.
    """
    if job.seconds_left is not None:
        return job.seconds_left
    total_sec = 0.0
    for level in job.request.levels:
        plan = job.plan[level]
        tokens_left = max(plan.tokens_total - _done(job, level).tokens_done, 0)
        if tokens_left and not rates.get(Stage(level)):
            return None
        if tokens_left:
            warm_up_tokens = sum(start - begin for start, begin in plan.segments[1:])
            sampled_tokens = (tokens_left + warm_up_tokens) * job.channels_of(level)
            total_sec += sampled_tokens * token_cost(
                1.0 / rates[Stage(level)],
                num_rows=job.request.num_samples,
                num_segments=max(len(plan.segments), 1),
            )
    return total_sec


def eta_sec(job: Job, rates: Mapping[Stage, float], queue_position: int | None) -> float | None:
    """Seconds until the job ends, as a guess; None when unknown or when it has ended.

    Jobs that wait before this one are taken to be as long as this one, drawn one after the
    other: their own length would cost a look-up each, and a fleet's width is not known.
    """
    if job.is_terminal or job.status is JobStatus.CANCELING:
        return None
    own_sec = remaining_sec(job, rates)
    if own_sec is None:
        return None
    return round(own_sec * (1 + (queue_position or 0)), 1)


def poll_after_sec(view: JobView) -> int:
    """How long a polling client may sleep: a tenth of what is left, from 1 to 30 seconds."""
    if view.eta_seconds is None:
        return 2
    return int(min(max(view.eta_seconds / 10.0, 1.0), 30.0))


def model_view(
    card: ModelCard, workers: Sequence[WorkerInfo] = (), rates: Mapping[Stage, float] | None = None
) -> ModelView:
    """A model that is ready, as clients see it, and what it takes.

    Figures are those of the worker that says most of it: the least memory, the shortest time. Where
    none has measured the model in a few steps, the `rates` of its songs tell.
    """
    view = _model_view(card.name, ModelState.READY, card.config, card.num_bytes)
    memory = [each.model_memory[card.name] for each in workers if card.name in each.model_memory]
    seconds = [each.model_seconds[card.name] for each in workers if card.name in each.model_seconds]
    if not seconds and rates and all(rates.get(Stage(level.label)) for level in Level):
        steps = {level: 1.0 / rates[Stage(level.label)] for level in Level}
        seconds = [seconds_of_music(card.config, steps)]
    exact, in_parallel = min(seconds, default=(None, None))
    return view.model_copy(
        update={
            "memory_bytes": min(memory, default=None),
            "estimated_seconds_per_second_of_music": exact and round(exact, 3),
            "estimated_seconds_per_second_in_parallel": in_parallel and round(in_parallel, 3),
        }
    )


def broken_view(name: str) -> ModelView:
    """A model whose files cannot be read. What they hold is for the log, which may name paths."""
    return ModelView(
        name=name,
        state=ModelState.BROKEN,
        description="",
        licence="",
        sample_rate_hz=None,
        reads_lyrics=False,
        levels=[],
        limits=None,
        bytes=0,
        error="The files of this model cannot be read: the log of the service says why.",
    )


def released_view(model: ReleasedModel, state: ModelState) -> ModelView:
    """A model that could be fetched, or is being fetched."""
    return _model_view(model.name, state, model.config, model.num_bytes)


def _model_view(name: str, state: ModelState, config: JukeboxConfig, num_bytes: int) -> ModelView:
    return ModelView(
        name=name,
        state=state,
        description=config.description,
        licence=config.licence,
        sample_rate_hz=config.vqvae.sample_rate_hz,
        reads_lyrics=any(prior.lyrics is not None for prior in config.priors),
        levels=[_model_level_view(prior) for prior in config.priors],
        limits=model_limits(config),
        bytes=num_bytes,
    )


def name_view(match: NameMatch) -> NameView:
    """An artist or genre as clients see it."""
    ids = {_level_name(level): list(ids) for level, ids in match.ids.items()}
    return NameView(name=match.name, ids=ids, score=match.score)


def _model_level_view(prior: JukeboxPriorConfig) -> ModelLevelView:
    return ModelLevelView(
        level=_level_name(prior.level.label),
        tokens_per_second=prior.sample_rate_hz / prior.samples_per_token,
        context_tokens=prior.context_tokens,
        context_seconds=prior.context_samples / prior.sample_rate_hz,
        samples_per_token=prior.samples_per_token,
        label_version=prior.labels.version if prior.labels is not None else None,
        default_hop_fraction=prior.default_hop_fraction,
    )


def model_limits(config: JukeboxConfig) -> ModelLimits:
    """Shortest and longest songs of a model, as `plan_song` enforces them.

    A song of one top token can be sung: the levels above draw what the contexts below need. The
    song's length is bounded by the top prior's timing embedding.
    """
    labels = config.prior(Level.TOP).labels
    max_song_sec = MAX_REQUEST_DURATION_SEC
    if labels is not None:
        max_song_sec = min(max_song_sec, labels.max_duration_sec)
    return ModelLimits(
        min_duration_seconds=config.time_base.tokens_to_seconds(1, Level.TOP),
        max_duration_seconds=max_song_sec,
        min_song_duration_seconds=labels.min_duration_sec if labels is not None else 0.0,
        max_song_duration_seconds=max_song_sec,
    )


def worker_view(worker: WorkerInfo) -> WorkerView:
    """A worker as `GET /system` shows it."""
    return _filled(WorkerView, worker)
