"""What a worker takes from its environment."""

import logging
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode

from jobs.record.job import Stage
from jobs.settings import ModelSettings, default_health_file, split_words
from jobs.store.types import worker_name
from jukebox_core.backends.choose import AUTO, BACKENDS, backend_of_steps
from jukebox_core.backends.cores import usable_cores

log = logging.getLogger(__name__)

MIN_BEATS_PER_LEASE = 3
MAX_THREADS = 256
"""So many heartbeats must fit a lease that losing two in a row costs nothing."""


def _require_stages(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    if not stages or len(set(stages)) != len(stages):
        raise ValueError(f"name each stage once, some of {', '.join(Stage)}")
    return stages


def _require_backend(name: str) -> str:
    if name != AUTO and name not in BACKENDS:
        raise ValueError(f"must be one of {', '.join(sorted([AUTO, *BACKENDS]))}")
    return name


def default_worker_name() -> str:
    """That of this process."""
    return worker_name(os.getpid())


def default_native_threads() -> int:
    """All cores that this process has, as far as a setting may count them."""
    return min(usable_cores(), MAX_THREADS)


class WorkerSettings(ModelSettings):
    """Settings of one worker process.

    `stages` says which queues it serves; `concurrency` how many jobs it works on at the same time.
    `max_rows` sequences of one prior step together, and each takes memory for its cache;
    where memory is short, a worker takes fewer (`jukebox_core/models/memory_plan.py`).
    `max_models` models stay loaded, each until it was idle for `idle_unload_sec`; 0 keeps it.
    `dtype` is that of the transformer stacks. `placement` says
    where the priors are (`jukebox_core/models/placement.py`); `auto` decides by the free memory.

    `weights`: how those of the stacks are kept in memory, in `dtype` or as int8; a song is another
    one with each, so workers of the same songs should agree. `auto` takes int8 for models that are
    not small on a CPU, and for those whose files have it.

    `backend`: what computes the tokens of new songs (`jukebox_core/backends/`). `auto` takes
    `native`, which is several times faster for small models in float32 on a CPU with a C compiler,
    and `torch` elsewhere; `triton` is for CUDA. Each has to agree with `torch` before it is used.

    `overlap`: whether a level of a song is begun while the one above is still being drawn
    (`jukebox_core/engine/overlap.py`); `auto` does so where the device would be idle otherwise.

    `deterministic`: a song is the same in any company, also on a GPU, where every step then
    computes all `max_rows`; `off` computes only as many rows as there are songs, and numbers may be
    rounded in another way with every number of them. `graphs`: whether steps on CUDA are captured
    and replayed (`jukebox_core/backends/graphs/step_graphs.py`).

    `native_threads`: cores that the step in C shares rows and levels out to; by default (0) all
    that this process may use. A song is the same with any number of them.

    `cpu_threads` are those of one matrix product of torch; by default one for small models, and all
    cores of `native_threads` for others. With one, the numbers of a song on the CPU are the same to
    the bit in any company, and small models are faster: several threads wait for each other, and on
    cores that are busy otherwise a step was measured to take ten times as long.
    """

    refusal = "The worker cannot start."

    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d{1,3})?)$")] = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    weights: Literal["auto", "full", "int8"] = "auto"
    placement: Literal["auto", "resident", "one_at_a_time", "offloaded"] = "auto"
    stages: Annotated[
        tuple[Stage, ...], NoDecode, BeforeValidator(split_words), AfterValidator(_require_stages)
    ] = tuple(Stage)
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    lease_sec: Annotated[float, Field(gt=0, le=3600)] = 30.0
    max_rows: Annotated[int, Field(ge=1, le=1024)] = 8
    idle_unload_sec: Annotated[float, Field(ge=0, le=31_536_000)] = 1800.0
    backend: Annotated[str, AfterValidator(_require_backend)] = AUTO
    metrics_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    worker_name: Annotated[str, Field(min_length=1, default_factory=default_worker_name)]
    health_file: Annotated[Path, Field(default_factory=default_health_file)]

    heartbeat_sec: Annotated[float, Field(gt=0, le=600)] = 0.5
    reaper_sec: Annotated[float, Field(gt=0, le=600)] = 2.0
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    max_models: Annotated[int, Field(ge=1, le=64)] = 1
    overlap: Literal["auto", "on", "off"] = "auto"
    deterministic: Literal["on", "off"] = "on"
    graphs: Literal["auto", "off"] = "auto"
    cpu_threads: Annotated[int, Field(ge=0, le=MAX_THREADS)] = 0
    native_threads: Annotated[
        int,
        Field(ge=0, le=MAX_THREADS, validate_default=True),
        AfterValidator(lambda number: number or default_native_threads()),
    ] = 0

    @model_validator(mode="after")
    def _beats_fit_the_lease(self) -> Self:
        if self.heartbeat_sec * MIN_BEATS_PER_LEASE > self.lease_sec:
            raise ValueError(
                f"JUKEBOX_TUNING: heartbeat_sec={self.heartbeat_sec:g} must fit "
                f"{MIN_BEATS_PER_LEASE} times into JUKEBOX_LEASE_SEC={self.lease_sec:g}"
            )
        return self

    @classmethod
    def from_earlier_switches(cls) -> dict[str, Any]:
        """One more release reads the two switches that `JUKEBOX_BACKEND` replaced."""
        names = ("JUKEBOX_NATIVE_STEP", "JUKEBOX_FUSED_STEP")
        backend = backend_of_steps(*(os.environ.get(name) or None for name in names))
        if backend is None or os.environ.get("JUKEBOX_BACKEND"):
            return {}
        log.warning(
            "JUKEBOX_NATIVE_STEP and JUKEBOX_FUSED_STEP will be ignored by the next release: "
            "set JUKEBOX_BACKEND=%s",
            backend,
        )
        return {"backend": backend}
