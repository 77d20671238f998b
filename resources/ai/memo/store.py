"""The port of the memo, as far as it is not a part of a call (`resources.ai.ledger.store`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.ai.ledger.model import CallKind


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry. `payload` is as it was given, sealed if it was sealed."""

    key: bytes
    call_id: UUID
    provider: str
    model: str
    payload: bytes


class MemoStore(Protocol):
    """Entries of a tenant. What has expired is not there any more."""

    def newest(self, *, tenant: str, kind: CallKind, limit: int = 200) -> Sequence[Kept]: ...

    def count(self, *, tenant: str) -> int: ...

    def purge(self, *, tenant: str, before: datetime | None = None) -> int:
        """Remove all entries (or those made before then), and all that have expired; returns how many."""

    def purge_expired(self, *, limit: int = 10_000) -> int:
        """Remove what has expired, of all tenants, up to so many; returns how many."""
