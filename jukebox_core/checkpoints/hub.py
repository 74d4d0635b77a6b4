"""Repositories on the Hugging Face hub, or a mirror of it, through huggingface_hub."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.constants import ENDPOINT
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.hf_api import RepoSibling

from jukebox_core.errors import DownloadError
from jukebox_core.models.download import Progress, sha256_of

_WEIGHTS = (("model", ".safetensors"), ("pytorch_model", ".bin"))
_MAX_CONNECTIONS = 4
_DESCRIPTIONS = ("config.json", "tokenizer_config.json", "artists.json", "genres.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRepository:
    """One repository at one revision; `endpoint` None is the one that HF_ENDPOINT names."""

    name: str
    endpoint: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        return f"{(self.endpoint or ENDPOINT).rstrip('/')}/{self.name}{at}"


def fetch_repository(
    repository: HubRepository, folder: Path, *, progress: Progress | None = None
) -> None:
    """Fetch configuration, label lists and weights (safetensors if there are any) into `folder`.

    A repeated call goes on where the last one stopped. All files are of one commit; size and
    SHA-256 are those that the hub tells.

    Raises:
        DownloadError: there is no such repository, the hub cannot be reached, or a file is not
            what the hub says that it is.
    """
    try:
        api = HfApi(endpoint=repository.endpoint)
        info = api.model_info(
            repository.name, revision=repository.revision, files_metadata=True, timeout=60
        )
        wanted = _wanted(info.siblings or [], repository)
        _fetch(repository, info.sha, wanted, folder)
        for sibling in wanted:
            num_bytes = _check(repository, sibling, folder / sibling.rfilename)
            if progress is not None:
                progress(sibling.rfilename, num_bytes, num_bytes)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise DownloadError(f"{repository} cannot be fetched: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The first line of an error; of one of the connection what lies at its bottom."""
    inner = error.args[0] if error.args else None
    if isinstance(inner, Exception):  # urllib3's, within an error of requests
        inner = getattr(inner, "reason", inner)  # of a MaxRetryError, why it gave up
        what = str(inner).rpartition("): ")[2]
        return f"{what}. Check the network and HTTPS_PROXY; the same command resumes the download"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _wanted(siblings: Sequence[RepoSibling], repository: HubRepository) -> list[RepoSibling]:
    # Models of transformers lie in no folder; a name with one could lead anywhere.
    siblings = [
        sibling for sibling in siblings if Path(sibling.rfilename).name == sibling.rfilename
    ]
    for stem, suffix in _WEIGHTS:
        weights = [
            sibling
            for sibling in siblings
            if sibling.rfilename.startswith(stem)
            and sibling.rfilename.endswith((suffix, f"{suffix}.index.json"))
        ]
        if any(sibling.rfilename.endswith(suffix) for sibling in weights):
            return [*(s for s in siblings if s.rfilename in _DESCRIPTIONS), *weights]
    raise DownloadError(f"{repository} holds neither model*.safetensors nor pytorch_model*.bin")


def _fetch(
    repository: HubRepository, commit: str | None, wanted: Sequence[RepoSibling], folder: Path
) -> None:
    snapshot_download(
        repository.name,
        revision=commit,
        local_dir=folder,
        endpoint=repository.endpoint,
        allow_patterns=[glob.escape(sibling.rfilename) for sibling in wanted],
        max_workers=_MAX_CONNECTIONS,
    )


def _check(repository: HubRepository, sibling: RepoSibling, file: Path) -> int:
    """The size of a fetched file. Raises DownloadError if it is not there or not the right one."""
    # Where the hub vanishes in between, its library is content with what is there.
    if not file.is_file():
        raise DownloadError(
            f"{sibling.rfilename} of {repository} cannot be fetched. Check the network and "
            "HTTPS_PROXY; the same command resumes the download"
        )
    fault = _fault(file, sibling)
    if fault is not None:
        file.unlink()
        raise DownloadError(f"{sibling.rfilename} of {repository} {fault}; it was thrown away")
    return file.stat().st_size


def _fault(file: Path, sibling: RepoSibling) -> str | None:
    """What is wrong with a fetched file; the hub knows hashes of its large files only."""
    found_bytes, wanted_bytes = file.stat().st_size, sibling.size
    if wanted_bytes is not None and found_bytes != wanted_bytes:
        return f"has {found_bytes:,} bytes where the right file has {wanted_bytes:,}"
    wanted = sibling.lfs.sha256 if sibling.lfs is not None else None
    if wanted is not None and (found := sha256_of(file)) != wanted:
        return f"has SHA-256 {found} where the right file has {wanted}"
    return None
