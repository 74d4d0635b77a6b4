"""Everything that jobs raise on purpose.

JobsError
├── JobNotFound          no job has this id
│   └── JobInTrash       it was deleted a while ago, and can be restored
├── RecordUnreadable     the job's record is damaged, or of a release that this one does not know
├── IllegalTransition    the job's status does not allow this
├── NotRetryable         the job did not fail, or would fail again
├── IdempotencyKeyReused this key was sent before, with another request
├── InvalidCursor        a page cursor was not made by this service
├── LimitReached         too much is asked for at once; try again later
├── LeaseLost            another worker owns the job now; write nothing
├── StoreUnavailable     the job store cannot be reached; try again soon
├── DataFolderMismatch   the data folder is not the one that the job store is used with
├── QueueUnavailable     the message queue cannot be reached; try again soon
├── ApiKeyNotFound       no key has this name
├── ApiKeysUnreadable    the file with the keys is damaged or locked away
├── WebhookUrlRefused    no webhook may be sent there
├── SecretsUnreadable    the file from which webhooks are signed is damaged or locked away
├── AssetNotFound        no asset has this id
├── ArtifactNotFound     a file that the record names is gone
└── ArtifactCorrupt      a file does not have the hash that the record names
"""

from datetime import datetime


class JobsError(Exception):
    """Base of all errors of this package."""


class JobNotFound(JobsError):
    """No job has this id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"no job has the id {job_id!r}")
        self.job_id = job_id


class JobInTrash(JobNotFound):
    """`owner`'s job was deleted a while ago, and can be restored until `until`."""

    def __init__(self, job_id: str, owner: str | None, *, until: datetime) -> None:
        super().__init__(job_id)
        self.owner, self.until = owner, until


class RecordUnreadable(JobsError):
    """The job's record is damaged, or of a release that this one does not know."""

    def __init__(self, job_id: str, why: str) -> None:
        super().__init__(f"the record of job {job_id} cannot be read by this release: {why}")
        self.job_id = job_id


class IllegalTransition(JobsError):
    """The job's status does not allow this."""

    def __init__(self, job_id: str, status: str, wanted: str) -> None:
        super().__init__(f"job {job_id} is {status} and cannot be {wanted}")
        self.job_id, self.status, self.wanted = job_id, status, wanted


class NotRetryable(JobsError):
    """The job did not fail, or its error says that it would fail again."""

    def __init__(self, job_id: str, status: str) -> None:
        super().__init__(f"job {job_id} is {status} and cannot be retried")
        self.job_id, self.status = job_id, status


class IdempotencyKeyReused(JobsError):
    """This caller has sent this key before, with another request."""


class InvalidCursor(JobsError):
    """A page cursor was not made by this service."""


class LimitReached(JobsError):
    """Too much is asked for at once.

    `code` is `queue_full`, `too_many_queued`, `too_many_running`, `audio_quota_exceeded`,
    `rate_limited` or `too_many_streams`.
    """

    def __init__(self, code: str, limit: int, *, retry_after_sec: float) -> None:
        super().__init__(f"{code}: the limit is {limit}")
        self.code, self.limit, self.retry_after_sec = code, limit, retry_after_sec


class LeaseLost(JobsError):
    """Another worker owns the job now, or it is gone: write nothing."""


class StoreUnavailable(JobsError):
    """The job store cannot be reached; try again soon."""


class DataFolderMismatch(JobsError):
    """The data folder is not the one that the job store knows; the message says what to do."""


class QueueUnavailable(JobsError):
    """The message queue cannot be reached; try again soon."""


class ApiKeyNotFound(JobsError):
    """No key has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no key is called {name!r}")
        self.name = name


class ApiKeysUnreadable(JobsError):
    """The file with the API keys is damaged, or may not be read."""


class WebhookUrlRefused(JobsError):
    """No webhook may be sent there; the message goes on from "this URL ..."."""


class SecretsUnreadable(JobsError):
    """The file from which webhooks are signed is damaged, or may not be read."""


class AssetNotFound(JobsError):
    """No asset has this id."""

    def __init__(self, asset_id: str) -> None:
        super().__init__(f"no asset has the id {asset_id!r}")
        self.asset_id = asset_id


class ArtifactNotFound(JobsError):
    """A file that the record names is gone."""


class ArtifactCorrupt(JobsError):
    """A file does not have the hash that the record names."""
