"""Which backend computes the tokens of a job here: the one that began it, wherever that can be."""

import logging

from jobs.record.job import Job
from jobs.setting_groups import InvalidSettings
from jukebox_core.backends.choose import (
    AUTO,
    BACKENDS,
    REFERENCE,
    RENAMED,
    Target,
    backend_class,
    choose_backend,
    reason_against,
)
from jukebox_core.config import JukeboxConfig, Weights

log = logging.getLogger(__name__)


class BackendChoice:
    """What this worker can compute with, and what it takes for a new song.

    All backends give the same numbers up to rounding, and after some ten thousand codes that may be
    another song. So the record of a job names the backend that began it; whoever goes on takes the
    same. A worker that cannot or shall not use it goes on with the reference, from the codes that
    are stored, as one on another kind of processor would: a song that changes a little is better
    than none.

    Weights are a worker's, of one kind for all songs: here a song begun with others goes on with
    these, for the same reason.

    Args:
        wanted: `JUKEBOX_BACKEND`.
        target: where the priors are computed.
        weights: `JUKEBOX_WEIGHTS`.

    Raises:
        InvalidSettings: a backend is insisted on and cannot be used.
    """

    def __init__(
        self, *, wanted: str = AUTO, target: Target, weights: Weights | str = Weights.FULL
    ) -> None:
        self.weights = Weights(weights)
        self._wanted, self._target = wanted, target
        self._reasons = {name: self._reason_against(name) for name in BACKENDS}
        log.info("backends", extra={"wanted": wanted, "reasons_against": self._reasons})
        reason = None if wanted == AUTO else self._reasons[wanted]
        if reason is not None:
            raise InvalidSettings(
                f"The worker cannot start. JUKEBOX_BACKEND is {wanted}, but {reason}."
            )

    def _reason_against(self, name: str) -> str | None:
        is_for_all = name == REFERENCE or (
            self._wanted == AUTO and not backend_class(name).is_on_request_only
        )
        if not is_for_all and self._wanted != name:
            return f"JUKEBOX_BACKEND is {self._wanted}, and not {name}"
        return reason_against(name, self._target)

    def for_job(self, job: Job, config: JukeboxConfig) -> str:
        """The backend with which this worker generates `job`. Raises nothing foreseeable."""
        self._note_other_weights(job)
        if job.step is None:
            # Codes without a word on their backend are from before there was a choice.
            return self._for_new_song(config) if not job.windows else REFERENCE
        begun = RENAMED.get(job.step, job.step)
        # One that is not known here is of a later release.
        reason = self._reasons.get(begun, f"this worker has no {begun} backend")
        if reason is None:
            reason = backend_class(begun).unsuited_because(config)
        if reason is None:
            return begun
        log.warning(
            "going on with another backend than the song was begun with: %s",
            reason,
            extra={"job_id": job.id, "stage": job.stage},
        )
        return REFERENCE

    def _for_new_song(self, config: JukeboxConfig) -> str:
        if self._wanted == AUTO:
            return choose_backend(config, self._target)
        reason = backend_class(self._wanted).unsuited_because(config)
        if reason is None:
            return self._wanted
        log.warning("generating with the %s backend: %s", REFERENCE, reason)
        return REFERENCE

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
