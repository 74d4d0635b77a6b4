"""How far a job is: written by the thread of its task, read by its heartbeat."""

from collections.abc import Callable, Mapping

from jobs.job import Job, LevelProgress

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
        self._count: tuple[str, Callable[[], int]] | None = None
        self._rendered = 0.0

    def set_kept(self, level: str, *, tokens: int, windows: int) -> None:
        """So many tokens, in so many windows, are on disk; no window is being drawn."""
        self._count = None
        self._levels = {
            **self._levels,
            level: LevelProgress(tokens_done=tokens, windows_done=windows),
        }

    def keep_windows(self, level: str, windows: int) -> None:
        """So many windows of `level` are on disk, while others are being drawn."""
        tokens = self._levels[level].tokens_done
        self._levels = {
            **self._levels,
            level: LevelProgress(tokens_done=tokens, windows_done=windows),
        }

    def begin_windows(self, level: str, count_tokens: Callable[[], int]) -> None:
        """Windows of `level` are being drawn; `count_tokens` tells how many tokens there are."""
        self._count = (level, count_tokens)

    def set_rendered(self, share: float) -> None:
        """Part in [0, 1] of the last stage that is done."""
        self._rendered = share

    def snapshot(self) -> tuple[Mapping[str, LevelProgress], float]:
        """Every level, and the whole job in [0, 1]."""
        levels = dict(self._levels)
        if self._count is not None:
            level, count_tokens = self._count
            windows_done = levels[level].windows_done
            levels[level] = LevelProgress(tokens_done=count_tokens(), windows_done=windows_done)
        drawn = sum(level.tokens_done for level in levels.values()) / sum(self._totals.values())
        return levels, (1.0 - RENDER_SHARE) * drawn + RENDER_SHARE * self._rendered
