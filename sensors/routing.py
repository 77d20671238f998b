"""Stored rules start runs, hand events to subscriptions and publish them to topics: the sensor reads the event store by position.

At least once: the cursor moves on only after the tick has succeeded. At most one run an event and rule: that is the run key. An
event meets the rules as they stood when it was recorded, so a new rule never acts on the past, and a late tick does what a
timely one would have done. The sensor notes how far it is as the subscription `dagster.event_routes`, whose lag is every
rule's; pausing that subscription pauses all rules.
"""

import re
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from assets.partitions import CORRELATION_TAG, DOCUMENTS, POSITION_TAG, TENANT_TAG
from resources.errors import InvalidInputError, LimitExceededError, NotFoundError, NotPermittedError
from resources.events.catalog import CATALOG, ErrorOccurred
from resources.events.model import NewEvent, RecordedEvent, StreamId
from resources.events.routing.model import (
    ROUTING,
    Forward,
    Publish,
    Routed,
    StartWorkflow,
    StoredRule,
    fits,
    in_force,
    route,
)
from resources.events.routing.store import RuleStore
from resources.events.store import EventStore
from resources.events.subscriptions.model import Subscription
from resources.events.subscriptions.store import SubscriptionStore
from resources.realtime.model import NewMessage
from resources.realtime.publisher import Publisher
from resources.realtime.topics import check_publishable
from sensors.cursors import parse_cursor

EVENTS_PER_TICK = 500
RULE_TAG = "aiw/rule"

# Tells what is wrong with the run config of a job, None = nothing. A run that cannot even begin would fail the whole tick.
ConfigCheck = Callable[[str, Mapping[str, Any]], str | None]
# Starts the published workflow that a rule names; it need not be a job of the code location yet. None: its `when` does not hold.
Fire = Callable[[Routed], str | None]

_PARTITION = re.compile(r"[^\x00-\x1f\x7f]{1,500}")
_NAMESPACE = uuid.UUID("0f0d6f8e-54f3-4a09-9d8c-2f8a8a0f7d11")


def event_routes(
    events: EventStore,
    rules: RuleStore,
    subscriptions: SubscriptionStore,
    publisher: Publisher,
    cursor: str | None,
    *,
    jobs: Mapping[str, bool],
    check: ConfigCheck,
    fire: Fire,
) -> dg.SensorResult:
    """What follows from the events since `cursor`; at most EVENTS_PER_TICK of them. `jobs`: name → divided by documents.

    A workflow that is none of `jobs` is started by `fire`, at once, and is none of the run requests.
    """
    position = parse_cursor(cursor)
    if _note(subscriptions, position):
        return dg.SensorResult(skip_reason=f"The subscription {ROUTING!r} is paused.")
    # In this order: whoever was told that a rule is stored, and appended then, finds the event met by the rule.
    head = events.head(tenant=None)
    history = rules.history()
    types = _types(history)
    if head <= position:
        return dg.SensorResult(skip_reason=f"Nothing happened after position {position}.")
    page: Sequence[RecordedEvent] = ()
    if types:
        page = events.read_all(
            after_position=position, up_to_position=head, types=types, limit=EVENTS_PER_TICK, tenant=None
        )
    reached = page[-1].position if len(page) == EVENTS_PER_TICK else head
    matched = [found for event in page for found in route([event], in_force(history, event)) if found.matched]
    requests: list[dg.RunRequest] = []
    started = 0
    for found in matched:
        match found.rule.rule.action:
            case StartWorkflow() as action if action.workflow not in jobs:
                started += _fire(found, fire, events)
            case StartWorkflow() as action:
                requests += _start(found, action, events, jobs, check)
            case Forward(subscription=name):
                _forward(found, name, events, subscriptions)
            case Publish(topic=topic):
                _publish(found, topic, publisher, events)
    added = sorted({run.partition_key for run in requests if run.partition_key and jobs[str(run.job_name)]})
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[DOCUMENTS.build_add_request(added)] if added else None,
        skip_reason=None
        if requests
        else f"Looked at {len(page)} events up to position {reached}; {started or 'none'} started a workflow.",
        cursor=str(reached),
    )


def build_event_routes_sensor(
    jobs: Collection[dg.JobDefinition | UnresolvedAssetJobDefinition], *, fire: Fire
) -> dg.SensorDefinition:
    """The sensor that may start each of `jobs`, and whatever is published, running from the start."""
    names = [job.name for job in jobs]

    @dg.sensor(
        name="event_routes",
        jobs=list(jobs),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=1,
        description="Applies the stored routing rules to each event, in the order of the event store.",
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        events: dg.ResourceParam[EventStore],
        rules: dg.ResourceParam[RuleStore],
        subscriptions: dg.ResourceParam[SubscriptionStore],
        publisher: dg.ResourceParam[Publisher],
    ) -> dg.SensorResult:
        repository = context.repository_def
        assert repository is not None

        def check(name: str, run_config: Mapping[str, Any]) -> str | None:
            try:
                dg.validate_run_config(repository.get_job(name), dict(run_config))
            except dg.DagsterInvalidConfigError as error:
                return f"The run config does not fit {name!r}: {'; '.join(found.message for found in error.errors)}"
            return None

        known = {name: repository.get_job(name).partitions_def is not None for name in names}
        return event_routes(events, rules, subscriptions, publisher, context.cursor, jobs=known, check=check, fire=fire)

    return sensor


