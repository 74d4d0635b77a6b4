"""What the settings of API, worker and webhook process have in common."""

import logging
import math
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PlainValidator, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from jobs.files.storage import Storage, open_storage
from jobs.setting_groups import GROUP_OF, GROUPS, PREFIX, InvalidSettings, read_group
from jobs.store.sentinel_url import SentinelUrl, is_sentinel_url
from jukebox_core.buckets import Place, read_place
from jukebox_core.errors import BucketError
from jukebox_core.models.bucket_models import ModelFolder, open_models

log = logging.getLogger(__name__)

_REDIS_SCHEMES = ("redis://", "rediss://", "unix://", "sentinel://", "sentinels://")


def check_redis_url(url: str) -> str:
    """Raises ValueError for a URL that no Redis client takes."""
    if not url.startswith(_REDIS_SCHEMES):
        raise ValueError(f"must start with {', '.join(_REDIS_SCHEMES)}")
    if "#" in url:  # parsers drop the rest of the URL without a word
        raise ValueError("holds a #, which a URL cannot: write %23 for it, and %3F for a ?")
    if is_sentinel_url(url):
        SentinelUrl.parse(url)
    return url


def default_cache_dir() -> Path:
    """Where programs of this user keep what can be had again (XDG Base Directory)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache", "jukebox")


class ServiceSettings(BaseSettings):
    """Settings of any process of the service; variables that other processes read are ignored.

    A field is the variable `JUKEBOX_` and its name, or a part of the variable of its group. An
    empty one is not set, as a line of `.env` without a value. One more release reads the fields of
    groups as variables of their own, with a warning.
    """

    model_config = SettingsConfigDict(
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        env_prefix=PREFIX,
        env_ignore_empty=True,
    )
    refusal: ClassVar[str] = "The process cannot start."

    redis_url: Annotated[
        str,
        AfterValidator(check_redis_url),
        Field(validation_alias="REDIS_URL", repr=False),
    ]
    data_dir: Annotated[Place, PlainValidator(read_place)] = Path("data")
    cache_dir: Annotated[Path, Field(default_factory=default_cache_dir)]
    cache_bytes: Annotated[int, Field(ge=0)] = 4_000_000_000
    storage_patience_sec: Annotated[float, Field(gt=0, le=250)] = 120.0
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def local_dir(self) -> Path:
        """The folder of this machine whose disk fills: that of the data, or of the cache."""
        return self.data_dir if isinstance(self.data_dir, Path) else self.cache_dir

    def open_storage(self, *, at_most_sec: float | None = None) -> Storage:
        """The files of the service, in `data_dir`.

        at_most_sec  bounds `storage_patience_sec`, where a person waits

        Raises InvalidSettings.
        """
        try:
            return open_storage(
                self.data_dir,
                cache_dir=self.cache_dir,
                cache_bytes=self.cache_bytes,
                patience_sec=min(self.storage_patience_sec, at_most_sec or math.inf),
            )
        except BucketError as error:
            raise InvalidSettings(f"{self.refusal} {PREFIX}DATA_DIR: {error}") from error
        except OSError as error:
            raise self._no_cache(f"Files of {self.data_dir}", error) from error

    def _no_cache(self, what: str, error: OSError) -> InvalidSettings:
        return InvalidSettings(
            f"{self.refusal} {what} are copied to {self.cache_dir}, and that folder cannot be "
            f"written ({error.strerror}): name another one with cache_dir=... in {PREFIX}TUNING"
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What a caller says, then the groups, then variables of one setting each."""
        del dotenv_settings, file_secret_settings
        return init_settings, _GroupedVariables(settings_cls), env_settings

    @classmethod
    def variables(cls) -> frozenset[str]:
        """Names of the environment variables that it reads, without those of earlier releases."""
        return frozenset(
            field.validation_alias
            if isinstance(field.validation_alias, str)
            else GROUP_OF.get(name, f"{PREFIX}{name.upper()}")
            for name, field in cls.model_fields.items()
        )

    @classmethod
    def from_earlier_switches(cls) -> dict[str, Any]:
        """Fields that follow from variables of earlier releases which have no successor by name."""
        return {}

    @classmethod
    def from_environment(cls) -> Self:
        """Settings from the environment.

        Raises:
            InvalidSettings: a variable is missing or has an impossible value.
        """
        _warn_of_earlier_names(cls)
        try:
            return cls(**cls.from_earlier_switches())
        except ValidationError as error:
            raise InvalidSettings(f"{cls.refusal} {_faults(error)}") from error


class _GroupedVariables(PydanticBaseSettingsSource):
    """The settings that share a variable with others."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields
        return {
            name: value
            for group in GROUPS
            for name, value in read_group(group, os.environ.get(group, "")).items()
            if name in fields
        }


class ModelSettings(ServiceSettings):
    """Settings of a process that knows models."""

    models_dir: Annotated[Place, PlainValidator(read_place)] = Path("models")

    def open_models(self) -> ModelFolder:
        """The models, in `models_dir` or a copy of it. Raises InvalidSettings."""
        try:
            return open_models(
                self.models_dir, self.cache_dir, patience_sec=min(self.storage_patience_sec, 30.0)
            )
        except BucketError as error:
            raise InvalidSettings(f"{self.refusal} {PREFIX}MODELS_DIR: {error}") from error
        except OSError as error:
            raise self._no_cache(f"Models of {self.models_dir}", error) from error


def _warn_of_earlier_names(settings_class: type[ServiceSettings]) -> None:
    for name in settings_class.model_fields:
        group, earlier = GROUP_OF.get(name), f"{PREFIX}{name.upper()}"
        if group is not None and os.environ.get(earlier):
            log.warning(
                "%s will not be read by the next release: put %s=... into %s", earlier, name, group
            )


def _faults(error: ValidationError) -> str:
    """All faults in one line, each after the name of its variable where it is of one alone."""
    faults = []
    for entry in error.errors():
        sentence = entry["msg"].removeprefix("Value error, ")
        sentence = sentence.replace("Field required", "is not set")
        faults.append(": ".join([*map(_variable, entry["loc"][:1]), sentence]))
    return "; ".join(faults)


def _variable(location: str | int) -> str:
    """The name that a person sets, of a place in a validation error."""
    name = str(location)
    if name in GROUP_OF:
        return f"{GROUP_OF[name]}: {name}"
    return name if name.isupper() else f"{PREFIX}{name.upper()}"


def check_public_url(url: str) -> str:
    """Without a slash at its end. Raises ValueError for what is neither empty nor an http URL."""
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
        raise ValueError("must be the http or https URL that the service is found under")
    return url.rstrip("/")


def split_words(value: object) -> object:
    """Words of a variable, with commas or blanks between them; anything else as it is."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def default_health_file() -> Path:
    """A file of this user in the folder for temporary files, which also a container has."""
    return Path(tempfile.gettempdir()) / f"jukebox-worker-{os.getuid()}.alive"
