"""The models of one folder, as far as they can be known without loading weights; no torch.

Each model is a directory in our own format (`checkpoints/native.py`):

    config.json                 {"format": "jukebox", "format_version": 1, "config": {...}}; with
                                int8 weights {..., "format_version": 2, "weights": "int8", ...}
    vqvae.safetensors           prior_top.safetensors, prior_middle.safetensors, ...
    labels/v2_artist_ids.txt    v2_genre_ids.txt, v3_artist_ids.txt, v3_genre_ids.txt
"""

import errno
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from jukebox_core.config import JukeboxConfig, Weights
from jukebox_core.errors import ConfigError, LabelError, ModelNotFound
from jukebox_core.labels import JukeboxTokenizer
from jukebox_core.labels.search import LabelSearch
from jukebox_core.models.pull_lock import is_pulling
from jukebox_core.models.released import RELEASED_MODELS, ReleasedModel, released_model
from jukebox_core.small_files import read_small_json, require_regular

FORMAT = "jukebox"
FORMAT_VERSION = 1
INT8_FORMAT_VERSION = 3
"""Of a model whose priors have int8 weights: releases that know lower versions cannot read it."""
_READ_VERSIONS = (FORMAT_VERSION, 2, INT8_FORMAT_VERSION)
"""In version 2 the stacks alone are int8, and the conditioners are not."""
CONFIG_FILE = "config.json"
LABELS_FOLDER = "labels"
REMOTE_WEIGHTS_FILE = "remote-weights.json"
"""In a copy of a model in a bucket: its weights, fetched when they are about to be loaded."""

BUNDLED_MODEL = "mini"
BUNDLED_MODELS = Path(__file__).parents[1] / "bundled"
"""The folder of the models that come with this package."""


class ModelState(StrEnum):
    """Whether a model can sing: `PULLING` while it is fetched, `BROKEN` when it cannot be read."""

    ABSENT = "absent"
    PULLING = "pulling"
    READY = "ready"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a model before it is loaded.

    `tokenizer` is None when the directory has no label lists: then names cannot be resolved.
    `num_bytes` counts its safetensors files; `weights` are those of the priors in them.
    """

    name: str
    directory: Path
    config: JukeboxConfig
    tokenizer: JukeboxTokenizer | None
    num_bytes: int
    description: str
    licence: str
    weights: Weights = Weights.FULL


class ModelCatalog:
    """The model directories inside `models_dir`, read again when their `config.json` changes.

    A model's name is the name of its directory. Those in `bundled` are there too, unless
    `models_dir` has one of the same name.
    """

    def __init__(self, models_dir: Path, bundled: Path | None = None) -> None:
        self.models_dir = models_dir
        self._folders = (models_dir,) if bundled is None else (models_dir, bundled)
        self._cards: dict[str, tuple[tuple[Path, int], ModelCard]] = {}
        self._searches: dict[str, tuple[ModelCard, LabelSearch]] = {}

    def names(self) -> tuple[str, ...]:
        """All directories that hold a `config.json`, whole or broken, in alphabetical order."""
        return tuple(sorted(self._directories()))

    def _directories(self) -> dict[str, Path]:
        """Every model's directory by its name."""
        found = [each for folder in reversed(self._folders) for each in _model_folders(folder)]
        return {directory.name: directory for directory in found}

    def fault(self) -> str | None:
        """Why no model of `models_dir` can be seen, if it is there and cannot be listed."""
        try:
            os.listdir(self.models_dir)
        except FileNotFoundError:
            return None
        except OSError as error:
            return (
                f"the models folder {self.models_dir} cannot be read by user {os.getuid()}: "
                f"{error.strerror}"
            )
        return None

    def get(self, name: str) -> ModelCard:
        """The card of one model.

        Raises:
            ModelNotFound: there is no such directory; the message names those there are.
            ConfigError: its `config.json` is broken.
            LabelError: its label lists are broken.
        """
        directories = self._directories()
        if name not in directories:
            raise ModelNotFound(self._why_not(name, tuple(sorted(directories))))
        directory = directories[name]
        version = (directory, _changed_at(directory / CONFIG_FILE))
        cached = self._cards.get(name)
        if cached is None or cached[0] != version:
            cached = (version, read_card(directory))
            self._cards[name] = cached
        return cached[1]

    def state(self, name: str) -> ModelState:
        """Whether a model is there, on its way, or neither."""
        if name in self.names():
            return ModelState.READY
        is_coming = name in RELEASED_MODELS and is_pulling(self.models_dir, name)
        return ModelState.PULLING if is_coming else ModelState.ABSENT

    def absent(self) -> tuple[ReleasedModel, ...]:
        """The released models that are not there (yet), and can be fetched by name."""
        known = self.names()
        return tuple(released_model(name) for name in RELEASED_MODELS if name not in known)

    def search(self, name: str) -> LabelSearch:
        """The artists and genres of one model.

        Raises:
            ModelNotFound: there is no such model.
            ConfigError: its `config.json` is broken.
            LabelError: it has no label lists, or broken ones.
        """
        card = self.get(name)
        if card.tokenizer is None:
            raise LabelError(f"{name} came without lists of artists and genres")
        cached = self._searches.get(name)
        if cached is None or cached[0] is not card:
            cached = (card, LabelSearch(card.tokenizer))
            self._searches[name] = cached
        return cached[1]

    def _why_not(self, name: str, known: tuple[str, ...]) -> str:
        there = f"there are {', '.join(known)}" if known else "there is none at all"
        sentence = f"no model is called {name!r}: {there}"
        if self.fault():
            return f"{sentence}, and the models folder cannot be read"
        match self.state(name) if name in RELEASED_MODELS else None:
            case ModelState.PULLING:
                return f"{name} is still being fetched"
            case ModelState.ABSENT:
                return f"{sentence}. `jukebox models pull {name}` fetches it"
        return sentence


