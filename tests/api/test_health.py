from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from api.app import create_app
from api.dependencies import Probe
from api.metrics import machine
from api.metrics.machine import check_disk, check_memory
from api.routes import health
from api.version import VERSION
from resources.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from api.dependencies import Services
    from resources.settings import Settings


def test_the_api_says_that_it_lives(http: httpx.Client) -> None:
    assert http.get("/health").json() == {"status": "healthy", "version": VERSION}


@pytest.mark.usefixtures("patient_checks")
def test_every_dependency_is_asked(http: httpx.Client) -> None:
    answer = http.get("/health/detailed")
    checks = answer.json()["checks"]
    assert {"database", "graph", "embedder", "dagster", "projections", "disk", "memory"} <= set(checks)
    assert {name: check["status"] for name, check in checks.items()} == dict.fromkeys(checks, "healthy")
    assert all(checks[name]["latency_ms"] > 0 for name in ("database", "graph"))
    assert answer.status_code == 200
    assert answer.json()["status"] == "healthy"
    system = answer.json()["system"]
    assert 0 < system["memory_used"] < 1
    assert 0 < system["disk_used"] < 1
    assert system["disk_free_bytes"] > 0
    assert system["process_memory_bytes"] > 10_000_000


async def detailed(services: Services, settings: Settings, probes: Mapping[str, Probe]) -> tuple[int, dict[str, Any]]:
    app = create_app(replace(services, probes=probes), settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.get("/health/detailed")
    return answer.status_code, answer.json()


def well() -> str:
    return "fine"


def down() -> None:
    raise UnavailableError("The graph cannot be reached.", dependency="graph")


async def test_something_needed_that_is_down_makes_it_unhealthy(services: Services, api_settings: Settings) -> None:
    status, body = await detailed(services, api_settings, {"database": Probe(well), "graph": Probe(down)})
    assert status == 503
    assert body["status"] == "unhealthy"
    assert body["checks"]["database"]["message"] == "fine"
    assert body["checks"]["graph"]["status"] == "unhealthy"
    assert body["checks"]["graph"]["message"] == "The graph cannot be reached."


async def test_something_that_can_be_missed_only_degrades_it(services: Services, api_settings: Settings) -> None:
    status, body = await detailed(services, api_settings, {"database": Probe(well), "ui": Probe(down, needed=False)})
    assert (status, body["status"]) == (200, "degraded")


def test_a_machine_that_is_nearly_full_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "GiB are free" in check_disk(tmp_path)
    assert "GiB are free" in check_memory()
    monkeypatch.setattr(machine, "LEAST_DISK", 1.0)
    monkeypatch.setattr(machine, "LEAST_MEMORY", 1.0)
    with pytest.raises(UnavailableError, match="hardly any disk left"):
        check_disk(tmp_path)
    with pytest.raises(UnavailableError, match="hardly any memory left"):
        check_memory()


async def test_a_check_that_hangs_is_down_and_holds_nobody_up(
    services: Services, api_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "TIMEOUT", 0.05)
    release = threading.Event()

    def hang() -> None:
        release.wait(30)

    try:
        status, body = await detailed(services, api_settings, {"database": Probe(well), "graph": Probe(hang)})
    finally:
        release.set()
    assert status == 503
    assert body["checks"]["database"]["status"] == "healthy"
    assert "No answer" in body["checks"]["graph"]["message"]


async def test_a_check_that_breaks_counts_as_down_without_telling_secrets(
    services: Services, api_settings: Settings
) -> None:
    def broken() -> None:
        raise RuntimeError("password=hunter2")

    status, body = await detailed(services, api_settings, {"graph": Probe(broken)})
    assert status == 503
    assert "hunter2" not in str(body)


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
@pytest.mark.usefixtures("patient_checks")
def test_orchestrators_are_told_that_it_lives_and_is_ready(http: httpx.Client, prefix: str) -> None:
    assert http.get(f"{prefix}/live").json()["status"] == "healthy"
    assert http.get(f"{prefix}/ready").json() == {
        "ready": True,
        "checks": {"database": True, "graph": True, "embedder": True},
    }
    assert http.get(f"{prefix}/health/detailed").json()["circuits"]["graph"] == "closed"


async def test_it_is_not_ready_without_what_is_needed(services: Services, api_settings: Settings) -> None:
    probes = {"database": Probe(well), "graph": Probe(down), "ui": Probe(down, needed=False)}
    app = create_app(replace(services, probes=probes), api_settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.get("/ready")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "checks": {"database": True, "graph": False}}
