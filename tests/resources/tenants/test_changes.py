"""A change of right and the event that tells it are one: when one of them cannot be, there is neither."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from resources.ai.budgets.postgres import PostgresBudgets
from resources.ai.budgets.quota import limit_spending, spending_of
from resources.errors import ConflictError, NotFoundError, UnavailableError
from resources.events.postgres import PostgresEventStore
from resources.tenants.identity import Identity, build_identity
from resources.tenants.model import Limits, Status
from resources.tenants.notices.postgres import PostgresNotices
from resources.tenants.permissions import Role
from resources.tenants.postgres import PostgresAccounts, PostgresCredentials, PostgresSecrets
from resources.tenants.schemas.postgres import PostgresSchemas
from resources.tenants.tokens import Tokens
from resources.tenants.vault import Vault
from tests.api.conftest import MASTER_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from resources.database.postgres import Database

PASSWORD = "correct horse battery staple"


class FailingEvents(PostgresEventStore):
    """Stores events, and then says that it could not."""

    failing = False

    def append(self, *arguments: Any, **options: Any) -> Any:
        stored = super().append(*arguments, **options)
        if self.failing:
            raise UnavailableError("The connection broke.", dependency="database")
        return stored


@pytest.fixture
def events(database: Database) -> Iterator[FailingEvents]:
    events = FailingEvents(database)
    yield events
    events.close()


@pytest.fixture
def identity(database: Database, events: FailingEvents, tenant: str) -> Iterator[Identity]:
    secrets, vault = PostgresSecrets(database), Vault([MASTER_KEY])
    budgets = PostgresBudgets(database)
    identity = build_identity(
        accounts=PostgresAccounts(database),
        credentials=PostgresCredentials(database),
        secret_store=secrets,
        notices=PostgresNotices(database),
        events=events,
        tokens=Tokens(
            secrets, vault, algorithm="EdDSA", secret=None, issuer="test", audience="test", access_seconds=900
        ),
        vault=vault,
        home=f"{tenant}-home",
        schemas=PostgresSchemas(database),
        together=database.together,
        spending=lambda one, usd: limit_spending(budgets, one, usd),
    )
    yield identity
    identity.close()


def test_a_change_whose_event_is_lost_was_not_made(identity: Identity, events: FailingEvents, tenant: str) -> None:
    administration = identity.administration
    administration.create_tenant(tenant, actor=None)
    ada = administration.create_user("ada", tenant=tenant, role=Role.ADMIN, password=PASSWORD, actor=None)
    pair = identity.authentication.login("ada", PASSWORD, tenant=tenant)
    key, _ = administration.create_key("nightly", actor=pair.principal)
    administration.store_provider_key("openai", "sk-first-0123456789", tenant=tenant, actor=None)
    head = events.head(tenant=tenant)
    events.failing = True
    changes: list[Callable[[], object]] = [
        lambda: administration.change_tenant(tenant, limits=Limits(usd_per_month=Decimal(5)), actor=None),
        lambda: administration.create_user("eve", tenant=tenant, role=Role.ADMIN, actor=None),
        lambda: administration.change_user(ada.id, tenant=tenant, email="ada@example.org", actor=None),
        lambda: administration.change_password(ada.id, "another long password", tenant=tenant, actor=None),
        lambda: administration.create_key("second", actor=pair.principal),
        lambda: administration.revoke_key(key.id, tenant=tenant, actor=None),
        lambda: administration.store_provider_key("openai", "sk-second-0123456789", tenant=tenant, actor=None),
        lambda: administration.remove_provider_key("openai", tenant=tenant, actor=None),
        lambda: administration.end_sessions(ada.id, tenant=tenant, actor=None),
        lambda: identity.authentication.logout(pair.principal),
        lambda: identity.authentication.login("ada", PASSWORD, tenant=tenant),
    ]
    for change in changes:
        with pytest.raises(UnavailableError):
            change()
    events.failing = False
    assert events.head(tenant=tenant) == head
    assert administration.tenant(tenant).limits == Limits()
    assert [(user.username, user.email) for user in administration.users(tenant=tenant)] == [("ada", None)]
    assert [(one.name, one.revoked_at) for one in administration.keys(tenant=tenant)] == [("nightly", None)]
    assert administration.provider_key("openai", tenant=tenant) == "sk-first-0123456789"
    identity.authentication.authenticate(pair.access_token)  # neither was the session ended
    identity.authentication.login("ada", PASSWORD, tenant=tenant)  # nor the password changed


def test_a_refresh_token_that_comes_twice_ends_the_session_and_tells_it(
    identity: Identity, events: FailingEvents, tenant: str
) -> None:
    identity.administration.create_tenant(tenant, actor=None)
    identity.administration.create_user("ada", tenant=tenant, role=Role.MEMBER, password=PASSWORD, actor=None)
    first = identity.authentication.login("ada", PASSWORD, tenant=tenant)
    assert first.refresh_token is not None
    identity.authentication.refresh(first.refresh_token)
    with pytest.raises(Exception, match="used before"):
        identity.authentication.refresh(first.refresh_token)
    told = [event.type for event in events.read_all(tenant=tenant)]
    assert told[-1] == "user.sessions_revoked"


def test_the_home_is_made_once(identity: Identity, events: FailingEvents) -> None:
    with pytest.raises(NotFoundError):
        identity.administration.tenant(identity.home)
    made = identity.administration.ensure_home()
    assert identity.administration.ensure_home() == made
    assert made.id == identity.home
    assert [event.type for event in events.read_all(tenant=made.id)] == ["tenant.created"]


def test_what_a_tenant_may_spend_is_a_budget_of_the_platform(
    identity: Identity, database: Database, tenant: str
) -> None:
    budgets = PostgresBudgets(database)
    identity.administration.create_tenant(tenant, limits=Limits(usd_per_month=Decimal(5)), actor=None)
    status = spending_of(budgets, tenant)
    assert status is not None
    assert (status.budget.limit, status.budget.hard, status.budget.tenant) == (Decimal(5), True, None)
    identity.administration.change_tenant(tenant, limits=Limits(usd_per_month=Decimal(9)), actor=None)
    status = spending_of(budgets, tenant)
    assert status is not None
    assert status.budget.limit == Decimal(9)
    identity.administration.change_tenant(tenant, limits=Limits(), actor=None)
    assert spending_of(budgets, tenant) is None


def test_a_change_can_depend_on_how_things_are(identity: Identity, tenant: str) -> None:
    made = identity.administration.create_tenant(tenant, actor=None)

    def refuse(_: object) -> None:
        raise ConflictError("It is not as you think.")

    with pytest.raises(ConflictError):
        identity.administration.change_tenant(tenant, status=Status.SUSPENDED, unless=refuse, actor=None)
    assert identity.administration.tenant(tenant) == made
