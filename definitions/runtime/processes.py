"""What a pool must know about processes: who it is, who still lives, and how to die with one's parent."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import signal
import socket
import sys
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies (Linux); leave at once if it is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def host_id() -> str:
    """A name for this process that no other process ever has: machine, process id and start time."""
    return f"{_machine()}/{os.getpid()}/{_started(os.getpid())}"


def is_dead(host: str) -> bool:
    """Whether `host` was a process of this very machine (and of the same container) that no longer runs."""
    machine, _, process = host.partition("/")
    pid, _, started = process.partition("/")
    return machine == _machine() and pid.isdigit() and _started(int(pid)) != started


def resident_megabytes() -> float:
    """Memory of this process that is in RAM, pages shared with its parent included."""
    return float(psutil.Process().memory_info().rss) / 2**20


def describe_exit(pid: int, status: int) -> str:
    """A sentence about a wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"The worker process {pid} exited with code {code} while it executed the run."
    name = signal.Signals(-code).name
    hint = " The kernel's out-of-memory killer does this, too." if -code == signal.SIGKILL else ""
    return f"The worker process {pid} was killed by {name} while it executed the run.{hint}"


def _started(pid: int) -> str:
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return "never"


def _machine() -> str:
    """Host name, plus what tells two containers with the same name apart: the boot and the process namespace."""
    place = ""
    with contextlib.suppress(OSError):
        place = Path("/proc/sys/kernel/random/boot_id").read_text() + str(Path("/proc/self/ns/pid").readlink())
    return f"{socket.gethostname()}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"
