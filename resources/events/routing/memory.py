"""Routing rules in this process's memory."""

from __future__ import annotations

import threading
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from resources.errors import NotFoundError
from resources.events import envelope
from resources.events.model import DEFAULT_TENANT
from resources.events.routing.model import StoredRule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resources.events.routing.model import Rule


class MemoryRules:
    """All promises of the port but durability."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: dict[tuple[str, str], list[StoredRule]] = defaultdict(list)

    def save(
        self,
        rule: Rule,
        *,
        enabled: bool = True,
        changed_by: str | None = None,
        unless: Callable[[StoredRule | None], None] | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> StoredRule:
        envelope.check_tenant(tenant)
        with self._lock:
            versions = self._rules[tenant, rule.name]
            if unless is not None:
                unless(versions[-1] if versions else None)
            if versions and (versions[-1].rule, versions[-1].enabled) == (rule, enabled):
                return versions[-1]
            versions.append(StoredRule(tenant, len(versions) + 1, enabled, rule, changed_by, datetime.now(UTC)))
            return versions[-1]

    def get(self, name: str, *, version: int | None = None, tenant: str = DEFAULT_TENANT) -> StoredRule:
        for stored in self.versions(name, tenant=tenant):
            if version in {None, stored.version}:
                return stored
        raise NotFoundError(f"There is no version {version} of the rule {name!r}.")

    def versions(self, name: str, *, tenant: str = DEFAULT_TENANT) -> Sequence[StoredRule]:
        with self._lock:
            found = self._rules.get((tenant, name))
        if not found:
            raise NotFoundError(f"There is no rule {name!r}.")
        return found[::-1]

    def list(self, *, tenant: str | None = DEFAULT_TENANT) -> Sequence[StoredRule]:
        with self._lock:
            newest = [versions[-1] for _, versions in sorted(self._rules.items()) if versions]
        return [stored for stored in newest if tenant in {None, stored.tenant}]

    def history(self) -> Sequence[StoredRule]:
        with self._lock:
            return [stored for _, versions in sorted(self._rules.items()) for stored in versions]
