"""How far a job is: written by the threads of its task, read by its heartbeat."""

from collections.abc import Callable, Mapping

from jobs.record.job import Job, LevelProgress

RENDER_SHARE = 0.02
"""Part of a job's progress that is not drawing."""


class StageProgress:
    """Tokens and windows of every level of one job, per sample, and one number for all."""

    def __init__(self, job: Job) -> None:
        self._totals = {level: plan.tokens_total for level, plan in job.plan.items()}
        self._levels = {
            level: job.progress.get(level, LevelProgress(tokens_done=plan.prompt_tokens))
            for level, plan in job.plan.items()
        }
        self._watched: Mapping[str, Callable[[], LevelProgress]] = {}
        self._rendered = 0.0

    def watch(self, level: str, look: Callable[[], LevelProgress]) -> None:
        """From now on `look` tells how far `level` is. It is called by another thread."""
        self._watched = {**self._watched, level: look}

    def set_kept(self, level: str, *, tokens: int, windows: int) -> None:
        """So many tokens, in so many windows, are on disk; no window is being drawn."""
        kept = LevelProgress(tokens_done=tokens, windows_done=windows)
        self.watch(level, lambda: kept)

    def set_rendered(self, share: float) -> None:
        """Part in [0, 1] of the last stage that is done."""
        self._rendered = share

    def snapshot(self) -> tuple[Mapping[str, LevelProgress], float]:
        """Every level, and the whole job in [0, 1]."""
        levels = self._levels | {level: look() for level, look in self._watched.items()}
        drawn = sum(level.tokens_done for level in levels.values()) / sum(self._totals.values())
        return levels, (1.0 - RENDER_SHARE) * drawn + RENDER_SHARE * self._rendered
