"""Fetching a released model by name: into our own format, one part at a time.

A part of the original's files is fetched, converted and put away before the next one comes, so that
the disk never holds more than the finished parts and one checkpoint. What was finished stays when
something breaks, and the next call goes on from there.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jukebox_core.checkpoints.convert import (
    PARTS,
    OpenAIFiles,
    WeightsSource,
    WritingPart,
    part_file,
    write_part,
)
from jukebox_core.checkpoints.hub import HubRepository, fetch_repository
from jukebox_core.checkpoints.huggingface import HuggingFaceDirectory
from jukebox_core.checkpoints.native import write_config
from jukebox_core.checkpoints.origin import ORIGIN_FILE, Origin
from jukebox_core.config import JukeboxConfig, LabelVersion, Weights
from jukebox_core.errors import CheckpointError, LabelError, LicenceError
from jukebox_core.labels import JukeboxTokenizer, Vocabulary
from jukebox_core.models.catalog import CONFIG_FILE, LABELS_FOLDER, read_card
from jukebox_core.models.download import Progress, RemoteFile, download
from jukebox_core.models.pull_lock import finish_pulling, pulling_place
from jukebox_core.models.released import LABELS_URL, LICENCE_URL, WEIGHTS_URL, ReleasedModel
from jukebox_core.small_files import MAX_SMALL_BYTES
from jukebox_core.units import Level


class Supply(Protocol):
    """Where a model is fetched from. `str()` of it tells one supply from another."""

    def read_vocabularies(self) -> Mapping[LabelVersion, Vocabulary]:
        """Fetch the label lists. Raises DownloadError, LabelError or ConfigError."""

    def address(self, part: Level | None) -> str:
        """What the file of one part is fetched from."""

    def fetch(self, part: Level | None) -> WeightsSource:
        """A source that can load this part. Raises DownloadError or CheckpointError."""

    def forget(self, part: Level | None, *, is_broken: bool) -> None:
        """Put the part's checkpoint away: it is converted, or of no use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIAddress:
    """The original's files and label lists, at its own addresses or at mirrors of them."""

    weights_url: str = WEIGHTS_URL
    labels_url: str = LABELS_URL

    def __str__(self) -> str:
        return f"openai {self.weights_url}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAISupply:
    """Fetches `model` file by file into `folder`."""

    origin: OpenAIAddress
    model: ReleasedModel
    folder: Path
    progress: Progress | None

    def __str__(self) -> str:
        return str(self.origin)

    def read_vocabularies(self) -> Mapping[LabelVersion, Vocabulary]:
        """Fetch the lists that the priors were trained with."""
        for name in self.model.label_files:
            remote = RemoteFile(
                url=_join(self.origin.labels_url, name),
                sha256=self.model.label_hashes.get(name),
                max_bytes=MAX_SMALL_BYTES,
            )
            self._fetch(remote, self.folder / LABELS_FOLDER / name)
        folder = self.folder / LABELS_FOLDER
        try:
            return JukeboxTokenizer.from_directory(folder, self.model.config).vocabularies
        except LabelError:
            shutil.rmtree(folder)
            raise

    def address(self, part: Level | None) -> str:
        """The URL of a part's checkpoint."""
        return _join(self.origin.weights_url, self._path(part))

    def fetch(self, part: Level | None) -> WeightsSource:
        """Fetch one checkpoint; the source can load no other part yet."""
        self._fetch(RemoteFile(url=self.address(part)), self.folder / self._path(part))
        return OpenAIFiles(
            config=self.model.config,
            vqvae=self.folder / self.model.vqvae_path,
            priors={level: self.folder / path for level, path in self.model.prior_paths.items()},
        )

    def forget(self, part: Level | None, *, is_broken: bool) -> None:
        """Remove the checkpoint: whole or broken, nobody needs it any more."""
        (self.folder / self._path(part)).unlink(missing_ok=True)

    def _fetch(self, remote: RemoteFile, destination: Path) -> None:
        # It was put there in one step and checked before, so what is there is whole.
        if not destination.is_file():
            download(remote, destination, progress=self.progress)

    def _path(self, part: Level | None) -> str:
        return self.model.vqvae_path if part is None else self.model.prior_paths[part]


