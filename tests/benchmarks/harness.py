"""What every benchmark shares: one table for people, one JSON for machines, peers in environments of their own.

    python -m tests.benchmarks.NAME [--quick] [--json FILE]

    {name, machine, versions, command, seconds, cpu_seconds, figures: {key: number}, spread: {key: [min, max]},
     peers: {peer: {key: number}}, bars: [{name, value, target, ok, why}]}

A figure is the median of its rounds. Peers run in the same call and alternate with us, so that a noisy minute hits both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).parent / "peers"
ENVIRONMENTS = ROOT / ".venv-bench"

Number = float | int


@dataclass(frozen=True)
class Bar:
    """A promise and whether it was kept. `value` and `target` are in the same unit."""

    name: str
    value: float
    target: float
    ok: bool
    why: str = ""


@dataclass
class Report:
    """Collects rounds of figures, ours and the peers'."""

    name: str
    rounds: dict[str, list[Number]] = field(default_factory=lambda: defaultdict(list))
    peer_rounds: dict[str, dict[str, list[Number]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    bars: list[Bar] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def add(self, figures: dict[str, Number], *, peer: str | None = None) -> None:
        """One round's figures."""
        into = self.rounds if peer is None else self.peer_rounds[peer]
        for key, value in figures.items():
            into[key].append(value)

    def median(self, key: str, *, peer: str | None = None) -> float:
        values = (self.rounds if peer is None else self.peer_rounds[peer])[key]
        return float(statistics.median(values))

    def bar(self, name: str, value: float, target: float, *, better: Literal["more", "less"], why: str = "") -> None:
        """Compare a value with its promise; `why` is shown when it is missed."""
        ok = value >= target if better == "more" else value <= target
        self.bars.append(Bar(name, round(value, 4), target, ok, "" if ok else why))

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "machine": machine(),
            "versions": {"python": platform.python_version(), **self.versions},
            "command": f"python -m tests.benchmarks.{self.name} {' '.join(sys.argv[1:])}".strip(),
            "seconds": round(time.monotonic() - self.started, 1),
            "cpu_seconds": round(sum(psutil.Process().cpu_times()[:4]), 1),
            "figures": {key: round(self.median(key), 4) for key in self.rounds},
            "spread": {key: [round(min(values), 4), round(max(values), 4)] for key, values in self.rounds.items()},
            "peers": {
                peer: {key: round(self.median(key, peer=peer), 4) for key in rounds}
                for peer, rounds in self.peer_rounds.items()
            },
            "bars": [asdict(bar) for bar in self.bars],
        }

    def show(self) -> None:
        """The table for people."""
        peers = list(self.peer_rounds)
        width = max(map(len, [*self.rounds, "figure"]))
        print(f"\n{'figure':<{width}} {'median':>12} {'min':>12} {'max':>12}", *(f"{peer:>16}" for peer in peers))
        for key, values in self.rounds.items():
            own = (self.median(key), min(values), max(values))
            others = (
                f"{_short(self.median(key, peer=peer)):>16}" if self.peer_rounds[peer].get(key) else " " * 15 + "-"
                for peer in peers
            )
            print(f"{key:<{width}}", *(f"{_short(value):>12}" for value in own), *others)
        print()
        for bar in self.bars:
            mark = "ok    " if bar.ok else "MISSED"
            print(
                f"{mark} {bar.name}: {_short(bar.value)} (bar {_short(bar.target)}){' - ' + bar.why if bar.why else ''}"
            )


def machine() -> dict[str, Any]:
    """What it ran on."""
    return {
        "cpus": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def version_of(*distributions: str) -> dict[str, str]:
    """Installed versions."""
    return {name: metadata.version(name) for name in distributions}


def run(name: str, work: Callable[[Report, bool], None]) -> None:
    """Parse the arguments, do the work, print the table and write the JSON."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks.{name}")
    parser.add_argument("--quick", action="store_true", help="a few minutes at most")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped
    report = Report(name)
    work(report, arguments.quick)
    report.show()
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report.as_json(), indent=1) + "\n")


def peer_python(name: str) -> Path:
    """The interpreter of a peer's environment, made from `peers/<name>/requirements.lock` when it is not there yet."""
    environment, lock = ENVIRONMENTS / name, PEERS / name / "requirements.lock"
    python, stamp = environment / "bin" / "python", environment / ".lock"
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return python
    uv = shutil.which("uv") or str(ROOT / ".venv-uv" / "bin" / "uv")
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, environment], check=True)
    sync: list[str | Path] = [uv, "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", lock]
    subprocess.run(sync, check=True, env={**os.environ, "VIRTUAL_ENV": str(environment)})
    stamp.write_bytes(lock.read_bytes())
    return python


class Worker:
    """A process that measures: it gets one JSON request a line and answers with one JSON line."""

    def __init__(self, command: Sequence[str | Path]) -> None:
        self._process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def ask(self, do: str, **options: Any) -> dict[str, Number]:
        """Have it measure. Raises RuntimeError when it died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **options}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The worker ended while it measured {do!r}.")
        answer: dict[str, Number] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        assert self._process.stdin is not None
        started = _tree(self._process.pid)
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        if error is not None:
            self._process.send_signal(signal.SIGINT)  # it may be in the middle of a measurement
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=60)
            return
        for process in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()


def tree_cpu(pid: int) -> float:
    """CPU seconds of a process and all that it started and that still lives, or was waited for."""
    total = 0.0
    for process in _tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:2])
    return total


def _tree(pid: int) -> list[psutil.Process]:
    """A living process and all that it started; none when it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def _short(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
