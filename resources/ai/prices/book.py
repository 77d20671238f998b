"""The price of a call: the tenant's override, else the platform's, else the bundled tables of genai-prices, else unknown.

The tables come with the package, which is pinned; nothing is fetched. What has no price costs `None`, never 0: only providers
that are declared free (a model on this machine) cost 0. The tables guess at aliases of models; a contract that differs is an
override.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from importlib import metadata
from typing import TYPE_CHECKING, Final

from resources.ai.model import Priced, Usage
from resources.ai.prices.model import MILLION, PriceOverride

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from resources.ai.prices.store import PriceStore

FREE: Final = frozenset({"offline", "local"})
VENDORS: Final[dict[str, str]] = {"bedrock": "aws", "gemini": "google"}
"""Names of ours that the tables call otherwise."""

_TTL = 30.0
_UNKNOWN = Priced(cost=None)


class PriceBook:
    """Safe to share between threads. Overrides are read again after half a minute.

    `vendors` tells which kind of provider a configured one is, where that is not its name.
    """

    def __init__(
        self,
        overrides: PriceStore | None = None,
        *,
        free: Collection[str] = FREE,
        vendors: Mapping[str, str] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = overrides
        self._free = frozenset(free)
        self._vendors = {**VENDORS, **{name: VENDORS.get(kind, kind) for name, kind in (vendors or {}).items()}}
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._read: dict[str, tuple[float, Sequence[PriceOverride]]] = {}

    def price(self, tenant: str, provider: str, model: str, usage: Usage, *, at: datetime | None = None) -> Priced:
        """What the tokens cost at that moment."""
        moment = at or datetime.now(UTC)
        override = self._override(tenant, provider, model, moment)
        if override is not None:
            return Priced(cost=override.cost(usage), price_source=f"override@{override.version}")
        if provider in self._free:
            return Priced(cost=Decimal(0), price_source="free")
        return _table_price(self._vendors.get(provider, provider), model, usage, moment)

    def worst_case(self, tenant: str, provider: str, model: str, usage: Usage, *, at: datetime | None = None) -> Priced:
        """The most that these tokens can cost, however much of the input the provider writes to its cache."""
        plain = self.price(tenant, provider, model, usage, at=at)
        if not plain.cost:
            return plain
        cached = usage.model_copy(update={"cache_write": usage.input})
        dearer = self.price(tenant, provider, model, cached, at=at)
        return dearer if dearer.cost is not None and dearer.cost > plain.cost else plain

    def forget(self) -> None:
        """Read the overrides again at the next call."""
        with self._lock:
            self._read.clear()

    def needs_reading(self, tenant: str) -> bool:
        """Whether the next price of the tenant asks the store first: it is then not for an event loop's thread."""
        known = self._read.get(tenant)
        return self._store is not None and (known is None or self._monotonic() - known[0] > _TTL)

    def read(self, tenant: str) -> None:
        """Read the tenant's overrides."""
        if self._store is not None:
            found = self._store.list(tenant=tenant)
            with self._lock:
                self._read[tenant] = (self._monotonic(), found)

    def _override(self, tenant: str, provider: str, model: str, at: datetime) -> PriceOverride | None:
        if self.needs_reading(tenant):
            self.read(tenant)
        known = self._read.get(tenant)
        candidates = [
            override
            for override in (known[1] if known else ())
            if override.provider == provider and override.model == model and override.effective_from <= at
        ]
        return max(candidates, key=lambda o: (o.tenant is not None, o.effective_from, o.version or 0), default=None)


def _table_price(vendor: str, model: str, usage: Usage, at: datetime) -> Priced:
    rates = _rates(vendor, model)
    if rates is not None:
        return Priced(cost=rates.cost(usage), price_source=_source())
    cost = _calculated(vendor, model, usage, at)
    return _UNKNOWN if cost is None else Priced(cost=cost, price_source=_source())


def _calculated(vendor: str, model: str, usage: Usage, at: datetime) -> Decimal | None:
    from genai_prices import Usage as Counted
    from genai_prices import calc_price

    counted = Counted(
        input_tokens=usage.input,
        output_tokens=usage.output,
        cache_read_tokens=usage.cache_read or None,
        cache_write_tokens=usage.cache_write or None,
    )
    try:
        return calc_price(counted, model_ref=model, provider_id=vendor, genai_request_timestamp=at).total_price
    except (LookupError, ValueError):
        return None


@lru_cache(maxsize=4096)
def _rates(vendor: str, model: str) -> PriceOverride | None:
    """The prices of a model that has the same at any hour and length. Most have; it is ten times faster than the tables."""
    from genai_prices.data_snapshot import get_snapshot
    from genai_prices.types import ModelPrice

    try:
        _, info = get_snapshot().find_provider_model(model, None, vendor, None)
    except LookupError:
        return None
    if not isinstance(info.prices, ModelPrice):
        return None
    if not all(isinstance(price, Decimal) for price in vars(info.prices).values() if price is not None):
        return None
    million, now = int(MILLION), datetime.now(UTC)
    kinds = (
        Usage(input=million),
        Usage(output=million),
        Usage(input=million, cache_read=million),
        Usage(input=million, cache_write=million),
    )
    found = [_calculated(vendor, model, usage, now) for usage in kinds]
    given, out, read, written = found
    if given is None or out is None:
        return None
    return PriceOverride(vendor, model, now, given, out, read, written)


@lru_cache(maxsize=1)
def _source() -> str:
    return f"genai-prices@{metadata.version('genai-prices')}"
