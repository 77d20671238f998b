"""Tenants: made, changed, erased."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from resources.errors import ConflictError, InvalidInputError, NotFoundError, Problem
from resources.events import catalog
from resources.events.model import StreamId
from resources.tenants.administering.common import Office, check
from resources.tenants.model import Limits, Status, Tenant
from resources.tenants.schemas.store import MOST_LETTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resources.tenants.model import Principal

_TENANT_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class TenantOffice(Office):
    """Tenants."""

    def ensure_home(self) -> Tenant:
        """The platform's own tenant, created if there is none yet: who logs in from this machine is one of it."""
        try:
            return self._accounts.tenant(self._home)
        except NotFoundError:
            with suppress(ConflictError):  # another process was quicker
                return self.create_tenant(self._home, actor=None)
        return self._accounts.tenant(self._home)

    def create_tenant(
        self,
        tenant_id: str,
        *,
        name: str | None = None,
        limits: Limits | None = None,
        own_schema: bool = False,
        actor: Principal | None,
    ) -> Tenant:
        """With an `own_schema` its content is kept apart from the others'.

        Raises InvalidInputError, ConflictError (`tenant_exists`, `tenant_has_rows`).
        """
        check(_TENANT_ID, tenant_id, "tenant", "lower case letters, digits, - and _, 63 at most")
        tenant = Tenant(
            tenant_id, name or tenant_id, datetime.now(UTC), limits=limits or Limits(), own_schema=own_schema
        )
        if own_schema:
            self._make_schema(tenant_id)
        with self._together():
            self._accounts.create_tenant(tenant)
            self._limit_spending(tenant, before=Limits())
            fact = catalog.TenantCreated(tenant_id=tenant.id, name=tenant.name)
            self._audit.record(StreamId("tenant", tenant.id), fact, tenant=tenant.id, actor=actor)
        return tenant

    def tenant(self, tenant_id: str) -> Tenant:
        """Raises NotFoundError."""
        return self._accounts.tenant(tenant_id)

    def tenants(self) -> Sequence[Tenant]:
        """All there are."""
        return self._accounts.tenants()

    def change_tenant(
        self,
        tenant_id: str,
        *,
        name: str | None = None,
        status: Status | None = None,
        limits: Limits | None = None,
        unless: Callable[[Tenant], None] | None = None,
        actor: Principal | None,
    ) -> Tenant:
        """Change what is given, unless `unless` raises for how the tenant is before.

        Raises NotFoundError, ConflictError for suspending the platform's own tenant, and for one that was erased.
        """
        with self._together():
            old = self._accounts.tenant(tenant_id, lock=True)
            if unless is not None:
                unless(old)
            if old.erased_at is not None:
                raise ConflictError(f"{tenant_id!r} was erased.", code="tenant_erased")
            if status is Status.SUSPENDED and tenant_id == self._home:
                raise ConflictError("The platform's own tenant cannot be suspended.", code="tenant_is_home")
            changed = replace(old, name=name or old.name, status=status or old.status, limits=limits or old.limits)
            self._accounts.save_tenant(changed)
            self._limit_spending(changed, before=old.limits)
            fact = catalog.TenantChanged(
                tenant_id=changed.id, name=changed.name, status=changed.status, limits=changed.limits.as_json()
            )
            self._audit.record(StreamId("tenant", changed.id), fact, tenant=changed.id, actor=actor)
        return changed

    def erase_tenant(
        self, tenant_id: str, *, unless: Callable[[Tenant], None] | None = None, actor: Principal | None
    ) -> Tenant:
        """Remove all that it has but its events, for good. Its id is never given again.

        Only of a suspended tenant that lives apart; its runs must have ended. May be repeated where it was interrupted.
        Not when `unless` raises for how the tenant is.
        Raises NotFoundError, ConflictError (`tenant_not_apart`, `tenant_active`).
        """
        with self._together():  # nobody lets it act again in between
            self._check_erasable(self._accounts.tenant(tenant_id, lock=True), unless)
            self._forget(tenant_id)
            self._schemas.drop(tenant_id)
            erased = self._accounts.erase_tenant(tenant_id, now=datetime.now(UTC))
            fact = catalog.TenantErased(tenant_id=tenant_id)
            self._audit.record(StreamId("tenant", tenant_id), fact, tenant=tenant_id, actor=actor)
        return erased

    def _check_erasable(self, tenant: Tenant, unless: Callable[[Tenant], None] | None) -> None:
        if unless is not None:
            unless(tenant)
        if not tenant.own_schema:
            message = f"{tenant.id!r} shares the tables of the others, and can only be suspended."
            raise ConflictError(message, code="tenant_not_apart")
        if tenant.status is not Status.SUSPENDED:
            raise ConflictError(f"Suspend {tenant.id!r} first.", code="tenant_active")

    def _make_schema(self, tenant_id: str) -> None:
        """Before there is the tenant: tables cannot be attached within the transaction that creates it."""
        if len(tenant_id) > MOST_LETTERS:
            found = Problem("tenant", f"{tenant_id!r} is too long for a schema", f"{MOST_LETTERS} letters at most")
            raise InvalidInputError(f"It is not valid: {found}.", code="validation_failed", problems=(found,))
        with suppress(NotFoundError):
            self._accounts.tenant(tenant_id)
            raise ConflictError(f"There is a tenant {tenant_id!r} already.", code="tenant_exists")
        self._schemas.make(tenant_id)

    def _limit_spending(self, tenant: Tenant, *, before: Limits) -> None:
        if tenant.limits.usd_per_month != before.usd_per_month:
            self._spending(tenant.id, tenant.limits.usd_per_month)
