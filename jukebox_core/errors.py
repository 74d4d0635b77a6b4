"""Everything the library raises on purpose.

JukeboxError
├── ConfigError        a configuration contradicts itself
├── CodecChanged       codes were made by another codec than the model's
├── SongError          a song asks for what its model cannot sing
├── LabelError         an artist, a genre or lyrics cannot be turned into ids
├── ModelNotFound      no model of that name is there
├── CheckpointError    a weights file does not fit the model it was loaded for
├── DownloadError      a file could not be fetched whole
├── BucketError        object storage refuses, or does not answer
├── LicenceError       the terms of somebody's weights were not accepted
├── AudioError         sound cannot be read, written or encoded
├── FeatureError       activations are asked for that a model cannot give
├── TrainingError      a model cannot be trained with what was given
└── SamplingError      drawing codes went wrong
"""

import errno


class JukeboxError(Exception):
    """Base of all errors of this library."""


class ConfigError(JukeboxError):
    """A configuration contradicts itself."""


class CodecChanged(JukeboxError):
    """Codes were made by another codec than the one that the model of their name has now."""


class SongError(JukeboxError):
    """A song asks for what its model cannot sing.

    `field` names the member of `Song` at fault (dotted, e.g. `sampling.top.hop_fraction`); or
    `codes`, `keep_sec` or `row`, where a song is gone on with.
    """

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class LabelError(JukeboxError):
    """An artist, a genre or lyrics cannot be turned into ids."""


class ModelNotFound(JukeboxError):
    """No model of that name is there."""


class CheckpointError(JukeboxError):
    """A weights file does not fit the model it was loaded for."""


class DownloadError(JukeboxError):
    """A file could not be fetched whole."""


class BucketError(JukeboxError, OSError):
    """Object storage refuses, or does not answer; the message says what to do.

    It counts as an error of the disk that the bucket stands for. `may_pass`: by itself, soon.
    """

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(errno.EIO, message)
        self.message, self.may_pass = message, may_pass

    def __str__(self) -> str:
        return self.message


class LicenceError(JukeboxError):
    """The terms of somebody's weights were not accepted."""


class AudioError(JukeboxError):
    """Sound cannot be read, written or encoded."""


class FeatureError(JukeboxError):
    """Activations are asked for that a model cannot give."""


class TrainingError(JukeboxError):
    """A model cannot be trained with what was given: data, settings, or a run that was begun."""


class SamplingError(JukeboxError):
    """Drawing codes went wrong."""
