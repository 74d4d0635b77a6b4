"""What a worker takes from its environment."""

import logging
import os
import socket
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from jobs.record.job import Stage
from jobs.settings import (
    InvalidSettings,
    check_redis_url,
    default_health_file,
    settings_faults,
    split_words,
)
from jukebox_core.backends.choose import AUTO, BACKENDS, backend_of_steps
from worker.device.cores import usable_cores

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


def _from_earlier_names() -> dict[str, Any]:
    """Settings under the names of earlier releases, which this release still reads."""
    steps = [os.environ.get(name) for name in ("JUKEBOX_NATIVE_STEP", "JUKEBOX_FUSED_STEP")]
    backend = backend_of_steps(*steps)
    if backend is None or "JUKEBOX_BACKEND" in os.environ:
        return {}
    log.warning(
        "JUKEBOX_NATIVE_STEP and JUKEBOX_FUSED_STEP will be ignored by the next release: "
        "set JUKEBOX_BACKEND=%s",
        backend,
    )
    return {"backend": backend}


def default_worker_name() -> str:
    """Machine and process: tells two workers of one machine apart."""
    return f"{socket.gethostname()}:{os.getpid()}"


def default_native_threads() -> int:
    """All cores that this process has, as far as a setting may count them."""
    return min(usable_cores(), MAX_THREADS)


