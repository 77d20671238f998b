"""Routing rules: which events start a workflow, go to a subscription, or are published to a topic."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Response

from api import problems
from api.dependencies import Services, ServicesDep, TenantDep
from api.paging import PageDep
from api.preconditions import IfMatch, tag_of, tagged, unless_changed
from api.schemas import DryRunIn, DryRunOut, LagOut, RoutedOut, RouteIn, RouteOut
from resources.errors import InvalidInputError, NotFoundError, PlatformError, Problem
from resources.events.catalog import CATALOG
from resources.events.routing.model import (
    ROUTING,
    Forward,
    Publish,
    Routed,
    Rule,
    StartWorkflow,
    StoredRule,
    expand,
    route,
)
from resources.realtime.topics import check_publishable

router = APIRouter(prefix="/routes", tags=["routes"])

Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_-]{0,99}$", description="Name of the rule")]


@router.get("", summary="List routing rules", responses=problems.responses(400, 422, 503))
def list_routes(services: ServicesDep, tenant: TenantDep, page: PageDep) -> list[RouteOut]:
    """The newest version of each rule, enabled or not, and how many events still wait to be held against it."""
    lag = _lag(services)
    return [
        _out(stored, lag) for stored in page.of(services.rules.list(tenant=tenant), lambda stored: (stored.rule.name,))
    ]


@router.post("/dry-run", summary="Try rules on stored events", responses=problems.responses(404, 422, 503))
def dry_run(body: DryRunIn, services: ServicesDep, tenant: TenantDep) -> DryRunOut:
    """What each rule would do with each event, and why not. Nothing is done. A rule can be tried before it is stored."""
    if body.rule is not None:
        rules = [StoredRule(tenant, 0, True, _rule("dry-run", body.rule), None, datetime.now(UTC))]
    elif body.names is not None:
        found = [services.rules.get(name, tenant=tenant) for name in body.names]
        rules = [msgspec.structs.replace(stored, enabled=True) for stored in found]
    else:
        rules = list(services.rules.list(tenant=tenant))
    events = services.events.read_all(after_position=body.after, limit=body.limit, tenant=tenant)
    routed = [_routed(found) for found in route(events, rules)]
    return DryRunOut(
        events=len(events),
        matched=sum(found.matched for found in routed),
        next_after=events[-1].position if events else body.after,
        routed=routed,
    )


@router.get("/{name}", summary="Show a routing rule", responses=problems.responses(404, 422, 503))
def show_route(
    name: Name,
    services: ServicesDep,
    tenant: TenantDep,
    response: Response,
    version: Annotated[int | None, Query(ge=1, lt=2**31, description="Unset = the newest")] = None,
) -> RouteOut:
    """One version of a rule."""
    stored = services.rules.get(name, version=version, tenant=tenant)
    response.headers["ETag"] = tag_of(_plain(stored))
    return _out(stored, _lag(services))


@router.get("/{name}/versions", summary="List a rule's versions", responses=problems.responses(400, 404, 422, 503))
def list_route_versions(name: Name, services: ServicesDep, tenant: TenantDep, page: PageDep) -> list[RouteOut]:
    """All versions, newest first. None is ever overwritten."""
    found = services.rules.versions(name, tenant=tenant)
    return [_out(stored, None) for stored in page.of(found, lambda stored: (stored.version,), newest=True)]


@router.put(
    "/{name}",
    summary="Store a routing rule",
    responses={
        201: {"model": RouteOut, "description": "The rule is new"},
        **problems.responses(400, 412, 413, 422, 503),
    },
)
def save_route(
    name: Name,
    body: RouteIn,
    services: ServicesDep,
    tenant: TenantDep,
    response: Response,
    if_match: IfMatch = None,
) -> RouteOut:
    """A new rule, or a new version of one; the stored version, when nothing would change.

    It acts on events that are recorded from now on.
    """
    rule = _rule(name, body)
    _require_target(services, rule, tenant)
    unless = unless_changed(if_match, _plain)
    stored = services.rules.save(rule, enabled=body.enabled, unless=unless, tenant=tenant)
    if stored.version == 1:
        response.status_code = HTTPStatus.CREATED
    response.headers["ETag"] = tag_of(_plain(stored))
    return _out(stored, _lag(services))


@router.delete("/{name}", summary="Disable a routing rule", responses=problems.responses(404, 412, 422, 503))
def disable_route(
    name: Name, services: ServicesDep, tenant: TenantDep, response: Response, if_match: IfMatch = None
) -> RouteOut:
    """A new version that does nothing. The rule's history stays, so that it can be told why an event went where it went."""
    stored = services.rules.get(name, tenant=tenant)
    unless = unless_changed(if_match, _plain)
    return tagged(_plain(services.rules.save(stored.rule, enabled=False, unless=unless, tenant=tenant)), response)


def _rule(name: str, body: RouteIn) -> Rule:
    fields = body.model_dump(exclude={"enabled"})
    if _has_nul(fields):
        problem = Problem("body", "holds a NUL character", "leave it out")
        raise InvalidInputError(f"The rule is not valid: {problem}.", code="validation_failed", problems=(problem,))
    expand(body.types, CATALOG.types)
    return Rule.model_validate({"name": name, **fields})


def _require_target(services: Services, rule: Rule, tenant: str) -> None:
    match rule.action:
        case Publish(topic=topic):
            try:
                check_publishable(topic)
            except PlatformError as error:
                problem = Problem("body.action.topic", error.message)
            else:
                return
        case Forward(subscription=name):
            shared = {
                status.subscription.name
                for status in services.subscriptions.list()
                if status.subscription.tenant in {None, tenant} and status.subscription.name != ROUTING
            }
            if name in shared:
                return
            known = f"known: {', '.join(sorted(shared))}" if shared else "none is defined"
            problem = Problem("body.action.subscription", f"there is no subscription {name!r}", known)
        case _:
            return
    raise InvalidInputError(f"The rule leads nowhere: {problem}.", code="validation_failed", problems=(problem,))


def _routed(found: Routed) -> RoutedOut:
    action: StartWorkflow | Forward | Publish | None = found.rule.rule.action if found.matched else None
    reason = found.reason
    if isinstance(action, StartWorkflow):
        try:
            run_config, partition = action.filled_in(found.event)
            action = action.model_copy(update={"run_config": run_config, "partition": partition})
        except InvalidInputError as error:
            action, reason = None, error.message
    return RoutedOut(
        position=found.event.position,
        type=found.event.type,
        stream=str(found.event.stream),
        rule=found.rule.rule.name,
        matched=action is not None,
        reason=reason,
        action=action,
    )


def _lag(services: Services) -> LagOut | None:
    """How far the sensor that applies the rules is behind; None before it ran for the first time."""
    try:
        return LagOut.model_validate(services.subscriptions.lag(ROUTING, now=datetime.now(UTC)))
    except NotFoundError:
        return None


def _plain(stored: StoredRule) -> RouteOut:
    """The rule alone, without how far its application is."""
    return _out(stored, None)


def _out(stored: StoredRule, lag: LagOut | None) -> RouteOut:
    rule = stored.rule
    return RouteOut(
        name=rule.name,
        version=stored.version,
        enabled=stored.enabled,
        types=list(rule.types),
        stream_types=list(rule.stream_types),
        conditions=list(rule.conditions),
        action=rule.action,
        changed_by=stored.changed_by,
        changed_at=stored.changed_at,
        lag=lag,
    )


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(item) for pair in value.items() for item in pair)
    if isinstance(value, list | tuple):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\x00" in value
