"""Who may do what: the explicit table of roles and their scopes. Pure; the one place to look when asked "may they?".

A scope is an action (`read`) or one narrowed to an area (`read:documents`). Whoever holds the action holds it in every area,
so roles are told in actions and API keys can be as narrow as their owner likes. An admin of the platform's own tenant also
administers the platform: other tenants, and what all tenants share (projections, subscriptions, replays).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from resources.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


class Role(StrEnum):
    """What somebody is within a tenant."""

    ADMIN = "admin"
    OPERATOR = "operator"
    MEMBER = "member"
    VIEWER = "viewer"
    AGENT = "agent"
    SERVICE = "service"


class Action(StrEnum):
    """What can be permitted."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    EXECUTE = "execute"
    SUBSCRIBE = "subscribe"
    BROADCAST = "broadcast"
    MODERATE = "moderate"
    OPERATE = "operate"
    MANAGE = "manage"
    SYSTEM_READ = "system_read"
    SYSTEM_OPERATE = "system_operate"
    SYSTEM_ADMIN = "system_admin"


_VIEW = frozenset({Action.READ, Action.SUBSCRIBE})
_WORK = _VIEW | {Action.WRITE, Action.EXECUTE}
_OPERATE = _WORK | {Action.DELETE, Action.BROADCAST, Action.MODERATE, Action.OPERATE}

ROLES: dict[Role, frozenset[Action]] = {
    Role.ADMIN: _OPERATE | {Action.MANAGE},
    Role.OPERATOR: _OPERATE,
    Role.MEMBER: _WORK,
    Role.VIEWER: _VIEW,
    Role.AGENT: _WORK | {Action.BROADCAST},
    Role.SERVICE: _WORK | {Action.BROADCAST},
}
# What a role may do besides, in the platform's own tenant.
AT_HOME: dict[Role, frozenset[Action]] = {
    Role.ADMIN: frozenset({Action.SYSTEM_READ, Action.SYSTEM_OPERATE, Action.SYSTEM_ADMIN}),
    Role.OPERATOR: frozenset({Action.SYSTEM_READ, Action.SYSTEM_OPERATE}),
}

_SCOPE = re.compile(r"([a-z_]+)(?::([a-z][a-z0-9_-]{0,62}))?")


def scopes_of(role: Role, *, at_home: bool) -> frozenset[str]:
    """All that the role may do; `at_home` in the platform's own tenant."""
    granted = ROLES[role] | (AT_HOME.get(role, frozenset()) if at_home else frozenset())
    return frozenset(map(str, granted))


def allows(granted: Collection[str], scope: str) -> bool:
    """Whether `granted` holds `scope`, itself or as the action in every area."""
    return scope in granted or scope.partition(":")[0] in granted


def narrowed(granted: frozenset[str], wanted: Iterable[str]) -> frozenset[str]:
    """Those of the wanted scopes that are granted: what somebody may hand on."""
    return frozenset(scope for scope in wanted if allows(granted, scope))


def check_scopes(wanted: Iterable[str], *, path: str = "scopes") -> frozenset[str]:
    """The scopes, well-formed. Raises InvalidInputError with every one that is not."""
    scopes = frozenset(wanted)
    wrong = tuple(
        Problem(path, f"{scope!r} is no scope", f"ACTION or ACTION:AREA; actions: {', '.join(Action)}")
        for scope in sorted(scopes)
        if not (match := _SCOPE.fullmatch(scope)) or match[1] not in set(Action)
    )
    if wrong:
        raise InvalidInputError(f"The scopes are not valid: {wrong[0]}.", code="validation_failed", problems=wrong)
    return scopes
