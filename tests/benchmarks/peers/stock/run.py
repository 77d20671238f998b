"""Dagster as it comes, on the same PostgreSQL: its webserver, its code server, its launcher, and runs over GraphQL.

A request names the kind beside the nodes: `{"do": "run", "nodes": 5, "rounds": 3, "kind": "in_process"}`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[4]))

from tests.benchmarks.harness import ROOT
from tests.benchmarks.peers.chain import measure

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTANCE = """
storage: {{ postgres: {{ postgres_url: "{url}" }} }}
run_coordinator: {{ module: dagster._core.run_coordinator, class: DefaultRunCoordinator }}
telemetry: {{ enabled: false }}
"""
LAUNCH = """mutation($job: String!) { launchRun(executionParams: {
    selector: {repositoryLocationName: "stock", repositoryName: "__repository__", jobName: $job}, runConfigData: {}})
  { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
STATUS = """query($id: ID!) { runOrError(runId: $id) { ... on Run { status startTime endTime } } }"""
WAIT = 0.02


class Stock:
    def __init__(self, folder: Path, url: str) -> None:
        self.home = folder
        stored = url.replace("postgresql://", "postgresql+psycopg2://")
        (folder / "dagster.yaml").write_text(INSTANCE.format(url=stored))
        self.environment = {**os.environ, "DAGSTER_HOME": str(folder), "DAGSTER_DISABLE_TELEMETRY": "1"}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.port = 0

    @contextlib.contextmanager
    def serving(self) -> Iterator[int]:
        """The webserver with a code server of its own; gives the process that all others belong to."""
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        command = [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(self.port)]
        workspace = self.home / "workspace.yaml"
        workspace.write_text(
            "load_from:\n  - python_module: {module_name: tests.benchmarks.peers.stock.jobs, location_name: stock, "
            f"working_directory: '{ROOT}'}}\n"
        )
        command += ["-w", str(workspace)]
        with subprocess.Popen(
            command, env=self.environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                self._await()
                yield process.pid
            finally:
                process.send_signal(signal.SIGINT)

    def run(self, job: str) -> None:
        """One run, from the request to its end."""
        answer = self._ask(LAUNCH, {"job": job})["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise RuntimeError(str(answer))
        while True:
            run = self._ask(STATUS, {"id": answer["run"]["runId"]})["runOrError"]
            if run["status"] in {"SUCCESS", "FAILURE", "CANCELED"}:
                break
            time.sleep(WAIT)
        if run["status"] != "SUCCESS":
            raise RuntimeError(f"The run of {job} ended with {run['status']}.")

    def _await(self) -> None:
        for _ in range(1200):
            with contextlib.suppress(OSError, KeyError, TypeError):
                found = self._ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }", {})
                if found["repositoriesOrError"]["nodes"]:
                    return
            time.sleep(0.1)
        raise RuntimeError("Dagster's webserver did not come up.")

    def _ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            data: dict[str, Any] = json.loads(answer.read())["data"]
        return data


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and all below it, those that have ended and were waited for included."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def main(url: str) -> None:
    with tempfile.TemporaryDirectory(prefix="stock-") as folder:
        stock = Stock(Path(folder), url)
        with stock.serving() as pid:
            for line in sys.stdin:
                request = json.loads(line)
                job, nodes = f"{request['kind']}_{request['nodes']}", request["nodes"]

                def chain(job: str = job, nodes: int = nodes) -> int:
                    stock.run(job)
                    return nodes

                print(json.dumps(measure(chain, nodes, request["rounds"], lambda: cpu_of(pid))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