def locate_model(model: str | Path) -> Path:
    """The directory that `model` is the path of, or else the bundled model of that name.

    What is neither comes back as it is, for the reader to complain about.
    """
    bundled = BUNDLED_MODELS / Path(model).name
    is_bundled = str(model) == bundled.name and (bundled / CONFIG_FILE).is_file()
    return bundled if is_bundled and not Path(model).exists() else Path(model)


def why_no_model(directory: Path) -> str:
    """What to do where `directory`, which somebody named, holds no model."""
    sentence = f"{directory} is no model directory: it has no {CONFIG_FILE}"
    if directory.is_dir():
        inside = sorted(folder.name for folder in _model_folders(directory))
        return f"{sentence}; it holds the models {', '.join(inside)}" if inside else sentence
    released = _released_name(directory.name)
    repository = str(directory)
    steps = []
    if released is not None:
        repository = released_model(released).hub_repository or ""
        steps.append(
            f"`jukebox models pull {released} --accept-license` fetches and converts it into a "
            f"folder that can be loaded (jukebox-data/models/{released} by default)"
        )
    if len(Path(repository).parts) == 2 and not Path(repository).is_absolute():
        steps.append(
            f"`hf download {repository} --local-dir {directory}` fetches a repository of the "
            "Hugging Face hub, which can be loaded as it is"
        )
    if not steps:
        steps.append(
            f"give the path of a folder, or {BUNDLED_MODEL!r} for the model that comes with this "
            f"package; `jukebox models pull` fetches {', '.join(RELEASED_MODELS)}"
        )
    return f"{sentence}. There is no such folder, and nothing is fetched here: {'; '.join(steps)}"


def _released_name(name: str) -> str | None:
    """The released model that is meant by `5b_lyrics`, `jukebox-5b-lyrics` and the like."""
    plain = name.lower().replace("-", "_").removeprefix("jukebox_")
    return plain if plain in RELEASED_MODELS else None


def read_card(directory: Path) -> ModelCard:
    """Read the card of one model directory.

    Raises:
        ConfigError: its `config.json` is missing or broken.
        LabelError: its label lists are broken.
    """
    config, weights = read_config_and_weights(directory)
    has_labels = (directory / LABELS_FOLDER).is_dir()
    return ModelCard(
        name=directory.name,
        directory=directory,
        config=config,
        tokenizer=JukeboxTokenizer.from_pretrained(directory) if has_labels else None,
        num_bytes=_weight_bytes(directory),
        description=config.description,
        licence=config.licence,
        weights=weights,
    )


def _weight_bytes(directory: Path) -> int:
    sizes = {file.name: _size_of(file) for file in directory.glob("*.safetensors")}
    if (directory / REMOTE_WEIGHTS_FILE).exists():
        remote = read_config_values(directory / REMOTE_WEIGHTS_FILE)
        sizes |= {name: int(facts["num_bytes"]) for name, facts in remote.items()}
    return sum(sizes.values())


def read_config(directory: Path) -> JukeboxConfig:
    """The configuration in a model directory of our own format.

    Raises:
        ConfigError: `config.json` is missing, of another format or version, or contradicts itself.
    """
    return read_config_and_weights(directory)[0]


def read_config_and_weights(directory: Path) -> tuple[JukeboxConfig, Weights]:
    """`read_config`, and how the weights of the priors are kept in the files. Raises as that."""
    file = directory / CONFIG_FILE
    values = read_config_values(file)
    if values.get("format") != FORMAT:
        raise ConfigError(f'{file} is not a model of this library: it lacks "format": "{FORMAT}"')
    if values.get("format_version") not in _READ_VERSIONS:
        raise ConfigError(
            f"{file} has format_version {values.get('format_version')!r}, and this library reads "
            f"{', '.join(map(str, _READ_VERSIONS))}"
        )
    weights = values.get("weights", Weights.FULL)
    if weights not in list(Weights):
        raise ConfigError(f'{file} has "weights": {weights!r}, not one of {", ".join(Weights)}')
    if not isinstance(values.get("config"), dict):
        raise ConfigError(f'{file} has no object under "config"')
    return JukeboxConfig.from_dict(values["config"]), Weights(weights)


def read_config_values(file: Path) -> dict[str, Any]:
    """The JSON object in `file`. Raises ConfigError if there is none."""
    try:
        values = read_small_json(file)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{file} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{file} holds a {type(values).__name__}, not an object")
    return values


def _changed_at(file: Path) -> int:
    """Nanoseconds. Raises ConfigError."""
    try:
        return file.stat().st_mtime_ns
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error


def _size_of(file: Path) -> int:
    """Raises ConfigError, also for what is not a regular file."""
    try:
        require_regular(file)
        return file.stat().st_size
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error


def _is_name(name: str) -> bool:
    # Temporary directories of a model that is being written begin with a dot. What is not UTF-8
    # cannot be named in an answer.
    return name.isprintable() and not name.startswith(".")


def _model_folders(folder: Path) -> list[Path]:
    """What is or should be a model: a broken one is named, so that somebody mends it."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [folder / name for name in names if _is_name(name) and _has_config(folder / name)]


def _has_config(directory: Path) -> bool:
    try:
        os.lstat(directory / CONFIG_FILE)
    except OSError as error:
        # Links in a circle and folders without permission are models that cannot be read.
        return error.errno not in (errno.ENOENT, errno.ENOTDIR)
    return True
