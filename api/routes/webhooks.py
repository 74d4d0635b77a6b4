"""Webhooks: what a receiver needs to believe them."""

from http import HTTPStatus

from fastapi import APIRouter

from api.dependencies import ServicesDep
from api.views.openapi import problems
from api.views.schemas import WebhookBody, WebhookSecretView
from api.web.callers import CallerDep
from api.web.errors import ApiError
from jobs.webhooks.signing import WebhookSecrets

router = APIRouter(tags=["webhooks"])
messages = APIRouter(tags=["webhooks"])
"""What this service sends, for the OpenAPI document; nothing here is ever called."""


@router.get(
    "/webhooks/secret",
    operation_id="getWebhookSecret",
    summary="What signs my webhooks",
    responses=problems(404),
)
def get_webhook_secret(services: ServicesDep, caller: CallerDep) -> WebhookSecretView:
    """The secret of this API key, for any library that speaks Standard Webhooks.

    Every message about a job that this key asked for is signed with it. While a secret is being
    changed, messages carry two signatures, of the new one and of the one before.
    """
    if not services.settings.sends_webhooks:
        detail = "This service sends no webhooks; whoever runs it could turn them on."
        raise ApiError(HTTPStatus.NOT_FOUND, "webhooks_off", detail)
    newest, *older = WebhookSecrets(services.settings.data_dir).of(caller.owner)
    return WebhookSecretView(secret=newest, previous_secret=older[0] if older else None)


@messages.post(
    "job",
    operation_id="receiveWebhook",
    summary="What a job's webhook_url is sent",
    status_code=HTTPStatus.NO_CONTENT,
    response_description="Taken, as with any status from 200 to 299",
    responses={
        410: {"description": "No more of this job, please"},
        "default": {"description": "A failure: it is sent again later"},
    },
)
def receive_webhook(body: WebhookBody) -> None:
    """Signed in the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`.

    It may come more than once, with the same `webhook-id`, and not in order.
    """
