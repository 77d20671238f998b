"""Plugins as a tenant has them: installed, granted, configured, run, remembered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from resources.errors import (
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    NotPermittedError,
    UpstreamError,
)
from resources.events.model import StreamId
from resources.events.postgres import PostgresEventStore
from resources.plugins.library import Plugins
from resources.plugins.model import PluginInput
from resources.plugins.postgres import PostgresPlugins
from resources.plugins.wasmtime import WasmtimeRuntime
from tests.fixtures.modules import SHOUT, TERMS, module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.database.postgres import Database

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
RUNTIME = WasmtimeRuntime()


@dataclass
class House:
    plugins: Plugins
    events: PostgresEventStore
    tenant: str

    def told(self, name: str) -> list[str]:
        return [event.type for event in self.events.read_stream(StreamId("plugin", name), tenant=self.tenant)]


@pytest.fixture
def house(database: Database, tenant: str) -> Iterator[House]:
    events = PostgresEventStore(database)
    yield House(Plugins(PostgresPlugins(database), RUNTIME, events, together=database.together), events, tenant)
    events.close()


def ready(house: House, code: bytes = SHOUT, **options: object) -> None:
    plugin, _ = house.plugins.install(code, tenant=house.tenant, now=NOW, **options)  # type: ignore[arg-type]  # as they come
    house.plugins.change(plugin.name, tenant=house.tenant, now=NOW, enabled=True)


def test_a_plugin_is_installed_enabled_run_and_removed(house: House) -> None:
    ready(house)
    found = house.plugins.process("shout", PluginInput(content='Say "hi",\n now: ü'), tenant=house.tenant, now=NOW)
    assert found.output.modified_content == 'SAY "HI",\n NOW: ü'
    house.plugins.remove("shout", tenant=house.tenant)
    assert house.told("shout") == ["plugin.installed", "plugin.changed", "plugin.removed"]
    with pytest.raises(NotFoundError):
        house.plugins.get("shout", tenant=house.tenant)


def test_a_plugin_in_rust_counts_what_its_configuration_names(house: House) -> None:
    ready(house, TERMS, grants=("log",), config={"terms": ["Rust", "naïve"]})
    found = house.plugins.process("terms", PluginInput(content="Rust, rust · naïve"), tenant=house.tenant, now=NOW)
    assert found.output.extracted_data == {"terms": {"Rust": 2, "naïve": 1}}
    assert [line for _, line in found.logs] == ["counted 2 terms in 20 bytes"]
    (run,) = house.plugins.runs("terms", tenant=house.tenant)
    assert (run.outcome, run.cached, run.logs) == ("ok", False, found.logs)


def test_what_it_needs_must_be_granted(house: House) -> None:
    with pytest.raises(NotPermittedError):
        house.plugins.install(TERMS, tenant=house.tenant, now=NOW, config={"terms": ["a"]})


@pytest.mark.parametrize(
    ("config", "path"), [({}, "config"), ({"terms": "one"}, "config.terms"), ({"terms": [" "]}, "config")]
)
def test_a_wrong_configuration_is_told_with_its_place(house: House, config: dict[str, object], path: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        house.plugins.install(TERMS, tenant=house.tenant, now=NOW, grants=("log",), config=config)
    assert [problem.path for problem in caught.value.problems] == [path]
    assert house.told("terms") == []


def test_a_new_plugin_is_disabled(house: House) -> None:
    house.plugins.install(SHOUT, tenant=house.tenant, now=NOW)
    with pytest.raises(ConflictError, match="aiw plugins enable shout"):
        house.plugins.process("shout", PluginInput(content="a"), tenant=house.tenant, now=NOW)


def test_the_same_input_again_costs_nothing(house: House) -> None:
    ready(house)
    first, again = (
        house.plugins.process("shout", PluginInput(content="a"), tenant=house.tenant, now=NOW) for _ in range(2)
    )
    assert (first.cached, again.cached) == (False, True)
    assert again.output == first.output
    assert {run.cached for run in house.plugins.runs("shout", tenant=house.tenant)} == {False, True}


def test_what_has_a_clock_is_asked_each_time(house: House) -> None:
    ready(house, module(), grants=("clock",))
    runs = [house.plugins.process("test", PluginInput(content="a"), tenant=house.tenant, now=NOW) for _ in range(2)]
    assert [run.cached for run in runs] == [False, False]


def test_a_failure_is_remembered(house: House) -> None:
    ready(house, module("unreachable"))
    with pytest.raises(UpstreamError):
        house.plugins.process("test", PluginInput(content="a"), tenant=house.tenant, now=NOW)
    (run,) = house.plugins.runs("test", tenant=house.tenant)
    assert run.outcome == "plugin_trapped"


@pytest.mark.parametrize(
    "text", ["{", "[]", r"{\"surprise\":1}", r"{\"extracted_data\":[]}"], ids=["cut", "list", "field", "kind"]
)
def test_what_is_no_output_is_refused(house: House, text: str) -> None:
    length = len(text.replace("\\", ""))
    ready(house, module(f"(i64.const {hex(0x100 << 32 | length)})", more=f'(data (i32.const 256) "{text}")'))
    with pytest.raises(UpstreamError) as caught:
        house.plugins.process("test", PluginInput(content="a"), tenant=house.tenant, now=NOW)
    assert caught.value.code == "plugin_output_invalid"


def test_a_manifest_that_is_not_right_is_told(house: House) -> None:
    bad = module(manifest=r"{\"name\":\"A b\",\"version\":\"\"}", metadata="(i64.const 0x1b)")
    with pytest.raises(InvalidInputError) as caught:
        house.plugins.install(bad, tenant=house.tenant, now=NOW)
    assert {problem.path for problem in caught.value.problems} == {"name", "version"}


def test_only_the_kinds_it_takes_are_given_to_it(house: House) -> None:
    ready(house)
    with pytest.raises(InvalidInputError, match="text/plain"):
        house.plugins.process("shout", PluginInput(content="a", content_type="text/html"), tenant=house.tenant, now=NOW)


def test_too_much_input_is_refused(house: House) -> None:
    ready(house)
    with pytest.raises(LimitExceededError):
        house.plugins.process("shout", PluginInput(content="a" * 1_000_001), tenant=house.tenant, now=NOW)


def test_one_of_the_same_name_replaces_it_and_is_disabled_again(house: House) -> None:
    ready(house, module())
    plugin, created = house.plugins.install(module("(i64.const 0x200000001a) (nop)"), tenant=house.tenant, now=NOW)
    assert (created, plugin.enabled) == (False, False)
    assert [one.sha256 for one in house.plugins.list(tenant=house.tenant)] == [plugin.sha256]
