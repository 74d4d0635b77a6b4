"""The data folder and the record store belong together: a token that both of them know.

A worker with a data folder of its own would finish jobs whose files the API never finds. So every
process compares the token in its folder with the one in the store before it takes part.
"""

import secrets
from pathlib import Path

from jobs.errors import DataFolderMismatch, StoreUnavailable
from jobs.files.documents import open_documents
from jobs.files.private_folder import make_private_folder
from jobs.store.connection import connect, errors_as_store_unavailable
from jukebox_core.buckets import Place

TOKEN_FILE_NAME = "folder-token"
STORE_KEY = "jukebox:data_folder"
_NUM_TOKEN_BYTES = 16

_PRIVATE_FOLDERS = ("artifacts", "assets")
"""Earlier releases made them readable for everybody."""


class SharedFolder:
    """The data folder of one process; `check` asks the store until it has agreed once."""

    def __init__(self, data_dir: Place, redis_url: str) -> None:
        self._place = data_dir.absolute() if isinstance(data_dir, Path) else data_dir
        self._documents = open_documents(self._place)
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
            folder = self._place / name
            if isinstance(folder, Path) and folder.is_dir():
                make_private_folder(folder)
        self._is_confirmed = True

    def _read(self) -> str | None:
        content = self._documents.read(TOKEN_FILE_NAME)
        return content.decode("ascii", "replace").strip() if content is not None else None

    def _create(self) -> str:
        """Write a new token unless another process was faster; returns the one that is there."""
        token = secrets.token_hex(_NUM_TOKEN_BYTES)
        self._documents.create(TOKEN_FILE_NAME, f"{token}\n".encode("ascii"))
        return self._read() or token

    def _sentence(self, own: str | None, known: str) -> str:
        found = "has no token" if own is None else "belongs to another job store"
        return (
            f"JUKEBOX_DATA_DIR={self._place} {found}, and the job store at REDIS_URL is used "
            "with another data folder. The API and all workers must share one folder: mount the "
            "same one everywhere. If this is the right folder (it was restored from a backup, or "
            f"replaces one that is lost), write {known} into {self._place / TOKEN_FILE_NAME} and "
            "start again; if the store is the wrong one, correct REDIS_URL"
        )
