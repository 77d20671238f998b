"""Prefect on the chain: a flow whose nodes are tasks, called in a warm process, with its own API server on the same PostgreSQL.

A deployment would add a worker's polling and a new process a run; the call below is the fastest way that Prefect has.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[4]))

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def server(url: str, home: str) -> Iterator[subprocess.Popen[bytes]]:
    """Prefect's API server on a free loopback port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    os.environ |= {
        "PREFECT_HOME": home,
        "PREFECT_SERVER_MEMO_STORE_PATH": f"{home}/memo_store.toml",
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_API_DATABASE_CONNECTION_URL": url.replace("postgresql://", "postgresql+asyncpg://"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [
        str(Path(sys.executable).with_name("prefect")),
        "server",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(3000):  # it makes its tables first, which takes a minute on a busy machine
                if process.poll() is not None:
                    raise RuntimeError(f"Prefect's server ended with {process.returncode}.")
                with (
                    contextlib.suppress(OSError),
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2),
                ):
                    break
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()


def main(url: str) -> None:
    with tempfile.TemporaryDirectory(prefix="prefect-") as home, server(url, home) as process:
        from prefect import flow, task

        from tests.benchmarks.peers import chain

        @task(persist_result=False)  # type: ignore[untyped-decorator]  # the package lives elsewhere
        def add_one(value: int) -> int:
            return value + 1

        @flow  # type: ignore[untyped-decorator]
        def workflow(nodes: int) -> int:
            value = 0
            for _ in range(nodes):
                value = add_one(value)
            return value

        def start(nodes: int) -> Callable[[], int]:
            return lambda: workflow(nodes)

        def cpu() -> float:
            """Of this process and of the server."""
            user, system = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            return time.process_time() + (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

        chain.serve(start, cpu=cpu)


if __name__ == "__main__":
    main(sys.argv[1])
