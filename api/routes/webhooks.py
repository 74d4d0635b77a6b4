"""Webhooks: the signing secret, and the messages."""

from http import HTTPStatus

from fastapi import APIRouter

from api.dependencies import ServicesDep
from api.views.openapi import problems
from api.views.service_schemas import WebhookBody, WebhookSecretView
from api.web.callers import CallerDep
from api.web.errors import ApiError
from jobs.webhooks.signing import WebhookSecrets

router = APIRouter(tags=["webhooks"])
messages = APIRouter(tags=["webhooks"])
"""The messages that the service sends, for the OpenAPI document; never called."""


@router.get(
    "/webhooks/secret",
    operation_id="getWebhookSecret",
    summary="Get the webhook secret",
    responses=problems(404),
)
def get_webhook_secret(services: ServicesDep, caller: CallerDep) -> WebhookSecretView:
    """Returns the secret of this API key, for any Standard Webhooks library.

    It signs all messages about jobs created with this key. After a rotation, messages have two
    signatures, made with the new and the previous secret.
    """
    if not services.settings.sends_webhooks:
        detail = "Webhooks are disabled. The operator can enable them with JUKEBOX_WEBHOOKS=on."
        raise ApiError(HTTPStatus.NOT_FOUND, "webhooks_off", detail)
    newest, *older = WebhookSecrets(services.settings.data_dir).of(caller.owner)
    return WebhookSecretView(secret=newest, previous_secret=older[0] if older else None)


@messages.post(
    "job",
    operation_id="receiveWebhook",
    summary="Message to a job's webhook_url",
    status_code=HTTPStatus.NO_CONTENT,
    response_description="Acknowledged, as by any status from 200 to 299",
    responses={
        410: {"description": "Stop all messages of this job"},
        "default": {"description": "A failure: delivery is retried"},
    },
)
def receive_webhook(body: WebhookBody) -> None:
    """Signed in the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`.

    Delivery is at least once: duplicates have the same `webhook-id`. Messages can arrive out of
    order.
    """
