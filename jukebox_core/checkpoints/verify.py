"""Is a model directory whole? Every file is read, every tensor compared with the configuration."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jukebox_core.checkpoints.convert import PARTS, NativeDirectory, part_file, weights_of
from jukebox_core.checkpoints.origin import FileRecord, Origin
from jukebox_core.checkpoints.parts import prior_layout, vqvae_layout
from jukebox_core.config import JukeboxConfig, Weights
from jukebox_core.errors import CheckpointError, JukeboxError
from jukebox_core.labels import JukeboxTokenizer
from jukebox_core.models.catalog import CONFIG_FILE, LABELS_FOLDER, read_config
from jukebox_core.models.download import sha256_of
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import Level


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one part: `detail` is a sentence, and says what to do if it is not fine."""

    part: str
    is_fine: bool
    detail: str


def verify(directory: Path) -> Iterator[Finding]:
    """Examine a model of our own format, one finding per part, as they come.

    Hashes are compared where `origin.json` recorded them: for models that were pulled or converted.
    """
    try:
        config, origin = read_config(directory), Origin.read(directory)
    except JukeboxError as error:
        yield Finding("config.json", False, str(error))
        return
    yield Finding("config.json", True, config.description or config.name)
    yield _labels(directory, config)
    for part in PARTS:
        record = origin.files.get(part_file(part)) if origin is not None else None
        yield _part(NativeDirectory(directory, config), part, record)


def _labels(directory: Path, config: JukeboxConfig) -> Finding:
    if not (directory / LABELS_FOLDER).is_dir():
        return Finding("labels", True, "none: artists and genres can only be given as ids")

    def count() -> str:
        tokenizer = JukeboxTokenizer.from_directory(directory / LABELS_FOLDER, config)
        sizes = (
            f"{len(vocabulary.artists):,} artists and {len(vocabulary.genres):,} genres ({version})"
            for version, vocabulary in tokenizer.vocabularies.items()
        )
        return ", ".join(sizes) or "none is needed"

    return _finding("labels", count)


def _part(source: NativeDirectory, part: Level | None, record: FileRecord | None) -> Finding:
    file = source.directory / part_file(part)

    def compare() -> str:
        # This reads names and shapes, not gigabytes.
        if part is None:
            vqvae_layout(source.config.vqvae, source.open_vqvae())
        else:
            prior = prior_layout(source.config.prior(part), source.open_prior(part))
            _require_weights(prior, file, weights_of(source))
        return f"{file.stat().st_size:,} bytes, every tensor fits"

    finding = _finding(file.name, compare)
    if record is None or not finding.is_fine:
        return finding
    if sha256_of(file) != record.sha256:
        detail = f"the content is not what was written (SHA-256 should be {record.sha256})"
        return Finding(file.name, False, detail)
    return Finding(file.name, True, f"{finding.detail}, the hash is right")


def _require_weights(prior: JukeboxPrior, file: Path, weights: Weights) -> None:
    found = Weights.INT8 if prior.has_int8_weights else Weights.FULL
    if found is not weights:
        raise CheckpointError(f"{file} has {found} weights, and {CONFIG_FILE} says {weights}")


def _finding(part: str, examine: Callable[[], str]) -> Finding:
    try:
        return Finding(part, True, examine())
    except JukeboxError as error:
        return Finding(part, False, str(error))
