"""What steps return, as bytes and in the table."""

from __future__ import annotations

import enum
import math
import uuid
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.runtime.lean.rows import OutputRow
from definitions.runtime.outputs import Folder, NodeOutputs, decode, encode
from resources.errors import InvalidInputError, NotFoundError, UpstreamError

if TYPE_CHECKING:
    from resources.database.postgres import Database


class Colour(enum.IntEnum):
    RED = 1


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


@given(JSON)
def test_json_comes_back_as_it_was(value: Any) -> None:
    encoded = encode(value)
    assert same(decode(encoded.codec, encoded.body), value)


@pytest.mark.parametrize("value", [{"a": [1, 2.5, "x", None, True]}, [], "text", 0, 1.0, None])
def test_plain_values_are_readable_without_python(value: Any) -> None:
    assert encode(value).codec == "json"


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        {1: "one"},
        {"a": (1,)},
        Colour.RED,
        [Colour.RED],
        OrderedDict(a=1),
        math.inf,
        2**70,
        "\ud800",
        b"bytes",
        datetime(2026, 1, 1, tzinfo=UTC),
        {1, 2},
        uuid.UUID(int=1),
        Path("x"),
    ],
)
def test_values_that_json_would_change_come_back_as_they_were(value: Any) -> None:
    encoded = encode(value)
    assert encoded.codec == "pickle"
    assert same(decode(encoded.codec, encoded.body), value)


def test_a_list_that_contains_itself_comes_back() -> None:
    value: list[Any] = [1]
    value.append(value)
    encoded = encode(value)
    back = decode(encoded.codec, encoded.body)
    assert back[1] is back


def test_long_texts_are_compressed_and_noise_is_not() -> None:
    assert encode("word " * 1000).codec == "json+zstd"
    assert encode([uuid.uuid4().hex * 2 for _ in range(3)]).codec == "json"


def test_a_value_that_cannot_be_stored_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="function cannot be stored"):
        encode(lambda: None)


# ---------------------------------------------------------------------- the table


def row(run_id: str, value: Any, *, step: str = "step", folder: Folder | None = None, tenant: str = "t") -> OutputRow:
    encoded = encode(value)
    uri = folder.write(f"{run_id}/{step}.{encoded.checksum}", encoded.body) if folder else None
    body = None if folder else encoded.body
    return OutputRow(tenant, run_id, step, "result", "", encoded.codec, encoded.size, encoded.checksum, body, uri)


@pytest.fixture
def outputs(database: Database) -> NodeOutputs:
    return NodeOutputs(database)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(f"file://{tmp_path}/some folder")


@pytest.fixture
def run_id() -> str:
    return str(uuid.uuid4())


def test_a_value_is_read_back(outputs: NodeOutputs, run_id: str) -> None:
    outputs.write(row(run_id, {"a": [1, (2, 3)]}))
    assert outputs.read(run_id, "step") == {"a": [1, (2, 3)]}


def test_a_later_attempt_replaces_the_value(outputs: NodeOutputs, run_id: str) -> None:
    outputs.write(row(run_id, 1))
    outputs.write(row(run_id, 2))
    assert outputs.read(run_id, "step") == 2


def test_a_value_in_a_folder_is_read_back(outputs: NodeOutputs, folder: Folder, run_id: str) -> None:
    outputs.write(row(run_id, "large", folder=folder))
    assert outputs.read(run_id, "step") == "large"


def test_a_damaged_value_is_not_given_out(outputs: NodeOutputs, folder: Folder, run_id: str, tmp_path: Path) -> None:
    outputs.write(row(run_id, "large", folder=folder))
    (file,) = (tmp_path / "some folder" / run_id).iterdir()
    file.write_bytes(b'"wrong"')
    with pytest.raises(UpstreamError, match="damaged"):
        outputs.read(run_id, "step")


def test_a_value_whose_file_is_gone_says_what_to_do(
    outputs: NodeOutputs, folder: Folder, run_id: str, tmp_path: Path
) -> None:
    outputs.write(row(run_id, "large", folder=folder))
    (file,) = (tmp_path / "some folder" / run_id).iterdir()
    file.unlink()
    with pytest.raises(NotFoundError, match="Execute the run again"):
        outputs.read(run_id, "step")


def test_no_unfinished_file_is_left(folder: Folder, run_id: str, tmp_path: Path) -> None:
    folder.write(f"{run_id}/a", b"x" * 1000)
    assert [file.name for file in (tmp_path / "some folder" / run_id).iterdir()] == ["a"]


def test_a_value_that_is_not_there_says_what_to_do(outputs: NodeOutputs, run_id: str) -> None:
    with pytest.raises(NotFoundError, match=r"'result' of step 'step'.*execute the run again"):
        outputs.read(run_id, "step")


def test_another_tenants_value_is_not_there(outputs: NodeOutputs, run_id: str) -> None:
    outputs.write(row(run_id, 1, tenant="a"))
    assert outputs.read(run_id, "step", tenant="a") == 1
    with pytest.raises(NotFoundError):
        outputs.read(run_id, "step", tenant="b")


def test_old_runs_lose_their_values_and_their_files(
    outputs: NodeOutputs, database_url: str, folder: Folder, tmp_path: Path
) -> None:
    old, lasting = str(uuid.uuid4()), str(uuid.uuid4())
    outputs.write(row(old, "large", folder=folder))
    outputs.write(row(lasting, "first"))
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE aiw.node_outputs SET created_at = now() - interval '90 days' WHERE run_id = ANY(%s)",
            ([old, lasting],),
        )
    outputs.write(row(lasting, "later", step="later"))
    assert outputs.delete_before(datetime.now(UTC) - timedelta(days=60)) >= 1
    assert list((tmp_path / "some folder" / old).iterdir()) == []
    with pytest.raises(NotFoundError):
        outputs.read(old, "step")
    assert outputs.read(lasting, "step") == "first"


def test_files_that_no_run_refers_to_are_deleted_with_age(
    outputs: NodeOutputs, folder: Folder, run_id: str, tmp_path: Path
) -> None:
    outputs.write(row(run_id, "first", folder=folder))
    outputs.write(row(run_id, "second", folder=folder))
    fresh = folder.write(f"{uuid.uuid4()}/of a run that crashed", b"x")
    (tmp_path / "some folder" / run_id / "half.tmp").touch()
    assert outputs.delete_orphans(folder, before=datetime.now(UTC) - timedelta(days=1)) == 0
    assert outputs.delete_orphans(folder, before=datetime.now(UTC) + timedelta(days=1)) == 3
    assert outputs.read(run_id, "step") == "second"
    assert not Path(fresh.removeprefix("file://")).exists()
    assert len(list((tmp_path / "some folder" / run_id).iterdir())) == 1


def test_a_folder_that_is_not_there_has_no_orphans(outputs: NodeOutputs, tmp_path: Path) -> None:
    assert outputs.delete_orphans(Folder(f"file://{tmp_path}/none"), before=datetime.now(UTC)) == 0
