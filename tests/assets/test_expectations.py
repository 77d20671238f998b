"""Great Expectations suites as asset checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from assets.expectations import validate

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = dg.AssetKey(["content", "things"])


def expectation(name: str, **arguments: Any) -> Any:
    import great_expectations.expectations as gxe

    return getattr(gxe, name)(**arguments)


def between(column: str, low: float, high: float) -> Any:
    return expectation("ExpectColumnValuesToBeBetween", column=column, min_value=low, max_value=high)


def told(result: dg.AssetCheckResult) -> Mapping[str, Any]:
    return {name: value.value for name, value in (result.metadata or {}).items()}


def test_each_name_of_a_suite_gets_one_result_in_order() -> None:
    suite = {
        "small": [between("n", 0, 9)],
        "large": [between("n", 90, 99)],
        "both": [between("n", 0, 9), between("m", 0, 1)],
    }
    results = list(validate([{"n": 3, "m": 0.5}], suite, asset_key=KEY))
    assert [(item.check_name, item.passed) for item in results] == [("small", True), ("large", False), ("both", True)]
    assert {item.asset_key for item in results} == {KEY}
    assert {item.severity for item in results} == {dg.AssetCheckSeverity.ERROR}


def test_what_was_not_expected_is_counted_and_shown() -> None:
    rows = [{"n": value} for value in (1, 50, 60)]
    (result,) = validate(rows, {"small": [between("n", 0, 9)]}, asset_key=KEY)
    assert told(result) == {
        "n: expect_column_values_to_be_between, unexpected": 2,
        "n: expect_column_values_to_be_between, for example": ["50", "60"],
    }


def test_two_expectations_of_the_same_kind_are_told_apart() -> None:
    (result,) = validate([{"a": 5, "b": 5}], {"both": [between("a", 0, 1), between("b", 0, 9)]}, asset_key=KEY)
    assert not result.passed
    assert told(result)["a: expect_column_values_to_be_between, unexpected"] == 1
    assert told(result)["b: expect_column_values_to_be_between, unexpected"] == 0


def test_a_name_among_the_warnings_does_not_block() -> None:
    suite = {"small": [between("n", 0, 1)]}
    (result,) = validate([{"n": 5}], suite, asset_key=KEY, warnings=frozenset({"small"}))
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_an_empty_frame_with_named_columns_has_nothing_wrong_in_its_rows() -> None:
    suite = {
        "rows": [expectation("ExpectTableRowCountToBeBetween", min_value=1)],
        "small": [between("n", 0, 1)],
        "listed": [expectation("ExpectColumnValuesToBeInSet", column="n", value_set=[0])],
    }
    results = {item.check_name: item for item in validate([], suite, asset_key=KEY, columns=["n"])}
    assert {name: item.passed for name, item in results.items()} == {"rows": False, "small": True, "listed": True}
    assert told(results["rows"])["expect_table_row_count_to_be_between, observed"] == "0"


def test_a_missing_column_fails_its_check_and_says_so() -> None:
    (result,) = validate([{"n": 1}], {"there": [between("absent", 0, 1)]}, asset_key=KEY)
    assert not result.passed
    assert "absent" in " ".join(str(value) for value in told(result).values())


@pytest.mark.parametrize("value", [None, float("nan")])
def test_an_unknown_value_is_not_null_only_in_name(value: object) -> None:
    suite = {"known": [expectation("ExpectColumnValuesToNotBeNull", column="n")]}
    (result,) = validate([{"n": value}], suite, asset_key=KEY)
    assert not result.passed


def test_validating_one_suite_leaves_no_trace_in_the_next() -> None:
    for value, passed in ((1, True), (100, False), (2, True)):
        (result,) = validate([{"n": value}], {"small": [between("n", 0, 9)]}, asset_key=KEY)
        assert result.passed is passed
