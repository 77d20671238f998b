"""Whether this process lives, and whether what it stands on does."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter, fail_after, to_thread
from fastapi import APIRouter, Request, Response

from api.dependencies import ServicesDep
from api.metrics.machine import system
from api.schemas import CheckOut, HealthDetailOut, HealthOut, ReadyOut
from api.version import VERSION
from resources.errors import PlatformError
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.dependencies import Probe

TIMEOUT = 2.0
"""Seconds after which a dependency that has not answered counts as down."""

log = get_logger(__name__)
router = APIRouter(tags=["health"])
aliases = APIRouter(tags=["health"])
"""The same under `/api/v1`."""
_started = time.monotonic()


@router.get("/health", summary="Whether the API lives")
@router.get("/live", summary="Whether the API lives (for orchestrators)")
@aliases.get("/health", summary="Whether the API lives (alias)")
@aliases.get("/live", summary="Whether the API lives (alias, for orchestrators)")
async def health() -> HealthOut:
    """Answers without asking any dependency: for supervisors that restart what does not answer."""
    return alive()


def alive() -> HealthOut:
    """What a process says that can say something."""
    return HealthOut(version=VERSION)


_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": ReadyOut, "description": "Something that is needed is down"}
}
_DOWN: dict[int | str, dict[str, Any]] = {
    503: {"model": HealthDetailOut, "description": "Something that is needed is down"}
}


@router.get("/ready", summary="Whether requests should be sent here", responses=_NOT_READY)
@aliases.get("/ready", summary="Whether requests should be sent here (alias)", responses=_NOT_READY)
async def ready(services: ServicesDep, response: Response) -> ReadyOut:
    """Asks what is needed, and nothing else: for load balancers."""
    answers = await _asked({name: probe for name, probe in services.probes.items() if probe.needed})
    checks = {name: answer.status == "healthy" for name, answer in answers.items()}
    if not all(checks.values()):
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return ReadyOut(ready=all(checks.values()), checks=checks)


@router.get("/health/detailed", summary="Whether everything that the platform stands on lives", responses=_DOWN)
@aliases.get(
    "/health/detailed", summary="Whether everything that the platform stands on lives (alias)", responses=_DOWN
)
async def health_detailed(request: Request, services: ServicesDep, response: Response) -> HealthDetailOut:
    """Asks all dependencies at once, each for two seconds at most."""
    checks = await _asked(services.probes)
    down = [check for check in checks.values() if check.status == "unhealthy"]
    unhealthy = any(check.needed for check in down)
    if unhealthy:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return HealthDetailOut(
        status="unhealthy" if unhealthy else "degraded" if down else "healthy",
        version=VERSION,
        timestamp=datetime.now(UTC),
        uptime_seconds=round(time.monotonic() - _started, 1),
        checks=checks,
        system=system(request.app.state.metrics.data_dir),
        circuits=services.breakers.states(),
    )


async def _asked(probes: Mapping[str, Probe]) -> dict[str, CheckOut]:
    """All at once."""
    threads = CapacityLimiter(len(probes) or 1)
    answers = await asyncio.gather(*(_check(probe, threads) for probe in probes.values()))
    return dict(zip(probes, answers, strict=True))


async def _check(probe: Probe, threads: CapacityLimiter) -> CheckOut:
    started = time.perf_counter()
    try:
        with fail_after(TIMEOUT):
            message = await to_thread.run_sync(probe.check, limiter=threads, abandon_on_cancel=True)
        status = "healthy"
    except TimeoutError:
        status, message = "unhealthy", f"No answer within {TIMEOUT:g} s."
    except PlatformError as error:
        status, message = "unhealthy", error.message
    except Exception:
        log.exception("health.check_failed")
        status, message = "unhealthy", "The check itself failed; the log says why."
    latency = round((time.perf_counter() - started) * 1000, 1)
    return CheckOut(status=status, needed=probe.needed, latency_ms=latency, message=message)
