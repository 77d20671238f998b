"""`python -m tests.definitions.runtime.lean.process RUN`: executes one run in a process of its own, which a test may harm."""

import os
import sys

from dagster import DagsterInstance
from dagster._utils.interrupts import capture_interrupts

from definitions.runtime.lean.driver import execute
from tests.definitions.runtime.lean.location import JOBS


def main() -> None:
    with DagsterInstance.get() as instance, capture_interrupts():
        run = instance.get_run_by_id(sys.argv[1])
        assert run is not None
        for _ in execute(instance, JOBS[run.job_name], run):
            pass
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
