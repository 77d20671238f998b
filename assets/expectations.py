"""Great Expectations suites as Dagster asset checks.

Great Expectations is spoken to directly (the `dagster-ge` package stops at its version 0.18): a suite is a dictionary of
named expectations, `validate` runs it over a data frame and gives one `dg.AssetCheckResult` a name. The library takes three
seconds of CPU to import, so it is imported by the first check of a process; warm workers import it before they fork.
"""

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.expectations.expectation import Expectation

_SHOWN_VALUES = 5


def validate(
    rows: Sequence[Mapping[str, Any]],
    suite: "Mapping[str, Expectation]",
    *,
    asset_key: dg.AssetKey,
    warnings: frozenset[str] = frozenset(),
) -> Iterator[dg.AssetCheckResult]:
    """One result a name of `suite`, in its order; those named in `warnings` do not block what comes after."""
    import great_expectations as gx
    import pandas as pd

    for name, expectation in suite.items():
        expectation.meta = {"check": name}
    frame = pd.DataFrame(list(rows))
    batch = _batch_definition().get_batch({"dataframe": frame})
    outcome = batch.validate(gx.ExpectationSuite(name="suite", expectations=list(suite.values())))
    by_name = {result.expectation_config.meta["check"]: result for result in outcome.results}
    for name in suite:
        result = by_name[name]
        yield dg.AssetCheckResult(
            asset_key=asset_key,
            check_name=name,
            passed=bool(result.success),
            severity=dg.AssetCheckSeverity.WARN if name in warnings else dg.AssetCheckSeverity.ERROR,
            metadata=_metadata(result.expectation_config.type, result.result, result.exception_info),
        )


@functools.cache
def _batch_definition() -> "BatchDefinition":
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    source = context.data_sources.add_pandas("rows")
    return source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")


def preload() -> None:
    """Import and set up Great Expectations now (a warm worker's parent calls it once)."""
    _batch_definition()


def _metadata(expectation: str, result: Mapping[str, Any], exception: Mapping[str, Any]) -> dict[str, dg.MetadataValue]:
    shown: dict[str, dg.MetadataValue] = {"expectation": dg.MetadataValue.text(expectation)}
    if "element_count" in result:
        shown["rows"] = dg.MetadataValue.int(int(result["element_count"]))
    if "unexpected_count" in result:
        shown["unexpected"] = dg.MetadataValue.int(int(result["unexpected_count"]))
        values = [str(value) for value in result.get("partial_unexpected_list") or ()][:_SHOWN_VALUES]
        if values:
            shown["unexpected_values"] = dg.MetadataValue.json(values)
    if "observed_value" in result:
        shown["observed"] = dg.MetadataValue.text(str(result["observed_value"]))
    if exception.get("raised_exception"):
        shown["exception"] = dg.MetadataValue.text(str(exception.get("exception_message")))
    return shown
