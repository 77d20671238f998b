"""The port of routing rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from resources.events.model import DEFAULT_TENANT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resources.events.routing.model import Rule, StoredRule


class RuleStore(Protocol):
    """Rules with all their versions. Every verb raises UnavailableError."""

    def save(
        self,
        rule: Rule,
        *,
        enabled: bool = True,
        changed_by: str | None = None,
        unless: Callable[[StoredRule | None], None] | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> StoredRule:
        """A new version of the rule; the stored one, when nothing would change.

        Unless `unless` raises for the newest version (None when there is none): nobody saves in between.
        """

    def get(self, name: str, *, version: int | None = None, tenant: str = DEFAULT_TENANT) -> StoredRule:
        """One version, or the newest. Raises NotFoundError."""

    def versions(self, name: str, *, tenant: str = DEFAULT_TENANT) -> Sequence[StoredRule]:
        """All versions, newest first. Raises NotFoundError."""

    def list(self, *, tenant: str | None = DEFAULT_TENANT) -> Sequence[StoredRule]:
        """The newest version of each rule, enabled or not. `tenant=None` lists all tenants', for the platform's own work."""

    def history(self) -> Sequence[StoredRule]:
        """Every version of every tenant's rules, oldest first: for the platform's own work."""
