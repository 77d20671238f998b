"""From stored rules to runs: what one tick asks for, on a real store, and what a wrong rule does not break."""

from __future__ import annotations

import uuid
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from assets.partitions import CORRELATION_TAG, DOCUMENTS, POSITION_TAG, TENANT_TAG
from resources.errors import NotFoundError
from resources.events.model import EventMetadata, NewEvent, RecordedEvent, StreamId
from resources.events.postgres import PostgresEventStore
from resources.events.routing.model import ROUTING, Condition, Forward, Publish, Routed, Rule, StartWorkflow
from resources.events.routing.postgres import PostgresRules
from resources.events.subscriptions.consumer import Consumer
from resources.events.subscriptions.model import Subscription
from resources.events.subscriptions.postgres import PostgresSubscriptions
from resources.realtime.postgres import PostgresMessages
from resources.realtime.publisher import Publisher
from resources.realtime.rules.model import Router
from resources.realtime.rules.postgres import PostgresRealtimeRules
from sensors.routing import EVENTS_PER_TICK, RULE_TAG, build_event_routes_sensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resources.database.postgres import Database


@dg.op(config_schema={"topic": str})
def summarise() -> None:
    """Stands for work."""


@dg.job
def summary() -> None:
    summarise()


@dg.asset(partitions_def=DOCUMENTS)
def document() -> None:
    """Stands for the way of a document."""


INGEST = dg.define_asset_job("ingest", selection=[document])
FIRED: list[Routed] = []


def fire(found: Routed) -> str | None:
    """As the platform does, for a workflow that nobody has published."""
    action = found.rule.rule.action
    assert isinstance(action, StartWorkflow)
    if action.workflow != "published":
        raise NotFoundError(f"There is no workflow {action.workflow!r}.")
    FIRED.append(found)
    return found.run_key


SENSOR = build_event_routes_sensor([summary, INGEST], fire=fire)
CONFIG = {"ops": {"summarise": {"config": {"topic": "${data.job}"}}}}


class Sensor:
    """The sensor between the real stores, at the cursor that its ticks leave."""

    def __init__(self, database: Database, tenant: str, instance: dg.DagsterInstance) -> None:
        self.events = PostgresEventStore(database)
        self.rules = PostgresRules(database)
        self.subscriptions = PostgresSubscriptions(database)
        self.database = database
        self.tenant = tenant
        self.cursor: str | None = str(self.events.head(tenant=None))
        self.instance = instance
        self.messages = PostgresMessages(database)
        self.publisher = Publisher(self.messages, Router(PostgresRealtimeRules(database)))
        self.resources = {
            "events": self.events,
            "rules": self.rules,
            "subscriptions": self.subscriptions,
            "publisher": self.publisher,
        }
        self.definitions = dg.Definitions(
            assets=[document], jobs=[summary, INGEST], sensors=[SENSOR], resources=self.resources
        )

    def start(self, *runs: str, correlation_id: str | None = None) -> Sequence[RecordedEvent]:
        facts = [
            NewEvent(
                type="run.started",
                data={"run_id": run, "job": "tea"},
                metadata=EventMetadata(correlation_id=correlation_id),
            )
            for run in runs
        ]
        return self.events.append(StreamId("run", uuid.uuid4().hex), facts, tenant=self.tenant).events

    def rule(self, name: str = "on-start", **changes: Any) -> None:
        enabled = changes.pop("enabled", True)
        given = {"name": name, "types": ("run.*",), "action": StartWorkflow(workflow="summary", run_config=CONFIG)}
        self.rules.save(Rule(**(given | changes)), enabled=enabled, tenant=self.tenant)

    def tick(self) -> dg.SensorResult:
        context = dg.SensorEvaluationContext(  # as the code server builds it: build_sensor_context knows no partitions
            instance_ref=self.instance.get_ref(),
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=self.cursor,
            repository_name=None,
            repository_def=self.definitions.get_repository_def(),
            sensor_name=SENSOR.name,
            resources={name: dg.ResourceDefinition.hardcoded_resource(value) for name, value in self.resources.items()},
        )
        with context, partition_loading_context(dynamic_partitions_store=self.instance):
            answer = SENSOR.evaluate_tick(context)
        self.cursor = answer.cursor or self.cursor
        return answer  # type: ignore[return-value]  # the parts that the tests look at are the same

    def runs(self) -> Sequence[dg.RunRequest]:
        """Of one tick, those of this test's tenant: others may be at work in the same database."""
        return [run for run in self.tick().run_requests or [] if run.tags[TENANT_TAG] == self.tenant]

    def told(self) -> list[str]:
        found = self.events.read_all(types={"system.error_occurred"}, tenant=self.tenant)
        return [event.data["message"] for event in found]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture
def router(database: Database, tenant: str, instance: dg.DagsterInstance) -> Iterator[Sensor]:
    router = Sensor(database, tenant, instance)
    router.subscriptions.define(Subscription(ROUTING, partitions=1))
    router.subscriptions.resume(ROUTING)
    with closing(router.events):
        yield router


def test_an_event_that_fits_starts_the_workflow_with_what_the_rule_says(router: Sensor) -> None:
    router.rule()
    (event,) = router.start("r1", correlation_id="story-1")
    (run,) = router.runs()
    assert run.run_key == f"{event.event_id}:on-start"
    assert run.job_name == "summary"
    assert run.run_config == {"ops": {"summarise": {"config": {"topic": "tea"}}}}
    assert run.tags[TENANT_TAG] == router.tenant
    assert run.tags[POSITION_TAG] == str(event.position)
    assert run.tags[CORRELATION_TAG] == "story-1"
    assert run.tags[RULE_TAG] == "on-start/1"


