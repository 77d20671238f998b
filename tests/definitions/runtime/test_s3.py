"""Large outputs in an object store, over S3's own protocol: a server on loopback that speaks it."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import dagster as dg
import pytest
from dagster._core.execution.api import create_execution_plan
from dagster._core.execution.plan.state import KnownExecutionState
from moto.server import ThreadedMotoServer

from definitions.runtime import s3
from definitions.runtime.lean.driver import execute
from definitions.runtime.lean.executor import lean_executor
from definitions.runtime.outputs import Folder, NodeOutputs, output_io_manager
from resources.errors import NotFoundError, UnavailableError, UpstreamError
from tests.definitions.runtime.test_outputs import row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.database.postgres import Database
    from tests.definitions.runtime.conftest import Runtime


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of the test's own."""
    for name, value in {
        "AWS_ENDPOINT_URL_S3": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3.forget_client()
    name = f"outputs-{uuid.uuid4().hex[:8]}"
    boto3.client("s3").create_bucket(Bucket=name)
    yield name
    s3.forget_client()


def test_values_are_written_read_and_deleted(bucket: str, database: Database) -> None:
    folder, outputs, run_id = Folder(f"s3://{bucket}/some folder"), NodeOutputs(database), str(uuid.uuid4())
    outputs.write(row(run_id, "large", folder=folder))
    assert outputs.read(run_id, "step") == "large"
    later = datetime.now(UTC) + timedelta(minutes=1)
    ((found, (uri,)),) = folder.older_than(later)
    assert found == run_id
    assert uri.startswith(f"s3://{bucket}/some folder/{run_id}/")
    assert outputs.delete_orphans(folder, before=later) == 0
    orphan = folder.write(f"{run_id}/orphan", b"x")
    assert outputs.delete_orphans(folder, before=later) == 1
    assert outputs.read(run_id, "step") == "large"
    assert orphan not in {each for _, uris in folder.older_than(later) for each in uris}


def test_a_value_that_is_gone_says_what_to_do(bucket: str, database: Database) -> None:
    outputs, run_id = NodeOutputs(database), str(uuid.uuid4())
    written = row(run_id, "large", folder=Folder(f"s3://{bucket}/outputs"))
    outputs.write(written)
    assert written.uri is not None
    boto3.client("s3").delete_object(Bucket=bucket, Key=written.uri.removeprefix(f"s3://{bucket}/"))
    with pytest.raises(NotFoundError, match="Execute the run again"):
        outputs.read(run_id, "step")


def test_a_store_without_the_bucket_or_out_of_reach_is_told(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UpstreamError, match="NoSuchBucket"):
        Folder(f"s3://{bucket}-not/outputs").write("run/step", b"x")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3.forget_client()
    with pytest.raises(UnavailableError, match="out of reach"):
        Folder(f"s3://{bucket}/outputs").write("run/step", b"x")


@dg.op
def incompressible() -> bytes:
    return os.urandom(50 * 2**20)


@dg.op
def size_of(found: bytes) -> int:
    if not Path(os.environ["S3_TEST_FLAG"]).exists():
        raise ValueError("not yet")
    return len(found)


def test_fifty_megabytes_are_stored_there_and_read_by_a_re_execution(
    bucket: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("S3_TEST_FLAG", str(tmp_path / "flag"))
    instance = runtime.instance

    @dg.job(
        executor_def=lean_executor,
        resource_defs={"io_manager": output_io_manager(url=runtime.url, folder=f"s3://{bucket}/outputs")},
    )
    def heavy() -> None:
        size_of(incompressible())

    failed = instance.create_run_for_job(heavy)
    list(execute(instance, heavy, failed))
    assert runtime.status(failed.run_id) is dg.DagsterRunStatus.FAILURE
    (stored,) = boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert stored["Size"] >= 50 * 2**20

    (tmp_path / "flag").touch()
    parent = instance.get_run_by_id(failed.run_id)
    assert parent is not None
    steps, known = KnownExecutionState.build_resume_retry_reexecution(instance, parent_run=parent)
    assert steps == ["size_of"]
    plan = create_execution_plan(heavy, step_keys_to_execute=steps, known_state=known)
    again = instance.create_run_for_job(
        heavy, execution_plan=plan, parent_run_id=parent.run_id, root_run_id=parent.run_id
    )
    list(execute(instance, heavy, again))
    assert runtime.status(again.run_id) is dg.DagsterRunStatus.SUCCESS
    assert NodeOutputs(runtime.database).read(again.run_id, "size_of") == 50 * 2**20
