"""Identity, put together: what the faces are given."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resources.tenants.administration import Administration
from resources.tenants.audit import Audit
from resources.tenants.authentication import Authentication
from resources.tenants.cache import VerifiedCredentials
from resources.tenants.passwords import Passwords

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from decimal import Decimal

    from resources.events.store import EventStore
    from resources.tenants.schemas.store import TenantSchemas
    from resources.tenants.store import AccountStore, CredentialStore, Notices, SecretStore
    from resources.tenants.tokens import Tokens
    from resources.tenants.vault import Vault


@dataclass(frozen=True, slots=True)
class Identity:
    """Who there is, what they may do, and how they prove who they are."""

    authentication: Authentication
    administration: Administration
    verified: VerifiedCredentials
    tokens: Tokens
    vault: Vault
    notices: Notices
    home: str

    def close(self) -> None:
        """Forget what was verified, and hear no more of changes."""
        self.verified.close()
        self.notices.close()


def build_identity(
    *,
    accounts: AccountStore,
    credentials: CredentialStore,
    secret_store: SecretStore,
    notices: Notices,
    events: EventStore,
    tokens: Tokens,
    vault: Vault,
    home: str,
    schemas: TenantSchemas,
    access_seconds: int = 900,
    session_seconds: int = 30 * 86_400,
    passwords: Passwords | None = None,
    together: Callable[[], AbstractContextManager[object]] = nullcontext,
    spending: Callable[[str, Decimal | None], None] = lambda _tenant, _usd: None,
    forget: Callable[[str], None] = lambda _tenant: None,
) -> Identity:
    """Identity on these stores. `home` is the platform's own tenant; the rest as `Administration` has them."""
    # Before what was verified is forgotten: nothing must be verified anew by keys that were dropped.
    notices.watch(lambda news: tokens.forget() if news == "*" else None)
    passwords = passwords or Passwords()
    audit = Audit(events)
    authentication = Authentication(
        accounts,
        credentials,
        tokens,
        passwords,
        audit,
        home=home,
        access_seconds=access_seconds,
        session_seconds=session_seconds,
        together=together,
    )
    administration = Administration(
        accounts=accounts,
        credentials=credentials,
        secret_store=secret_store,
        tokens=tokens,
        vault=vault,
        passwords=passwords,
        audit=audit,
        home=home,
        schemas=schemas,
        together=together,
        spending=spending,
        forget=forget,
    )
    return Identity(
        authentication=authentication,
        administration=administration,
        verified=VerifiedCredentials(authentication, notices),
        tokens=tokens,
        vault=vault,
        notices=notices,
        home=home,
    )