class HubSupply:
    """Fetches a repository whole, since its files hold all parts mixed.

    The released configuration is used instead of the repository's, which leaves out the shortest
    song that each model was trained for.
    """

    def __init__(
        self,
        repository: HubRepository,
        config: JukeboxConfig,
        folder: Path,
        progress: Progress | None,
    ) -> None:
        self.repository, self.config, self.folder = repository, config, folder
        self._progress = progress
        self._opened: HuggingFaceDirectory | None = None

    def __str__(self) -> str:
        return str(self.repository)

    def read_vocabularies(self) -> Mapping[LabelVersion, Vocabulary]:
        """The lists in the repository; LabelError if there are none."""
        vocabularies = self._open().read_vocabularies()
        if not vocabularies:
            raise LabelError(f"{self.repository} holds no artists.json and genres.json")
        return vocabularies

    def address(self, part: Level | None) -> str:
        """The repository: it does not tell its parts apart."""
        return str(self.repository)

    def fetch(self, part: Level | None) -> WeightsSource:
        """The repository, fetched when it is asked for the first time."""
        return self._open()

    def forget(self, part: Level | None, *, is_broken: bool) -> None:
        """Remove everything if it is broken; the parts that follow need it otherwise."""
        if is_broken:
            self._opened = None
            shutil.rmtree(self.folder, ignore_errors=True)

    def _open(self) -> HuggingFaceDirectory:
        if self._opened is None:
            fetch_repository(self.repository, self.folder, progress=self._progress)
            self._opened = HuggingFaceDirectory(self.folder, self.config)
        return self._opened


def pull(
    model: ReleasedModel,
    models_dir: Path,
    origin: OpenAIAddress | HubRepository,
    *,
    license_accepted: bool,
    weights: Weights | None = None,
    progress: Progress | None = None,
    on_part: WritingPart | None = None,
) -> Path:
    """Fetch `model` into `models_dir/NAME`, which appears only when it is whole.

    A model that is there already is left alone. Parts that another model in `models_dir` was given
    from the same address (all released ones share codec and upsamplers) are linked, not fetched.

    Args:
        model: what to fetch.
        models_dir: the folder of all models.
        origin: where from.
        license_accepted: whether the user accepts the terms of the weights.
        weights: `INT8` keeps those of the transformer stacks as int8, about a quarter of the bytes;
            `FULL` and None keep them in the types in which the original loads them.
        progress: called with the name of a file, its bytes so far, and its size where known.
        on_part: called with the name of each part when it is there and about to be converted.

    Returns:
        The model's directory.

    Raises:
        LicenceError: the terms were not accepted.
        DownloadError: something could not be fetched; the next call goes on from there.
        CheckpointError: a file is broken or of another model; it was thrown away. Or the model is
            there already, with other `weights` than those that are asked for.
        LabelError: the label lists do not fit.
    """
    if not license_accepted:
        raise LicenceError(
            f"the weights of {model.name} are under the {model.config.licence}, which allows no "
            f"commercial use of them or of songs made with them: read {LICENCE_URL}, and accept it"
        )
    destination = models_dir / model.name
    with pulling_place(models_dir, model.name) as place:
        if (destination / CONFIG_FILE).is_file():
            shutil.rmtree(place)
            _require_weights(destination, weights)
            return destination
        supply = _supply(model, origin, place / "fetched", progress)
        unfinished = place / model.name
        kept = weights or Weights.FULL
        _write_parts(supply, model.config, kept, unfinished, models_dir, on_part or _silent)
        finish_pulling(place, unfinished, destination)
    return destination


