"""Sockets: how many are held, what they cost, how fast a message reaches all of them, and a server killed under them.

    one PostgreSQL <- publisher (this process) | server (one process) <- clients (some processes)

A delay is from the moment before `publish` (with its commit) to the moment when a client has parsed the frame, so it holds the
clients' own work, on the same cores. At the end libraries are compared (`ws_libraries.py`). See `harness.py` for the options.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

from resources.database.migrations import migrate
from resources.database.postgres import Database
from resources.realtime.model import NewMessage
from resources.realtime.postgres import PostgresMessages
from resources.servers.postgres import EmbeddedPostgres
from tests.benchmarks import harness
from tests.benchmarks.harness import ROOT, Report, Worker
from tests.benchmarks.ws_libraries import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

PROCESSES = 4
ROUNDS = 5
TENANT = "bench"


class SocketServer:
    """The server's process; restarted on the same port."""

    def __init__(self, url: str, capacity: int) -> None:
        self._url = url
        self._capacity = capacity
        self.port = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.ws_server", self._url, str(self._capacity), str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        while (told := json.loads(self._process.stdout.readline()))["event"] != "api.listening":
            pass
        self.port = told["port"]
        self.process = psutil.Process(self._process.pid)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    @property
    def kilobytes(self) -> float:
        return self.process.memory_info().rss / 1024

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)


class Crowd:
    """All clients, asked at once."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = workers
        self._threads = ThreadPoolExecutor(len(workers))

    def ask(self, do: str, **options: Any) -> list[dict[str, Any]]:
        return list(self._threads.map(lambda worker: worker.ask(do, **options), self._workers))

    def open(self, sockets: int, **options: Any) -> None:
        share = sockets // len(self._workers)
        asked = [
            self._threads.submit(worker.ask, "open", first=number * share, count=share, **options)
            for number, worker in enumerate(self._workers)
        ]
        for one in asked:
            one.result()

    def deliveries(
        self, messages: Sequence[NewMessage], publish: Any, *, each: int
    ) -> tuple[list[dict[str, Any]], float]:
        """Publish and wait until every process has heard `each`; answers, and seconds until all was heard."""
        self.ask("expect", messages=each)
        began = time.perf_counter()
        publish(messages)
        answers = self.ask("wait")
        return answers, time.perf_counter() - began - 0.2  # they look for more that long


def main(report: Report, quick: bool) -> None:
    sockets = 1_000 if quick else 10_000
    report.versions |= harness.version_of("uvicorn", "websockets", "uvloop", "orjson", "psycopg")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="aiw-bench-"))
        postgres = stack.enter_context(EmbeddedPostgres(Path(folder) / "pg"))
        database = stack.enter_context(closing(Database(postgres.url)))
        migrate(database)
        messages = stack.enter_context(closing(PostgresMessages(database)))
        server = stack.enter_context(SocketServer(postgres.url, sockets))
        command = [sys.executable, "-m", "tests.benchmarks.ws_clients"]
        crowd = Crowd([stack.enter_context(Worker(command)) for _ in range(PROCESSES)])
        _measure(report, server, crowd, messages, sockets)
    compare(report, quick=quick)
    _judge(report, sockets)


def _measure(report: Report, server: SocketServer, crowd: Crowd, messages: PostgresMessages, sockets: int) -> None:
    def say(topic: str) -> NewMessage:
        return NewMessage(topic=topic, content={"t": time.time(), "text": "x" * 200})

    def publish(new: Sequence[NewMessage]) -> None:
        for first in range(0, len(new), 100):
            messages.publish([say(one.topic) for one in new[first : first + 100]], tenant=TENANT)

    topics, share = sockets // 10, sockets // PROCESSES
    empty = server.kilobytes
    began = time.perf_counter()
    crowd.open(sockets, port=server.port, topics=topics)
    report.add({"sockets_held": sockets, "connects_per_s": sockets / (time.perf_counter() - began)})
    report.add({"kb_per_socket": (server.kilobytes - empty) / sockets})
    for _ in range(ROUNDS):
        answers, _ = crowd.deliveries([say("all")], publish, each=share)
        delays = sorted(delay for answer in answers for delay in answer["delays"])
        report.add(
            {
                "to_all_p50_ms": delays[len(delays) // 2],
                "to_all_p99_ms": delays[int(len(delays) * 0.99)],
                "to_all_last_ms": max(answer["last"] for answer in answers),
                "to_all_missed": sockets - sum(answer["came"] for answer in answers),
            }
        )
    for _ in range(ROUNDS):
        each_topic = [say(f"topic.{number}") for number in range(topics)]
        answers, seconds = crowd.deliveries(each_topic, publish, each=share)
        came = sum(answer["came"] for answer in answers)
        report.add({"topics_deliveries_per_s": came / seconds, "topics_missed": sockets - came})
    report.add({"kb_per_socket_after": (server.kilobytes - empty) / sockets})

    missed_while_away = 20
    server.kill()
    publish([say("all")] * missed_while_away)
    began = time.perf_counter()
    server.start()
    crowd.ask("expect", messages=share * missed_while_away)
    crowd.open(sockets, port=server.port, topics=topics)
    report.add({"resumes_per_s": sockets / (time.perf_counter() - began)})
    answers = crowd.ask("wait")
    report.add(
        {
            "resume_missed": sockets * missed_while_away - sum(answer["came"] for answer in answers),
            "repeated": sum(answer["repeated"] for answer in answers),
        }
    )


def _judge(report: Report, sockets: int) -> None:
    report.bar("sockets held", report.median("sockets_held"), sockets, better="more")
    report.bar("KB per socket", report.median("kb_per_socket_after"), 40, better="less")
    report.bar("to all, p99 (ms)", report.median("to_all_p99_ms"), 1000, better="less")
    lost = sum(max(report.rounds[key]) for key in ("to_all_missed", "topics_missed", "resume_missed"))
    report.bar("messages lost", lost, 0, better="less")
    report.bar("messages repeated", report.median("repeated"), 0, better="less")


if __name__ == "__main__":
    harness.run("ws", main)
