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
    suite: "Mapping[str, Sequence[Expectation]]",
    *,
    asset_key: dg.AssetKey,
    columns: Sequence[str] | None = None,
    warnings: frozenset[str] = frozenset(),
) -> Iterator[dg.AssetCheckResult]:
    """One result a name of `suite`, in its order: passed when all its expectations are met.

    `columns` names them for the case that there are no rows. Results named in `warnings` do not block what comes after.
    """
    import great_expectations as gx
    import pandas as pd

    for name, expectations in suite.items():
        for expectation in expectations:
            expectation.meta = {"check": name}
    batch = _batch_definition().get_batch({"dataframe": pd.DataFrame(list(rows), columns=columns)})
    flat = [expectation for expectations in suite.values() for expectation in expectations]
    outcome = batch.validate(gx.ExpectationSuite(name="suite", expectations=flat))
    for name in suite:
        results = [result for result in outcome.results if result.expectation_config.meta["check"] == name]
        yield dg.AssetCheckResult(
            asset_key=asset_key,
            check_name=name,
            passed=all(result.success for result in results),
            severity=dg.AssetCheckSeverity.WARN if name in warnings else dg.AssetCheckSeverity.ERROR,
            metadata={
                key: value
                for result in results
                for key, value in _metadata(
                    result.expectation_config.kwargs.get("column"),
                    result.expectation_config.type,
                    result.result,
                    result.exception_info,
                )
            },
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


def _metadata(
    column: str | None, expectation: str, result: Mapping[str, Any], exception: Mapping[str, Any]
) -> Iterator[tuple[str, dg.MetadataValue]]:
    """What was expected and what was found, under names that tell several expectations of one check apart."""
    subject = f"{column}: {expectation}" if column else expectation
    if "unexpected_count" in result:
        yield f"{subject}, unexpected", dg.MetadataValue.int(int(result["unexpected_count"]))
        values = [str(value) for value in result.get("partial_unexpected_list") or ()][:_SHOWN_VALUES]
        if values:
            yield f"{subject}, for example", dg.MetadataValue.json(values)
    if "observed_value" in result:
        yield f"{subject}, observed", dg.MetadataValue.text(str(result["observed_value"]))
    # What went wrong is told flat, or by the metric that it went wrong in (a column that is not there).
    told = [exception] if "raised_exception" in exception else [item for item in exception.values() if item]
    messages = [str(item.get("exception_message")) for item in told if item.get("raised_exception")]
    if messages:
        yield f"{subject}, exception", dg.MetadataValue.text("; ".join(dict.fromkeys(messages)))
