"""Which code computes the steps of a job here: the same as began it, wherever that can be had."""

import logging

from jobs.record.job import Job
from jobs.settings import InvalidSettings
from jukebox_core.config import JukeboxConfig
from jukebox_core.prior.fused_step import reason_against_fused_step
from jukebox_core.prior.int8_weights import Weights
from jukebox_core.prior.native_step import reason_against_native_step
from jukebox_core.step_kind import StepKind, StepWish, plan_step

log = logging.getLogger(__name__)


class Steps:
    """What this worker can compute steps with, and what it takes for a new song.

    All kinds give the same numbers up to rounding, and after some ten thousand codes that may be
    another song. So the record of a job says with which kind it was begun; whoever goes on takes
    the same. A worker that does not have it goes on with what it has, from the codes that are kept,
    as one on another kind of processor would: a song that is a little different after that place is
    better than none.

    Weights are a worker's, of one kind for all songs: here a song begun with others goes on with
    these, for the same reason.

    Args:
        wanted: `JUKEBOX_NATIVE_STEP`.
        is_cpu: the weights lie in the memory of the host all the time.
        is_float32: the dtype of the stacks.
        weights: `JUKEBOX_WEIGHTS`.
        wants_fused: `JUKEBOX_FUSED_STEP` is on.
        is_cuda: the weights lie on a CUDA device all the time.

    Raises:
        InvalidSettings: a step is insisted on and cannot be had.
    """

    def __init__(
        self,
        *,
        wanted: StepWish | str,
        is_cpu: bool,
        is_float32: bool,
        weights: Weights | str = Weights.FULL,
        wants_fused: bool = False,
        is_cuda: bool = False,
    ) -> None:
        self.weights = Weights(weights)
        self._wanted, self._is_cpu, self._is_float32 = StepWish(wanted), is_cpu, is_float32
        self._reason_against: str | None = "the native step is for float32 on a CPU"
        if is_cpu and is_float32 and self._wanted is not StepWish.OFF:
            self._reason_against = reason_against_native_step()
        if self._wanted is StepWish.ON and self._reason_against is not None:
            raise InvalidSettings(
                f"The worker cannot start. JUKEBOX_NATIVE_STEP is on, but {self._reason_against}."
            )
        log.info("native step", extra={"reason_against": self._reason_against})
        self._reason_against_fused = _reason_against_fused(wants_fused, is_cuda)
        if wants_fused and self._reason_against_fused is not None:
            raise InvalidSettings(
                "The worker cannot start. JUKEBOX_FUSED_STEP is on, but "
                f"{self._reason_against_fused}."
            )

    def for_job(self, job: Job, config: JukeboxConfig) -> StepKind:
        """The step with which this worker draws `job`. Raises nothing foreseeable."""
        self._note_other_weights(job)
        if job.step is None:
            # Codes without a word on their step are from before there was a choice.
            return StepKind.PLAIN if job.windows else self._for_new_song(config)
        reason = self._reason_against_step(job.step)
        if reason is not None:
            log.warning(
                "going on with another step than the song was begun with: %s",
                reason,
                extra={"job_id": job.id, "stage": job.stage},
            )
            return StepKind.PLAIN
        return StepKind(job.step)

    def _reason_against_step(self, step: str) -> str | None:
        """Why this worker cannot draw with the step of that name; None if it can."""
        if step == StepKind.PLAIN:
            return None
        if step == StepKind.NATIVE:
            return self._reason_against
        if step == StepKind.FUSED:
            return self._reason_against_fused
        # Of a worker with another device, or of a later release.
        return f"this worker has no {step} step"

    def _note_other_weights(self, job: Job) -> None:
        is_new = job.step is None and not job.windows
        # Records without a word on weights are from before there was a choice.
        begun = self.weights if is_new else (job.weights or Weights.FULL)
        if begun != self.weights:
            log.warning(
                "going on with other weights than the song was begun with: %s, and not %s",
                self.weights,
                begun,
                extra={"job_id": job.id, "stage": job.stage},
            )

    def _for_new_song(self, config: JukeboxConfig) -> StepKind:
        if self._reason_against_fused is None:
            return StepKind.FUSED
        return plan_step(
            config,
            wanted=self._wanted,
            is_cpu=self._is_cpu,
            is_float32=self._is_float32,
            reason_against=self._reason_against,
        )


def _reason_against_fused(wanted: bool, is_cuda: bool) -> str | None:
    if not wanted:
        return "JUKEBOX_FUSED_STEP is off"
    if not is_cuda:
        return "the fused step is for weights that stay on a CUDA device"
    return reason_against_fused_step()
