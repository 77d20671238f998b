"""Webhooks: deliveries from elsewhere start workflows, if they are signed."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request

from api import problems
from api.dependencies import ServicesDep
from api.workflows.schemas import HookOut
from resources.errors import InvalidInputError, NotFoundError, UnauthenticatedError
from resources.workflows.triggers import webhook_starts
from resources.workflows.webhooks import verify

router = APIRouter(prefix="/hooks", tags=["workflows"])

_SHOWN = ("content-type", "user-agent", "webhook-id", "webhook-timestamp", "x-github-event", "x-event-type")


async def _raw(request: Request) -> bytes:
    return await request.body()


@router.post(
    "/{name}",
    status_code=HTTPStatus.ACCEPTED,
    summary="Deliver to a webhook",
    responses=problems.responses(400, 401, 404, 413, 503),
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": {}}}}},
)
def deliver(
    name: Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="Name of the webhook")],
    content: Annotated[bytes, Depends(_raw)],
    services: ServicesDep,
    request: Request,
    tenant: Annotated[str | None, Query(max_length=63, description="Whose webhook; unset = the platform's own")] = None,
) -> HookOut:
    """Start what waits for it. Signed as https://www.standardwebhooks.com says, with the tenant's secret `webhook-NAME`.

    A delivery that comes again starts nothing anew, and has the same answer.
    """
    tenant = tenant or str(request.app.state.tenant)
    secret = services.identity.administration.provider_key(f"webhook-{name}", tenant=tenant)
    if secret is None:  # not told apart from a wrong signature
        raise UnauthenticatedError(
            "The delivery is refused: its signature is not that of the secret.", code="signature_invalid"
        )
    headers = {key.lower(): value for key, value in request.headers.items()}
    delivery = verify(content, headers, secret=secret, now=time.time())
    try:
        body = orjson.loads(content) if content else None
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(f"The body is not valid JSON: {error}.", code="malformed_json") from error
    shown = {key: headers[key] for key in _SHOWN if key in headers}
    starts = [
        start
        for published in services.workflows.definitions.list(tenant)
        for start in webhook_starts(published, name, delivery=delivery, body=body, headers=shown)
    ]
    if not starts:
        raise NotFoundError(f"No workflow waits for the webhook {name!r}.", code="webhook_not_found", name=name)
    return HookOut(delivery_id=delivery, run_ids=[services.launches.start(start) for start in starts])
