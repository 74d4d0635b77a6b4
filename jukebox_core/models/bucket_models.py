"""Models in a bucket, and their copies in a folder of this machine; no torch.

A model is a folder below the URL, with the files of a model directory (`catalog.py`). What is small
is copied when the models are listed, so that every model can be planned for; a part's weights when
it is about to be loaded. Their copies are named by their hash and linked into the models that have
them: a part that two models share is fetched and kept once. The hashes are those of `SHA256SUMS` in
the model's folder, or else those that were noted with the objects.
"""

import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from jukebox_core.buckets import Bucket, BucketUrl, ObjectChanged, Place, StoredObject
from jukebox_core.errors import BucketError, DownloadError
from jukebox_core.models.catalog import CONFIG_FILE, REMOTE_WEIGHTS_FILE

log = logging.getLogger(__name__)

REFRESH_SEC = 60.0
SUMS_FILE = "SHA256SUMS"
MAX_SMALL_BYTES = 16 << 20
PATIENCE = 5
"""How often in a row a bucket may fail without one more byte, before we give up."""
UNUSED_SEC = 86_400.0
"""Weights that no model here has are kept for so long."""

_WEIGHTS_SUFFIX = ".safetensors"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
_SUM = re.compile(r"([0-9a-f]{64}) [ *](?:\./)?([\w./-]{1,200})", re.ASCII)

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes that are here, and all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteWeights:
    """A weights file in a bucket: this version, with this hash where one is known."""

    key: str
    num_bytes: int
    etag: str
    sha256: str | None


