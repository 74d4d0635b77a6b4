"""`python -m api`: the HTTP service as a process, configured by its environment."""

import asyncio
import logging
import socket
from contextlib import suppress
from types import FrameType

import uvicorn

from api.access.origins import is_loopback
from api.settings import ApiSettings
from api.web.connections import (
    MAX_HEAD_BYTES,
    AcceptComplaints,
    TooFewDescriptors,
    guarded_protocol,
    plan_connections,
)
from jobs.api_keys import ApiKeyFile
from jobs.errors import ApiKeysUnreadable, DataFolderMismatch, StoreUnavailable
from jobs.files.shared_folder import SharedFolder
from jobs.logs import configure_logging
from jobs.setting_groups import InvalidSettings
from jukebox_core.errors import BucketError

_SHUTDOWN_SEC = 5
"""How long downloads may go on after a stop was asked for."""
_BACKLOG = 512


class _Server(uvicorn.Server):
    """Tells those who wait for events that the end has come, before waiting for them."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        asyncio.get_running_loop().set_exception_handler(AcceptComplaints())
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT came."""
        self._stopping.set()
        super().handle_exit(sig, frame)


def main() -> None:
    """Serve until SIGTERM or SIGINT. Raises SystemExit when the environment is wrong."""
    try:
        settings = ApiSettings.from_environment()
    except InvalidSettings as error:
        raise SystemExit(str(error)) from error
    _refuse_to_stand_open(settings)
    configure_logging(settings.log_format, settings.log_level)
    # Imported only now: it takes a second, and a wrong setting should show at once.
    from api.asgi import build_app

    try:
        max_connections = plan_connections()
        app = build_app(settings)
    except TooFewDescriptors as error:
        raise SystemExit(f"The API cannot start: {error}.") from error
    except InvalidSettings as error:
        raise SystemExit(str(error)) from error
    _check_data_folder(app.state.services.folder)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        server_header=False,
        # The application does that itself, with the prefix of the path.
        proxy_headers=False,
        http=guarded_protocol(max_connections),
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        # One failed accept is reported for each of these places in the queue.
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_SHUTDOWN_SEC,
    )
    server = _Server(config, app.state.services.stopping)
    # After its orderly end the server raises the signal once more, and SIGINT arrives as this.
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit(1)


def _check_data_folder(folder: SharedFolder) -> None:
    """Raises SystemExit when it is another folder than that of the workers, or cannot be used."""
    try:
        folder.check()
    except StoreUnavailable as error:
        # Nothing is written to the folder before the store has been asked.
        logging.getLogger(__name__).warning("the data folder is not confirmed yet: %s", error)
    except BucketError as error:
        if not error.may_pass:
            raise SystemExit(f"The API cannot start. {error}") from error
        logging.getLogger(__name__).warning("the data folder is not confirmed yet: %s", error)
    except (DataFolderMismatch, OSError) as error:
        raise SystemExit(f"The API cannot start. {error}") from error


def _refuse_to_stand_open(settings: ApiSettings) -> None:
    """Raises SystemExit when others reach the service and nobody has a key, or none can be read."""
    try:
        has_keys = bool(ApiKeyFile(settings.data_dir).all_keys())
    except ApiKeysUnreadable as error:
        raise SystemExit(f"The API cannot start: {error}.") from error
    except BucketError as error:
        raise SystemExit(f"{settings.refusal} JUKEBOX_DATA_DIR: {error}") from error
    if not (has_keys or is_loopback(settings.host)):
        raise SystemExit(
            f"The API cannot start. JUKEBOX_HOST={settings.host} lets others in, and there is no "
            f"API key in {settings.data_dir}: make one first with `jukebox keys create NAME "
            f"--data-dir {settings.data_dir}`, or listen on 127.0.0.1."
        )


if __name__ == "__main__":
    main()
