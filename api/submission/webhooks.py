"""Whether a job may tell somebody else's server how it stands."""

from api.settings import ApiSettings
from api.web.errors import invalid_field
from jobs.errors import WebhookUrlRefused
from jobs.record.request import SongOptions
from jobs.webhooks.urls import parse_target


def check_webhook(settings: ApiSettings, body: SongOptions) -> None:
    """Raises InvalidRequest for a URL that webhooks may not be sent to, or any while they are off.

    What its name leads to is looked up when something is sent, each time anew.
    """
    if body.webhook_url is None:
        return
    if not settings.sends_webhooks:
        raise _refusal("webhooks are disabled on this service: omit this field")
    try:
        parse_target(body.webhook_url, settings.webhook_allowed_hosts)
    except WebhookUrlRefused as error:
        raise _refusal(f"this URL {error}") from error


def _refusal(sentence: str) -> Exception:
    return invalid_field("body", ["webhook_url"], sentence)
