"""`python -m jobs.webhooks`: one process that sends webhooks. Any number may run."""

import asyncio
import logging
import signal
import sys

from jobs.errors import DataFolderMismatch, StoreUnavailable
from jobs.files.shared_folder import SharedFolder
from jobs.logs import configure_logging
from jobs.setting_groups import InvalidSettings
from jobs.webhooks.dispatcher import Dispatcher
from jobs.webhooks.outbox import RedisWebhookOutbox
from jobs.webhooks.sender import Sender, SystemResolver
from jobs.webhooks.settings import WebhookSettings
from jobs.webhooks.signing import WebhookSecrets

_SPARE_LEASE_SEC = 45.0
"""For writing down what became of an attempt, also while the store is away for a moment."""


async def serve(settings: WebhookSettings) -> None:
    """Send webhooks until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stopping.set)
    outbox = RedisWebhookOutbox(settings.redis_url)
    sender = Sender(
        WebhookSecrets(settings.data_dir),
        SystemResolver(2 * settings.webhook_concurrency),
        allowed_hosts=settings.webhook_allowed_hosts,
        public_url=settings.public_url,
        timeout_sec=settings.webhook_timeout_sec,
    )
    dispatcher = Dispatcher(
        outbox,
        sender,
        concurrency=settings.webhook_concurrency,
        retries_after_sec=settings.webhook_retries_sec,
        lease_sec=settings.webhook_timeout_sec + _SPARE_LEASE_SEC,
        health_file=settings.health_file,
    )
    try:
        await dispatcher.run(stopping)
    finally:
        outbox.close()


def main() -> int:
    """Exit status 2 when the environment asks for what cannot be."""
    try:
        settings = WebhookSettings.from_environment()
    except InvalidSettings as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging(settings.log_format, settings.log_level)
    try:
        # The secrets that messages are signed with lie in the folder, and the API shows them.
        SharedFolder(settings.data_dir, settings.redis_url).check()
    except (DataFolderMismatch, OSError) as error:
        sys.stderr.write(f"Webhooks cannot be sent. {error}\n")
        return 2
    except StoreUnavailable as error:
        logging.getLogger(__name__).warning("the data folder is not confirmed: %s", error)
    asyncio.run(serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
