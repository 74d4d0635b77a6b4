"""A job record as a flat hash of strings, the shape in which Redis keeps it, and back.

Parts that grow while the job runs have a field each (`window:top:0`, `output:top:1`), so that one
command adds one part. The store keeps windows in a hash beside the record. Moments are whole
microseconds since 1970; what is None has no field.

Releases that run side by side read each other's records. Unknown fields are ignored, and a release
that adds something without which a job would become another one raises `RECORD_FORMAT` in the
records of such jobs: older workers leave them alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from dataclasses import fields as fields_of
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from jobs.errors import RecordUnreadable
from jobs.record.annotations import Annotations
from jobs.record.job import (
    CodesFile,
    Job,
    JobError,
    JobSection,
    JobStatus,
    JobWarning,
    LevelMetrics,
    LevelPlan,
    LevelProgress,
    Output,
    SongSpan,
    Stage,
)
from jobs.record.request import LEVEL_NAMES, JobRequest

_Part = TypeVar("_Part")

RECORD_FORMAT = 3
"""The newest form of a job that this release can run; records of before it had one are as 1.

2: edited songs, whose parts have labels and times of their own, or are sampled again.
3: songs in segments that begin where the record says.
"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXTS = (
    "codes_name",
    "worker",
    "parent_id",
    "root_id",
    "prompt_codes_name",
    "prompt_audio_name",
    "owner",
    "step",
    "weights",
    "title",
    "notes",
)
_MOMENTS = (
    "created_at",
    "started_at",
    "completed_at",
    "expires_at",
    "lease_expires_at",
    "deadline_at",
    "codes_expire_at",
    "deleted_at",
)
_LENGTHS: Mapping[str, str] = {"kept_us": "kept_sec", "codes_kept_us": "codes_kept_sec"}


def to_microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970. Raises TypeError for a moment without a time zone."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(microseconds: int | str) -> datetime:
    """Inverse of `to_microseconds`, in UTC."""
    return _EPOCH + timedelta(microseconds=int(microseconds))


def to_json(part: Any) -> str:  # noqa: ANN401  (any dataclass of jobs.job, or a mapping)
    """Compact JSON of one part of a record."""
    content = part if isinstance(part, Mapping) else asdict(part)
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def window_field(window: CodesFile) -> str:
    """A window drawn again replaces the one that began at the same token."""
    return f"window:{window.level}:{window.start}"


def output_field(output: Output) -> str:
    """One sound file per level and sample."""
    return f"output:{output.level}:{output.sample}"


def annotations_to_fields(annotations: Mapping[str, Any]) -> dict[str, str]:
    """Some fields of `Annotations` as a record has them; empty is what has no field there."""
    return {name: _annotation_to_text(value) for name, value in annotations.items()}


