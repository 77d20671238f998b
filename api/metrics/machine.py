"""The machine, and the processes of the platform on it."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import psutil

from api import running
from api.metrics.series import Series
from api.schemas import SystemOut
from resources.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LEAST_DISK: Final = 0.05
LEAST_MEMORY: Final = 0.1
"""Shares that have to be free for the platform to be healthy."""


def machine(data_dir: Path) -> Series:
    """Processor, memory and disk."""
    times, memory, disk = psutil.cpu_times(), psutil.virtual_memory(), disk_of(data_dir)
    idle = times.idle + getattr(times, "iowait", 0.0)
    busy = times.user + times.system + sum(getattr(times, name, 0.0) for name in ("nice", "irq", "softirq", "steal"))
    return Series(
        counters={"aiw_system_cpu_seconds_total": {("busy",): busy, ("idle",): idle}},
        gauges={
            "aiw_system_memory_bytes": {
                ("used",): memory.total - memory.available,
                ("available",): memory.available,
            },
            "aiw_disk_bytes": {("used",): disk.used, ("free",): disk.free},
        },
    )


def system(data_dir: Path) -> SystemOut:
    """The same in short, as it is now."""
    memory, disk = psutil.virtual_memory(), disk_of(data_dir)
    return SystemOut(
        cpu_load=round(psutil.getloadavg()[0] / (psutil.cpu_count() or 1), 3),
        memory_used=round(1 - memory.available / memory.total, 4),
        disk_used=round(disk.used / (disk.used + disk.free), 4),
        disk_free_bytes=disk.free,
        process_memory_bytes=psutil.Process().memory_info().rss,
    )


def check_disk(data_dir: Path) -> str:
    """What is free, for people. Raises UnavailableError when hardly anything is: a database that cannot write stops."""
    disk = disk_of(data_dir)
    return _enough("disk", disk.free, disk.used + disk.free, least=LEAST_DISK)


def check_memory() -> str:
    """What is free, for people. Raises UnavailableError when hardly anything is."""
    memory = psutil.virtual_memory()
    return _enough("memory", memory.available, memory.total, least=LEAST_MEMORY)


def _enough(what: str, free: int, total: int, *, least: float) -> str:
    text = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB are free"
    if free < total * least:
        raise UnavailableError(f"There is hardly any {what} left: {text}.", dependency=what)
    return f"{text}."


def disk_of(folder: Path) -> psutil._ntuples.sdiskusage:
    """The disk that the folder is on, or will be."""
    while not folder.exists():
        folder = folder.parent
    return psutil.disk_usage(str(folder))


def processes(data_dir: Path) -> Series:
    """The platform's processes, by the names that its supervisor gives them; without one, this process, as `api`."""
    state = running.read_state(data_dir)
    found = {name: one.process.find() for name, one in (state.services if state else {}).items() if one.process}
    if not any(process is not None and process.pid == os.getpid() for process in found.values()):
        found = {"api": psutil.Process()}
    started: dict[tuple[str, ...], float] = {}
    cpu: dict[tuple[str, ...], float] = {}
    memory: dict[tuple[str, ...], float] = {}
    children = _children()
    for name, process in found.items():
        with suppress(psutil.Error):
            if process is not None:
                times = process.cpu_times()
                started[name,] = process.create_time()
                cpu[name,] = times.user + times.system
                memory[name,] = _memory(process.pid, children)
    return Series(
        counters={"aiw_process_cpu_seconds_total": cpu},
        gauges={"aiw_process_start_time_seconds": started, "aiw_process_memory_bytes": memory},
    )


def _children() -> Mapping[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for process in psutil.process_iter(["ppid"]):
        found[process.info["ppid"] or 0].append(process.pid)
    return found


def _memory(pid: int, children: Mapping[int, list[int]]) -> float:
    total = 0.0
    with suppress(psutil.Error):
        total = psutil.Process(pid).memory_info().rss
    return total + sum(_memory(child, children) for child in children.get(pid, ()) if child != pid)
