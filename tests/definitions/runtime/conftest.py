"""Pools of warm workers, as processes, on a database of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psutil
import pytest
from dagster import AssetKey, DagsterInstance, DagsterRunStatus

from definitions.runtime.launcher import WarmPoolRunLauncher
from definitions.runtime.postgres import RunQueue
from resources.database.postgres import Database
from tests.definitions.runtime import location
from tests.fixtures.servers import TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dagster import DagsterRun
    from dagster._core.workspace.context import BaseWorkspaceRequestContext

    from tests.definitions.runtime.workflows import Engine
    from tests.fixtures.servers import PostgresAddress

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 60.0


def wait_until(condition: Callable[[], object], *, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def dagster_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg2://") + "?options=-csearch_path%3Ddagster"


def variables(url: str, home: Path, *, max_runs: int = 64, max_runs_per_tenant: int = 16) -> dict[str, str]:
    """What every process of Dagster gets here."""
    return {
        "DAGSTER_HOME": str(home),
        "DAGSTER_POSTGRES_URL": dagster_url(url),
        "AIW_DATABASE__URL": url,
        "AIW_GRAPH__URL": "bolt://127.0.0.1:9",  # node types name the graph, and nothing here asks it
        "AIW_GRAPH__PASSWORD": "none",
        "AIW_DAGSTER__MAX_RUNS": str(max_runs),
        "AIW_DAGSTER__MAX_RUNS_PER_TENANT": str(max_runs_per_tenant),
    }


@dataclass
class PoolProcess:
    """A pool, started as its users start it. What it logs is in `log`."""

    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def log(self) -> list[dict[str, Any]]:
        lines = self.log_file.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def said(self, event: str) -> bool:
        return any(line["event"] == event for line in self.log)

    @property
    def workers(self) -> list[psutil.Process]:
        zygotes = psutil.Process(self.process.pid).children()
        return [worker for zygote in zygotes for worker in zygote.children()]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


@dataclass
class Runtime:
    """A Dagster instance from deploy/dagster.yaml on a database of its own, and pools that execute its runs."""

    url: str
    home: Path
    instance: DagsterInstance
    database: Database
    pools: list[PoolProcess] = field(default_factory=list)

    @property
    def queue(self) -> RunQueue:
        return RunQueue(self.database)

    @property
    def launcher(self) -> WarmPoolRunLauncher:
        launcher = self.instance.run_launcher
        assert isinstance(launcher, WarmPoolRunLauncher)
        return launcher

    def start_pool(
        self, *arguments: str, module: str = "tests.definitions.runtime.location", wait: bool = True
    ) -> PoolProcess:
        log_file = self.home / f"pool-{len(self.pools)}.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "definitions.runtime.pool", "--module", module, "--preload", "json"),
                    *("--working-directory", str(ROOT), "--no-watch", *arguments),
                ],
                env={**os.environ, **variables(self.url, self.home), "AIW_LOG__FORMAT": "json"},
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        pool = PoolProcess(process, log_file)
        self.pools.append(pool)
        if wait:
            wait_until(lambda: pool.said("pool.code_loaded") or process.poll() is not None)
        return pool

    def create(
        self, job: str, *, config: Mapping[str, Any] | None = None, tags: Mapping[str, str] | None = None
    ) -> DagsterRun:
        definition = location.defs.resolve_job_def(job)
        return self.instance.create_run_for_job(definition, run_config=config or {}, tags=tags or {})

    def launch(
        self, job: str, *, config: Mapping[str, Any] | None = None, tags: Mapping[str, str] | None = None
    ) -> str:
        return self.launch_run(self.create(job, config=config, tags=tags))

    def launch_run(self, run: DagsterRun) -> str:
        self.instance.launch_run(run.run_id, workspace=cast("BaseWorkspaceRequestContext", None))  # not used by ours
        return run.run_id

    def launch_assets(self, *keys: str, partition: str) -> str:
        """As the UI does when assets are selected and materialised."""
        selection = {AssetKey(key) for key in keys}
        definition = location.defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection=selection)
        run = self.instance.create_run_for_job(
            definition, asset_selection=selection, tags={"dagster/partition": partition}
        )
        return self.launch_run(run)

    def status(self, run_id: str) -> DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def end_of(self, run_id: str) -> DagsterRunStatus:
        """Wait for the end of a run."""
        wait_until(lambda: self.status(run_id) in ENDS)
        return self.status(run_id)

    def messages(self, run_id: str) -> str:
        entries = self.instance.all_logs(run_id)
        return "\n".join(entry.message or entry.get_dagster_event().message or "" for entry in entries)


ENDS = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)


@contextmanager
def new_runtime(postgres_server: PostgresAddress, home: Path, **limits: int) -> Iterator[Runtime]:
    name = f"aiw_runtime_{uuid.uuid4().hex[:12]}"
    url = postgres_server.create(name, template=TEMPLATE)
    home.mkdir()
    shutil.copy(ROOT / "deploy" / "dagster.yaml", home / "dagster.yaml")
    database = Database(url, pool_size=4)
    with pytest.MonkeyPatch.context() as environment:
        for variable, value in variables(url, home, **limits).items():
            environment.setenv(variable, value)
        instance = DagsterInstance.from_config(str(home))
        runtime = Runtime(url, home, instance, database)
        try:
            yield runtime
        finally:
            for pool in runtime.pools:
                pool.stop()
            instance.dispose()
            database.close()
    postgres_server.drop(name)


@pytest.fixture
def runtime(postgres_server: PostgresAddress, tmp_path: Path) -> Iterator[Runtime]:
    """A runtime without a pool."""
    with new_runtime(postgres_server, tmp_path / "home") as runtime:
        yield runtime


@pytest.fixture(scope="package")
def warm(postgres_server: PostgresAddress, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A runtime with a pool of two workers that all tests of this process share: do not harm the pool."""
    with new_runtime(postgres_server, tmp_path_factory.mktemp("warm") / "home") as runtime:
        runtime.start_pool("--workers", "2")
        yield runtime


@pytest.fixture(scope="package")
def faulty(postgres_server: PostgresAddress, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """As `warm`, with workers that know the functions of `faulty.py`."""
    with new_runtime(postgres_server, tmp_path_factory.mktemp("faulty") / "home") as runtime:
        runtime.start_pool("--workers", "2", module="tests.definitions.runtime.faulty")
        yield runtime


@pytest.fixture
def engine(faulty: Runtime) -> Engine:
    """What publishes and starts workflows, for a tenant of the test's own."""
    from tests.definitions.runtime.workflows import Engine

    return Engine(faulty)
