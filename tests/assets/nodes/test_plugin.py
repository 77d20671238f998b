"""A plugin as a node of a workflow."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime

import pytest

from resources.errors import NotFoundError
from resources.events.memory import MemoryEventStore
from resources.plugins.library import Plugins
from resources.plugins.memory import MemoryPlugins
from resources.plugins.wasmtime import WasmtimeRuntime
from tests.fixtures.modules import SHOUT, TERMS
from tests.fixtures.nodes import Bench


@pytest.fixture
def bench() -> Bench:
    plugins = Plugins(MemoryPlugins(), WasmtimeRuntime(), MemoryEventStore(), together=nullcontext)
    bench = Bench(resources={"plugins": plugins})
    now = datetime.now(UTC)
    plugins.install(SHOUT, tenant=bench.tenant, now=now)
    plugins.install(TERMS, tenant=bench.tenant, now=now, grants=("log",), config={"terms": ["tea"]})
    for name in ("shout", "terms"):
        plugins.change(name, tenant=bench.tenant, now=now, enabled=True)
    return bench


def test_a_plugin_changes_the_text(bench: Bench) -> None:
    found = bench.run("plugin", plugin="shout", content="tea", metadata={"by": "me"})
    assert found == {"content": "TEA", "data": {}, "metadata": {"by": "me"}}


def test_a_plugin_finds_something_in_the_text_and_leaves_it(bench: Bench) -> None:
    found = bench.run("plugin", plugin="terms", content="Tea, and more tea", options={"terms": ["more"]})
    assert found == {"content": "Tea, and more tea", "data": {"terms": {"more": 1}}, "metadata": {}}
    (run,) = bench.resources["plugins"].runs("terms", tenant=bench.tenant)
    assert run.run_id == bench.run_id


def test_a_plugin_that_is_not_installed_is_an_error(bench: Bench) -> None:
    with pytest.raises(NotFoundError, match="aiw plugins list"):
        bench.run("plugin", plugin="whisper", content="tea")
