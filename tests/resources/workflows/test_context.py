from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import InvalidInputError
from resources.workflows.context import NodeResult, TaskContext

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
TASK = TaskContext(event_id="r", workflow_type="w", event_data={"n": 1}, created_at=NOON, updated_at=NOON)


def test_a_merge_gives_a_new_context_and_leaves_the_old_one() -> None:
    later = NOON + timedelta(seconds=1)
    merged = TASK.merge([NodeResult("a", 1), NodeResult("b", 2), NodeResult("a", 3)], at=later)
    assert (merged.nodes, merged.updated_at, merged.created_at) == ({"a": 3, "b": 2}, later, NOON)
    assert (TASK.nodes, TASK.updated_at) == ({}, NOON)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers())))
def test_of_two_results_of_a_node_the_later_counts(results: list[tuple[str, int]]) -> None:
    merged = TASK.merge([NodeResult(node, output) for node, output in results], at=NOON)
    assert merged.nodes == dict(results)


def test_data_are_asked_for_by_shape() -> None:
    task = TASK.merge([NodeResult("a", ["1"])], at=NOON)
    assert task.get_node_data("a", list) == ["1"]
    assert task.get_node_data("b", list) is None
    assert task.get_event_data(dict) == {"n": 1}
    with pytest.raises(InvalidInputError, match=r"nodes\.a\.output is not a dict"):
        task.get_node_data("a", dict)


def test_names_of_inner_bodies_cover_those_of_outer_ones() -> None:
    task = TASK.within(item=1, index=0).within(item=2)
    assert task.scope == {"item": 2, "index": 0}
