"""The part of the job store that knows of deadlines, of expiry, and of requests sent twice."""

from jobs.errors import IdempotencyKeyReused, JobNotFound
from jobs.idempotency import KEPT_SEC, IdempotencyKey
from jobs.lua import idempotency_key
from jobs.record.job import Job
from jobs.redis_reader import RedisJobReader, check_id, job_of

_BATCH = 100


class RedisLifetimes(RedisJobReader):
    """What a sweeper needs (`jobs/files/sweeper.py`), and pins. Made for threads.

    The server's clock decides, in the same atomic step that changes anything; so sweepers may be
    late, many, or work from an old list.
    """

    def __init__(self, redis_url: str, *, keys_kept_sec: float = KEPT_SEC) -> None:
        super().__init__(redis_url)
        self._keys_kept_ms = round(keys_kept_sec * 1000)

    def set_pinned(self, job_id: str, is_pinned: bool) -> Job:
        """Keep a job until it is unpinned; from then on its time counts anew. Raises JobNotFound.

        Nothing changes for one that is pinned, or is not, already.
        """
        check_id(job_id)
        reply = self._run("pin", job_id, "1" if is_pinned else "")
        if reply[0] == "missing":
            raise JobNotFound(job_id)
        return job_of(reply[1])

    def overdue(self) -> list[str]:
        """Some jobs whose deadline has passed, the longest overdue first."""
        return self._past("deadlines")

    def end_overdue(self, job_id: str) -> bool:
        """Fail one of them, if it is overdue still; one that is to be canceled becomes canceled."""
        return bool(self._run("end_overdue", job_id)[0] == "ok")

    def expired(self) -> list[str]:
        """Some jobs that have been kept for long enough."""
        return self._past("expiries")

    def expire(self, job_id: str) -> bool:
        """Forget one of them, if nobody has pinned or retried it; its files become untidy."""
        return bool(self._run("expire", job_id)[0] == "ok")

    def expired_codes(self) -> list[str]:
        """Some jobs whose codes have been kept for long enough."""
        return self._past("codes_expiries")

    def expire_codes(self, job_id: str) -> bool:
        """Forget the codes of one of them, as `expire` does; its files become untidy."""
        return bool(self._run("expire_codes", job_id)[0] == "ok")

    def untidy(self) -> list[tuple[str, str]]:
        """Some jobs, there or forgotten, with files to look at; each with a word for `tidied`."""
        flat = self._run("past", "", "untidy", _BATCH)
        return list(zip(flat[::2], flat[1::2], strict=True))

    def tidied(self, job_id: str, seen: str = "") -> None:
        """Its files were looked at after it was `seen` so; without that, it is untidy no more."""
        self._run("tidied", job_id, seen)

    def tidy_later(self, job_id: str, seen: str) -> None:
        """Its files could not be looked at: it stays untidy, behind the others."""
        self._run("tidy_later", job_id, seen)

    def remembered(self, idempotency: IdempotencyKey) -> str | None:
        """What this key stands for, when it is no job. Raises IdempotencyKeyReused."""
        return self._remember(idempotency, "", "")

    def remember(self, idempotency: IdempotencyKey, what: str, *, gone: str = "") -> str:
        """Let a key stand for `what`; returns what it stood for before, unless that was `gone`.

        Raises IdempotencyKeyReused.
        """
        return self._remember(idempotency, what, gone) or what

    def _remember(self, idempotency: IdempotencyKey, what: str, gone: str) -> str | None:
        key = idempotency_key(idempotency.digest)
        words = (key, idempotency.request_sha256, self._keys_kept_ms, what, gone)
        reply = self._run("remember", "", *words)
        if reply[0] == "reused":
            raise IdempotencyKeyReused("this idempotency key was sent before, with another request")
        return str(reply[1]) if reply[0] == "replayed" else None

    def _past(self, index: str) -> list[str]:
        return list(self._run("past", "", index, _BATCH)[::2])
