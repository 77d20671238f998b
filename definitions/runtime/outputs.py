"""What steps return, kept so that a run can be continued from where it failed, and read by whoever shows the run.

Small values are rows of `aiw.node_outputs`, written in the transaction that writes the step's events (`lean/event_log.py`):
a step that is seen to have succeeded has its output. Values beyond 256 KiB go to a folder (any that fsspec knows: a disk,
`s3://` is one of them, `s3.py`) before the row that points to them; a checksum tells a damaged one from a good one.

A value is JSON if JSON gives back exactly the same (dicts with text keys, lists, text, numbers, booleans, None), so that it can
be read without Python; anything else is pickled, and so must be importable where it is read. Rows are written by our own
workers alone: nobody else may write this table, as unpickling executes code. Both are compressed where that pays.
"""

import math
import pickle
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import dagster as dg
import fsspec
import orjson
import zstandard
from dagster._core.execution.plan.outputs import StepOutputHandle

from assets.partitions import tenant_of
from definitions.runtime import s3
from definitions.runtime.lean.event_log import WriteBehindEventLogStorage
from definitions.runtime.lean.postgres import (
    DELETE_OUTPUTS,
    READ_OUTPUT,
    RUNS_WITH_OLD_OUTPUTS,
    STORE_OUTPUT,
    URIS_OF_RUN,
)
from definitions.runtime.lean.rows import OutputRow
from resources.database.postgres import Database
from resources.database.resource import shared_database
from resources.errors import InvalidInputError, NotFoundError, UpstreamError
from resources.settings import Settings

LARGEST_ROW_BYTES: Final = 256 * 1024
SMALLEST_COMPRESSED_BYTES: Final = 1024
WORTHWHILE: Final = 0.9
COMPRESSION_LEVEL: Final = 1
DELETED_AT_A_TIME: Final = 500

s3.register()


# ---------------------------------------------------------------------- values and bytes


@dataclass(frozen=True, slots=True)
class EncodedValue:
    """A value as bytes. `size` is that before compression."""

    codec: str
    size: int
    body: bytes

    @property
    def checksum(self) -> str:
        return _checksum(self.body)


def encode(value: object) -> EncodedValue:
    """Raises InvalidInputError for a value that can be neither JSON nor pickled."""
    codec, body = _serialise(value)
    size = len(body)
    if size >= SMALLEST_COMPRESSED_BYTES:
        packed = zstandard.compress(body, COMPRESSION_LEVEL)
        if len(packed) < WORTHWHILE * size:
            return EncodedValue(f"{codec}+zstd", size, packed)
    return EncodedValue(codec, size, body)


def decode(codec: str, body: bytes) -> Any:
    """The value that `encode` was given."""
    codec, _, packing = codec.partition("+")
    plain = zstandard.decompress(body) if packing else body
    return orjson.loads(plain) if codec == "json" else pickle.loads(plain)  # noqa: S301  # written by our own workers


def _serialise(value: object) -> tuple[str, bytes]:
    with suppress(RecursionError, orjson.JSONEncodeError):
        if is_json(value):
            return "json", orjson.dumps(value)
    try:
        return "pickle", pickle.dumps(value, protocol=5)
    except Exception as error:
        raise InvalidInputError(
            f"A {type(value).__name__} cannot be stored as the output of a step: {error}. "
            "Return values that JSON knows, or that pickle can copy.",
            code="output_not_storable",
        ) from error


def is_json(value: object) -> bool:
    """Whether JSON gives back exactly `value`: no tuples, no enumerations, no subclasses, no NaN."""
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and is_json(item) for key, item in value.items())  # type: ignore[attr-defined]
    if kind is list:
        return all(map(is_json, value))  # type: ignore[call-overload]
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]
    return value is None or kind in (str, int, bool)


def _checksum(body: bytes) -> str:
    return blake2b(body, digest_size=16).hexdigest()


# ---------------------------------------------------------------------- large values


