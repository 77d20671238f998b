"""Plugins in memory: for tests, and for one process."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING

from resources.plugins.store import unknown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from resources.plugins.model import Plugin, PluginRun


class MemoryPlugins:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._installed: dict[tuple[str, str], tuple[Plugin, bytes]] = {}
        self._runs: dict[tuple[str, str], list[PluginRun]] = defaultdict(list)

    def save(self, plugin: Plugin, module: bytes | None, *, tenant: str) -> None:
        with self._lock:
            key = (tenant, plugin.name)
            if module is None:
                if key not in self._installed:
                    raise unknown(plugin.name)
                module = self._installed[key][1]
            self._installed[key] = (plugin, module)

    def get(self, name: str, *, tenant: str, lock: bool = False) -> Plugin:  # noqa: ARG002  # one process
        with self._lock:
            found = self._installed.get((tenant, name))
        if found is None:
            raise unknown(name)
        return found[0]

    def module(self, sha256: str, *, tenant: str) -> bytes:
        with self._lock:
            for (owner, _), (plugin, module) in self._installed.items():
                if owner == tenant and plugin.sha256 == sha256:
                    return module
        raise unknown(sha256)

    def list(self, *, tenant: str) -> Sequence[Plugin]:
        with self._lock:
            return [plugin for (owner, _), (plugin, _) in sorted(self._installed.items()) if owner == tenant]

    def remove(self, name: str, *, tenant: str) -> None:
        with self._lock:
            if self._installed.pop((tenant, name), None) is None:
                raise unknown(name)
            self._runs.pop((tenant, name), None)

    def record(self, run: PluginRun, *, tenant: str) -> None:
        with self._lock:
            self._runs[tenant, run.plugin].append(run)

    def runs(self, name: str, *, tenant: str, limit: int = 50) -> Sequence[PluginRun]:
        with self._lock:
            return sorted(self._runs.get((tenant, name), ()), key=lambda run: run.at, reverse=True)[:limit]

    def forget(self, *, before: datetime) -> int:
        with self._lock:
            gone = 0
            for key, runs in self._runs.items():
                kept = [run for run in runs if run.at >= before]
                gone += len(runs) - len(kept)
                self._runs[key] = kept
            return gone
