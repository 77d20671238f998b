"""What starts a workflow besides a person: events, the clock, webhooks, ends of other runs, assets.

Triggers of events and of ends of runs become rules of the event store's routing: they hold from the moment of publishing, and no
sooner. All others are read from what is published. Whatever finds that a workflow is to start makes a `Start`; its key says what
made it start, so that the same reason never starts it twice, whoever finds it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

from resources.errors import Problem
from resources.events.routing.model import Condition, Routed, Rule, StartWorkflow
from resources.workflows.context import TaskContext
from resources.workflows.expressions import Expressions
from resources.workflows.spec import (
    AssetTrigger,
    EventTrigger,
    RunTrigger,
    ScheduleTrigger,
    WebhookTrigger,
    WorkflowSpec,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from resources.events.model import RecordedEvent
    from resources.events.routing.store import RuleStore
    from resources.workflows.definitions import Published

MANAGED: Final = "wf-"
"""Rules with this beginning belong to published workflows."""

MAX_DEPTH: Final = 10
"""So many runs can have started one another."""

CATCH_UP: Final = timedelta(hours=24)
"""A time of a schedule that was missed for longer is not made up for."""

ENDS: Final = {
    "workflow.completed": "completed",
    "workflow.failed": "failed",
    "workflow.cancelled": "cancelled",
}
_KINDS = {status: kind for kind, status in ENDS.items()}
_RULE_NAME = 90
_expressions = Expressions()


@dataclass(frozen=True, slots=True)
class Start:
    """A workflow that is to start. `cause` is the run that caused it, as far as one did."""

    workflow: str
    tenant: str
    key: str
    trigger: str
    inputs: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    correlation_id: str | None = None
    cause: str | None = None


# ---------------------------------------------------------------------------------------------------- rules


def rules_of(spec: WorkflowSpec) -> list[Rule]:
    """The rules that the workflow's triggers are."""
    rules = []
    of: tuple[str, ...]
    for number, trigger in enumerate(spec.triggers):
        match trigger:
            case EventTrigger():
                types, when, of = (trigger.event,), trigger.when, ()
            case RunTrigger():
                types, when, of = (_KINDS[trigger.status],), None, (trigger.workflow,)
            case _:
                continue
        action = StartWorkflow(workflow=spec.name, inputs=trigger.inputs, when=when)
        name = _rule_name(spec.name, number)
        conditions = tuple(Condition(path="workflow_type", operator="==", value=workflow) for workflow in of)
        rules.append(Rule(name=name, types=types, conditions=conditions, action=action))
    return rules


def apply_rules(published: Published, rules: RuleStore) -> None:
    """Store what the newest revision asks for, and disable what it no longer does. Saying it again changes nothing."""
    spec, tenant = published.spec, published.tenant
    wanted = {} if published.archived else {rule.name: rule for rule in rules_of(spec)}
    for rule in wanted.values():
        rules.save(rule, changed_by=published.published_by, tenant=tenant)
    for stored in rules.list(tenant=tenant):
        rule = stored.rule
        mine = isinstance(rule.action, StartWorkflow) and rule.action.workflow == spec.name
        if stored.enabled and mine and rule.name.startswith(MANAGED) and rule.name not in wanted:
            rules.save(rule, enabled=False, changed_by=published.published_by, tenant=tenant)


def start_of(found: Routed, *, outputs: Any = None) -> Start | None:
    """The start that an event and a matching rule ask for; None when the rule's `when` does not hold.

    `outputs` are those of the run whose end the event is, where the event does not hold all of them. Raises InvalidInputError,
    LimitExceededError when an expression cannot be filled in.
    """
    event, action = found.event, found.rule.rule.action
    assert isinstance(action, StartWorkflow)
    scope = scope_of(event, outputs=outputs)
    if action.when is not None and not _expressions.condition(action.when, _task(event.tenant, action), **scope):
        return None
    config, _ = action.filled_in(event)
    inputs = _expressions.render(action.inputs, _task(event.tenant, action), **scope)
    return Start(
        workflow=action.workflow,
        tenant=event.tenant,
        key=found.run_key,
        trigger="run" if event.type in ENDS else "event",
        inputs={**config.get("inputs", {}), **inputs},
        correlation_id=event.metadata.correlation_id,
        cause=cause_of(event),
    )


def scope_of(event: RecordedEvent, *, outputs: Any = None) -> dict[str, Any]:
    """What expressions of a trigger read: `event`, and `run` when the event is the end of one."""
    scope: dict[str, Any] = {
        "event": {
            "id": str(event.event_id),
            "type": event.type,
            "data": dict(event.data),
            "stream": {"type": event.stream.type, "id": event.stream.id},
            "tenant": event.tenant,
            "position": event.position,
            "occurred_at": event.occurred_at.isoformat(),
            "correlation_id": event.metadata.correlation_id,
            "tags": dict(event.metadata.tags),
        }
    }
    if event.type in ENDS:
        data = event.data
        scope["run"] = {
            "id": data["workflow_id"],
            "workflow": data.get("workflow_type"),
            "status": ENDS[event.type],
            "outputs": data.get("output_data") if outputs is None else outputs,
            "error": data.get("error_message") or data.get("reason"),
        }
    return scope


def cause_of(event: RecordedEvent) -> str | None:
    """The run that the event comes from."""
    if event.stream.type in {"workflow", "run"}:
        return event.stream.id
    return event.metadata.causation_id


