"""What every store of plugins promises. Subclass and give the store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from resources.errors import NotFoundError
from resources.plugins.model import Manifest, Plugin, PluginLimits, PluginRun

if TYPE_CHECKING:
    from resources.plugins.store import PluginStore

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLUGIN = Plugin(
    manifest=Manifest(name="shout", version="1.0", configuration_schema={"type": "object"}),
    sha256="ab" * 32,
    size_bytes=4,
    installed_at=NOW,
    changed_at=NOW,
    grants=("log",),
    config={"loud": True},
    limits=PluginLimits(seconds=2.5),
)
RUN = PluginRun(uuid4(), "shout", PLUGIN.sha256, NOW, "ok", 1.5, 10, 20, 30, 40, logs=(("info", "hello"),))


class PluginStoreContract:
    @pytest.fixture
    def store(self) -> PluginStore:
        raise NotImplementedError

    def test_an_installed_plugin_is_found_as_it_was_given(self, store: PluginStore, tenant: str) -> None:
        store.save(PLUGIN, b"\0asm", tenant=tenant)
        assert store.get("shout", tenant=tenant) == PLUGIN
        assert store.module(PLUGIN.sha256, tenant=tenant) == b"\0asm"
        assert list(store.list(tenant=tenant)) == [PLUGIN]

    def test_a_change_keeps_the_module(self, store: PluginStore, tenant: str) -> None:
        store.save(PLUGIN, b"\0asm", tenant=tenant)
        changed = replace(PLUGIN, enabled=True, config={}, changed_at=NOW + timedelta(hours=1))
        store.save(changed, None, tenant=tenant)
        assert store.get("shout", tenant=tenant) == changed
        assert store.module(PLUGIN.sha256, tenant=tenant) == b"\0asm"

    def test_another_module_of_the_name_replaces_it(self, store: PluginStore, tenant: str) -> None:
        store.save(PLUGIN, b"\0asm", tenant=tenant)
        store.save(replace(PLUGIN, sha256="cd" * 32), b"\0ASM", tenant=tenant)
        assert store.module("cd" * 32, tenant=tenant) == b"\0ASM"
        with pytest.raises(NotFoundError):
            store.module(PLUGIN.sha256, tenant=tenant)

    def test_what_is_not_installed_is_not_found(self, store: PluginStore, tenant: str) -> None:
        for attempt in (
            lambda: store.get("shout", tenant=tenant),
            lambda: store.module("ab", tenant=tenant),
            lambda: store.remove("shout", tenant=tenant),
            lambda: store.save(PLUGIN, None, tenant=tenant),
        ):
            with pytest.raises(NotFoundError):
                attempt()

    def test_tenants_do_not_see_each_others(self, store: PluginStore, tenant: str) -> None:
        store.save(PLUGIN, b"\0asm", tenant=tenant)
        store.record(RUN, tenant=tenant)
        other = f"{tenant}-other"
        assert list(store.list(tenant=other)) == []
        assert list(store.runs("shout", tenant=other)) == []
        for attempt in (
            lambda: store.get("shout", tenant=other),
            lambda: store.module(PLUGIN.sha256, tenant=other),
            lambda: store.remove("shout", tenant=other),
        ):
            with pytest.raises(NotFoundError):
                attempt()

    def test_the_journal_tells_the_newest_calls_first(self, store: PluginStore, tenant: str) -> None:
        store.save(PLUGIN, b"\0asm", tenant=tenant)
        later = replace(RUN, id=uuid4(), at=NOW + timedelta(minutes=1), outcome="plugin_trapped")
        for run in (RUN, later):
            store.record(run, tenant=tenant)
        assert list(store.runs("shout", tenant=tenant)) == [later, RUN]
        assert list(store.runs("shout", tenant=tenant, limit=1)) == [later]

    def test_a_plugin_goes_with_its_journal(self, store: PluginStore, tenant: str) -> None:
        store.save(PLUGIN, b"\0asm", tenant=tenant)
        store.record(RUN, tenant=tenant)
        store.remove("shout", tenant=tenant)
        store.save(PLUGIN, b"\0asm", tenant=tenant)
        assert list(store.runs("shout", tenant=tenant)) == []

    def test_old_calls_are_forgotten(self, store: PluginStore, tenant: str) -> None:
        store.save(PLUGIN, b"\0asm", tenant=tenant)
        old = replace(RUN, id=uuid4(), at=datetime(2001, 1, 1, tzinfo=UTC))
        for run in (RUN, old):
            store.record(run, tenant=tenant)
        assert store.forget(before=datetime(2001, 6, 1, tzinfo=UTC)) >= 1
        assert list(store.runs("shout", tenant=tenant)) == [RUN]