class ModelFolder:
    """The models of a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fetch(self, directory: Path, part: str, progress: Progress | None = None) -> None:
        """Make sure that a part of a model is here; in a folder of this machine it is."""


class BucketModels(ModelFolder):
    """The models below the URL of `bucket`, as a folder that `ModelCatalog` reads.

    Several processes may share `cache_dir`.
    """

    def __init__(self, bucket: Bucket, cache_dir: Path) -> None:
        self._bucket = bucket
        address = hashlib.sha256(str(bucket.url).encode()).hexdigest()[:16]
        super().__init__(cache_dir.absolute() / "models" / address)
        self._weights = cache_dir.absolute() / "models" / "weights"

    def refresh(self) -> None:
        """Make the folder agree with the bucket, as far as small files go.

        Raises BucketError; OSError when the disk refuses.
        """
        found: dict[str, dict[str, StoredObject]] = {}
        for each in self._bucket.below(""):
            name, _, file = each.key.partition("/")
            if _NAME.fullmatch(name) and file:
                found.setdefault(name, {})[file] = each
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        with _locked(self.folder / ".lock"):
            models = {name: files for name, files in found.items() if CONFIG_FILE in files}
            for name, files in models.items():
                self._copy_small(name, files)
            for gone in {path.name for path in self.folder.iterdir() if path.is_dir()} - {*models}:
                _remove_model(self.folder / gone)
            self._remove_unused()

    def keep_fresh(self) -> None:
        """Refresh now, and from now on every minute, in a thread; a bucket may be away meanwhile.

        Raises BucketError when the bucket refuses for good.
        """
        try:
            self.refresh()
        except BucketError as error:
            if not error.may_pass:
                raise
            log.warning("models may be out of date: %s", error)
        threading.Thread(target=self._keep_fresh, name="bucket models", daemon=True).start()

    def _keep_fresh(self) -> None:
        while True:
            time.sleep(REFRESH_SEC)
            try:
                self.refresh()
            except OSError as error:
                log.warning("models may be out of date: %s", error)

    def fetch(self, directory: Path, part: str, progress: Progress | None = None) -> None:
        """Copy the weights of one part of a model, e.g. `prior_top`, unless they are here.

        What an earlier call began is gone on with; of two processes, one fetches and the other
        waits. Does nothing for a model that is not from the bucket.

        Raises:
            DownloadError: the bucket keeps failing, or what arrives is not what it should be.
        """
        try:
            remote = json.loads((directory / REMOTE_WEIGHTS_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        for file, facts in remote.items():
            if file.partition(".")[0] != part or (directory / file).is_file():
                continue
            weights = RemoteWeights(**facts)
            path = self._fetched(weights, file, progress or (lambda *_: None))
            with suppress(FileExistsError):
                os.link(path, directory / file)

    def _copy_small(self, name: str, files: Mapping[str, StoredObject]) -> None:
        """The files of one model but its weights; `config.json` last."""
        directory = self.folder / name
        (directory / "labels").mkdir(mode=0o750, parents=True, exist_ok=True)
        seen_path = directory / ".seen.json"
        seen = json.loads(seen_path.read_text()) if seen_path.exists() else {}
        versions = {file: each.etag for file, each in files.items()}
        if versions == seen:
            return
        small = [file for file in files if _is_small(file, files[file])]
        for file in sorted(small, key=lambda file: file == CONFIG_FILE):
            if seen.get(file) == versions[file] and (directory / file).exists():
                continue
            if file == CONFIG_FILE:
                self._note_weights(directory, files)
            _put(directory / file, self._bucket.read(files[file].key)[0])
        self._note_weights(directory, files)
        if not any((directory / "labels").iterdir()):
            (directory / "labels").rmdir()
        _put(seen_path, json.dumps(versions).encode())

    def _note_weights(self, directory: Path, files: Mapping[str, StoredObject]) -> None:
        sums: dict[str, str] = {}
        if SUMS_FILE in files:
            text = self._bucket.read(files[SUMS_FILE].key)[0].decode("utf-8", "replace")
            sums = {file: sha256 for sha256, file in _SUM.findall(text)}
        weights = {}
        for file, each in files.items():
            if not file.endswith(_WEIGHTS_SUFFIX) or not _NAME.fullmatch(file):
                continue
            sha256 = sums.get(file) or self._bucket.metadata(each.key)[0].get("sha256")
            weights[file] = RemoteWeights(
                key=each.key, num_bytes=each.num_bytes, etag=each.etag, sha256=sha256
            )
            if (directory / file).exists() and not _is_copy(
                directory / file, self._place(weights[file])
            ):
                (directory / file).unlink()
        content = {file: asdict(each) for file, each in weights.items()}
        _put(directory / REMOTE_WEIGHTS_FILE, json.dumps(content, indent=1).encode())

    def _place(self, weights: RemoteWeights) -> Path:
        version = f"{self._bucket.url}/{weights.key} {weights.etag} {weights.num_bytes}"
        return self._weights / (weights.sha256 or hashlib.sha256(version.encode()).hexdigest())

    def _fetched(self, weights: RemoteWeights, file: str, progress: Progress) -> Path:
        place = self._place(weights)
        place.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        with _locked(place.with_suffix(".lock")):
            if not place.exists():
                part = place.with_suffix(".part")
                try:
                    self._go_on(
                        weights, part, lambda there: progress(file, there, weights.num_bytes)
                    )
                except ObjectChanged as error:
                    part.unlink(missing_ok=True)
                    raise DownloadError(
                        f"{self._bucket.url}/{weights.key} was replaced meanwhile: try again in "
                        f"{REFRESH_SEC:g} s"
                    ) from error
                self._check(weights, part)
                part.rename(place)
        return place

    def _go_on(self, weights: RemoteWeights, part: Path, progress: Callable[[int], None]) -> None:
        failures = 0
        with part.open("ab") as file:
            while file.tell() < weights.num_bytes:
                before = file.tell()
                try:
                    for chunk in self._bucket.read_on(weights.key, before, weights.etag):
                        file.write(chunk)
                        progress(file.tell())
                except (BucketError, FileNotFoundError) as error:
                    failures = 1 if file.tell() > before else failures + 1
                    may_pass = isinstance(error, BucketError) and error.may_pass
                    if failures >= PATIENCE or not may_pass:
                        raise DownloadError(
                            f"{error} ({file.tell():,} of {weights.num_bytes:,} bytes are kept; "
                            "the next attempt goes on from there)"
                        ) from error
            file.flush()
            os.fsync(file.fileno())

    def _check(self, weights: RemoteWeights, part: Path) -> None:
        num_bytes, sha256 = part.stat().st_size, None
        if weights.sha256 is not None:
            with part.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if (num_bytes, sha256) != (weights.num_bytes, weights.sha256):
            part.unlink()
            raise DownloadError(
                f"{self._bucket.url}/{weights.key} has {num_bytes:,} bytes with SHA-256 {sha256} "
                f"where {weights.num_bytes:,} with {weights.sha256} were expected; it was thrown "
                "away"
            )

    def _remove_unused(self) -> None:
        """Weights that are linked into no model."""
        with suppress(FileNotFoundError):
            for path in self._weights.iterdir():
                status = path.stat()
                is_old = time.time() - status.st_mtime > UNUSED_SEC
                if is_old and status.st_nlink == 1 and path.suffix != ".lock":
                    path.unlink()


def open_models(place: Place, cache_dir: Path, *, patience_sec: float) -> ModelFolder:
    """The folder of the models; those of a bucket are fresh, and stay so.

    Raises BucketError when the bucket refuses for good.
    """
    if not isinstance(place, BucketUrl):
        return ModelFolder(place)
    models = BucketModels(Bucket(place, patience_sec=patience_sec), cache_dir)
    models.keep_fresh()
    return models


def priors_are_here(directory: Path) -> bool:
    """Whether loading the priors of a model would fetch nothing: they are here, or never away."""
    try:
        remote = json.loads((directory / REMOTE_WEIGHTS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return True
    return all((directory / file).is_file() for file in remote if file.startswith("prior_"))


def _is_small(file: str, stored: StoredObject) -> bool:
    is_plain = re.fullmatch(r"(?:labels/)?\w[\w.-]{0,63}", file, re.ASCII) is not None
    return is_plain and not file.endswith(_WEIGHTS_SUFFIX) and stored.num_bytes <= MAX_SMALL_BYTES


def _is_copy(path: Path, place: Path) -> bool:
    return place.exists() and path.samefile(place)


def _put(path: Path, content: bytes) -> None:
    """Write a file that appears whole."""
    unfinished = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        unfinished.write_bytes(content)
        unfinished.rename(path)
    except OSError:
        # Asked for again every minute: a full disk would gather these.
        unfinished.unlink(missing_ok=True)
        raise


def _remove_model(directory: Path) -> None:
    """`config.json` first: without it there is no model."""
    (directory / CONFIG_FILE).unlink(missing_ok=True)
    for path in sorted(directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    directory.rmdir()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
