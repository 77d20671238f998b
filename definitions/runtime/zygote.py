"""The process that workers are forked from: it has imported everything once, and does nothing else.

Importing Dagster, the code location and the heavy libraries takes seconds; forking takes a millisecond, and the copies share
their memory. A fork copies only the calling thread and no sockets worth having, so this process starts no threads and opens
no connections; threads that a library started anyway are logged.

It is spoken to on one socket: each socket that arrives is the channel of a worker to fork. It answers `ready` or `broken`
once, then `forked` and `exited` for each worker. It dies with the pool, and its workers die with it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import logging
import os
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

from definitions.runtime.channel import Channel
from definitions.runtime.processes import die_with_parent
from resources.telemetry.logging import configure_logging, get_logger

if TYPE_CHECKING:
    from typing import NoReturn

    from definitions.runtime.code import CodeLocation

log = get_logger(__name__)

# A pool of processes is the parallelism; numeric libraries that start a thread per core in each would fight for them.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class ZygoteOptions:
    """What to load, and when a worker has grown old."""

    module: str
    working_directory: str
    preload: tuple[str, ...] = ()
    runs_per_worker: int = 500
    worker_memory_mb: int = 2048
    log_level: str = "info"
    log_format: str = "auto"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        fields = json.loads(text)
        return cls(**{**fields, "preload": tuple(fields["preload"])})


def run(control: Channel, options: ZygoteOptions) -> None:
    """Load the code, then fork a worker for each socket that arrives, until `control` closes."""
    started = time.perf_counter()
    try:
        code = _load(options)
    except BaseException:  # noqa: BLE001  # whatever user code raises at import is an answer, not an accident
        control.send(kind="broken", error=traceback.format_exc())
        return
    gc.collect()
    gc.freeze()
    if threading.active_count() > 1:
        log.warning("zygote.threads_before_fork", threads=[thread.name for thread in threading.enumerate()])
    control.send(kind="ready", jobs=len(code.jobs), seconds=round(time.perf_counter() - started, 2))
    _fork_until_closed(control, code, options)


def _load(options: ZygoteOptions) -> CodeLocation:
    from definitions.runtime.code import CodeLocation
    from definitions.runtime.lean.driver import warm_up

    warm_up()
    code = CodeLocation(options.module, working_directory=options.working_directory)
    for module in (*options.preload, "definitions.runtime.worker"):
        importlib.import_module(module)
    return code


def _fork_until_closed(control: Channel, code: CodeLocation, options: ZygoteOptions) -> None:
    woken, waker = socket.socketpair()
    woken.setblocking(False)
    waker.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while not control.closed:
            for key, _ in selector.select():
                if key.fileobj is control:
                    _fork(control, code, options)
                else:
                    with contextlib.suppress(BlockingIOError):
                        woken.recv(4096)
            _report_exits(control)


def _fork(control: Channel, code: CodeLocation, options: ZygoteOptions) -> None:
    sock = control.receive_socket()
    if sock is None:
        return
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        control.close()
        _become_worker(Channel(sock), code, options, parent=parent)
    sock.close()
    control.send(kind="forked", pid=pid)


def _become_worker(channel: Channel, code: CodeLocation, options: ZygoteOptions, *, parent: int) -> NoReturn:
    from definitions.runtime.worker import serve

    status = 1
    try:
        die_with_parent(parent)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        serve(channel, code, runs=options.runs_per_worker, memory_mb=options.worker_memory_mb)
        status = 0
    except BaseException:
        log.exception("worker.failed", pid=os.getpid())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(status)  # never back into the zygote's own stack, nor its exit handlers


def _report_exits(control: Channel) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            control.send(kind="exited", pid=pid, status=status)


def main() -> None:
    """`python -m definitions.runtime.zygote DESCRIPTOR OPTIONS PARENT`: started by the pool, never by hand."""
    descriptor, text, parent = sys.argv[1:]
    die_with_parent(int(parent))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C on the terminal is the pool's to handle
    options = ZygoteOptions.from_json(text)
    configure_logging(level=options.log_level, format=options.log_format, service="pool")  # type: ignore[arg-type]
    logging.getLogger("alembic").setLevel(logging.WARNING)
    run(Channel(socket.socket(fileno=int(descriptor))), options)


if __name__ == "__main__":
    main()
