"""An agent whose process is killed at each of its calls goes on, and pays for one call more at most."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures.vendors import OpenAIChat
from tests.resources.agents.lonely import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
CALLS = STEPS + 1


class CountingServer:
    """Speaks as OpenAI does: asks for the tool STEPS times, then answers. Counts what it is asked, by turn.

    At its call number `gate` (from 1) it waits until `released` is set: before it answers, or after.
    """

    def __init__(self) -> None:
        self.turns: list[int] = []
        self.gate: int | None = None
        self.after = False
        self.reached = threading.Event()
        self.released = threading.Event()
        outer, dialect = self, OpenAIChat()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                turn = sum(message["role"] == "assistant" for message in body["messages"])
                outer.turns.append(turn)
                here = len(outer.turns) == outer.gate
                if here and not outer.after:
                    outer.wait()
                reply = dialect.tool("look", f'{{"q": "{turn}"}}') if turn < STEPS else dialect.text("done")
                try:
                    self._send(b"".join(reply.chunks))
                except OSError:  # who asked was killed
                    self.close_connection = True
                if here and outer.after:
                    outer.wait()

            def _send(self, payload: bytes) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("content-length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def wait(self) -> None:
        self.reached.set()
        self.released.wait(60)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[CountingServer]:
    running = CountingServer()
    yield running
    running.close()


def start(url: str, tenant: str, run: uuid.UUID, server: CountingServer, journal: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.resources.agents.lonely", url, tenant, str(run), server.url, str(journal)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("boundary", "after"), [(1, True), (CALLS, False)])
def test_a_killed_agent_pays_for_one_call_more_at_most(
    database_url: str,
    tenant: str,
    tmp_path: Path,
    server: CountingServer,
    boundary: int,
    after: bool,
) -> None:
    journal, run = tmp_path / "journal", uuid.uuid4()
    journal.touch()
    server.gate, server.after = boundary, after
    with start(database_url, tenant, run, server, journal) as first:
        while not server.reached.wait(0.1):
            assert first.poll() is None, "it ended before it was killed"
        first.kill()
    server.gate = None
    server.released.set()
    with start(database_url, tenant, run, server, journal) as again:
        said, _ = again.communicate(timeout=90)
    assert again.returncode == 0
    assert said.splitlines()[-1] == "done"
    asked = Counter(server.turns)
    assert set(asked) == set(range(CALLS))
    assert sum(asked.values()) <= CALLS + 1
    used = Counter(line.split()[0] for line in journal.read_text().splitlines())
    assert set(used) == {str(turn) for turn in range(STEPS)}
    assert sum(used.values()) <= STEPS + 1
    assert len(set(journal.read_text().splitlines())) == STEPS  # a repeated use has the key of the first
