"""Whether this process lives, and whether what it stands on does."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from anyio import CapacityLimiter, fail_after, to_thread
from fastapi import APIRouter, Response

from api.dependencies import ServicesDep
from api.schemas import CheckOut, HealthDetailOut, HealthOut
from api.version import VERSION
from resources.errors import PlatformError
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from api.dependencies import Probe

TIMEOUT = 2.0
"""Seconds after which a dependency that has not answered counts as down."""

log = get_logger(__name__)
router = APIRouter(tags=["health"])
_started = time.monotonic()


@router.get("/health", summary="Whether the API lives")
async def health() -> HealthOut:
    """Answers without asking any dependency: for supervisors that restart what does not answer."""
    return HealthOut(version=VERSION)


@router.get(
    "/health/detailed",
    summary="Whether everything that the platform stands on lives",
    responses={503: {"model": HealthDetailOut, "description": "Something that is needed is down"}},
)
async def health_detailed(services: ServicesDep, response: Response) -> HealthDetailOut:
    """Asks all dependencies at once, each for two seconds at most."""
    threads = CapacityLimiter(len(services.probes) or 1)
    answers = await asyncio.gather(*(_check(probe, threads) for probe in services.probes.values()))
    checks = dict(zip(services.probes, answers, strict=True))
    down = [check for check in answers if check.status == "unhealthy"]
    unhealthy = any(check.needed for check in down)
    if unhealthy:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return HealthDetailOut(
        status="unhealthy" if unhealthy else "degraded" if down else "healthy",
        version=VERSION,
        timestamp=datetime.now(UTC),
        uptime_seconds=round(time.monotonic() - _started, 1),
        checks=checks,
    )


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
