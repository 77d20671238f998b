"""Evaluations as checks of assets, run by Dagster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from assets.evals import build_eval_check, output_of, readability
from assets.partitions import PARTITION_TAG
from resources.ai.memory import HashingEmbedder
from resources.ai.providers.scripted import ScriptedProvider
from resources.content.memory import MemoryDocumentStore
from tests.resources.ai.calls.parts import answer, memory_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.ai.providers.scripted import Line

KEY = ["made", "by_workflow"]


def judged(
    scorers: Sequence[Any], *lines: Line, made: Any = None, blocking: bool = False, partition: str | None = None
) -> tuple[dg.AssetCheckEvaluation, ScriptedProvider]:
    partitions = dg.StaticPartitionsDefinition(["a", "b"]) if partition else None
    check = build_eval_check(
        KEY,
        name="is_good",
        scorers=scorers,
        subject=output_of("text", passages="passages"),
        blocking=blocking,
        partitions=partitions,
    )
    model = ScriptedProvider(lines)
    resources = {"ai": memory_calls(model), "embedder": HashingEmbedder(), "documents": MemoryDocumentStore()}
    definitions = dg.Definitions(
        assets=[dg.AssetSpec(KEY, partitions_def=partitions)],
        asset_checks=[check],
        jobs=[dg.define_asset_job("judge", selection=dg.AssetSelection.checks(check))],
        resources=resources,
    )
    with dg.DagsterInstance.ephemeral() as instance:
        if made is not None:
            for other, text in ((partition, made), ("b" if partition else None, None)):
                if text is not None:
                    metadata = {"output": dg.MetadataValue.json(text)}
                    instance.report_runless_asset_event(
                        dg.AssetMaterialization(KEY, partition=other, metadata=metadata)
                    )
        job = definitions.resolve_job_def("judge")
        tags = {PARTITION_TAG: partition} if partition else {}
        result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=not blocking)
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation, model


@pytest.mark.parametrize(("text", "passed"), [("Tea is hot.", True), ("Cats fly.", False)])
def test_what_a_workflow_made_is_judged_against_its_passages(text: str, passed: bool) -> None:
    made = {"text": text, "passages": ["Tea is hot. Milk is cold."]}
    found, _ = judged([{"kind": "groundedness"}], made=made)
    assert found.passed is passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert found.metadata["groundedness_1_score"].value == float(passed)


def test_a_blocking_check_fails_with_an_error() -> None:
    scorer = {"kind": "contains", "all": ["tea"]}
    found, _ = judged([scorer, {"kind": "regex", "pattern": "hot"}], made={"text": "cold tea"}, blocking=True)
    assert (found.passed, found.severity, found.blocking) == (False, dg.AssetCheckSeverity.ERROR, True)
    assert found.metadata["regex_2"].value == "is not found"


def test_a_check_judges_the_partition_that_it_is_run_for() -> None:
    found, _ = judged([{"kind": "exact", "expected": "Tea."}], made={"text": "Tea."}, partition="a")
    assert (found.passed, found.partition) == (True, "a")


def test_a_judge_is_a_model_and_says_when_it_is_none() -> None:
    judge = {"kind": "judge", "criteria": "Is it polite?", "provider": "scripted", "model": "m"}
    found, model = judged([judge], answer('{"score": 0.9, "reason": "very"}'), made={"text": "Please."})
    assert (found.passed, found.metadata["judge_1"].value, len(model.requests)) == (True, "very", 1)
    assert found.metadata["notice"].value == "judged by rule, not by an AI model"


def test_nothing_to_judge_is_a_failure_of_the_check() -> None:
    with pytest.raises(dg.Failure, match="no text to judge"):
        judged([{"kind": "exact", "expected": "x"}])


def test_readability_is_the_analysers() -> None:
    found = readability("The cat sat on the mat. It was warm. The sun was out and the day was long.")
    assert found is not None
    assert found > 80
