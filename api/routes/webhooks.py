"""Webhooks: what a receiver needs to believe them."""

from http import HTTPStatus

from fastapi import APIRouter

from api.callers import CallerDep
from api.dependencies import ServicesDep
from api.errors import ApiError
from api.openapi import problems
from api.schemas import WebhookSecretView
from jobs.webhook_secrets import WebhookSecrets

router = APIRouter(tags=["webhooks"])


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
