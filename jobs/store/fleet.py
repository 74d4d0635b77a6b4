"""How the service fares as a whole: workers, speeds, queues, webhooks."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import cast

import redis

from jobs.model_figures import ModelSpeed
from jobs.record.codec import (
    from_microseconds,
    to_json,
)
from jobs.record.job import (
    JobStatus,
    Stage,
)
from jobs.record.webhook_messages import Outcome, WebhookFigures
from jobs.store.connection import errors_as_store_unavailable
from jobs.store.scripts import (
    KEY_PREFIX,
    RATE_WEIGHT,
    ScriptRunner,
    index_key,
    microseconds,
)
from jobs.store.types import ModelInMemory, WorkerInfo


class Fleet(ScriptRunner):
    """What operators and estimates are told."""

    def record_rate(self, model: str, stage: Stage, tokens_per_second: float) -> None:
        """Fold a measured speed into the running mean of a model's stage."""
        self._run("record_rate", model, stage, repr(float(tokens_per_second)), RATE_WEIGHT)

    def announce_worker(self, worker: WorkerInfo, *, ttl_sec: float) -> None:
        """Say that a worker lives; forgotten after `ttl_sec` without another word.

        The server's clock tells `seen_at`, not the worker's.
        """
        self._run("announce_worker", worker.name, _worker_to_json(worker), microseconds(ttl_sec))

    def rates(self, model: str) -> Mapping[Stage, float]:
        """Mean tokens per second of each measured stage, for a song of one take."""
        with errors_as_store_unavailable():
            rates = cast(dict[str, str], self._redis.hgetall(f"{KEY_PREFIX}rates:{model}"))
        return {Stage(stage): float(rate) for stage, rate in rates.items() if stage in set(Stage)}

    def workers(self) -> list[WorkerInfo]:
        """Workers heard of within their ttl, by name."""
        workers = [_worker_from_fields(*entry) for entry in self._run("workers")]
        return sorted(workers, key=lambda worker: worker.name)

    def counts(self) -> Mapping[JobStatus, int]:
        """How many jobs have each status; all statuses are there."""
        with errors_as_store_unavailable(), self._redis.pipeline(transaction=True) as pipeline:
            for status in JobStatus:
                pipeline.zcard(index_key(status=status))
            counts = pipeline.execute()
        return dict(zip(JobStatus, counts, strict=True))

    def oldest_queued(self) -> datetime | None:
        """When the first of the queued jobs was created; None when none is queued."""
        with errors_as_store_unavailable():
            found = self._redis.zrange(index_key(status=JobStatus.QUEUED), 0, 0, withscores=True)
        first = cast(list[tuple[str, float]], found)
        return datetime.fromtimestamp(first[0][1] / 1e6, UTC) if first else None

    def webhook_figures(self) -> WebhookFigures:
        """How many webhooks wait, and how attempts to send one have ended."""
        with errors_as_store_unavailable():
            return read_figures(self._redis)


def _worker_to_json(worker: WorkerInfo) -> str:
    """What a worker tells of itself. When it was seen is not its to tell."""
    names = (
        *("device", "models", "stages"),
        *("model_memory", "too_large", "model_setups", "model_seconds", "num_jobs"),
    )
    loaded = [
        (each.name, each.memory_bytes, each.idle_since and each.idle_since.isoformat())
        for each in worker.loaded_models
    ]
    speeds = {model: asdict(speed) for model, speed in worker.model_speeds.items()}
    told = {name: getattr(worker, name) for name in names}
    return to_json(told | {"loaded_models": loaded, "model_speeds": speeds})


def _worker_from_fields(name: str, seen_us: str, description: str) -> WorkerInfo:
    """Inverse of `_worker_to_json`, with the server's word on when it was heard."""
    content = json.loads(description)
    return WorkerInfo(
        name=name,
        device=content.get("device", ""),
        models=tuple(content.get("models", ())),
        # A newer release may have others.
        stages=tuple(Stage(stage) for stage in content.get("stages", ()) if stage in set(Stage)),
        seen_at=from_microseconds(seen_us),
        model_memory=content.get("model_memory", {}),
        too_large=content.get("too_large", {}),
        model_setups=content.get("model_setups", {}),
        model_seconds={
            name: (float(exact), float(in_parallel))
            for name, (exact, in_parallel) in content.get("model_seconds", {}).items()
        },
        model_speeds={
            name: ModelSpeed.from_fields(fields)
            for name, fields in content.get("model_speeds", {}).items()
        },
        num_jobs=int(content.get("num_jobs", 1)),
        loaded_models=tuple(_loaded_model(*each) for each in content.get("loaded_models", ())),
    )


def _loaded_model(name: str, memory_bytes: int, idle_since: str | None) -> ModelInMemory:
    idle = None if idle_since is None else datetime.fromisoformat(idle_since)
    return ModelInMemory(name=name, memory_bytes=memory_bytes, idle_since=idle)


def read_figures(connection: redis.Redis) -> WebhookFigures:
    """The figures now. Raises what redis-py raises."""
    found = cast(dict[str, str], connection.hgetall(f"{KEY_PREFIX}webhook_deliveries"))
    return WebhookFigures(
        pending=int(connection.zcard(f"{KEY_PREFIX}webhooks")),
        attempts={outcome: int(found.get(outcome, 0)) for outcome in Outcome},
    )