def _annotation_to_text(value: Any) -> str:  # noqa: ANN401  (of any field of `Annotations`)
    if not value:
        return ""
    if value is True:
        return "1"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def job_to_fields(job: Job) -> dict[str, str]:
    """Every field of the hash; `model` is repeated there for the indexes."""
    fields = {
        "id": job.id,
        "format": str(_format_of(job)),
        "status": job.status.value,
        "model": job.request.model,
        "request": job.request.model_dump_json(exclude=_left_out(job.request)),
        "labels": to_json(job.labels),
        "plan": to_json({level: _plan_to_json(plan) for level, plan in job.plan.items()}),
        "stage": job.stage.value,
        "attempt": str(job.attempt),
        "fence": str(job.fence),
        "progress_value": repr(job.progress_value),
        "duration_sec": repr(job.duration_sec),
    }
    moments = {name: getattr(job, name) for name in _MOMENTS}
    fields |= {n: str(to_microseconds(m)) for n, m in moments.items() if m is not None}
    fields |= {window_field(window): to_json(window) for window in job.codes or ()}
    fields |= {output_field(output): to_json(output) for output in job.outputs}
    fields |= {f"progress:{level}": to_json(part) for level, part in job.progress.items()}
    fields |= {f"metrics:{level}": to_json(part) for level, part in job.metrics.items()}
    texts = {name: getattr(job, name) for name in _TEXTS}
    fields |= {name: text for name, text in texts.items() if text is not None}
    lengths = {name: getattr(job, attribute) for name, attribute in _LENGTHS.items()}
    # Only for the scripts: the request tells it.
    lengths["timeout_us"] = job.request.timeout_seconds
    fields |= {n: str(round(sec * 1e6)) for n, sec in lengths.items() if sec is not None}
    if job.pinned:
        fields["pinned"] = "1"
    if job.request.webhook_url is not None:
        # Beside the request, for the scripts that write messages.
        fields["webhook_url"] = job.request.webhook_url
        fields["webhook_events"] = " ".join(job.request.webhook_events)
    annotations = {name: getattr(job, name) for name in Annotations.model_fields}
    fields |= {n: text for n, text in annotations_to_fields(annotations).items() if text}
    if job.seconds_left is not None:
        fields["seconds_left"] = f"{job.seconds_left:.1f}"
    if job.crashes:
        fields["crashes"] = str(job.crashes)
    if job.parent_sample is not None:
        fields["parent_sample"] = str(job.parent_sample)
    if len(job.parent_ids) > 1:
        # A single one is the `parent_id`, which every release indexes by.
        fields["parent_ids"] = " ".join(job.parent_ids)
    if job.lyric_joins:
        fields["lyric_joins"] = " ".join(map(str, job.lyric_joins))
    if job.spans:
        fields["spans"] = _spans_to_json(job.spans)
    if job.warnings:
        fields["warnings"] = to_json({"warnings": [asdict(each) for each in job.warnings]})
    parts = {"error": job.error, "section": job.section}
    return fields | {name: to_json(part) for name, part in parts.items() if part is not None}


def _format_of(job: Job) -> int:
    """The oldest format in which this job is the same one: older workers take what they can."""
    if any(len(plan.segments) > 1 for plan in job.plan.values()):
        return 3
    is_edited = job.request.mode in ("splice", "redo") or bool(job.spans)
    return 2 if is_edited else 1


def job_from_fields(fields: Mapping[str, str], windows: Mapping[str, str] | None = None) -> Job:
    """Inverse of `job_to_fields`. Windows and outputs come coarse to fine, then in order.

    `windows` are fields as well; None when they were not read.

    Fields that an older release did not write take their defaults; those that only a newer one
    knows are ignored, and `needs_newer_release` tells whether the job needs them. Raises
    RecordUnreadable.
    """
    try:
        return _job_from_fields(fields, windows)
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        first_line = str(error).partition("\n")[0]
        raise RecordUnreadable(
            fields.get("id", "?"), f"{type(error).__name__}: {first_line}"
        ) from error


def _job_from_fields(fields: Mapping[str, str], windows: Mapping[str, str] | None) -> Job:
    optional: dict[str, Any] = {name: fields[name] for name in _TEXTS if name in fields}
    optional |= {name: from_microseconds(fields[name]) for name in _MOMENTS if name in fields}
    optional |= {a: int(fields[name]) / 1e6 for name, a in _LENGTHS.items() if name in fields}
    if "parent_sample" in fields:
        optional["parent_sample"] = int(fields["parent_sample"])
    outputs = [_read(Output, part) for part in _parts(fields, "output:").values()]
    progress = {k: _read(LevelProgress, part) for k, part in _parts(fields, "progress:").items()}
    metrics = {k: _read(LevelMetrics, part) for k, part in _parts(fields, "metrics:").items()}
    plan = {k: _plan_from_json(part) for k, part in json.loads(fields["plan"]).items()}
    request, has_unknown_wishes = _read_request(fields["request"])
    return Job(
        id=fields["id"],
        status=JobStatus(fields["status"]),
        request=request,
        labels=json.loads(fields["labels"]),
        plan=plan,
        stage=Stage(fields["stage"]),
        attempt=int(fields["attempt"]),
        crashes=int(fields.get("crashes", 0)),
        fence=int(fields["fence"]),
        progress_value=float(fields["progress_value"]),
        seconds_left=float(fields["seconds_left"]) if "seconds_left" in fields else None,
        progress=_coarse_to_fine(progress),
        codes=None if windows is None else _windows(windows),
        outputs=tuple(sorted(outputs, key=lambda o: (LEVEL_NAMES.index(o.level), o.sample))),
        metrics=_coarse_to_fine(metrics),
        error=_read(JobError, json.loads(fields["error"])) if "error" in fields else None,
        section=_read(JobSection, json.loads(fields["section"])) if "section" in fields else None,
        warnings=_warnings(fields),
        duration_sec=float(fields.get("duration_sec", 0.0)),
        pinned="pinned" in fields,
        tags=tuple(json.loads(fields.get("tags", "[]"))),
        favorite="favorite" in fields,
        metadata=json.loads(fields.get("metadata", "{}")),
        parent_ids=tuple(fields.get("parent_ids", "").split()),
        lyric_joins=tuple(map(int, fields.get("lyric_joins", "").split())),
        spans=_spans_from_json(fields["spans"]) if "spans" in fields else (),
        needs_newer_release=has_unknown_wishes or int(fields.get("format", 1)) > RECORD_FORMAT,
        **optional,
    )


