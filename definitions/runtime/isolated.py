"""A run in a process of its own, for `aiw/isolation: process`: nothing that it does to its process stays for other runs.

The warm worker that took the run from the queue starts the process and waits for it. So such runs are claimed, cancelled, watched
and settled as all others are; only the seconds for starting Python and importing the code come on top. The process tells what
the run does while it does it, as a warm worker would.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from dagster import DagsterInstance
from dagster._core.errors import DagsterExecutionInterruptedError, raise_execution_interrupts
from dagster._core.origin import JobPythonOrigin
from dagster._utils.hosted_user_process import recon_job_from_origin
from dagster._utils.interrupts import capture_interrupts, setup_interrupt_handlers
from dagster_shared.serdes import deserialize_value, serialize_value

from definitions.runtime.processes import describe_exit, die_with_parent
from definitions.runtime.recorder import open_stores, telling_all

if TYPE_CHECKING:
    from dagster import DagsterRun
    from dagster._core.definitions.reconstruct import ReconstructableJob

CANCEL_SECONDS = 8.0  # the pool gives the worker a little longer


def execute_isolated(instance: DagsterInstance, job: ReconstructableJob, run: DagsterRun) -> str | None:
    """Execute the run. Returns why it has not ended, or None if it has; an interrupt is passed on to the process."""
    origin = serialize_value(job.get_python_origin())
    command = [sys.executable, "-m", "definitions.runtime.isolated", str(os.getpid()), run.run_id, origin]
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
    """`python -m definitions.runtime.isolated PARENT RUN ORIGIN`: started by a worker, never by hand."""
    parent, run_id, origin = sys.argv[1:]
    die_with_parent(int(parent))
    setup_interrupt_handlers()
    with capture_interrupts(), DagsterInstance.get() as instance:
        run = instance.get_run_by_id(run_id)
        if run is None:
            sys.exit(f"There is no run {run_id!r}.")
        job = recon_job_from_origin(deserialize_value(origin, JobPythonOrigin))
        for _ in telling_all(instance, job, run, *open_stores()):
            pass


if __name__ == "__main__":
    main()
