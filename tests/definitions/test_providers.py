"""The research workflow on every provider, against servers that speak as theirs do; and what it cost, wherever that is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from resources.ai.bridge import run as wait
from resources.ai.build import AiOptions, build_ai
from resources.ai.directory import ProviderConfig
from resources.ai.ledger.model import Totals
from resources.ai.prices.model import PriceOverride
from resources.ai.prices.postgres import PostgresPrices
from resources.ai.providers.options import ProviderOptions
from tests.definitions.test_bundled_workflows import outputs
from tests.fixtures.vendors import AnthropicMessages, BedrockConverse, OpenAIChat

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dagster as dg

    from resources.ai.ledger.store import CallBooks
    from resources.database.postgres import Database
    from tests.definitions.conftest import Run
    from tests.fixtures.vendors import Dialect
    from tests.fixtures.wire import WireServer

ASSET = "documentation/pages"
PROMPT = "research_summary@1"


@dataclass(frozen=True)
class Vendor:
    kind: str
    dialect: Dialect
    options: dict[str, Any] = field(default_factory=dict)
    path: str = "/v1"
    authorization: str = "Bearer sk-secret"


AWS = {"region": "eu-central-1", "access_key_id": "AKIAEXAMPLE"}
VENDORS = {
    "openai": Vendor("openai", OpenAIChat()),
    "azure": Vendor("azure", OpenAIChat(), path=""),
    "anthropic": Vendor("anthropic", AnthropicMessages(), path=""),
    "bedrock": Vendor("bedrock", BedrockConverse(), AWS, path=""),
    "gemini": Vendor("gemini", OpenAIChat()),
    "ollama": Vendor("ollama", OpenAIChat()),
    "vllm": Vendor("vllm", OpenAIChat()),
    "compatible": Vendor("openai-compatible", OpenAIChat()),
}


@pytest.fixture
def connected(stores: dict[str, Any], database: Database, wire: WireServer, tenant: str) -> Iterator[None]:
    """All providers lead to the wire server, and the tenant has a contract that prices their model m."""
    prices = PostgresPrices(database)
    configs = {}
    for name, vendor in VENDORS.items():
        prices.add(
            PriceOverride(name, "m", datetime(2020, 1, 1, tzinfo=UTC), Decimal("0.15"), Decimal("0.6"), tenant=tenant)
        )
        options = ProviderOptions(
            base_url=wire.url + vendor.path, api_key=SecretStr("sk-secret"), egress=None, **vendor.options
        )
        configs[name] = ProviderConfig(kind=vendor.kind, options=options)
    stores["ai"] = build_ai(database, AiOptions(providers={**configs, "offline": ProviderConfig(kind="offline")}))
    yield
    wait(stores["ai"].close())


def metadata_of(result: dg.ExecuteInProcessResult, node: str) -> dict[str, Any]:
    """What the UI shows at the node's output."""
    (event,) = [event for event in result.all_events if event.is_successful_output and event.step_key == node]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def asset_metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """What the UI shows at the asset."""
    (found,) = [
        event.step_materialization_data.materialization for event in result.all_events if event.is_step_materialization
    ]
    assert found.asset_key.to_user_string() == ASSET
    return {name: value.value for name, value in found.metadata.items()}


def booked(books: CallBooks, tenant: str, run_id: str) -> Totals:
    return sum(books.totals("run", tenant=tenant, run_id=run_id).values(), Totals())


@pytest.mark.parametrize("name", list(VENDORS))
@pytest.mark.usefixtures("taught", "connected")
def test_research_runs_on_the_provider_and_tells_what_it_cost(
    run: Run, stores: dict[str, Any], wire: WireServer, tenant: str, name: str
) -> None:
    wire.reply(VENDORS[name].dialect.text("Green tea ", "wants eighty degrees."))
    result = run("research_to_documentation", topic="green tea", provider=name, model="m")
    assert "Green tea wants eighty degrees." in outputs(result)["page"]
    (asked,) = wire.requests
    assert "sk-secret" in asked.headers.get("authorization", asked.headers.get("x-api-key", "")) or name in {
        "azure",
        "bedrock",
    }

    books: CallBooks = stores["ai"].books
    (call,) = books.calls(tenant=tenant, run_id=result.run_id)
    assert (call.provider, call.outcome, call.prompt_version, call.context.asset) == (name, "answered", PROMPT, ASSET)
    assert call.usage is not None
    assert call.cost is not None
    assert call.cost > 0
    exact = {"aiw/calls": 1, "aiw/tokens": call.usage.total, "aiw/cost_usd": float(call.cost), "aiw/prompts": PROMPT}
    for shown in (metadata_of(result, "write"), asset_metadata(result)):
        assert {key: shown[key] for key in exact} == exact
    assert result.dagster_run.run_id == call.context.run_id


@pytest.mark.usefixtures("taught", "connected")
def test_research_runs_offline_and_costs_nothing(
    run: Run, stores: dict[str, Any], wire: WireServer, tenant: str
) -> None:
    result = run("research_to_documentation", topic="green tea")
    assert "rule-based, not an AI model" in outputs(result)["page"]
    assert wire.requests == []
    (call,) = stores["ai"].books.calls(tenant=tenant, run_id=result.run_id)
    assert (call.simulated, call.cost) == (True, 0)
    assert asset_metadata(result)["aiw/cost_usd"] == 0.0


@pytest.mark.usefixtures("taught", "connected")
def test_calls_runs_assets_and_tenants_add_up_to_the_same(
    run: Run, stores: dict[str, Any], wire: WireServer, tenant: str
) -> None:
    shown = {"op": Decimal(0), "run": Decimal(0), "asset": Decimal(0)}
    for topic in ("green tea", "invoice", "database", "green tea"):
        wire.reply(OpenAIChat().text(f"About {topic}."))
        result = run("research_to_documentation", topic=topic, provider="openai", model="m")
        outputs(result)
        shown["op"] += Decimal(str(metadata_of(result, "write")["aiw/cost_usd"]))
        shown["asset"] += Decimal(str(asset_metadata(result)["aiw/cost_usd"]))
        shown["run"] += Decimal(run.tags(result.run_id)["aiw/cost_usd"])
    books: CallBooks = stores["ai"].books
    sums = {by: sum(books.totals(by, tenant=tenant).values(), Totals()) for by in ("run", "asset", "tenant", "prompt")}
    assert {total.cost for total in sums.values()} == set(shown.values())
    assert len(wire.requests) == 3  # the fourth page was paid for
    assert sums["tenant"].hits == 1
    assert set(books.totals("asset", tenant=tenant)) == {ASSET}


@pytest.mark.usefixtures("taught", "connected")
def test_an_attempt_that_failed_is_told_with_what_it_cost(
    run: Run, stores: dict[str, Any], wire: WireServer, tenant: str
) -> None:
    wire.reply(OpenAIChat().text("Half of an", " answer").cut(2, "disconnect"), OpenAIChat().text("Whole."))
    result = run("research_to_documentation", topic="green tea", provider="openai", model="m")
    outputs(result)
    total = booked(stores["ai"].books, tenant, result.run_id)
    assert (total.calls, total.unmeasured) == (2, 1)
    assert metadata_of(result, "write")["aiw/cost_usd"] == float(total.cost)
