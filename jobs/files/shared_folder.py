"""The data folder and the record store belong together: a token that both of them know.

A worker with a data folder of its own would finish jobs whose files the API never finds. So every
process compares the token in its folder with the one in the store before it takes part.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from jobs.errors import DataFolderMismatch, StoreUnavailable
from jobs.files.private_folder import make_private_folder
from jobs.store.connection import connect, errors_as_store_unavailable

TOKEN_FILE_NAME = "folder-token"
STORE_KEY = "jukebox:data_folder"
_NUM_TOKEN_BYTES = 16

_PRIVATE_FOLDERS = ("artifacts", "assets")
"""Earlier releases made them readable for everybody."""


class SharedFolder:
    """The data folder of one process; `check` asks the store until it has agreed once."""

    def __init__(self, data_dir: Path, redis_url: str) -> None:
        self._path = data_dir.absolute() / TOKEN_FILE_NAME
        self._redis_url = redis_url
        self._is_confirmed = False

    def check(self) -> None:
        """Make sure that this is the folder which the store's other processes use.

        The first process to come gives folder and store their token. A store without a token, new
        or restored, takes that of the folder; a folder without one never takes the store's, since
        it may be the private folder of a machine that was meant to share.

        Raises:
            DataFolderMismatch: it is another folder; the message says how to mend it.
            StoreUnavailable: the store cannot be asked now.
            OSError: the folder cannot be read or written.
        """
        if self._is_confirmed:
            return
        with connect(self._redis_url) as client, errors_as_store_unavailable():
            known = client.get(STORE_KEY)
            own = self._read()
            if own is None and known is None:
                own = self._create()
            if known is None and own is not None:
                client.set(STORE_KEY, own, nx=True)
                known = client.get(STORE_KEY)
        if known is None:
            raise StoreUnavailable("the job store lost the token of the data folder at once")
        if own != known:
            raise DataFolderMismatch(self._sentence(own, str(known)))
        for name in _PRIVATE_FOLDERS:
            if (self._path.parent / name).is_dir():
                make_private_folder(self._path.parent / name)
        self._is_confirmed = True

    def _read(self) -> str | None:
        with suppress(FileNotFoundError):
            return self._path.read_text(encoding="ascii", errors="replace").strip()
        return None

    def _create(self) -> str:
        """Write a new token unless another process was faster; returns the one that is there."""
        self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        token = secrets.token_hex(_NUM_TOKEN_BYTES)
        unfinished = self._path.with_name(f".{TOKEN_FILE_NAME}-{token}")
        try:
            with unfinished.open("x", encoding="ascii") as file:
                file.write(f"{token}\n")
                file.flush()
                os.fsync(file.fileno())
            # A link, unlike a rename, never replaces a file that is there.
            with suppress(FileExistsError):
                os.link(unfinished, self._path)
        finally:
            unfinished.unlink(missing_ok=True)
        return self._read() or token

    def _sentence(self, own: str | None, known: str) -> str:
        found = "has no token" if own is None else "belongs to another job store"
        return (
            f"JUKEBOX_DATA_DIR={self._path.parent} {found}, and the job store at REDIS_URL is used "
            "with another data folder. The API and all workers must share one folder: mount the "
            "same one everywhere. If this is the right folder (it was restored from a backup, or "
            f"replaces one that is lost), write {known} into {self._path} and start again; if the "
            f"store is the wrong one, correct REDIS_URL"
        )