def _note(subscriptions: SubscriptionStore, position: int) -> bool:
    """Note how far the rules were applied; whether they are paused."""
    try:
        status = subscriptions.status(ROUTING)
    except NotFoundError:
        subscriptions.define(Subscription(ROUTING, partitions=1, start_position=position))
        return False
    if status.position != position:
        subscriptions.reset(ROUTING, position=position)
    return status.paused


def _types(history: Sequence[StoredRule]) -> set[str]:
    """The types of events that any rule may want."""
    patterns = {pattern for stored in history for pattern in stored.rule.types}
    plain = {pattern for pattern in patterns if "*" not in pattern}
    return plain | {name for name in CATALOG.types if any(fits(pattern, name) for pattern in patterns - plain)}


def _start(
    found: Routed, action: StartWorkflow, events: EventStore, jobs: Mapping[str, bool], check: ConfigCheck
) -> list[dg.RunRequest]:
    event, name = found.event, action.workflow
    try:
        run_config, partition = action.filled_in(event)
    except InvalidInputError as error:
        _tell(found, error.message, events)
        return []
    wrong = None
    if jobs[name] != (partition is not None):
        wrong = (
            f"The workflow {name!r} is {'' if jobs[name] else 'not '}divided by documents: see the rule's partition."
        )
    elif partition is not None and not _PARTITION.fullmatch(partition):
        wrong = f"{partition[:100]!r} cannot be a partition."
    else:
        wrong = check(name, run_config)
    if wrong is not None:
        _tell(found, wrong, events)
        return []
    rule = found.rule
    tags = {TENANT_TAG: event.tenant, POSITION_TAG: str(event.position), RULE_TAG: f"{rule.rule.name}/{rule.version}"}
    if event.metadata.correlation_id is not None:
        tags[CORRELATION_TAG] = event.metadata.correlation_id
    return [
        dg.RunRequest(run_key=found.run_key, job_name=name, run_config=run_config, partition_key=partition, tags=tags)
    ]


def _fire(found: Routed, fire: Fire, events: EventStore) -> bool:
    """Whether a workflow was started. What is wrong with the start is told; a server that is away fails the tick."""
    try:
        return fire(found) is not None
    except (InvalidInputError, NotFoundError, LimitExceededError) as error:
        _tell(found, error.message, events)
        return False


def _forward(found: Routed, name: str, events: EventStore, subscriptions: SubscriptionStore) -> None:
    rule, event = found.rule, found.event
    try:
        tenant = subscriptions.status(name).subscription.tenant
    except NotFoundError as error:
        _tell(found, error.message, events)
        return
    if tenant not in {None, event.tenant}:
        _tell(found, f"There is no subscription {name!r}.", events)
        return
    reason = f"Forwarded by the rule {rule.rule.name!r}, version {rule.version}."
    subscriptions.forward(name, event, reason=reason)


def _publish(found: Routed, topic: str, publisher: Publisher, events: EventStore) -> None:
    """The message's id is made of the event and the rule: a tick that is repeated says nothing twice."""
    event, rule = found.event, found.rule
    content = {
        "event": event.type,
        "event_id": str(event.event_id),
        "stream": str(event.stream),
        "version": event.version,
        "position": event.position,
        "occurred_at": event.occurred_at.isoformat(),
        "correlation_id": event.metadata.correlation_id,
        "data": event.data,
    }
    try:
        message = NewMessage(
            topic=check_publishable(topic),
            content=content,
            message_id=uuid.uuid5(_NAMESPACE, found.run_key),
            routing_key=event.type,
            headers={"rule": f"{rule.rule.name}/{rule.version}"},
        )
        publisher.publish(message, tenant=event.tenant)
    except (InvalidInputError, NotPermittedError, LimitExceededError) as error:
        _tell(found, error.message, events)


def _tell(found: Routed, message: str, events: EventStore) -> None:
    """Record that a rule leads nowhere: once for each version of it and reason, not for each event."""
    rule = found.rule
    key = f"{rule.tenant} {rule.rule.name} {rule.version} {message}"
    fact = ErrorOccurred(
        error_type="route_failed",
        message=f"The rule {rule.rule.name!r}, version {rule.version}: {message}",
        component="event_routes",
    )
    event = NewEvent(
        type=fact.event_type,
        data=fact.model_dump(mode="json"),
        event_id=uuid.uuid5(_NAMESPACE, key),
        occurred_at=rule.changed_at,
    )
    events.append(StreamId("system", "event_routes"), [event], tenant=rule.tenant)
