"""A code location for tests of faults: functions that do what a node must not do."""

import os
import time
from pathlib import Path
from typing import Any

from assets.nodes.functions import workflow_function
from resources.workflows.node_type import NodeContext
from tests.definitions.runtime.location import defs

__all__ = ["defs"]


@workflow_function("tests.exit")
def leave(code: int) -> None:
    """End the process, as a crash does."""
    os._exit(code)


@workflow_function("tests.exit_once")
def leave_once(path: str, code: int) -> str:
    """End the process the first time, and not the second."""
    if Path(path).exists():
        return "survived"
    Path(path).touch()
    os._exit(code)


@workflow_function("tests.note")
def note(path: str, text: str) -> str:
    """Leave a trace of each execution."""
    with Path(path).open("a") as file:
        file.write(f"{text}\n")
    return text


@workflow_function("tests.sleep")
def sleep(seconds: float) -> str:
    """Sleep, and look at nothing meanwhile."""
    time.sleep(seconds)
    return "slept"


@workflow_function("tests.note_and_sleep")
def note_and_sleep(path: str, seconds: float) -> str:
    """Leave a trace, then sleep as `tests.sleep` does."""
    note(path, "called")
    return sleep(seconds)


@workflow_function("tests.linger")
def linger(path: str, context: NodeContext) -> str:
    """Say who executes it, then wait until the file is taken away or the run is cancelled."""
    Path(path).write_text(str(os.getpid()))
    while Path(path).exists() and not context.cancel.wait(0.02):
        pass
    return "let go"


@workflow_function("tests.unjson")
def unjson() -> Any:
    """Give what is no JSON."""
    return object()


@workflow_function("tests.large")
def large(megabytes: int) -> str:
    """Give a large text."""
    return "x" * (megabytes * 2**20)


@workflow_function("tests.length")
def length(text: str) -> int:
    """How long a text is."""
    return len(text)


@workflow_function("tests.need")
def need(path: str, item: str) -> str:
    """Refuse the item `b` while the file is not there."""
    if item == "b" and not Path(path).exists():
        raise ValueError("not this one")
    return item
