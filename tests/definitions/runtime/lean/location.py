"""The jobs as a code location: what pools and other processes load."""

import os
from pathlib import Path

import dagster as dg

from definitions.runtime.lean.executor import lean_executor
from definitions.runtime.outputs import output_io_manager
from tests.definitions.runtime.lean import jobs

THREADS = "LEAN_TEST_THREADS"

_home = Path(os.environ.get("DAGSTER_HOME", "/nowhere"))
_executor = lean_executor.configured({"max_concurrent": int(os.environ.get(THREADS, "1"))}, name="lean_here")
_outputs = output_io_manager(folder=f"file://{_home}/outputs")

JOBS = jobs.build(_executor, _outputs)

defs = dg.Definitions(jobs=[job for name, job in JOBS.items() if name != "assets"])


def job_named(name: str) -> dg.JobDefinition:
    return JOBS[name]
