"""`python -m api`: the HTTP service as a process, configured by its environment."""

import uvicorn

from api.asgi import build_app
from api.settings import InvalidSettings, read_settings
from jobs.telemetry import configure_logging

_SHUTDOWN_SEC = 3
"""How long open event streams may live on after a stop was asked for; clients come back."""


def main() -> None:
    """Serve until SIGTERM or SIGINT. Raises SystemExit when the environment is wrong."""
    try:
        settings = read_settings()
    except InvalidSettings as error:
        raise SystemExit(str(error)) from error
    configure_logging(settings.log_format, settings.log_level)
    uvicorn.run(
        build_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SEC,
    )


if __name__ == "__main__":
    main()
