"""What is written down about a running platform: `run/state.json` in the data folder, readable by its owner alone.

It holds addresses (with passwords) and the processes by id *and* start time, so that a number which the system gave to some
other program after a crash is never mistaken for ours. `run/ports.json` survives a stop: the next start takes the same
ports if they are free, so that a bookmark of the UI stays good.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

from resources.servers.files import write_private

if TYPE_CHECKING:
    from pathlib import Path

UI_PATH = "/dagster"
"""Where the API serves Dagster's UI, to those who may see it."""
_SAME_START = 0.05


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process, named so that no later one is taken for it."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> ProcessMark | None:
        """The mark of a live process, None if there is none."""
        try:
            return cls(pid=pid, started=psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None

    def find(self) -> psutil.Process | None:
        """The process, if it still runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SAME_START and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if same else None


@dataclass(slots=True)
class ServiceState:
    """A supervised process. `state` is the last thing that happened to it."""

    name: str
    log_file: str
    state: str
    process: ProcessMark | None = None
    restarts: int = 0


@dataclass(slots=True)
class State:
    """A running platform. Addresses are None for what was not started."""

    process: ProcessMark
    data_dir: str
    started_at: float = field(default_factory=time.time)
    ready: bool = False
    auth_mode: str = "local"
    api_url: str | None = None
    ui_url: str | None = None
    database_url: str | None = None
    graph: dict[str, str | None] | None = None
    embedded: list[str] = field(default_factory=list)
    services: dict[str, ServiceState] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether the supervisor that wrote this still lives."""
        return self.process.find() is not None


def state_file(data_dir: Path) -> Path:
    """Where the state of the platform on `data_dir` is written."""
    return data_dir / "run" / "state.json"


def write_state(data_dir: Path, state: State) -> None:
    """Replace what was written before."""
    write_private(state_file(data_dir), json.dumps(asdict(state), indent=1))


def read_state(data_dir: Path) -> State | None:
    """The last state written, None when there is none. Ask `running` whether it is still true."""
    try:
        raw: dict[str, Any] = json.loads(state_file(data_dir).read_text())
        services = {
            name: ServiceState(**{**one, "process": ProcessMark(**one["process"]) if one["process"] else None})
            for name, one in raw.pop("services").items()
        }
        return State(**{**raw, "process": ProcessMark(**raw["process"]), "services": services})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_ports(data_dir: Path) -> dict[str, int]:
    """The ports of the last run, by name."""
    try:
        raw: dict[str, int] = json.loads((data_dir / "run" / "ports.json").read_text())
    except (OSError, ValueError):
        return {}
    return raw


def write_ports(data_dir: Path, used: dict[str, int]) -> None:
    """Keep the ports, by name, for the next start."""
    write_private(data_dir / "run" / "ports.json", json.dumps(used))