def test_the_cursor_is_the_position_up_to_which_all_is_done(router: Sensor) -> None:
    router.rule()
    events = router.start("r1", "r2")
    assert len(router.runs()) == 2
    assert int(router.cursor or 0) >= events[-1].position
    assert router.runs() == []


def test_a_tick_that_is_repeated_asks_for_the_same_runs(router: Sensor) -> None:
    router.rule()
    router.start("r1", "r2")
    before = router.cursor
    first = [run.run_key for run in router.runs()]
    router.cursor = before
    assert [run.run_key for run in router.runs()] == first


def test_a_long_backlog_is_worked_off_tick_by_tick(router: Sensor) -> None:
    router.rule()
    router.start(*(f"r{number}" for number in range(EVENTS_PER_TICK + 3)))
    counts = [len(router.runs()), len(router.runs())]
    assert sum(counts) == EVENTS_PER_TICK + 3
    assert counts[0] <= EVENTS_PER_TICK


def test_a_rule_does_not_act_on_the_past(router: Sensor) -> None:
    router.start("before")
    router.rule()
    after = router.start("after")
    assert [run.run_key for run in router.runs()] == [f"{after[0].event_id}:on-start"]


def test_a_late_tick_applies_the_rules_of_the_time(router: Sensor) -> None:
    router.rule(conditions=(Condition(path="run_id", operator="==", value="r1"),))
    first = router.start("r1")
    router.rule(conditions=(Condition(path="run_id", operator="==", value="r2"),))
    second = router.start("r1", "r2")
    router.rule(conditions=(Condition(path="run_id", operator="==", value="r2"),), enabled=False)
    router.start("r2")
    keys = [run.run_key.partition(":")[0] for run in router.runs() if run.run_key]
    assert keys == [str(first[0].event_id), str(second[1].event_id)]


def test_rules_of_other_tenants_do_not_see_the_event(router: Sensor) -> None:
    router.rules.save(Rule(name="spy", types=("**",), action=StartWorkflow(workflow="summary")), tenant="somebody-else")
    router.start("r1")
    assert router.runs() == []


def test_a_workflow_divided_by_documents_gets_its_partition(router: Sensor) -> None:
    router.rule(action=StartWorkflow(workflow="ingest", partition="${data.run_id}"))
    router.start("d1")
    answer = router.tick()
    assert [run.partition_key for run in answer.run_requests or []] == ["d1"]
    requests = answer.dynamic_partitions_requests or []
    assert [(request.partitions_def_name, request.partition_keys) for request in requests] == [("documents", ["d1"])]


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (StartWorkflow(workflow="nonsense"), "There is no workflow 'nonsense'"),
        (StartWorkflow(workflow="summary"), "does not fit 'summary'"),
        (StartWorkflow(workflow="summary", run_config={"ops": {"other": {}}}), "does not fit 'summary'"),
        (StartWorkflow(workflow="summary", run_config={"ops": "${data.nowhere}"}), "nothing at 'data.nowhere'"),
        (StartWorkflow(workflow="summary", run_config=CONFIG, partition="x"), "not divided by documents"),
        (StartWorkflow(workflow="ingest"), "divided by documents"),
        (Forward(subscription="nonsense"), "There is no subscription 'nonsense'"),
        (Publish(topic="runs.1"), "the platform alone speaks there"),
        (Publish(topic="no topic"), "is not a topic"),
    ],
)
def test_a_rule_that_leads_nowhere_is_told_once_and_holds_nothing_up(router: Sensor, action: Any, said: str) -> None:
    router.rule("broken", action=action)
    router.rule("sound")
    router.start("r1", "r2")
    assert len(router.runs()) == 2
    assert len(router.told()) == 1
    assert said in router.told()[0]
    assert "'broken', version 1" in router.told()[0]


def test_an_event_is_forwarded_to_a_subscription_once(router: Sensor) -> None:
    name = f"inbox-{router.tenant}"
    router.subscriptions.define(Subscription(name, tenant=router.tenant, types=("document.ready",)))
    router.rule(action=Forward(subscription=name))
    before = router.cursor
    (event,) = router.start("r1")
    router.tick()
    router.cursor = before
    router.tick()
    seen: list[RecordedEvent] = []
    with closing(PostgresSubscriptions(router.database)) as worker:
        consumer = Consumer(name, events=router.events, subscriptions=worker, deliver=seen.append)
        while consumer.run_once():
            pass
    assert [found.event_id for found in seen] == [event.event_id]
    assert seen[0].replay_id is None


def test_an_event_is_published_to_a_topic_once(router: Sensor) -> None:
    router.rule(action=Publish(topic="runs-begun"))
    before = router.cursor
    (event,) = router.start("r1", correlation_id="story-1")
    router.tick()
    router.cursor = before
    router.tick()
    (message,) = router.messages.history("runs-begun", tenant=router.tenant)
    assert message.content["event_id"] == str(event.event_id)
    assert message.content["data"]["run_id"] == "r1"
    assert message.content["correlation_id"] == "story-1"
    assert (message.routing_key, message.headers) == ("run.started", {"rule": "on-start/1"})


def test_the_lag_of_the_rules_is_told_and_they_can_be_paused(router: Sensor) -> None:
    router.rule()
    router.tick()
    router.tick()  # a tick notes where the last one ended
    events = router.start("r1", "r2")
    assert router.subscriptions.lag(ROUTING, now=datetime.now(UTC)).events >= 2
    router.subscriptions.pause(ROUTING)
    assert router.runs() == []
    router.subscriptions.resume(ROUTING)
    assert len(router.runs()) == 2
    router.tick()
    assert router.subscriptions.status(ROUTING).position >= events[-1].position
