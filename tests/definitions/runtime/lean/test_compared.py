"""The lean executor does what Dagster's own does, for every kind of op: same events, order, statistics, failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.definitions.runtime.lean.conftest import Lean, Stock

SAME = (
    "chain",
    "failing",
    "failing_on_purpose",
    "retrying",
    "retrying_in_vain",
    "conditional",
    "mapped",
    "several_outputs",
    "hooked",
    "configured",
    "two_inputs",
    "defaults",
    "context_of_the_thread",
    "wrong_output_type",
    "light_ops",
    "wrong_light_output",
    "wrong_input_type",
    "own_types",
    "materializing",
    "returning_events",
    "with_effects",
    "nested",
    "napping",
    "in_time",
    "assets",
)


@pytest.mark.parametrize("job", SAME)
def test_a_run_is_told_as_stock_tells_it(lean: Lean, stock: Stock, job: str) -> None:
    ours, theirs = lean.run(job), stock.run(job)
    assert ours.status == theirs.status
    assert ours.events - theirs.events == theirs.events - ours.events
    assert ours.order == theirs.order
    assert ours.statistics == theirs.statistics
    assert ours.failures == theirs.failures
    assert ours.outputs == theirs.outputs
    assert ours.tags == theirs.tags