def _require_weights(directory: Path, wanted: Weights | None) -> None:
    found = read_card(directory).weights
    if wanted in (None, found):
        return
    remedy = "remove that folder to fetch them"
    if wanted is Weights.INT8:
        remedy = (
            f"`jukebox models convert {directory} {directory} --dtype int8 --overwrite` makes "
            "int8 ones of them"
        )
    raise CheckpointError(f"{directory} is there already, with {found} weights: {remedy}")


def _supply(
    model: ReleasedModel,
    origin: OpenAIAddress | HubRepository,
    folder: Path,
    progress: Progress | None,
) -> Supply:
    if isinstance(origin, HubRepository):
        return HubSupply(origin, model.config, folder / "hub", progress)
    return OpenAISupply(origin=origin, model=model, folder=folder / "openai", progress=progress)


def _write_parts(
    supply: Supply,
    config: JukeboxConfig,
    weights: Weights,
    unfinished: Path,
    models_dir: Path,
    on_part: WritingPart,
) -> None:
    origin = _origin_in(unfinished, str(supply))
    write_config(unfinished, config, weights)
    if not (unfinished / LABELS_FOLDER).is_dir():
        _write_labels(JukeboxTokenizer(supply.read_vocabularies(), config), unfinished)
    for part in PARTS:
        file, address = unfinished / part_file(part), supply.address(part)
        is_int8 = part is not None and weights is Weights.INT8
        made_as = Weights.INT8 if is_int8 else None
        if origin.has(file, fetched_from=address, weights=made_as):
            continue
        if not _link_from_other_models(file, address, made_as, models_dir):
            _convert_part(supply, part, weights, unfinished, on_part)
        origin.add(file, fetched_from=address, weights=made_as)


def _write_labels(tokenizer: JukeboxTokenizer, unfinished: Path) -> None:
    """All lists in one step: the folder is there or not."""
    with tempfile.TemporaryDirectory(dir=unfinished.parent) as workplace:
        tokenizer.save_vocabulary(workplace)
        os.rename(Path(workplace) / LABELS_FOLDER, unfinished / LABELS_FOLDER)


def _origin_in(unfinished: Path, source: str) -> Origin:
    """What an earlier call has finished, if it was fetching from the same place."""
    try:
        earlier = Origin.read(unfinished)
    except CheckpointError:
        earlier = None
    if earlier is not None and earlier.source == source:
        return earlier
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    origin = Origin(source=source)
    origin.write(unfinished)
    return origin


def _convert_part(
    supply: Supply,
    part: Level | None,
    weights: Weights,
    unfinished: Path,
    on_part: WritingPart,
) -> None:
    source = supply.fetch(part)
    on_part(part_file(part))
    try:
        write_part(source, part, unfinished, weights=weights)
    except CheckpointError as error:
        supply.forget(part, is_broken=True)
        raise CheckpointError(f"{error} (what was fetched was thrown away)") from error
    supply.forget(part, is_broken=False)


def _silent(_: str) -> None:
    """Nobody wants to hear of it."""


def _link_from_other_models(
    file: Path, address: str, weights: Weights | None, models_dir: Path
) -> bool:
    """Take the same part of another model, if it was made of the same file in the same way."""
    if address.startswith("hub "):
        return False
    for other in sorted(models_dir.glob(f"*/{ORIGIN_FILE}")):
        try:
            origin = Origin.read(other.parent)
        except CheckpointError:
            continue
        candidate = other.with_name(file.name)
        if origin is not None and origin.has(candidate, fetched_from=address, weights=weights):
            _link(candidate, file)
            return True
    return False


def _link(existing: Path, file: Path) -> None:
    file.unlink(missing_ok=True)
    try:
        os.link(existing, file)
    except OSError:
        # Not every file system has hard links.
        unfinished = file.with_name(f".{file.name}")
        shutil.copyfile(existing, unfinished)
        os.replace(unfinished, file)


def _join(base_url: str, path: str) -> str:
    return f"{base_url.rstrip('/')}/{path}"
