"""The API on a whole runtime: a Dagster instance, a pool of warm workers, and what keeps read models up to date."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import SecretStr

from api.app import create_app
from api.client import ApiClient
from api.composition import build_services
from resources.events.projections import PROJECTIONS
from resources.events.projections.postgres import PostgresProjections
from resources.events.projections.projector import Projector
from resources.settings import AuthSettings, DatabaseSettings, Settings
from tests.api.conftest import MASTER_KEY
from tests.api.harness import serving
from tests.definitions.runtime.conftest import new_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

    from api.dependencies import Services
    from api.workflows.schemas import ExecutionOut
    from resources.settings import GraphSettings
    from tests.definitions.runtime.conftest import Runtime
    from tests.fixtures.servers import PostgresAddress

SECONDS = 90.0


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """What `condition` gives, as soon as that is true."""
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)
    return found


@dataclass
class Platform:
    """What a user has before them."""

    url: str
    app: FastAPI
    settings: Settings
    services: Services
    runtime: Runtime
    tenant: str

    @property
    def api(self) -> ApiClient:
        return ApiClient(self.url)

    @property
    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=60)

    def publish(self, text: str) -> None:
        with self.api as api:
            api.publish_workflow(text.encode())

    def run(self, name: str, **inputs: Any) -> ExecutionOut:
        """The run at its end."""
        with self.api as api:
            return self.end_of(api.run_workflow(name, inputs).run_id)

    def end_of(self, run_id: str) -> ExecutionOut:
        ends = {"completed", "failed", "cancelled"}
        with self.api as api:
            wait_for(lambda: api.execution(run_id).status in ends, f"the end of {run_id}")
            return api.execution(run_id)

    def runs_of(self, workflow: str) -> list[ExecutionOut]:
        with self.api as api:
            return api.executions(workflow=workflow).executions


@pytest.fixture(scope="package")
def whole(
    postgres_server: PostgresAddress, graph_settings: GraphSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    with new_runtime(postgres_server, tmp_path_factory.mktemp("faces") / "home") as runtime:
        runtime.start_pool("--workers", "2", wait=False)
        settings = Settings(
            _env_file=None,
            database=DatabaseSettings(url=SecretStr(runtime.url), pool_size=4),
            graph=graph_settings,
            auth=AuthSettings(master_key=SecretStr(MASTER_KEY)),
        )
        services = build_services(settings)
        stop = threading.Event()
        projector = Projector(services.events, PostgresProjections(runtime.database))
        thread = threading.Thread(target=lambda: projector.run(PROJECTIONS, stop, gather=0.05), name="projections")
        thread.start()
        try:
            app = create_app(services, settings)
            with serving(app) as url:
                yield Platform(url, app, settings, services, runtime, "")
        finally:
            stop.set()
            thread.join(30)
            services.close()


@pytest.fixture
def platform(whole: Platform, tenant: str) -> Platform:
    """The platform, acting for a tenant of the test's own."""
    whole.app.state.tenant = tenant
    return replace(whole, tenant=tenant)
