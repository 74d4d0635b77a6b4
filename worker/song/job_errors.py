"""Why a job failed, in the words of its record."""

from jobs.errors import ArtifactCorrupt, ArtifactNotFound
from jobs.record.job import FailureCode, JobError
from jukebox_core.backends.memory import is_out_of_memory
from jukebox_core.disk_errors import disk_reason
from jukebox_core.errors import (
    AudioError,
    CheckpointError,
    CodecChanged,
    ConfigError,
    DownloadError,
    JukeboxError,
    LabelError,
    ModelNotFound,
    SongError,
)
from jukebox_core.models.memory_plan import ModelTooLarge

_CODES: tuple[tuple[type[Exception], FailureCode, bool], ...] = (
    (ModelNotFound, FailureCode.MODEL_NOT_FOUND, True),
    (ModelTooLarge, FailureCode.MODEL_TOO_LARGE, True),
    (CodecChanged, FailureCode.CODEC_CHANGED, False),
    (SongError, FailureCode.INVALID_SONG, False),
    (LabelError, FailureCode.INVALID_LABELS, False),
    (ConfigError, FailureCode.BROKEN_MODEL, False),
    (CheckpointError, FailureCode.BROKEN_MODEL, False),
    (DownloadError, FailureCode.STORAGE_FAILED, True),
    (AudioError, FailureCode.ENCODING_FAILED, True),
    (JukeboxError, FailureCode.DRAWING_FAILED, True),
    (ArtifactNotFound, FailureCode.ARTIFACT_LOST, True),
    (ArtifactCorrupt, FailureCode.ARTIFACT_LOST, True),
)
"""What a known error is called in a job record, and whether the same request may work later."""

_SYSTEM_ERROR = 2
"""What libsndfile says, without a reason, when the system refused to write or to read."""


def to_job_error(error: Exception) -> JobError:
    """Why a job failed, for its owner. What was not foreseen is told in the log and not here."""
    if is_out_of_memory(error):
        message = "The worker's memory is too small for this song next to the others it sings."
        return JobError(code=FailureCode.OUT_OF_MEMORY, message=message, retryable=True)
    if _is_refused_by_disk(error):
        message = f"The worker could not read or write its files: {_disk_words(error)}."
        return JobError(code=FailureCode.STORAGE_FAILED, message=message, retryable=True)
    for kind, code, retryable in _CODES:
        if isinstance(error, kind):
            return JobError(code=code, message=_sentence(str(error)), retryable=retryable)
    message = "Something went wrong inside the service. Its log names this job."
    return JobError(code=FailureCode.INTERNAL_ERROR, message=message, retryable=True)


def _is_refused_by_disk(error: Exception) -> bool:
    if isinstance(error, AudioError):
        cause = error.__cause__
        return isinstance(cause, OSError) or getattr(cause, "code", None) == _SYSTEM_ERROR
    return isinstance(error, OSError)


def _disk_words(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, AudioError) else error
    strerror = cause.strerror if isinstance(cause, OSError) else None
    return disk_reason(error) or strerror or "the disk refuses"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
