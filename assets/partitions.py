"""How assets are divided: one partition a document, added when the document arrives. And how work knows its tenant."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from resources.telemetry import correlation

DOCUMENTS = dg.DynamicPartitionsDefinition(name="documents")

TENANT_TAG = "aiw/tenant"
CORRELATION_TAG = "aiw/correlation-id"
POSITION_TAG = "aiw/event-position"
WORKFLOW_TAG = "aiw/workflow"
REVISION_TAG = "aiw/revision"
TRIGGER_TAG = "aiw/trigger"
USER_TAG = "aiw/user"
LAUNCHED_TAG = "aiw/launched"
NODES_TAG = "aiw/nodes"
NODE_TAG = "aiw/node"
CONCURRENCY_TAG = "aiw/concurrency"
ISOLATION_TAG = "aiw/isolation"
EXECUTOR_TAG = "aiw/executor"

PARTITION_TAG = "dagster/partition"

PARTITION_INPUT_TAG = "aiw/partition-input"
"""The input that a workflow's run gets from its partition, where Dagster makes the workflow's assets."""

DEFAULT_TENANT = "default"

AS_ASSETS = "__Assets"
"""What the graph of a workflow is called, after its job, where it is part of a job of assets. No workflow has such a name."""


def tenant_of(run: dg.DagsterRun) -> str:
    """The tenant that a run works for; runs that a person starts by hand in the UI work for the default one."""
    return run.tags.get(TENANT_TAG, DEFAULT_TENANT)


def partition_of(run: dg.DagsterRun) -> str:
    """The run's partition: the document that it is about."""
    return run.tags[PARTITION_TAG]


def given_inputs(run: dg.DagsterRun, partition_input: str | None, *, job: str | None = None) -> dict[str, Any]:
    """The inputs of a workflow, as the run's config has them; a partition is the input of this name.

    Where the assets of several workflows are made, `job` says which of them.
    """
    config: Mapping[str, Any] = run.run_config
    for name, given in (config.get("ops") or {}).items():
        if name.endswith(AS_ASSETS) and job in {None, name.removesuffix(AS_ASSETS)}:
            config = given.get("config") or {}
    partition = run.tags.get(PARTITION_TAG)
    own = {partition_input: partition} if partition_input is not None and partition is not None else {}
    return {**own, **(config.get("inputs") or {})}


def node_of(step_key: str) -> str:
    """The step of a workflow by its own key, also where the workflow's graph is part of a job of assets."""
    graph, found, key = step_key.partition(".")
    return key if found and graph.endswith(AS_ASSETS) else step_key


@contextmanager
def correlated_with(run: dg.DagsterRun) -> Iterator[None]:
    """Run the block under the correlation id of what started the run, or the run's own id."""
    with correlation.correlated(run.tags.get(CORRELATION_TAG, run.run_id)):
        yield
