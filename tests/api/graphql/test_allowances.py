"""What one principal may ask in the long run, and follow at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from api.auth.limiter import Rates
from api.auth.principal import local_principal
from api.graphql.allowances import FOLLOWED, POINTS, Allowances, Followed
from api.graphql.context import GraphContext
from api.graphql.guards import Limits
from api.graphql.schema import unified
from resources.errors import LimitExceededError
from resources.settings import GraphqlSettings, LimitSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.dependencies import Services

ADA = replace(local_principal("a"), subject="ada")
FEW = Rates(LimitSettings(principal_per_minute=1, principal_burst=12))


async def numbers() -> AsyncIterator[int]:
    yield 1
    yield 2


def test_complexity_runs_out_for_one_principal_and_for_nobody_else() -> None:
    allowances = Allowances(FEW)
    allowances.charge(ADA, 12 * POINTS)
    with pytest.raises(LimitExceededError) as refused:
        allowances.charge(ADA, POINTS)
    assert refused.value.code == "graphql_complexity_rate"
    assert refused.value.retry_after is not None
    allowances.charge(replace(ADA, subject="bob"), POINTS)
    allowances.charge(replace(ADA, tenant="b"), POINTS)


def test_the_admin_of_a_local_platform_has_no_rate() -> None:
    allowances = Allowances(FEW, unlimited="local")
    for _ in range(20):
        allowances.charge(local_principal("a"), 1000)


async def test_an_operation_is_charged_before_it_is_executed(services: Services, tenant: str) -> None:
    allowances = Allowances(FEW, points=1, largest=1)
    principal = replace(local_principal(tenant), subject="ada")
    allowances.charge(principal, 12)
    context = GraphContext(services, principal, allowances=allowances)
    result = await unified().execute("{ viewer { id } }", context_value=context)
    assert result.data is None
    assert result.errors is not None
    assert (result.errors[0].extensions or {})["code"] == "graphql_complexity_rate"


def test_so_many_subscriptions_and_no_more_until_one_ends() -> None:
    allowances = Allowances(FEW)
    ends = [allowances.follow(ADA) for _ in range(FOLLOWED)]
    with pytest.raises(LimitExceededError):
        allowances.follow(ADA)
    allowances.follow(replace(ADA, subject="bob"))
    ends[0]()
    allowances.follow(ADA)


async def test_a_subscription_is_counted_until_it_ends_fails_or_is_closed() -> None:
    ended: list[str] = []
    whole = Followed(numbers(), lambda: ended.append("whole"), seconds=60)
    assert [one async for one in whole] == [1, 2]
    closed = Followed(numbers(), lambda: ended.append("closed"), seconds=60)
    await closed.aclose()
    await closed.aclose()
    assert ended == ["whole", "closed"]


async def test_one_subscription_too_many_is_refused(services: Services, tenant: str) -> None:
    allowances = Allowances(FEW)
    principal = local_principal(tenant)
    ends = [allowances.follow(principal) for _ in range(FOLLOWED)]
    context = GraphContext(services, principal, keeps=False, allowances=allowances)
    result = await unified().subscribe("subscription { presence { user { id } } }", context_value=context)
    told = [one async for one in result]
    assert [(one.errors or [])[0].extensions["code"] for one in told] == ["too_many_subscriptions"]  # type: ignore[index]
    for end in ends:
        end()


async def test_a_subscription_ends_when_its_time_is_up_and_can_be_taken_up_again(
    services: Services, tenant: str
) -> None:
    allowances = Allowances(FEW, followed=1)
    for _ in range(2):
        context = GraphContext(
            services,
            local_principal(tenant),
            keeps=False,
            allowances=allowances,
            limits=Limits(subscription_seconds=0.05),
        )
        result = await unified().subscribe("subscription { events { id } }", context_value=context)
        told = [one async for one in result]
        error = (told[-1].errors or [])[0]
        assert (error.extensions or {})["code"] == "subscription_expired"
        assert (error.extensions or {})["retryable"] is True


def test_limits_are_those_of_the_settings() -> None:
    assert Limits.of(GraphqlSettings()) == Limits()
    assert Limits.of(GraphqlSettings(depth=3, subscription_seconds=1)).depth == 3


async def test_an_operation_is_held_to_the_limits_of_its_context(services: Services, tenant: str) -> None:
    context = GraphContext(services, local_principal(tenant), limits=Limits(depth=1))
    result = await unified().execute("{ viewer { id } }", context_value=context)
    assert ((result.errors or [])[0].extensions or {})["code"] == "graphql_depth"
