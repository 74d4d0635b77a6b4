"""The scripts that run inside the server, in `lua/`: each is one atomic change of one job.

All keys begin with `jukebox:`:

    job:{id}                         hash    the record (`jobs/record/codec.py`)
    job:{id}:windows                 hash    its windows, hundreds of them: reads go without
    job:{id}:events                  stream  what happened to it
    events                           stream  what happened to any job, with its owner
    jobs[:status=S][:model=M]        zset    ids by created_at, for lists, counts and the queue
    jobs:status=S:owner=O            zset    the same for one API key, for its limits
    jobs:root=R, jobs:parent=P       zset    ids by created_at: a tree of jobs, and one generation
    jobs:owner=O                     zset    ids by created_at: the jobs of one API key
    jobs[:owner=O]:T                 zset    the same with a term of `jobs/record/search_terms.py`
    jobs:trash[:owner=O][:T]         zset    the same for jobs in the trash, which are in no other
    jobs:word=W                      zset    ids by created_at: jobs of anybody with this word
    words                            zset    all such words, sorted, to find those with a prefix
    titles[:trash][:owner=O]         zset    titles and ids, sorted
    job:{id}:terms                   hash    part -> terms: in which of these lists it is
    idempotency:{hash}               string  request hash and job id, forgotten after a day
    due                              zset    ids by the moment at which somebody should look
    deadlines, expiries, ...         zsets   ids by moments to come (`lua/common/lifetimes.lua`)
    bucket:{kind}:{owner}            hash    tokens left of one API key, and when they were counted
    rates:{model}                    hash    stage -> mean tokens per second
    webhooks, webhook:{id}, ...              messages to be sent (`lua/common/webhooks.lua`)
    session:{hash}                   string  the API key of a browser's session, until its end
    url_secret                       string  what signs URLs, in hex
    data_folder                      string  a token (`jobs/files/shared_folder.py`)
    untidy                           zset    ids whose files need a look, by the reason's moment
    audio:{owner}:{day}              string  milliseconds of music that one key asked for that day
    webhook_deliveries               hash    outcome -> how many
    workers, worker_ends             hash and zset: who lives, and until when we believe it

A file names its arguments (ARGV) at its beginning. Any script may be sent twice.

The scripts name keys that are not in KEYS, so one server (or a primary with replicas) is needed,
not a cluster. Lua numbers are doubles: microseconds fit (below 2**53) but must be written with
`int`, because `tostring` keeps 14 digits only.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from jobs.errors import JobNotFound, StoreUnavailable
from jobs.record.codec import job_from_fields, to_json
from jobs.record.job import (
    NEXT_STATUSES,
    TERMINAL_STATUSES,
    FailureCode,
    Job,
    JobError,
    JobStatus,
    Stage,
    is_job_id,
)
from jobs.record.request import LEVEL_NAMES
from jobs.store.connection import (
    REPLICATION_TIMEOUT_MS,
    connect,
    errors_as_store_unavailable,
    replicas_to_wait_for,
)

KEY_PREFIX = "jukebox:"

OnEnded: TypeAlias = Callable[[JobStatus, str], None]
"""Called with the status with which a job ended, and the code of its failure or ""."""

MAX_EVENTS = 1000
MAX_FEED_EVENTS = 10_000
"""Of all jobs together, some 3 MB."""
RATE_WEIGHT = 0.25
"""Share of the newest measurement in a mean speed."""
MAX_LIST_WORK = 5000
"""Entries of an index and fields of records that one call of `list_jobs` looks at."""
MAX_COUNT_WORK = 10_000
"""The same when jobs are only counted."""
TEXT_WORK = 9
"""What it costs to ask a job for its words, in entries of an index."""
MAX_WORDS_OF_PREFIX = 100
"""With more, jobs are looked for elsewhere, and each is asked for its words."""
MAX_MERGED = 2000
"""Entries of the lists of several words that one call merges."""
MAX_SORTED = 800
"""Jobs that one call sorts by title; for more it goes through all titles in their order."""
WEBHOOK_KEPT_SEC = 7 * 24 * 3600
"""After this a message is forgotten whatever happens."""

_COMMON = ("records", "webhooks", "lifetimes", "lists", "changes")
"""What stands before every script, in this order."""
_DEADLINE_EXCEEDED = JobError(
    code=FailureCode.DEADLINE_EXCEEDED,
    message="The song was not done within the `timeout_seconds` of its request.",
    retryable=True,
)


def events_key(job_id: str) -> str:
    """The stream of one job's events."""
    return f"{KEY_PREFIX}job:{job_id}:events"


