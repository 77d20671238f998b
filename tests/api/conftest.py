"""One live API for each worker of the test run, on real servers; each test is a tenant of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
import structlog
from pydantic import SecretStr

from api.app import create_app
from api.client import ApiClient
from api.composition import build_services
from api.launcher import Runs
from resources.settings import AuthSettings, DatabaseSettings, Settings
from tests.api.harness import serving
from tests.api.knowledge import teach

MASTER_KEY = "aiwTestsMasterKey0123456789abcdefghijklmnop="

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from dagster import DagsterInstance
    from fastapi import FastAPI

    from api.dependencies import Services
    from resources.database.postgres import Database
    from resources.settings import GraphSettings


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """Every event that was logged during the test."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture(scope="session")
def api_settings(database_url: str, graph_settings: GraphSettings) -> Settings:
    return Settings(
        _env_file=None,
        database=DatabaseSettings(url=SecretStr(database_url), pool_size=4),
        graph=graph_settings,
        auth=AuthSettings(master_key=SecretStr(MASTER_KEY)),
    )


@pytest.fixture(scope="session")
def dagster_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterInstance]:
    """A Dagster of the worker's own, on files."""
    from dagster import DagsterInstance

    with DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture(scope="session")
def services(api_settings: Settings, dagster_instance: DagsterInstance) -> Iterator[Services]:
    """The real services, as the API builds them."""
    from definitions.runtime.runs import RunReader

    services = build_services(api_settings, runs=Runs(lambda: RunReader(dagster_instance)))
    services.graph.prepare()
    yield services
    services.close()


@pytest.fixture(scope="session")
def _app(api_settings: Settings, services: Services) -> FastAPI:
    return create_app(services, api_settings)


@pytest.fixture(scope="session")
def _address(_app: FastAPI) -> Iterator[str]:
    with serving(_app) as url:
        yield url


@pytest.fixture
def api_url(_app: FastAPI, _address: str, tenant: str) -> str:
    """Where the API is; for the length of the test it acts on behalf of `tenant`."""
    _app.state.tenant = tenant
    return _address


@pytest.fixture
def http(api_url: str) -> Iterator[httpx.Client]:
    """Speaks to the API."""
    with httpx.Client(base_url=api_url, trust_env=False, timeout=30.0) as client:
        yield client


@pytest.fixture
def client(api_url: str) -> Iterator[ApiClient]:
    """The typed client of the test's tenant."""
    with ApiClient(api_url) as client:
        yield client


@pytest.fixture
def patient_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is not an unhealthy one; and nobody keeps the read models of the tests up to date."""
    monkeypatch.setattr("api.routes.health.TIMEOUT", 60.0)
    monkeypatch.setattr("resources.events.projections.lag.LATE", float("inf"))


@pytest.fixture
def taught(services: Services, database: Database, tenant: str) -> None:
    """The tenant knows a few passages and concepts."""
    from resources.ai.minilm import MiniLmEmbedder
    from resources.content.postgres import PostgresChunkIndex

    teach(services, PostgresChunkIndex(database), MiniLmEmbedder(), tenant=tenant)
