"""Everything together, for whoever asks.

What processes count is as it is at the moment. What has to be read (the database, the list of processes) is read once in some
seconds, however many ask, and in parts: when the database is away, the others are told all the same.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from api.metrics.machine import machine, processes
from api.metrics.platform import state, totals
from api.metrics.series import Series, labelled
from api.version import VERSION
from resources.errors import PlatformError
from resources.resilience.tally import TALLY
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from api.dependencies import Services
    from api.metrics.http import HttpTally
    from api.metrics.sharing import SharedSeries

log = get_logger(__name__)

READ_EVERY: Final = 5.0
"""Seconds."""


class Collector:
    """One for each application. `shared`: what other processes of the machine have counted; None = there are none.

    Safe to share between threads.
    """

    def __init__(
        self,
        services: Services,
        tally: HttpTally,
        *,
        sockets: Callable[[], int],
        data_dir: Path,
        every: float = READ_EVERY,
    ) -> None:
        self.data_dir = data_dir
        self._services = services
        self._tally = tally
        self._sockets = sockets
        self._every = every
        self._lock = threading.Lock()
        self._read_at = -every
        self._read = Series()
        self.shared: SharedSeries | None = None
        self._sources: dict[str, Callable[[], Series]] = {
            "machine": lambda: machine(data_dir),
            "processes": lambda: processes(data_dir),
            "database": lambda: state(services.figures.read()),
            "events": lambda: totals(services.projections),
        }

    def collect(self) -> Series:
        """All series, in a list of the caller's own."""
        series = self.own() if self.shared is None else self.shared.all()
        series.add(self._read_lately())
        series.gauges["aiw_build_info"] = {(VERSION,): 1}
        return series

    def own(self) -> Series:
        """What this process has counted."""
        series = self._tally.read()
        calls, durations, under_way, changes = TALLY.read()
        connections = self._services.mcp_servers.connections()
        breakers = Counter(
            [
                *((name.partition(":")[0], state) for name, state in self._services.breakers.states().items()),
                *(("mcp", connection.breaker) for connection in connections),
            ]
        )
        pool = self._services.database_pool()
        series.counters |= {
            "aiw_outgoing_calls_total": labelled(calls),
            "aiw_circuit_breaker_changes_total": labelled(changes),
            "aiw_database_errors_total": {(): pool.errors},
        }
        series.histograms["aiw_outgoing_call_duration_seconds"] = {(kind,): found for kind, found in durations.items()}
        series.gauges |= {
            "aiw_websocket_connections": {(): self._sockets()},
            "aiw_outgoing_calls_in_flight": labelled(under_way),
            "aiw_circuit_breakers": labelled(breakers),
            "aiw_mcp_connections": labelled(Counter(one.status for one in connections)),
            "aiw_database_connections": {
                ("used",): pool.size - pool.idle,
                ("idle",): pool.idle,
                ("waiting",): pool.waiting,
            },
        }
        return series

    def _read_lately(self) -> Series:
        with self._lock:  # one reads, the others wait for what it finds
            if time.monotonic() - self._read_at >= self._every:
                found = Series()
                for name, read in self._sources.items():
                    up = 1
                    try:
                        found.add(read())
                    except PlatformError as error:
                        log.warning("metrics.source_down", source=name, reason=error.message)
                        up = 0
                    found.gauges.setdefault("aiw_source_up", {})[name,] = up
                self._read, self._read_at = found, time.monotonic()
            return self._read
