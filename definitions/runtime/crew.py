"""The workers of a pool, and the code that they have loaded: started, replaced, interrupted, mourned.

Knows processes and nothing of the queue. Its owner waits on the selector, calls `hear` for what became readable and `mind`
once a turn, and takes from `endings` which runs are over and why.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from definitions.runtime.generation import Generation, State, Worker
from definitions.runtime.processes import describe_exit
from definitions.runtime.watch import newest_change
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from definitions.runtime.channel import Channel
    from definitions.runtime.queue import Claim
    from definitions.runtime.zygote import ZygoteOptions

log = get_logger(__name__)

WATCH_SECONDS = 2.0
CANCEL_SECONDS = 10.0  # how long an interrupted step may take to stop before its worker is killed
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0


class Pause:
    """Waiting that doubles with each failure in a row."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._until = 0.0

    @property
    def left(self) -> float:
        """Seconds still to wait; 0 when it is time to try."""
        return max(0.0, self._until - time.monotonic())

    def failed(self) -> None:
        self._seconds = min(max(FIRST_PAUSE_SECONDS, 2 * self._seconds), LONGEST_PAUSE_SECONDS)
        self._until = time.monotonic() + self._seconds

    def worked(self) -> None:
        self._seconds = self._until = 0.0


@dataclass(frozen=True, slots=True)
class Ending:
    """A run that its worker is done with. `problem` is None if the worker says that it ended properly; `again`: and that it is to
    be tried again.
    """

    claim: Claim
    problem: str | None
    again: bool = False


