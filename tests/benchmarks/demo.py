"""The main job, timed: `make bench-demo`.

Each round runs `aiw demo` on an empty data folder: servers, Dagster, the corpus of the installed packages, search and path.
CPU seconds are those of each of the platform's processes with its children, read shortly before the platform stops. There is
no peer: nothing else does this job.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Self

import psutil

from api.running import State, read_state
from tests.benchmarks.harness import ROOT, Report, run, version_of

ROUNDS = 3
QUICK_DOCUMENTS = 40
SECONDS_BAR = 90.0
IMPORT_BAR = 3.0
_SAMPLE_SECONDS = 0.5
_IMPORT = "import time; import definitions.code_location; print(time.process_time())"


def main(report: Report, quick: bool) -> None:
    """Measure rounds of the demonstration, and what importing the code location costs."""
    report.versions.update(version_of("dagster", "great-expectations", "onnxruntime", "neo4j", "psycopg"))
    for _ in range(1 if quick else ROUNDS):
        with tempfile.TemporaryDirectory(prefix="aiw bench ") as folder:
            report.add(_round(Path(folder), limit=QUICK_DOCUMENTS if quick else None))
        report.add({"import_cpu_seconds": _import_cpu_seconds()})
    if not quick:
        why = "most of it is the embedding model's matrix products, which already run near the cores' peak; see by_step"
        report.bar("demo, seconds", report.median("total_seconds"), SECONDS_BAR, better="less", why=why)
        report.bar("documents", report.median("documents"), 100, better="more")
    report.bar("failed runs", report.median("failed_runs"), 0, better="less")
    report.bar(
        "import of the code location, CPU seconds", report.median("import_cpu_seconds"), IMPORT_BAR, better="less"
    )


def _round(folder: Path, *, limit: int | None) -> dict[str, float]:
    figures_file = folder / "figures.json"
    data = folder / "data"
    command = [str(Path(sys.executable).with_name("aiw")), "demo", "--json", str(figures_file)]
    if limit is not None:
        command += ["--limit", str(limit)]
    environment = {**os.environ, "AIW_DATA_DIR": str(data)}
    with _CpuMeter(data) as meter, (folder / "out.txt").open("w") as output:
        ended = subprocess.run(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False)
    if ended.returncode:
        print((folder / "out.txt").read_text(), file=sys.stderr)
        raise RuntimeError(f"`aiw demo` ended with {ended.returncode}")
    figures: dict[str, Any] = json.loads(figures_file.read_bytes())
    seconds = figures["seconds"]
    steps = {f"step_seconds_{key.replace(' ', '_')}": value for key, value in seconds["by_step"].items()}
    return {
        "documents": figures["documents"],
        "chunks": figures["chunks"],
        "concepts": figures["concepts"],
        "edges": figures["edges"],
        "runs": figures["runs"]["total"],
        "failed_runs": figures["runs"]["failed"],
        "start_seconds": seconds["start"],
        "ingest_seconds": seconds["ingest"],
        "total_seconds": seconds["total"],
        "documents_per_second": figures["documents"] / seconds["ingest"],
        **steps,
        **{f"cpu_seconds_{name}": value for name, value in meter.seconds.items()},
        "cpu_seconds_all": sum(meter.seconds.values()),
    }


def _import_cpu_seconds() -> float:
    environment = {
        **os.environ,
        "AIW_DATABASE__URL": "postgresql://unused",
        "AIW_GRAPH__URL": "bolt://unused",
        "AIW_GRAPH__PASSWORD": "unused",
    }
    answer = subprocess.run(
        [sys.executable, "-c", _IMPORT], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return float(answer.stdout)


class _CpuMeter:
    """Reads the CPU seconds of the platform's processes now and then; `seconds` holds the last reading of each."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            state = read_state(self._data)
            if state is not None:
                self._read(state)

    def _read(self, state: State) -> None:
        for service in state.services.values():
            process = service.process.find() if service.process else None
            if process is None:
                continue
            total = 0.0
            try:
                for member in (process, *process.children(recursive=True)):
                    times = member.cpu_times()
                    total += times.user + times.system + times.children_user + times.children_system
            except psutil.NoSuchProcess:
                continue
            self.seconds[service.name] = max(total, self.seconds.get(service.name, 0.0))


if __name__ == "__main__":
    run("demo", main)
