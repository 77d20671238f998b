"""A run in a process of its own, for `aiw/isolation: process`: nothing that it does to its process stays for other runs.

The warm worker that took the run from the queue starts the process and waits for it. So such runs are claimed, cancelled, watched
and settled as all others are; only the seconds for starting Python and importing the code come on top. What is executed is
stock: `dagster api execute_run`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from dagster._core.errors import DagsterExecutionInterruptedError, raise_execution_interrupts
from dagster._grpc.types import ExecuteRunArgs
from dagster_shared.serdes import serialize_value

from definitions.runtime.processes import describe_exit, die_with_parent

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun
    from dagster._core.definitions.reconstruct import ReconstructableJob

CANCEL_SECONDS = 8.0  # the pool gives the worker a little longer


def execute_isolated(instance: DagsterInstance, job: ReconstructableJob, run: DagsterRun) -> str | None:
    """Execute the run. Returns why it has not ended, or None if it has; an interrupt is passed on to the process."""
    arguments = ExecuteRunArgs(job.get_python_origin(), run.run_id, instance.get_ref())
    command = [sys.executable, "-m", "definitions.runtime.isolated", str(os.getpid()), serialize_value(arguments)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    instance.report_engine_event(f"Executing in the process {process.pid}, which is the run's own.", run)
    try:
        with raise_execution_interrupts():
            process.wait()
    except (DagsterExecutionInterruptedError, KeyboardInterrupt):
        process.send_signal(signal.SIGINT)
        try:
            process.wait(CANCEL_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    after = instance.get_run_by_id(run.run_id)
    if after is None or after.is_finished:
        return None
    status = process.returncode
    return describe_exit(process.pid, status << 8 if status >= 0 else -status)


def main() -> None:
    """`python -m definitions.runtime.isolated PARENT ARGUMENTS`: started by a worker, never by hand."""
    from dagster._cli import cli

    parent, arguments = sys.argv[1:]
    die_with_parent(int(parent))
    cli(["api", "execute_run", arguments], prog_name="dagster")


if __name__ == "__main__":
    main()
