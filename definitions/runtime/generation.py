"""A generation of workers: one zygote with one state of the code, and the workers forked from it.

When the code changes, a new generation is loaded beside the old one; the old one finishes what it executes and goes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from definitions.runtime.channel import Channel, pair
from definitions.runtime.zygote import ONE_THREAD
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from definitions.runtime.channel import Message
    from definitions.runtime.queue import Claim
    from definitions.runtime.zygote import ZygoteOptions

log = get_logger(__name__)

CLOSE_SECONDS = 5.0


class State(Enum):
    """Where a generation is in its life."""

    LOADING = "loading"
    READY = "ready"
    BROKEN = "broken"  # the code cannot be imported
    DEAD = "dead"  # the zygote died


class Worker:
    """One forked process, seen from the pool. `claim` is what it executes, `jobs` are those of all its runs so far."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.pid: int | None = None
        self.claim: Claim | None = None
        self.jobs: set[str] = set()
        self.idle = False
        self.leaving = False
        self.seasoned = False  # it was able to take a run at least once
        self.interrupted_at: float | None = None
        self.exit_status: int | None = None

    def give(self, claim: Claim, *, lease_until: float) -> None:
        """Have the worker execute a run. `lease_until` is a time of `time.monotonic`."""
        self.claim = claim
        self.jobs.add(claim.job)
        self.idle = False
        self.interrupted_at = None
        self.channel.send(run_id=claim.run_id, host=claim.host, lease_until=lease_until)

    def try_again(self, run_id: str) -> None:
        """Have the worker start the run that takes a failed one's place."""
        self.idle = False
        self.channel.send(try_again=run_id)

    def interrupt(self) -> None:
        """Ask the run to stop where it can: the step gets an interrupt, the run ends as cancelled."""
        if self.interrupted_at is None:
            self.interrupted_at = time.monotonic()
            self.signal(signal.SIGINT)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        if self.pid is not None and self.exit_status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Generation:
    """Starts a zygote at once; `advance` reads what it says."""

    def __init__(self, options: ZygoteOptions) -> None:
        self.state = State.LOADING
        self.error: str | None = None
        self.jobs = 0
        self.seconds = 0.0
        self.workers: list[Worker] = []
        self._unborn: deque[Worker] = deque()
        self.control, theirs = pair()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "definitions.runtime.zygote",
                str(theirs.fileno()),
                options.to_json(),
                str(os.getpid()),
            ],
            pass_fds=(theirs.fileno(),),
            env={**ONE_THREAD, **os.environ},
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C on a terminal reaches the pool alone
        )
        theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def idle(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.idle and worker.exit_status is None]

    def fork(self) -> Worker:
        """Have one more worker forked."""
        channel, theirs = pair()
        worker = Worker(channel)
        self.workers.append(worker)
        self._unborn.append(worker)
        self.control.send_socket(theirs)
        theirs.close()
        return worker

    def advance(self) -> None:
        """Read what the zygote says and keep the books. Workers that exited have an `exit_status` afterwards."""
        for message in self.control.receive():
            self._take(message)
        if self.control.closed and self.state is not State.BROKEN:
            self.state = State.DEAD
            for worker in self.workers:
                worker.exit_status = signal.SIGKILL if worker.exit_status is None else worker.exit_status

    def _take(self, message: Message) -> None:
        match message["kind"]:
            case "ready":
                self.jobs, self.seconds = message["jobs"], message["seconds"]
                self.state = State.READY
            case "broken":
                self.error = message["error"]
                self.state = State.BROKEN
            case "forked":
                self._unborn.popleft().pid = message["pid"]
            case "exited":
                for worker in self.workers:
                    if worker.pid == message["pid"]:
                        worker.exit_status = message["status"]

    def close(self) -> None:
        """End the zygote and whatever is left of its workers."""
        for worker in self.workers:
            worker.channel.close()
        self.control.close()
        try:
            self._process.wait(timeout=CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
