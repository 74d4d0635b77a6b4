"""Which backend computes the tokens of a job here: the one that began it, wherever that can be."""

import logging
from dataclasses import dataclass

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
    choose_weights,
    is_small,
    reason_against,
    uses_cores,
)
from jukebox_core.config import JukeboxConfig, Weights
from jukebox_core.errors import JukeboxError
from jukebox_core.models.catalog import ModelCard, ModelCatalog

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSetup:
    """How this worker computes new songs of one model.

    weights          as they are in memory
    backend          computes the tokens
    threads          cores that share the tokens, where the backend uses those of the host
    product_threads  threads of one matrix product of torch
    """

    weights: Weights
    backend: str
    threads: int
    product_threads: int

    def __str__(self) -> str:
        cores = f", {self.threads} threads" if uses_cores(self.backend) else ""
        return f"{self.weights} weights, {self.backend} backend{cores}"


class BackendChoice:
    """What this worker can compute with, and what it takes for a new song.

    All backends give the same numbers up to rounding, and after some ten thousand codes that may be
    another song. So the record of a job names the backend that began it; whoever goes on takes the
    same. A worker that cannot or shall not use it goes on with the reference, from the codes that
    are stored, as one on another kind of processor would: a song that changes a little is better
    than none.

    Weights are of one kind for all songs of a model here: one begun with others goes on with
    these, for the same reason.

    Args:
        wanted: `JUKEBOX_BACKEND`.
        target: where the priors are computed.
        weights: `JUKEBOX_WEIGHTS`.
        threads: cores for the backends that use those of the host.
        product_threads: of torch; None takes one for small models, else all of `threads`.

    Raises:
        InvalidSettings: a backend is insisted on and cannot be used.
    """

    def __init__(
        self,
        *,
        wanted: str = AUTO,
        target: Target,
        weights: str = AUTO,
        threads: int = 1,
        product_threads: int | None = None,
    ) -> None:
        self._weights, self._threads, self._product_threads = weights, threads, product_threads
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

    @property
    def is_on_cpu(self) -> bool:
        """Whether priors are computed on a CPU."""
        return self._target.device_type == "cpu"

    def setup_for(self, card: ModelCard) -> ModelSetup:
        """How new songs of a model are computed here."""
        on_cpu = self.is_on_cpu and not is_small(card.config)
        return ModelSetup(
            weights=self.weights_for(card.config, card.weights),
            backend=self._for_new_song(card.config),
            threads=self._threads,
            product_threads=self._product_threads or (self._threads if on_cpu else 1),
        )

    def setups(self, catalog: ModelCatalog) -> dict[str, str]:
        """How each model would be computed, in words; those that cannot be read are left out."""
        found = {}
        for name in catalog.names():
            try:
                found[name] = str(self.setup_for(catalog.get(name)))
            except JukeboxError:  # `GET /models` says what is wrong with it
                continue
        return found

    def weights_for(self, config: JukeboxConfig, stored: Weights = Weights.FULL) -> Weights:
        """How the weights of a model are kept here; `stored` is how its files keep them."""
        return choose_weights(
            config, device_type=self._target.device_type, stored=stored, wanted=self._weights
        )

    def for_job(self, job: Job, config: JukeboxConfig, stored: Weights = Weights.FULL) -> str:
        """The backend with which this worker generates `job`. Raises nothing foreseeable."""
        self._note_other_weights(job, self.weights_for(config, stored))
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

    @staticmethod
    def _note_other_weights(job: Job, weights: Weights) -> None:
        is_new = job.step is None and not job.windows
        # Records without a word on weights are from before there was a choice.
        begun = weights if is_new else (job.weights or Weights.FULL)
        if begun != weights:
            log.warning(
                "going on with other weights than the song was begun with: %s, and not %s",
                weights,
                begun,
                extra={"job_id": job.id, "stage": job.stage},
            )