class Crew:
    """`size` workers with the newest code that could be loaded."""

    def __init__(
        self, options: ZygoteOptions, *, size: int, selector: selectors.BaseSelector, watch: bool = True
    ) -> None:
        self._options = options
        self._size = size
        self._selector = selector
        self._watch = watch
        self._current: Generation | None = None
        self._next: Generation | None = None
        self._retiring: list[Generation] = []
        self._endings: list[Ending] = []
        self._pause = Pause()
        self._must_load = True
        self._looked_at = time.monotonic()
        self._seen_change = self._loaded_change = newest_change(options.working_directory) if watch else 0.0

    def reload(self) -> None:
        """Load the code anew; the present workers go on until the new ones can take over."""
        self._discard(self._next)
        self._next = None
        self._must_load = True
        self._pause.worked()

    def drain(self) -> None:
        """Let workers go as they become free; load nothing any more."""
        self._size = 0
        self._watch = self._must_load = False
        self._discard(self._next)
        self._next = None

    # ------------------------------------------------------------------ work

    @property
    def free(self) -> int:
        """How many runs could be taken now."""
        return len(self._current.idle) if self._current else 0

    @property
    def claims(self) -> dict[str, Claim]:
        """What is being executed, by run id."""
        return {worker.claim.run_id: worker.claim for worker in self._workers() if worker.claim is not None}

    def give(self, claim: Claim, *, lease_until: float) -> None:
        """Have a free worker execute a run, best one that has the job's plan and templates from a run before."""
        assert self._current is not None
        idle = self._current.idle
        next((worker for worker in idle if claim.job in worker.jobs), idle[0]).give(claim, lease_until=lease_until)

    def try_again(self, run_id: str) -> None:
        """Have a free worker start the run that takes a failed one's place."""
        assert self._current is not None
        self._current.idle[0].try_again(run_id)

    def interrupt(self, run_id: str) -> None:
        """Stop a run where it can be stopped; if its step does not let go in time, with its worker."""
        for worker in self._executing(run_id):
            worker.interrupt()

    def abandon(self, run_id: str) -> None:
        """Kill the worker of a run that is no longer ours. No ending is reported: the run's new owner settles it."""
        for worker in self._executing(run_id):
            worker.claim = None
            worker.kill()

    def kill(self, problem: str) -> None:
        """End every run that is being executed, for the reason `problem`, with its worker."""
        for worker in self._workers():
            if worker.claim is not None:
                self._endings.append(Ending(worker.claim, problem))
                worker.claim = None
                worker.kill()

    def endings(self) -> list[Ending]:
        """The runs that ended since the last call."""
        endings, self._endings = self._endings, []
        return endings

    # ------------------------------------------------------------------ care

    def hear(self, source: Generation | Worker) -> None:
        """Read what a zygote or a worker says."""
        if isinstance(source, Generation):
            source.advance()
            if source.control.closed:
                self._unwatch(source.control)
            return
        for message in source.channel.receive():
            self._pause.worked()
            source.seasoned = True
            source.leaving = message.get("retires", False)
            source.idle = not source.leaving
            if source.claim is not None:
                self._endings.append(Ending(source.claim, message["problem"], again=message["again"]))
                source.claim = None
        if source.channel.closed:
            source.idle = False
            self._unwatch(source.channel)

    def mind(self) -> None:
        """Take over new code, bury the dead, fill the ranks, lose patience with steps that ignore an interrupt."""
        self._look_for_changes()
        self._take_over()
        for generation in self._generations():
            self._bury(generation)
        self._dismiss()
        self._fill()
        for worker in self._workers():
            if worker.interrupted_at and time.monotonic() > worker.interrupted_at + CANCEL_SECONDS:
                worker.interrupted_at = None
                worker.kill()

    def close(self) -> None:
        """End all processes."""
        for generation in (self._next, *self._generations()):
            self._discard(generation)
        self._next = self._current = None
        self._retiring = []

    # ------------------------------------------------------------------ the parts of it

    def _look_for_changes(self) -> None:
        """Reload once files have changed and then stayed the same for one look, so that a save in progress is over."""
        if not self._watch or time.monotonic() < self._looked_at + WATCH_SECONDS:
            return
        self._looked_at = time.monotonic()
        change = newest_change(self._options.working_directory)
        if change == self._seen_change != self._loaded_change:
            self._loaded_change = change
            log.info("pool.code_changed", module=self._options.module)
            self.reload()
        self._seen_change = change

    def _take_over(self) -> None:
        if self._next is not None:
            self._judge(self._next)
        if self._current is not None and self._current.state is State.DEAD and not self._current.workers:
            log.error("pool.zygote_died", pid=self._current.pid)
            self._discard(self._current)
            self._current = None
            self._pause.failed()
            self._must_load = self._size > 0
        if self._must_load and self._next is None and not self._pause.left:
            self._must_load = False
            self._next = Generation(self._options)
            self._selector.register(self._next.control, selectors.EVENT_READ, self._next)

    def _judge(self, coming: Generation) -> None:
        if coming.state is State.LOADING:
            return
        self._next = None
        if coming.state is State.READY:
            log.info("pool.code_loaded", module=self._options.module, jobs=coming.jobs, seconds=coming.seconds)
            if self._current is not None:
                self._retiring.append(self._current)
            self._current = coming
            self._pause.worked()
            return
        self._discard(coming)
        if coming.state is State.BROKEN:
            stays = "Runs wait." if self._current is None else "The former code stays in use."
            log.error(
                "pool.code_broken",
                module=self._options.module,
                hint=f"{stays} Mend it: the pool tries again when a file changes, or on SIGHUP.",
                error=coming.error,
            )
        else:
            log.error("pool.zygote_died", pid=coming.pid, while_loading=self._options.module)
            self._pause.failed()
            self._must_load = True

    def _bury(self, generation: Generation) -> None:
        for worker in [worker for worker in generation.workers if worker.exit_status is not None]:
            generation.workers.remove(worker)
            self._forget(worker.channel)
            if not worker.seasoned and generation.state is State.READY:
                log.error("worker.stillborn", pid=worker.pid)
                self._pause.failed()
            if worker.claim is not None:
                problem = describe_exit(worker.pid or 0, worker.exit_status or 0)
                log.error("worker.died", run_id=worker.claim.run_id, problem=problem)
                self._endings.append(Ending(worker.claim, problem))

    def _dismiss(self) -> None:
        for generation in list(self._retiring):
            for worker in generation.idle:
                self._send_home(worker)
            if not generation.workers:
                self._retiring.remove(generation)
                self._discard(generation)

    def _fill(self) -> None:
        if self._current is None or self._current.state is not State.READY:
            return
        staying = [worker for worker in self._current.workers if not worker.leaving]
        for worker in [worker for worker in staying if worker.idle][self._size :]:
            self._send_home(worker)
        if not self._pause.left:
            for _ in range(self._size - len(staying)):
                worker = self._current.fork()
                self._selector.register(worker.channel, selectors.EVENT_READ, worker)

    def _send_home(self, worker: Worker) -> None:
        worker.idle = False
        worker.leaving = True
        self._forget(worker.channel)

    def _discard(self, generation: Generation | None) -> None:
        if generation is not None:
            for channel in (generation.control, *(worker.channel for worker in generation.workers)):
                self._forget(channel)
            generation.close()

    def _forget(self, channel: Channel) -> None:
        self._unwatch(channel)
        channel.close()

    def _unwatch(self, channel: Channel) -> None:
        with contextlib.suppress(KeyError, ValueError):  # not watched any more
            self._selector.unregister(channel)

    def _generations(self) -> list[Generation]:
        return [generation for generation in (self._current, *self._retiring) if generation is not None]

    def _workers(self) -> list[Worker]:
        return [worker for generation in self._generations() for worker in generation.workers]

    def _executing(self, run_id: str) -> list[Worker]:
        return [worker for worker in self._workers() if worker.claim is not None and worker.claim.run_id == run_id]
