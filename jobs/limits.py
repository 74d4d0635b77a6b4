"""How much may be asked for: by everybody together, and by each API key."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLimits:
    """What the store checks in the same atomic step that queues a job; 0 means no limit.

    `max_running_per_owner` refuses another job while so many of an owner run; jobs that were
    accepted run when their turn comes. `max_audio_sec_per_owner` is for one day of the server, in
    UTC; music that was asked for and never begun does not count.
    """

    max_queued: int = 0
    max_queued_per_owner: int = 0
    max_running_per_owner: int = 0
    max_audio_sec_per_owner: int = 0


NO_LIMITS = JobLimits()
