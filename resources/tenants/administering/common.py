"""What all parts of the administration have: the stores, and whom the changes are told."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from resources.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    import re
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from decimal import Decimal

    from resources.tenants.audit import Audit
    from resources.tenants.passwords import Passwords
    from resources.tenants.schemas.store import TenantSchemas
    from resources.tenants.store import AccountStore, CredentialStore, SecretStore
    from resources.tenants.tokens import Tokens
    from resources.tenants.vault import Vault


class Office:
    """Safe to share between threads. `actor` is who wants it; None = somebody with access to the database itself.

    `together` makes one transaction of all that the stores do in its block: a change and its event are there both, or neither.
    `spending` is told how much a tenant may spend a month; None = as much as it likes. `schemas` keeps tenants apart, and
    `forget` removes what an erased one has outside of the database. Repeating it does nothing.
    """

    def __init__(
        self,
        *,
        accounts: AccountStore,
        credentials: CredentialStore,
        secret_store: SecretStore,
        tokens: Tokens,
        vault: Vault,
        passwords: Passwords,
        audit: Audit,
        home: str,
        schemas: TenantSchemas,
        together: Callable[[], AbstractContextManager[object]] = nullcontext,
        spending: Callable[[str, Decimal | None], None] = lambda _tenant, _usd: None,
        forget: Callable[[str], None] = lambda _tenant: None,
    ) -> None:
        self._accounts = accounts
        self._credentials = credentials
        self._secrets = secret_store
        self._tokens = tokens
        self._vault = vault
        self._passwords = passwords
        self._audit = audit
        self._home = home
        self._schemas = schemas
        self._together = together
        self._spending = spending
        self._forget = forget


def check(pattern: re.Pattern[str], value: str, path: str, hint: str) -> None:
    """Raises InvalidInputError."""
    if not pattern.fullmatch(value):
        found = Problem(path, f"{value!r} is not accepted", hint)
        raise InvalidInputError(f"It is not valid: {found}.", code="validation_failed", problems=(found,))
