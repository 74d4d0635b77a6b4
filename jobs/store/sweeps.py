"""What time alone asks for: messages that are lost, deadlines, expiry, files left over."""

from jobs.record.job import (
    JobStatus,
    Stage,
)
from jobs.store.scripts import (
    ScriptRunner,
    microseconds,
)
from jobs.store.types import DueJob

BATCH_SIZE = 100


class Sweeps(ScriptRunner):
    """What reaper (`worker/lease/reaper.py`) and sweeper (`jobs/files/sweeper.py`) need.

    The server's clock decides, in the same atomic step that changes anything; so they may be late,
    many, or work from an old list.
    """

    def due(self, *, limit: int = 100) -> list[DueJob]:
        """Jobs whose lease has run out or whose message seems lost, longest overdue first."""
        return [
            DueJob(
                job_id=job_id,
                stage=Stage(stage),
                status=JobStatus(status),
                is_abandoned=bool(lease),
                num_looks=int(num_looks),
            )
            for job_id, stage, status, lease, num_looks in self._run("due", limit)
        ]

    def postpone(self, job_id: str, seconds: float) -> None:
        """Do not report this job as due again before `seconds` have passed."""
        self._run("postpone", job_id, microseconds(seconds))

    def overdue(self) -> list[str]:
        """Some jobs whose deadline has passed, the longest overdue first."""
        return self._past("deadlines")

    def end_overdue(self, job_id: str) -> bool:
        """Fail one of them, if it is overdue still; one that is to be canceled becomes canceled."""
        result, *ending = self._run("end_overdue", job_id)
        self._report_ending(ending)
        return bool(result == "ok")

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
        flat = self._run("past", "", "untidy", BATCH_SIZE)
        return list(zip(flat[::2], flat[1::2], strict=True))

    def tidied(self, job_id: str, seen: str = "") -> None:
        """Its files were looked at after it was `seen` so; without that, it is untidy no more."""
        self._run("tidied", job_id, seen)

    def tidy_later(self, job_id: str, seen: str) -> None:
        """Its files could not be looked at: it stays untidy, behind the others."""
        self._run("tidy_later", job_id, seen)

    def _past(self, index: str) -> list[str]:
        return list(self._run("past", "", index, BATCH_SIZE)[::2])