FEED_KEY = f"{KEY_PREFIX}events"
"""The stream of the events of all jobs."""


def record_key(job_id: str) -> str:
    """The hash of one job's record."""
    return f"{KEY_PREFIX}job:{job_id}"


def index_key(
    *, status: str | None = None, model: str | None = None, owner: str | None = None
) -> str:
    """The sorted set of the jobs with this status and this model or owner; None means any."""
    named = (("status", status), ("model", model), ("owner", owner))
    return f"{KEY_PREFIX}jobs" + "".join(f":{n}={value}" for n, value in named if value is not None)


def root_index_key(root_id: str) -> str:
    """The sorted set of a job and everything that goes on from it."""
    return f"{KEY_PREFIX}jobs:root={root_id}"


def parent_index_key(parent_id: str) -> str:
    """The sorted set of the jobs that go on from this one directly."""
    return f"{KEY_PREFIX}jobs:parent={parent_id}"


def filter_index_keys(status: str | None, model: str | None, owner: str | None) -> list[str]:
    """The sorted sets of which a job that passes these filters is in every one."""
    if owner is None:
        return [index_key(status=status, model=model)]
    if model is None:
        return [index_key(status=status, owner=owner)]
    return [index_key(status=status, owner=owner), index_key(status=status, model=model)]


def term_index_key(term: str, *, owner: str | None = None, in_trash: bool = False) -> str:
    """The sorted set of the jobs with a term of `jobs/record/search_terms.py`."""
    return f"{KEY_PREFIX}jobs{_scope(owner, in_trash)}:{term}"


def trash_index_key(*, owner: str | None = None) -> str:
    """The sorted set of the jobs in the trash."""
    return f"{KEY_PREFIX}jobs{_scope(owner, in_trash=True)}"


def titles_key(*, owner: str | None = None, in_trash: bool = False) -> str:
    """The sorted set of titles, each with the id of its job."""
    return f"{KEY_PREFIX}titles{_scope(owner, in_trash)}"


def _scope(owner: str | None, in_trash: bool) -> str:
    """Free text comes behind it, so that nobody's tag makes the name of another owner's list."""
    return (":trash" if in_trash else "") + (f":owner={owner}" if owner is not None else "")


def idempotency_key(digest: str) -> str:
    """The string behind one idempotency key of one caller, of which `digest` is the hash."""
    return f"{KEY_PREFIX}idempotency:{digest}"


def _lua_set(words: Iterable[str]) -> str:
    return "{" + ", ".join(f"['{word}'] = true" for word in sorted(words)) + "}"