class Folder:
    """Where large values are. `url` is anything that fsspec opens."""

    def __init__(self, url: str) -> None:
        self._url = url

    def write(self, name: str, body: bytes) -> str:
        """Store `body`; returns its address. A reader sees all of it, or nothing."""
        system, root = fsspec.core.url_to_fs(self._url)
        path = f"{root.rstrip('/')}/{name}"
        if "file" in system.protocol:
            system.makedirs(path.rpartition("/")[0], exist_ok=True)
            unfinished = f"{path}.{uuid4().hex}.tmp"
            system.pipe_file(unfinished, body)
            system.mv(unfinished, path)
        else:
            system.pipe_file(path, body)  # object stores show an object when it is complete
        return str(system.unstrip_protocol(path))

    def older_than(self, moment: datetime) -> Iterator[tuple[str, list[str]]]:
        """By run, the addresses of the files that were written before `moment`."""
        system, root = fsspec.core.url_to_fs(self._url)
        if not system.exists(root):
            return
        for directory in system.ls(root, detail=False):
            old = [path for path in system.find(directory) if system.modified(path) < moment]
            if old:
                yield directory.rstrip("/").rpartition("/")[2], [str(system.unstrip_protocol(path)) for path in old]


def _read_blob(uri: str) -> bytes:
    system, path = fsspec.core.url_to_fs(uri)
    try:
        return bytes(system.cat_file(path))
    except FileNotFoundError as error:
        raise NotFoundError(
            f"The stored output {uri!r} is gone. Execute the run again from the step that returned it.",
            code="output_not_found",
        ) from error


def _delete_blob(uri: str) -> None:
    system, path = fsspec.core.url_to_fs(uri)
    with suppress(FileNotFoundError):
        system.rm_file(path)


# ---------------------------------------------------------------------- the store


class NodeOutputs:
    """The table `aiw.node_outputs`. Every verb raises UnavailableError when the database is out of reach."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, row: OutputRow) -> None:
        """Store one value, in place of what the same step returned before."""
        with self._database.transaction() as connection:
            connection.execute(STORE_OUTPUT, row)

    def read(
        self, run_id: str, step_key: str, output: str = "result", *, mapping_key: str = "", tenant: str | None = None
    ) -> Any:
        """What a step returned; `tenant`: only if the run is of this tenant.

        Raises NotFoundError when it is not stored (any more), UpstreamError when it was damaged.
        """
        with self._database.transaction() as connection:
            row = connection.execute(READ_OUTPUT, (run_id, step_key, output, mapping_key, tenant, tenant)).fetchone()
        if row is None:
            raise NotFoundError(
                f"The output {output!r} of step {step_key!r} in run {run_id!r} is not stored. It was deleted with age, or the "
                "step has not succeeded: execute the run again from this step, or from the start.",
                code="output_not_found",
                run_id=run_id,
            )
        codec, checksum, body, uri = row
        body = _read_blob(uri) if body is None else bytes(body)
        if _checksum(body) != checksum:
            raise UpstreamError(
                f"The output {output!r} of step {step_key!r} in run {run_id!r} is damaged: its checksum is not "
                f"{checksum}. Execute the run again from this step.",
                code="output_damaged",
            )
        return decode(codec, body)

    def delete_before(self, moment: datetime) -> int:
        """Delete the outputs of all runs that have stored none since `moment`. Returns of how many runs."""
        deleted = 0
        while True:
            with self._database.transaction() as connection:
                old = connection.execute(
                    RUNS_WITH_OLD_OUTPUTS, {"before": moment, "limit": DELETED_AT_A_TIME}
                ).fetchall()
            for _, uris in old:
                for uri in uris:
                    _delete_blob(uri)
            with self._database.transaction() as connection:
                connection.execute(DELETE_OUTPUTS, ([run_id for run_id, _ in old],))
            deleted += len(old)
            if len(old) < DELETED_AT_A_TIME:
                return deleted

    def delete_orphans(self, folder: Folder, *, before: datetime) -> int:
        """Delete files from before `before` that no row points to: of a crash, or of a step that was executed again.

        Returns how many.
        """
        deleted = 0
        for run_id, uris in folder.older_than(before):
            with self._database.transaction() as connection:
                known = {uri for (uri,) in connection.execute(URIS_OF_RUN, (run_id,))}
            for uri in set(uris) - known:
                _delete_blob(uri)
                deleted += 1
        return deleted


# ---------------------------------------------------------------------- at Dagster's seam


class PostgresOutputs(dg.IOManager):
    """Stores what each step of a run returns, and loads it for later steps and for re-executions."""

    def __init__(self, outputs: NodeOutputs, folder: Folder) -> None:
        self._outputs = outputs
        self._folder = folder
        self.memory: dict[StepOutputHandle, Any] | None = None
        """What this run's steps have returned, while the executor keeps it."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        step = context.step_context
        handle = StepOutputHandle(context.step_key, context.name, context.mapping_key)
        self.store(step.instance, step.dagster_run, handle, obj)
        if self.memory is not None:
            self.memory[handle] = obj

    def store(self, instance: dg.DagsterInstance, run: dg.DagsterRun, handle: StepOutputHandle, value: object) -> None:
        """Store one value. Raises InvalidInputError if that is not possible."""
        encoded = encode(value)
        body: bytes | None = encoded.body
        uri = None
        mapping_key = handle.mapping_key or ""
        if len(encoded.body) > LARGEST_ROW_BYTES:
            name = f"{handle.step_key}.{handle.output_name}.{mapping_key}.{encoded.checksum}"
            uri = self._folder.write(f"{run.run_id}/{quote(name, safe='')}", encoded.body)
            body = None
        row = OutputRow(
            *(tenant_of(run), run.run_id, handle.step_key, handle.output_name, mapping_key),
            *(encoded.codec, encoded.size, encoded.checksum, body, uri),
        )
        event_log = instance.event_log_storage
        if isinstance(event_log, WriteBehindEventLogStorage) and event_log.writes_behind:
            event_log.add_output(row)
        else:
            self._outputs.write(row)

    def load_input(self, context: dg.InputContext) -> Any:
        upstream = context.upstream_output
        if upstream is None:
            raise InvalidInputError(
                f"The input {context.name!r} is not the output of a step of the run. Outputs are kept by run and step; "
                "give assets that are loaded across runs an IO manager of their own.",
                code="input_not_an_output",
            )
        handle = StepOutputHandle(upstream.step_key, upstream.name, upstream.mapping_key)
        event_log = context.step_context.instance.event_log_storage
        if upstream.run_id == context.step_context.run_id:
            if self.memory is not None and handle in self.memory:
                return self.memory[handle]
            if isinstance(event_log, WriteBehindEventLogStorage):
                event_log.flush()
        return self._outputs.read(
            upstream.run_id, handle.step_key, handle.output_name, mapping_key=handle.mapping_key or ""
        )


