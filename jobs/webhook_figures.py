"""Reading how webhooks fare, for `/metrics`."""

from typing import cast

import redis

from jobs.lua import KEY_PREFIX
from jobs.webhooks.messages import Outcome, WebhookFigures


def read_figures(connection: redis.Redis) -> WebhookFigures:
    """The figures now. Raises what redis-py raises."""
    found = cast(dict[str, str], connection.hgetall(f"{KEY_PREFIX}webhook_deliveries"))
    return WebhookFigures(
        pending=int(connection.zcard(f"{KEY_PREFIX}webhooks")),
        attempts={outcome: int(found.get(outcome, 0)) for outcome in Outcome},
    )
