"""Who works events off, how far they are, and what they could not digest."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query

from api import problems
from api.dependencies import Services, ServicesDep, TenantDep
from api.paging import PageDep
from api.schemas import DeadLetterOut, DeadLetterPage, LagOut, PartitionOut, RetryIn, ShortText, SubscriptionOut
from resources.errors import InvalidInputError
from resources.events.catalog import CATALOG
from resources.events.subscriptions.model import (
    DeadLetter,
    LetterStatus,
    SubscriptionStatus,
    unknown_letter,
    unknown_subscription,
)

router = APIRouter(prefix="/subscriptions", tags=["subscriptions"])

Name = Annotated[ShortText, Path(description="Name of the subscription")]
Letter = Annotated[int, Path(ge=1, lt=2**63, description="Id of the dead letter")]


@router.get("", summary="List subscriptions", responses=problems.responses(400, 422, 503))
def list_subscriptions(services: ServicesDep, tenant: TenantDep, page: PageDep) -> list[SubscriptionOut]:
    """All that the tenant shares in, with their lag."""
    found = [status for status in services.subscriptions.list() if status.subscription.tenant in {None, tenant}]
    return [_out(services, status) for status in page.of(found, lambda status: (status.subscription.name,))]


@router.get("/{name}", summary="Show a subscription", responses=problems.responses(404, 422, 503))
def show_subscription(name: Name, services: ServicesDep, tenant: TenantDep) -> SubscriptionOut:
    """Where a subscription stands, partition by partition."""
    return _out(services, _status(services, name, tenant))


@router.post("/{name}/pause", summary="Pause a subscription", responses=problems.responses(404, 422, 503))
def pause_subscription(name: Name, services: ServicesDep, tenant: TenantDep) -> SubscriptionOut:
    """Deliver nothing more, once the event at hand is done. Pausing twice is pausing."""
    _status(services, name, tenant)
    services.subscriptions.pause(name)
    return _out(services, _status(services, name, tenant))


@router.post("/{name}/resume", summary="Resume a subscription", responses=problems.responses(404, 422, 503))
def resume_subscription(name: Name, services: ServicesDep, tenant: TenantDep) -> SubscriptionOut:
    """Go on where it stopped."""
    _status(services, name, tenant)
    services.subscriptions.resume(name)
    return _out(services, _status(services, name, tenant))


@router.get("/{name}/dead-letters", summary="List dead letters", responses=problems.responses(404, 422, 503))
def list_dead_letters(
    name: Name,
    services: ServicesDep,
    tenant: TenantDep,
    status: Annotated[LetterStatus | None, Query(description="Only letters that stand there")] = None,
    after: Annotated[int, Query(ge=0, lt=2**63, description="Only ids above this one")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> DeadLetterPage:
    """Events that the subscription gave up on, and those that were handed to it out of turn."""
    _status(services, name, tenant)
    found = services.subscriptions.dead_letters(name, status=status, after=after, limit=limit + 1, tenant=tenant)
    page = found[:limit]
    return DeadLetterPage(
        dead_letters=[_letter_out(letter) for letter in page],
        next_after=page[-1].id if len(found) > limit else None,
    )


@router.get(
    "/{name}/dead-letters/{letter_id}", summary="Show a dead letter", responses=problems.responses(404, 422, 503)
)
def show_dead_letter(name: Name, letter_id: Letter, services: ServicesDep, tenant: TenantDep) -> DeadLetterOut:
    """One dead letter."""
    return _letter_out(_letter(services, name, letter_id, tenant))


@router.post(
    "/{name}/dead-letters/{letter_id}/retry",
    status_code=HTTPStatus.ACCEPTED,
    summary="Try a dead letter again",
    responses=problems.responses(404, 409, 422, 503),
)
def retry_dead_letter(
    name: Name, letter_id: Letter, services: ServicesDep, tenant: TenantDep, body: RetryIn | None = None
) -> DeadLetterOut:
    """Ask for one more try, with other data if some is given. A worker of the subscription makes it."""
    letter = _letter(services, name, letter_id, tenant)
    edited = None
    if body is not None and body.data is not None:
        _, edited, wrong = CATALOG.validate(letter.type, None, body.data)
        if wrong:
            raise InvalidInputError(
                f"The data is not that of a {letter.type!r}: {'; '.join(map(str, wrong))}.",
                code="event_invalid",
                problems=wrong,
            )
    services.subscriptions.retry(letter_id, data=edited)
    return _letter_out(_letter(services, name, letter_id, tenant))


@router.post(
    "/{name}/dead-letters/{letter_id}/discard",
    summary="Give a dead letter up",
    responses=problems.responses(404, 409, 422, 503),
)
def discard_dead_letter(name: Name, letter_id: Letter, services: ServicesDep, tenant: TenantDep) -> DeadLetterOut:
    """Give it up for good. The event itself stays in its stream."""
    _letter(services, name, letter_id, tenant)
    services.subscriptions.discard(letter_id)
    return _letter_out(_letter(services, name, letter_id, tenant))


def _status(services: Services, name: str, tenant: str) -> SubscriptionStatus:
    status = services.subscriptions.status(name)
    if status.subscription.tenant not in {None, tenant}:
        raise unknown_subscription(name)
    return status


def _letter(services: Services, name: str, letter_id: int, tenant: str) -> DeadLetter:
    _status(services, name, tenant)
    found = services.subscriptions.dead_letters(name, after=letter_id - 1, limit=1, tenant=tenant)
    if not found or found[0].id != letter_id:
        raise unknown_letter(letter_id)
    return found[0]


def _out(services: Services, status: SubscriptionStatus) -> SubscriptionOut:
    subscription = status.subscription
    lag = services.subscriptions.lag(subscription.name, now=datetime.now(UTC))
    return SubscriptionOut(
        name=subscription.name,
        types=None if subscription.types is None else list(subscription.types),
        stream_type=subscription.stream_type,
        paused=status.paused,
        position=status.position,
        lag=LagOut.model_validate(lag),
        dead_letters=status.dead_letters,
        partitions=[PartitionOut.model_validate(partition) for partition in status.partitions],
    )


def _letter_out(letter: DeadLetter) -> DeadLetterOut:
    fields = {name: getattr(letter, name) for name in DeadLetterOut.model_fields}
    return DeadLetterOut.model_validate(fields | {"stream": str(letter.stream)})
