"""Messages from the API to the workers: a job id and a stage, a hint and nothing more."""

from typing import Protocol

from jobs.job import Stage


class JobQueue(Protocol):
    """Hands (job id, stage) to some worker that serves the stage."""

    def publish(self, job_id: str, stage: Stage) -> None:
        """Send one message, without waiting for long. Raises QueueUnavailable."""

    def depth(self, stage: Stage) -> int:
        """Messages that no worker has taken yet. Raises QueueUnavailable."""