def _left_out(request: JobRequest) -> set[str]:
    """Fields that older releases do not know, where they ask for nothing that those do not do.

    `lyrics_format` is always `plain` in a record.
    """
    return {"lyrics_format"} if request.channels == 2 else {"lyrics_format", "channels"}


def _warnings(fields: Mapping[str, str]) -> tuple[JobWarning, ...]:
    stored = json.loads(fields.get("warnings", "{}")).get("warnings", [])
    return tuple(_read(JobWarning, each) for each in stored)


def _windows(fields: Mapping[str, str]) -> tuple[CodesFile, ...]:
    windows = [_read(CodesFile, part) for part in _parts(fields, "window:").values()]
    return tuple(sorted(windows, key=lambda w: (LEVEL_NAMES.index(w.level), w.start)))


def _read(kind: type[_Part], part: Mapping[str, Any]) -> _Part:
    """A dataclass from what was stored, without what only a newer release knows."""
    known = {each.name for each in fields_of(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in part.items() if name in known})


def _plan_to_json(plan: LevelPlan) -> dict[str, Any]:
    """Under the names that were stored first, which every release reads."""
    stored = asdict(plan)
    stored["heard_tokens"] = stored.pop("output_tokens")
    return stored


def _plan_from_json(part: Mapping[str, Any]) -> LevelPlan:
    named = {("output_tokens" if name == "heard_tokens" else name): part[name] for name in part}
    return _read(LevelPlan, named)


def _spans_to_json(spans: Sequence[SongSpan]) -> str:
    """Lyrics are written once: spans of one song have the same."""
    texts = list(dict.fromkeys(span.lyrics for span in spans))
    stored = [{**asdict(span), "lyrics": texts.index(span.lyrics)} for span in spans]
    return to_json({"lyrics": texts, "spans": stored})


def _spans_from_json(text: str) -> tuple[SongSpan, ...]:
    stored = json.loads(text)
    spans = [{**span, "lyrics": stored["lyrics"][span["lyrics"]]} for span in stored["spans"]]
    return tuple(_read(SongSpan, _with_tuples(span)) for span in spans)


def _with_tuples(span: Mapping[str, Any]) -> dict[str, Any]:
    """Genre ids as a request has them: JSON has no tuples."""
    ids = span.get("genre_ids")
    if isinstance(ids, dict):
        ids = {version: tuple(each) for version, each in ids.items()}
    return {**span, "genre_ids": tuple(ids) if isinstance(ids, list) else ids}


def _read_request(text: str) -> tuple[JobRequest, bool]:
    """A stored request, and whether it asks for something that this release does not know.

    A field that is null asks for nothing.
    """
    request = JobRequest.model_validate_json(text, extra="ignore")
    return request, _has_unknown(json.loads(text), request.model_dump(mode="json"))


def _has_unknown(found: Any, known: Any) -> bool:  # noqa: ANN401  (JSON)
    if not isinstance(found, dict) or not isinstance(known, dict):
        return False
    return any(
        _has_unknown(value, known[name]) if name in known else value is not None
        for name, value in found.items()
    )


def _parts(fields: Mapping[str, str], prefix: str) -> dict[str, dict[str, Any]]:
    return {
        name.removeprefix(prefix): json.loads(text)
        for name, text in fields.items()
        if name.startswith(prefix)
    }


def _coarse_to_fine(parts: Mapping[str, _Part]) -> dict[str, _Part]:
    return {level: parts[level] for level in LEVEL_NAMES if level in parts}