class WorkerSettings(BaseSettings):
    """Settings of one worker process. Variables that other parts read are none of its business.

    `stages` says which queues it serves; `concurrency` how many jobs it works on at the same time.
    `max_rows` sequences of one prior step together, and each takes memory for its cache;
    `max_models` models stay loaded. `dtype` is that of the transformer stacks. `placement` says
    where the priors are (`jukebox_core/models/placement.py`); `auto` decides by the free memory.

    `weights`: how those of the stacks are kept in memory, in `dtype` or as int8; a song is another
    one with each, so one worker has one kind, and workers of the same songs should agree.

    `backend`: what computes the tokens of new songs (`jukebox_core/backends/`). `auto` takes
    `native`, which is several times faster for small models in float32 on a CPU with a C compiler,
    and `torch` elsewhere; `triton` is for CUDA. Each has to agree with `torch` before it is used.

    `overlap`: whether a level of a song is begun while the one above is still being drawn
    (`jukebox_core/engine/overlap.py`); `auto` does so where the device would be idle otherwise.

    `deterministic`: a song is the same in any company, also on a GPU, where every step then
    computes all `max_rows`; `off` computes only as many rows as there are songs, and numbers may be
    rounded in another way with every number of them. `graphs`: whether steps on CUDA are captured
    and replayed (`jukebox_core/backends/graphs/step_graphs.py`).

    `native_threads`: cores that the step in C shares rows and levels out to; by default all that
    this process may use. A song is the same with any number of them, and they never wait for each
    other inside a token.

    `cpu_threads` are those of one matrix product of torch. With one, the numbers of a song on the
    CPU are the same to the bit in any company, and small models are faster: several threads wait
    for each other, and on cores that are busy otherwise a step was measured to take ten times as
    long.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    redis_url: Annotated[
        str, AfterValidator(check_redis_url), Field(validation_alias="REDIS_URL", repr=False)
    ]
    data_dir: Annotated[Path, Field(validation_alias="JUKEBOX_DATA_DIR")] = Path("data")
    models_dir: Annotated[Path, Field(validation_alias="JUKEBOX_MODELS_DIR")] = Path("models")
    device: Annotated[
        str, Field(validation_alias="JUKEBOX_DEVICE", pattern=r"^(auto|cpu|mps|cuda(:\d{1,3})?)$")
    ] = "auto"
    dtype: Annotated[
        Literal["auto", "float32", "float16", "bfloat16"], Field(validation_alias="JUKEBOX_DTYPE")
    ] = "auto"
    weights: Annotated[Literal["full", "int8"], Field(validation_alias="JUKEBOX_WEIGHTS")] = "full"
    placement: Annotated[
        Literal["auto", "resident", "one_at_a_time", "offloaded"],
        Field(validation_alias="JUKEBOX_PLACEMENT"),
    ] = "auto"
    log_format: Annotated[Literal["text", "json"], Field(validation_alias="JUKEBOX_LOG_FORMAT")] = (
        "text"
    )
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(validation_alias="JUKEBOX_LOG_LEVEL")
    ] = "INFO"
    stages: Annotated[
        tuple[Stage, ...],
        NoDecode,
        BeforeValidator(split_words),
        AfterValidator(_require_stages),
        Field(validation_alias="JUKEBOX_STAGES"),
    ] = tuple(Stage)
    concurrency: Annotated[int, Field(validation_alias="JUKEBOX_CONCURRENCY", ge=1, le=256)] = 8
    lease_sec: Annotated[float, Field(validation_alias="JUKEBOX_LEASE_SEC", gt=0, le=3600)] = 30.0
    heartbeat_sec: Annotated[
        float, Field(validation_alias="JUKEBOX_HEARTBEAT_SEC", gt=0, le=600)
    ] = 0.5
    max_rows: Annotated[int, Field(validation_alias="JUKEBOX_MAX_ROWS", ge=1, le=1024)] = 8
    backend: Annotated[
        str, AfterValidator(_require_backend), Field(validation_alias="JUKEBOX_BACKEND")
    ] = AUTO
    overlap: Annotated[Literal["auto", "on", "off"], Field(validation_alias="JUKEBOX_OVERLAP")] = (
        "auto"
    )
    deterministic: Annotated[
        Literal["on", "off"], Field(validation_alias="JUKEBOX_DETERMINISTIC")
    ] = "on"
    graphs: Annotated[Literal["auto", "off"], Field(validation_alias="JUKEBOX_GRAPHS")] = "auto"
    native_threads: Annotated[
        int,
        Field(
            validation_alias="JUKEBOX_NATIVE_THREADS",
            ge=1,
            le=MAX_THREADS,
            default_factory=default_native_threads,
        ),
    ]
    cpu_threads: Annotated[
        int, Field(validation_alias="JUKEBOX_CPU_THREADS", ge=1, le=MAX_THREADS)
    ] = 1
    max_models: Annotated[int, Field(validation_alias="JUKEBOX_MAX_MODELS", ge=1, le=64)] = 1
    max_attempts: Annotated[int, Field(validation_alias="JUKEBOX_MAX_ATTEMPTS", ge=1, le=100)] = 3
    reaper_sec: Annotated[float, Field(validation_alias="JUKEBOX_REAPER_SEC", gt=0, le=600)] = 2.0
    metrics_host: Annotated[str, Field(validation_alias="JUKEBOX_METRICS_HOST", min_length=1)] = (
        "127.0.0.1"
    )
    metrics_port: Annotated[
        int, Field(validation_alias="JUKEBOX_METRICS_PORT", ge=0, le=65_535)
    ] = 0
    name: str = Field(
        validation_alias="JUKEBOX_WORKER_NAME", min_length=1, default_factory=default_worker_name
    )
    health_file: Path = Field(
        validation_alias="JUKEBOX_HEALTH_FILE", default_factory=default_health_file
    )

    @model_validator(mode="after")
    def _beats_fit_the_lease(self) -> Self:
        if self.heartbeat_sec * MIN_BEATS_PER_LEASE > self.lease_sec:
            raise ValueError(
                f"JUKEBOX_HEARTBEAT_SEC={self.heartbeat_sec:g} must fit "
                f"{MIN_BEATS_PER_LEASE} times into JUKEBOX_LEASE_SEC={self.lease_sec:g}"
            )
        return self


def read_settings() -> WorkerSettings:
    """Settings from the environment.

    Raises:
        InvalidSettings: a variable is missing or has an impossible value.
    """
    try:
        return WorkerSettings(**_from_earlier_names())
    except ValidationError as error:
        raise InvalidSettings(f"The worker cannot start. {settings_faults(error)}") from error
