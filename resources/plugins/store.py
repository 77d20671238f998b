"""The port of what is installed, by tenant, and of the journal of calls."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from resources.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from resources.plugins.model import Plugin, PluginRun

KEPT: Final = timedelta(days=30)
"""How long the journal remembers a call."""


class PluginStore(Protocol):
    """Plugins of tenants. All raise UnavailableError when the store cannot be reached."""

    def save(self, plugin: Plugin, module: bytes | None, *, tenant: str) -> None:
        """Install it, or replace what has its name; `module` None keeps the one that is there."""
        ...

    def get(self, name: str, *, tenant: str, lock: bool = False) -> Plugin:
        """Raises NotFoundError. `lock` it until the transaction ends that this is a part of."""
        ...

    def module(self, sha256: str, *, tenant: str) -> bytes:
        """The bytes of an installed module. Raises NotFoundError."""
        ...

    def list(self, *, tenant: str) -> Sequence[Plugin]:
        """By name."""
        ...

    def remove(self, name: str, *, tenant: str) -> None:
        """Raises NotFoundError."""
        ...

    def record(self, run: PluginRun, *, tenant: str) -> None:
        """A line of the journal. It may be lost when the server dies within a second."""
        ...

    def runs(self, name: str, *, tenant: str, limit: int = 50) -> Sequence[PluginRun]:
        """The newest calls first."""
        ...

    def forget(self, *, before: datetime) -> int:
        """Remove lines of all tenants; gives how many."""
        ...


def unknown(name: str) -> NotFoundError:
    """The error for a plugin that is not installed."""
    return NotFoundError(f"There is no plugin {name!r}. See `aiw plugins list`.", code="plugin_not_found", plugin=name)