def _rule_name(workflow: str, number: int) -> str:
    if len(workflow) > _RULE_NAME - len(MANAGED):
        workflow = f"{workflow[:60]}-{hashlib.sha256(workflow.encode()).hexdigest()[:12]}"
    return f"{MANAGED}{workflow}-{number}"


# ---------------------------------------------------------------------------------------------------- the clock


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule of one published workflow."""

    workflow: str
    tenant: str
    cron: str
    timezone: str
    inputs: Mapping[str, Any]
    since: datetime

    def due(self, after: datetime, until: datetime) -> datetime | None:
        """The last time within (after, until] at which it should have run; None when there is none.

        Times are those of the clock in the schedule's zone; changes of the clock are handled as Debian's cron does.
        """
        after = max(after, self.since, until - CATCH_UP)
        zone = ZoneInfo(self.timezone)
        last = None
        for moment in CronSim(self.cron, after.astimezone(zone)):
            at = moment.astimezone(UTC)
            if at > until:
                break
            if at > after:
                last = at
        return last

    def start(self, at: datetime) -> Start:
        """The start of that time."""
        task = TaskContext(
            event_id="", workflow_type=self.workflow, event_data={}, created_at=at, updated_at=at, tenant=self.tenant
        )
        return Start(
            workflow=self.workflow,
            tenant=self.tenant,
            key=f"schedule:{self.workflow}:{self.cron}:{self.timezone}:{at.isoformat()}",
            trigger="schedule",
            inputs=_expressions.render(dict(self.inputs), task),
            tags={"aiw/scheduled-for": at.isoformat()},
        )


def schedules_of(published: Published) -> Iterator[Schedule]:
    """The schedules of a workflow."""
    spec = published.spec
    triggers = [trigger for trigger in spec.triggers if isinstance(trigger, ScheduleTrigger)]
    if spec.schedule is not None:
        triggers.append(ScheduleTrigger(type="schedule", cron=spec.schedule))
    for trigger in triggers:
        yield Schedule(
            spec.name, published.tenant, trigger.cron, trigger.timezone, trigger.inputs, published.published_at
        )


# ---------------------------------------------------------------------------------------------------- assets, webhooks


@dataclass(frozen=True, slots=True)
class AssetWatch:
    """A workflow that starts when one of the assets was materialised."""

    workflow: str
    tenant: str
    assets: tuple[str, ...]
    inputs: Mapping[str, Any]
    since: datetime

    def start(self, asset: str, record: int, *, cause: str | None, correlation_id: str | None = None) -> Start:
        """The start for one materialisation, by its number in Dagster's log."""
        now = datetime.now(UTC)
        task = TaskContext(
            event_id="", workflow_type=self.workflow, event_data={}, created_at=now, updated_at=now, tenant=self.tenant
        )
        return Start(
            workflow=self.workflow,
            tenant=self.tenant,
            key=f"asset:{self.workflow}:{asset}:{record}",
            trigger="asset",
            inputs=_expressions.render(dict(self.inputs), task),
            tags={"aiw/asset": asset},
            correlation_id=correlation_id,
            cause=cause,
        )


def asset_watches_of(published: Published) -> Iterator[AssetWatch]:
    """The asset triggers of a workflow."""
    for trigger in published.spec.triggers:
        if isinstance(trigger, AssetTrigger):
            yield AssetWatch(published.name, published.tenant, trigger.assets, trigger.inputs, published.published_at)


def webhook_starts(
    published: Published, hook: str, *, delivery: str, body: Any, headers: Mapping[str, str]
) -> Iterator[Start]:
    """What a delivery to the webhook `hook` starts. Raises InvalidInputError when an expression cannot be filled in."""
    now = datetime.now(UTC)
    for trigger in published.spec.triggers:
        if isinstance(trigger, WebhookTrigger) and trigger.name == hook:
            task = TaskContext(
                event_id="",
                workflow_type=published.name,
                event_data={},
                created_at=now,
                updated_at=now,
                tenant=published.tenant,
            )
            yield Start(
                workflow=published.name,
                tenant=published.tenant,
                key=f"hook:{hook}:{delivery}:{published.name}",
                trigger="webhook",
                inputs=_expressions.render(trigger.inputs, task, body=body, headers=dict(headers)),
            )


# ---------------------------------------------------------------------------------------------------- problems


RESERVED: Final = frozenset(
    {
        *("available", "instances", "schema", "status", "trigger"),
        *("embed_document", "ingest_document", "rank_concepts", "rebuild_projections", "report_usage", "study_guide"),
    }
)
"""Names that addresses of the API have for something else, and those of the platform's own jobs."""


def problems_of_use(spec: WorkflowSpec, *, sends_mail: bool) -> Iterator[Problem]:
    """What the platform cannot do for the workflow although the workflow itself is sound."""
    if spec.name in RESERVED:
        yield Problem("name", f"{spec.name!r} is a reserved name", "choose another", code="name_reserved")
    told = spec.config.notifications
    if told is not None and told.email and not sends_mail:
        yield Problem(
            "config.notifications.email",
            "this platform sends no mail",
            "use webhook_url",
            code="field_invalid",
        )


def _task(tenant: str, action: StartWorkflow) -> TaskContext:
    now = datetime.now(UTC)
    return TaskContext(
        event_id="", workflow_type=action.workflow, event_data={}, created_at=now, updated_at=now, tenant=tenant
    )
