"""A code location for the tests of the runtime: jobs and assets that do what a test needs."""

import os
import time
from pathlib import Path

import dagster as dg

documents = dg.DynamicPartitionsDefinition(name="documents")


class Where(dg.Config):
    path: str = ""


@dg.op
def note(context: dg.OpExecutionContext, config: Where) -> None:
    """Append one line to a file: a trace that the run was executed, and by whom."""
    with Path(config.path).open("a") as file:
        file.write(f"{context.run_id} {os.getpid()}\n")


@dg.op
def fail() -> None:
    raise ValueError("this op always fails")


@dg.op
def crash() -> None:
    os._exit(7)


@dg.op
def linger(config: Where) -> None:
    """Say that the run is under way, then wait until the file is taken away, for longer than any test does."""
    Path(config.path).write_text(str(os.getpid()))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and Path(config.path).exists():
        time.sleep(0.02)


@dg.op
def speak() -> None:
    print("said on standard output")  # noqa: T201


@dg.job
def noting() -> None:
    note()


@dg.job
def failing() -> None:
    fail()


@dg.job
def crashing() -> None:
    crash()


@dg.job
def lingering() -> None:
    linger()


@dg.job
def speaking() -> None:
    speak()


@dg.job
def two_notes() -> None:
    note.alias("first")()
    note.alias("second")()


@dg.asset(partitions_def=documents)
def document(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"partition": context.partition_key})


@dg.asset(partitions_def=documents, deps=[document])
def chunks() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"count": 3})


@dg.asset(partitions_def=documents, deps=[document])
def language() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"language": "en"})


@dg.asset(partitions_def=documents, deps=[chunks])
def vectors() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"dimensions": 384})


@dg.asset(partitions_def=documents, deps=[vectors, language])
def concepts() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"count": 1})


everything = dg.define_asset_job("everything", selection="*")

defs = dg.Definitions(
    assets=[document, chunks, language, vectors, concepts],
    jobs=[noting, failing, crashing, lingering, speaking, two_notes, everything],
    executor=dg.in_process_executor,
    resources={"io_manager": dg.mem_io_manager},
)
