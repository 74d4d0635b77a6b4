"""The models that a folder of this machine has, or one in a bucket; and what is known of them."""

import os
from pathlib import Path

from jobs.model_figures import ModelFigures, read_figures
from jobs.setting_groups import InvalidSettings, read_group
from jukebox_core.buckets import Bucket, BucketUrl, Place
from jukebox_core.models.bucket_models import BucketModels
from jukebox_core.models.catalog import BUNDLED_MODELS, ModelCatalog

_PATIENCE_SEC = 10.0
"""Somebody waits for the answer of a bucket."""


def known_models(place: Place) -> ModelCatalog:
    """The models there, and the bundled ones; of a bucket what is small is copied, no weights.

    Raises:
        BucketError: the bucket refuses, or does not answer.
    """
    if not isinstance(place, BucketUrl):
        return ModelCatalog(place, BUNDLED_MODELS)
    models = BucketModels(Bucket(place, patience_sec=_PATIENCE_SEC), _cache_dir())
    models.refresh()
    return ModelCatalog(models.folder, BUNDLED_MODELS)


def known_figures(data_dir: Place) -> dict[str, ModelFigures]:
    """What the workers of this machine measured: beside its files, or beside its cache of them."""
    return read_figures(data_dir if isinstance(data_dir, Path) else _cache_dir())


def _cache_dir() -> Path:
    """As API and workers have it, as far as their settings can be read."""
    # Imported here: pydantic takes long to load, and only buckets need this.
    from jobs.settings import default_cache_dir

    try:
        tuning = read_group("JUKEBOX_TUNING", os.environ.get("JUKEBOX_TUNING", ""))
    except InvalidSettings:
        tuning = {}
    named = tuning.get("cache_dir") or os.environ.get("JUKEBOX_CACHE_DIR")
    return Path(named) if named else default_cache_dir()