def _constants() -> str:
    """What Python and Lua must agree on."""
    lines = [
        f"local PREFIX = '{KEY_PREFIX}'",
        f"local MAX_EVENTS = '{MAX_EVENTS}'",
        f"local MAX_FEED_EVENTS = '{MAX_FEED_EVENTS}'",
        f"local TERMINAL = {_lua_set(TERMINAL_STATUSES)}",
        f"local LEVEL = {_lua_set(LEVEL_NAMES)}",
        f"local STAGE = {_lua_set(Stage)}",
        "local NEXT = {",
        *(f"  ['{status}'] = {_lua_set(after)}," for status, after in NEXT_STATUSES.items()),
        "}",
        f"local DEADLINE_EXCEEDED = [[{to_json(_DEADLINE_EXCEEDED)}]]",
        f"local MAX_LIST_WORK = {MAX_LIST_WORK}",
        f"local MAX_COUNT_WORK = {MAX_COUNT_WORK}",
        f"local TEXT_WORK = {TEXT_WORK}",
        f"local MAX_WORDS_OF_PREFIX = {MAX_WORDS_OF_PREFIX}",
        f"local MAX_MERGED = {MAX_MERGED}",
        f"local MAX_SORTED = {MAX_SORTED}",
        f"local WEBHOOK_KEPT_SEC = {WEBHOOK_KEPT_SEC}",
    ]
    return "\n".join(lines) + "\n"


@cache
def scripts() -> Mapping[str, str]:
    """Name -> complete source of each script; the files are read once."""
    folder = files(__package__) / "lua"
    common = [(folder / "common" / f"{name}.lua").read_text("utf-8") for name in _COMMON]
    prelude = "\n".join((_constants(), *common))
    return {
        file.name.removesuffix(".lua"): f"{prelude}\n{file.read_text('utf-8')}"
        for file in folder.iterdir()
        if file.name.endswith(".lua")
    }


_NOT_WAITED_FOR = frozenset(
    ("announce_worker", "due", "get", "heartbeat", "list_jobs", "past", "record_rate", "workers")
)
"""Scripts that only read, or whose write is made again within seconds."""


class ScriptRunner:
    """A connection, and the scripts of the server. Made for threads; connects when first used."""

    def __init__(self, redis_url: str, *, on_ended: OnEnded = lambda _status, _code: None) -> None:
        self._redis = connect(redis_url)
        self._num_replicas = replicas_to_wait_for(redis_url)
        self.on_ended = on_ended
        self._scripts = {n: self._redis.register_script(text) for n, text in scripts().items()}

    def ping(self) -> None:
        """Raise StoreUnavailable unless the server answers."""
        with errors_as_store_unavailable():
            self._redis.ping()

    def close(self) -> None:
        """Drop the connections; the next call opens new ones."""
        self._redis.close()

    def _run(self, script: str, *arguments: str | int | float) -> Any:  # noqa: ANN401  (a reply)
        with errors_as_store_unavailable():
            if not self._num_replicas or script in _NOT_WAITED_FOR:
                return self._scripts[script](args=arguments)
            with self._redis.pipeline(transaction=False) as pipeline:
                self._scripts[script](args=arguments, client=pipeline)
                pipeline.wait(self._num_replicas, REPLICATION_TIMEOUT_MS)
                reply, num_replicas = pipeline.execute()
        if num_replicas < self._num_replicas:
            raise StoreUnavailable(
                f"the write has reached {num_replicas} of {self._num_replicas} replicas within "
                f"{REPLICATION_TIMEOUT_MS} ms"
            )
        return reply

    def _report_ending(self, ending: Sequence[str]) -> None:
        """Call `on_ended` if a script ended a job on its own: its status and code, or nothing."""
        if ending:
            self.on_ended(JobStatus(ending[0]), ending[1])


def microseconds(seconds: float) -> int:
    """Whole microseconds, as scripts take them."""
    return round(seconds * 1_000_000)


def check_id(job_id: str) -> None:
    """A malformed id must never become a key. Raises JobNotFound."""
    if not is_job_id(job_id):
        raise JobNotFound(job_id)


def job_of(flat: Sequence[str], windows: Sequence[str] | None = None) -> Job:
    """A record, and its windows, as a script returns them. Raises RecordUnreadable."""
    return job_from_fields(mapping_of(flat), None if windows is None else mapping_of(windows))


def mapping_of(flat: Sequence[str]) -> dict[str, str]:
    """A hash as a script returns it."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def flat(mapping: Mapping[str, str]) -> list[str]:
    """A hash as scripts take it."""
    return [word for pair in mapping.items() for word in pair]