def output_io_manager(*, folder: str, url: str | None = None) -> dg.IOManagerDefinition:
    """Outputs of steps in PostgreSQL, large ones in a folder (`file:///path`, `s3://bucket/path`).

    `url` is the platform's database; without one, AIW_DATABASE__URL says where it is when a run starts. This is not a
    `ConfigurableResource`: making one takes longer than three steps.
    """

    def open_outputs(context: dg.InitResourceContext) -> PostgresOutputs:
        del context
        address = url or dg.EnvVar("AIW_DATABASE__URL").get_value()
        if not address:
            raise InvalidInputError(
                "Outputs of steps cannot be kept: AIW_DATABASE__URL is not set.", code="no_database"
            )
        return PostgresOutputs(NodeOutputs(shared_database(address, 4)), Folder(folder))

    return dg.IOManagerDefinition(open_outputs, description="What steps return, kept by run and step.")


def build_output_io_manager(settings: Settings) -> dg.IOManagerDefinition:
    """The resource `io_manager` of jobs whose steps return values."""
    return output_io_manager(folder=_address(settings))


def outputs_folder(settings: Settings) -> Folder:
    """Where large values are."""
    return Folder(_address(settings))


def _address(settings: Settings) -> str:
    return settings.outputs or f"file://{settings.data_dir.resolve()}/outputs"  # fsspec decodes no %20


def output_io_managers(resources: Mapping[str, Any]) -> list[PostgresOutputs]:
    """Those of a run's resources that keep outputs here."""
    return [resource for resource in resources.values() if isinstance(resource, PostgresOutputs)]
