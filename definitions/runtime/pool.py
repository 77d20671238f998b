"""A pool of warm workers: `python -m definitions.runtime.pool`.

    launcher --row--> aiw.run_queue --NOTIFY--> pool --socket--> worker (a fork of the zygote)

The pool claims a run when a worker is free and hands it over; the worker executes it in its own, warm process. Runs
start within milliseconds instead of the seconds that a new process and its imports take. Several pools may share a queue.

What is promised:

* A run is executed by one worker at a time, and ends in a state that the UI shows: a worker that dies takes one run
  with it, which fails at once with the reason; a pool that dies leaves claims that the next pool (or this one, restarted)
  settles. Runs of which no step had begun go back to the queue.
* The pool survives its dependencies: without the database it waits, with code that cannot be imported it says why and tries
  again when a file changes or on SIGHUP.
* SIGTERM and Ctrl-C drain: nothing new is claimed, what runs may finish for a while. A second signal ends it at once.

One thread; everything it waits for is a descriptor.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import selectors
import signal
import socket
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from definitions.runtime.crew import Crew, Ending, Pause
from definitions.runtime.generation import Generation, Worker
from definitions.runtime.postgres import Listener, RunQueue
from definitions.runtime.processes import host_id, is_dead
from definitions.runtime.queue import LEASE_SECONDS, MAX_CLAIMS, RENEW_SECONDS
from definitions.runtime.zygote import ZygoteOptions
from resources.database.postgres import Database
from resources.errors import UnavailableError
from resources.settings import Settings
from resources.telemetry.logging import configure_logging, get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from definitions.runtime.settlement import Settlement

log = get_logger(__name__)

MODULE = "definitions.code_location"
PRELOAD = ("great_expectations",)

TICK_SECONDS = 1.0
DRAIN_SECONDS = 12.0
LAST_SECONDS = 5.0  # after the drain: for killing what still runs and writing down that it was killed


class Pool:
    """Claims runs for the crew of this host. `serve` returns when it was told to stop and everything is settled."""

    def __init__(
        self,
        database: Database,
        zygote: ZygoteOptions,
        *,
        workers: int,
        drain: float = DRAIN_SECONDS,
        watch: bool = True,
    ) -> None:
        self.host = host_id()
        self._database = database
        self._queue = RunQueue(database)
        self._selector = selectors.DefaultSelector()
        self._crew = Crew(zygote, size=workers, selector=self._selector, watch=watch)
        self._drain = drain
        self._listener: Listener | None = None
        self._settlement: Settlement | None = None
        self._closing: dict[str, Ending] = {}
        self._to_try_again: deque[str] = deque()
        self._pause = Pause()
        self._renew_at = 0.0
        self._stop_at: float | None = None

    def serve(self) -> None:
        """Execute runs until SIGTERM or SIGINT."""
        with _signals() as (descriptor, received):
            self._selector.register(descriptor, selectors.EVENT_READ)
            log.info("pool.started", host=self.host)
            while True:
                self._turn()
                if self._finished():
                    break
                for key, _ in self._selector.select(self._patience()):
                    self._hear(key.data)
                self._obey(received())
            self._close()
        log.info("pool.stopped", host=self.host)

    # ------------------------------------------------------------------ the loop

    def _turn(self) -> None:
        self._crew.mind()
        if self._stop_at is not None and time.monotonic() > self._stop_at:
            self._crew.kill("The worker pool was stopped, and the run took longer than it could wait.")
        for ending in self._crew.endings():
            self._closing[ending.claim.run_id] = ending
        if self._pause.left:
            return
        try:
            self._connect()
            self._close_runs()
            if time.monotonic() > self._renew_at:
                self._renew()
                self._renew_at = time.monotonic() + RENEW_SECONDS
            self._try_again()
            self._claim()
        except UnavailableError as error:
            self._pause.failed()
            log.warning("pool.database_unreachable", host=self.host, error=str(error), pause=round(self._pause.left, 1))
        else:
            self._pause.worked()

    def _hear(self, source: object) -> None:
        match source:
            case Generation() | Worker():
                self._crew.hear(source)
            case Listener():
                try:
                    for run_id in source.cancelled():
                        self._crew.interrupt(run_id)
                except UnavailableError:
                    self._drop_listener()

    def _obey(self, signals: set[int]) -> None:
        if signal.SIGHUP in signals and self._stop_at is None:
            self._crew.reload()
        if signals & {signal.SIGTERM, signal.SIGINT}:
            seconds = self._drain if self._stop_at is None else 0.0
            self._stop_at = time.monotonic() + seconds
            self._crew.drain()
            log.info("pool.draining", host=self.host, executing=len(self._crew.claims), seconds=seconds)

    def _patience(self) -> float:
        if self._stop_at is None:
            return TICK_SECONDS
        return min(TICK_SECONDS, max(0.1, self._stop_at - time.monotonic()))

    def _finished(self) -> bool:
        if self._stop_at is None:
            return False
        if not self._crew.claims and not self._closing:
            return True
        return time.monotonic() > self._stop_at + LAST_SECONDS

    def _close(self) -> None:
        self._crew.close()
        self._drop_listener()
        self._selector.close()
        self._database.close()
        if self._settlement is not None:
            self._settlement.close()

    # ------------------------------------------------------------------ the queue

    def _connect(self) -> None:
        if self._settlement is None:
            # Importing Dagster takes a second: not before the zygote, which needs longer, has been started.
            from definitions.runtime.settlement import Settlement

            self._settlement = Settlement()
        if self._listener is None:
            self._listener = Listener(self._database)
            self._selector.register(self._listener, selectors.EVENT_READ, self._listener)

    def _drop_listener(self) -> None:
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def _claim(self) -> None:
        if self._stop_at is not None or not self._crew.free:
            return
        lease_until = time.monotonic() + LEASE_SECONDS  # taken before the database's own clock starts
        for claim in self._queue.claim(self.host, limit=self._crew.free):
            self._crew.give(claim, lease_until=lease_until)

    def _renew(self) -> None:
        """Keep our leases, drop what is no longer ours, and take over what dead pools left."""
        executing = self._crew.claims
        ours = {claim.run_id: claim for claim in self._queue.renew(self.host)}
        for run_id in executing.keys() - ours.keys():
            log.error("pool.lease_lost", host=self.host, run_id=run_id)
            self._crew.abandon(run_id)
        for run_id, claim in ours.items():
            if run_id not in executing and run_id not in self._closing:
                self._closing[run_id] = Ending(claim, "The run was claimed, but did not reach a worker.")
            elif claim.cancelled:
                self._crew.interrupt(run_id)
        dead = [host for host in self._queue.hosts() if is_dead(host)]
        for claim in self._queue.lost(self.host, dead=dead):
            log.warning("pool.took_over", host=self.host, run_id=claim.run_id)
            self._closing[claim.run_id] = Ending(claim, "The worker pool that executed the run died.")

    def _close_runs(self) -> None:
        """Give every run that left its worker an end, then take it off the queue. What fails stays for the next turn."""
        for run_id, ending in list(self._closing.items()):
            if self._has_ended(ending):
                if ending.again or (ending.problem is not None and self._settled.is_to_be_tried_again(run_id)):
                    self._to_try_again.append(run_id)
                self._queue.finish(run_id, host=self.host)
            else:
                self._queue.release(run_id, host=self.host)
            del self._closing[run_id]

    def _try_again(self) -> None:
        """Have workers start the retries of runs that have failed. What is not done here the daemon finds, a second later."""
        while self._stop_at is None and self._to_try_again and self._crew.free:
            self._crew.try_again(self._to_try_again.popleft())

    def _has_ended(self, ending: Ending) -> bool:
        if ending.problem is None:
            return True
        may_begin_again = ending.claim.number < MAX_CLAIMS
        return self._settled.settle(ending.claim.run_id, reason=ending.problem, may_begin_again=may_begin_again)

    @property
    def _settled(self) -> Settlement:
        assert self._settlement is not None
        return self._settlement


@contextlib.contextmanager
def _signals() -> Iterator[tuple[socket.socket, Callable[[], set[int]]]]:
    """A descriptor that becomes readable on SIGTERM, SIGINT or SIGHUP, and a function that tells which came."""
    readable, writable = socket.socketpair()
    readable.setblocking(False)
    writable.setblocking(False)
    former_fd = signal.set_wakeup_fd(writable.fileno(), warn_on_full_buffer=False)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    former = {number: signal.signal(number, lambda *_: None) for number in numbers}

    def received() -> set[int]:
        with contextlib.suppress(BlockingIOError):
            return set(readable.recv(256))
        return set()

    try:
        yield readable, received
    finally:
        signal.set_wakeup_fd(former_fd)
        for number, handler in former.items():
            signal.signal(number, handler)
        readable.close()
        writable.close()


def main() -> None:
    """Run the pool of this host in the foreground."""
    parser = argparse.ArgumentParser(
        prog="python -m definitions.runtime.pool", description="Execute Dagster runs in warm workers."
    )
    parser.add_argument("--module", default=MODULE, help="the code location (default: %(default)s)")
    parser.add_argument("--working-directory", default=".", help="where the module is found (default: here)")
    parser.add_argument("--preload", action="append", help="a heavy module to import once, before forking; repeatable")
    parser.add_argument("--workers", type=int, help="processes that execute runs (default: AIW_DAGSTER__WORKERS)")
    parser.add_argument(
        "--drain", type=float, default=DRAIN_SECONDS, help="seconds that runs may take to end on SIGTERM"
    )
    parser.add_argument("--no-watch", action="store_true", help="do not reload the code when a file changes")
    arguments = parser.parse_args()
    settings = Settings()
    if settings.database.url is None:
        parser.error("AIW_DATABASE__URL is not set. `aiw up` starts a pool with everything that it needs.")
    configure_logging(level=settings.log.level, format=settings.log.format, service="pool")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    zygote = ZygoteOptions(
        module=arguments.module,
        working_directory=str(Path(arguments.working_directory).resolve()),
        preload=tuple(PRELOAD if arguments.preload is None else arguments.preload),
        runs_per_worker=settings.dagster.runs_per_worker,
        worker_memory_mb=settings.dagster.worker_memory_mb,
        log_level=settings.log.level,
        log_format=settings.log.format,
    )
    database = Database(settings.database.url.get_secret_value(), pool_size=2, application_name="aiw-pool")
    workers = arguments.workers or settings.dagster.workers
    Pool(database, zygote, workers=workers, drain=arguments.drain, watch=not arguments.no_watch).serve()


if __name__ == "__main__":
    main()
