"""How assets are divided: one partition a document, added when the document arrives. And how work knows its tenant."""

from collections.abc import Iterator
from contextlib import contextmanager

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

DEFAULT_TENANT = "default"


def tenant_of(run: dg.DagsterRun) -> str:
    """The tenant that a run works for; runs that a person starts by hand in the UI work for the default one."""
    return run.tags.get(TENANT_TAG, DEFAULT_TENANT)


def partition_of(run: dg.DagsterRun) -> str:
    """The run's partition: the document that it is about."""
    return run.tags[PARTITION_TAG]


@contextmanager
def correlated_with(run: dg.DagsterRun) -> Iterator[None]:
    """Run the block under the correlation id of what started the run, or the run's own id."""
    with correlation.correlated(run.tags.get(CORRELATION_TAG, run.run_id)):
        yield
