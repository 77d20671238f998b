"""Workflows as Dagster's UI handles them: its Launchpad, its buttons, its backfills; and what dies under a run meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from resources.content.model import DocumentStatus
from tests.e2e.conftest import wait_for
from tests.e2e.test_hard_times import ui_answers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.e2e.conftest import Stage

pytestmark = pytest.mark.timeout(300)

ORDER = """
name: ui_order
inputs:
  cups: {type: integer, min: 1, max: 12, description: How many}
  tea: {type: string, enum: [green, black], default: black}
nodes:
  boil: {type: template, config: {template: "{{ inputs.cups }} cups"}}
  brew: {type: template, config: {template: "{{ nodes.boil.output.text }} of {{ inputs.tea }} tea"}}
outputs: {order: "{{ nodes.brew.output.text }}"}
"""
SLOW = """
name: ui_slow
nodes:
  first: {type: template, config: {template: x}}
  wait: {type: delay, needs: first, config: {seconds: 90}}
"""
BROKEN = """
name: ui_broken
nodes:
  first: {type: template, config: {template: x}}
  second: {type: fail, needs: first, config: {message: out of tea}}
"""
LASTING = """
name: ui_lasting
config: {retries: 1}
nodes:
  first: {type: template, config: {template: x}}
  wait: {type: delay, needs: first, config: {seconds: 6}}
  last: {type: template, needs: wait, config: {template: y}}
"""
DIARY = """
name: ui_diary
inputs:
  day: {type: string}
nodes:
  ask: {type: prompt, config: {prompt_id: ui_diary, variables: {day: "{{ inputs.day }}"}}}
  page:
    type: template
    asset: {key: diary/page, partition: "{{ inputs.day }}"}
    config: {template: "{{ inputs.day }}: {{ nodes.ask.output.text }}"}
outputs: {page: "{{ nodes.page.output.text }}"}
"""
DAYS = ("friday", "saturday", "sunday")
PAGE = ["diary", "page"]
WHERE = {"repositoryLocationName": "aiw", "repositoryName": "__repository__"}
JOBS = """query($r: RepositorySelector!) { repositoryOrError(repositorySelector: $r) {
    ... on Repository { jobs { name } } } }"""
FIELDS = """query($p: PipelineSelector!) { runConfigSchemaOrError(selector: $p) { ... on RunConfigSchema {
    allConfigTypes { ... on CompositeConfigType { fields { name isRequired description configType { key } } } } } } }"""
CHECK = """query($p: PipelineSelector!, $c: RunConfigData!) {
    isPipelineConfigValid(pipeline: $p, runConfigData: $c, mode: "default") {
    __typename ... on RunConfigValidationInvalid { errors { message } } } }"""
LAUNCH = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } } ... on PythonError { message } } }"""
STOP = """mutation($id: String!) { terminateRun(runId: $id) { __typename ... on PythonError { message } } }"""
# As the UI sends it: both ways are declared, one is used.
AGAIN = """mutation($executionParams: ExecutionParams, $reexecutionParams: ReexecutionParams) {
    launchRunReexecution(executionParams: $executionParams, reexecutionParams: $reexecutionParams) { __typename
    ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
FILL = """mutation($b: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $b) { __typename
    ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
DAY = """mutation($day: String!, $r: RepositorySelector!) { addDynamicPartition(
    partitionsDefName: "ui_diary.day", partitionKey: $day, repositorySelector: $r) { __typename } }"""
TOLD = """query($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset {
    assetMaterializations(limit: 1) { metadataEntries { label ... on TextMetadataEntry { text } } } } } }"""
STALE = """query($key: AssetKeyInput!, $days: [String!]!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
    isMaterializable staleStatusByPartition(partitions: $days) } } }"""
FILLED = """query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill {
    status runs { id status tags { key value } } } } }"""
RUN = """query($id: ID!) { runOrError(runId: $id) { ... on Run { status startTime endTime parentRunId
    stepStats { stepKey status } } } }"""
CHILDREN = """query($root: String!) { runsOrError(filter: {tags: [{key: "dagster/root_run_id", value: $root}]}) {
    ... on Runs { results { runId status creationTime } } } }"""
LOGS = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events { ... on MessageEvent { message } } } } }"""
ENDS = ("SUCCESS", "FAILURE", "CANCELED")


@pytest.fixture(scope="module", autouse=True)
def published(stage: Stage) -> None:
    """The workflows of this file, which the UI knows."""
    for text in (ORDER, SLOW, BROKEN, LASTING, DIARY):
        stage.api.publish_workflow(text.encode())
    wanted = {"ui_order", "ui_slow", "ui_broken", "ui_lasting", "ui_diary"}

    def known() -> bool:
        told = stage.graphql(JOBS, r=WHERE)["repositoryOrError"]
        return wanted <= {job["name"] for job in told["jobs"]}

    wait_for(known, "the reload of the code location", seconds=120)


def launch(stage: Stage, job: str, inputs: Mapping[str, Any] | None = None, **tags: str) -> Mapping[str, Any]:
    """As the button of the Launchpad does."""
    params = {
        "selector": {**WHERE, "pipelineName": job},
        "mode": "default",
        "runConfigData": {} if inputs is None else {"inputs": inputs},
        "executionMetadata": {"tags": [{"key": key.replace("__", "/"), "value": value} for key, value in tags.items()]},
    }
    answer: Mapping[str, Any] = stage.graphql(LAUNCH, p=params)["launchRun"]
    return answer


def launched(answer: Mapping[str, Any]) -> str:
    assert answer["__typename"] == "LaunchRunSuccess", answer
    return str(answer["run"]["runId"])


def run_of(stage: Stage, run_id: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = stage.graphql(RUN, id=run_id)["runOrError"]
    return found


def end_of(stage: Stage, run_id: str, *, seconds: float = 60) -> Mapping[str, Any]:
    def ended() -> Mapping[str, Any] | None:
        run = run_of(stage, run_id)
        return run if run["status"] in ENDS else None

    found: Mapping[str, Any] = wait_for(ended, f"the end of {run_id}", seconds=seconds)
    return found


def steps_of(run: Mapping[str, Any]) -> dict[str, str]:
    return {step["stepKey"]: step["status"] for step in run["stepStats"]}


def is_at(stage: Stage, run_id: str, step: str) -> bool:
    return step in steps_of(run_of(stage, run_id))


def retried(stage: Stage, run_id: str) -> Mapping[str, Any] | None:
    """The run that was started in place of `run_id`."""
    found = stage.graphql(CHILDREN, root=run_id)["runsOrError"]["results"]
    return next((run for run in found if run["runId"] != run_id), None)


# ---------------------------------------------------------------------- what nobody is shown

SHOWN = (
    """{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name }
        displayMetadata { key value } jobs { name tags { key value } }
        allTopLevelResourceDetails { name configuredValues { key value type }
            configFields { name defaultValueAsJson } } } } } }""",
    "{ instance { info daemonHealth { allDaemonStatuses { lastHeartbeatErrors { message } } } } }",
    """{ workspaceOrError { __typename ... on Workspace { locationEntries { name displayMetadata { key value }
        locationOrLoadError { __typename ... on PythonError { message stack } } } } } }""",
    """{ runsOrError(limit: 5) { ... on Runs { results { runConfigYaml tags { key value }
        eventConnection { events { __typename ... on MessageEvent { message } } } } } } }""",
    "{ assetNodes { assetKey { path } description metadataEntries { label ... on TextMetadataEntry { text } } } }",
)


def test_no_page_shows_a_secret(stage: Stage) -> None:
    end_of(stage, launched(launch(stage, "ui_order", {"cups": 1})))
    addresses = (stage.postgres.url, stage.settings.graph.url.get_secret_value() if stage.settings.graph.url else "")
    password = stage.settings.graph.password
    assert password is not None
    secrets = {urlsplit(address).password for address in addresses} - {None, ""} | {password.get_secret_value()}
    shown = {query: json.dumps(stage.graphql(query)) for query in SHOWN}
    shown |= {path: stage.ui.get(path).text for path in ("/", "/runs", "/server_info", "/nothing", "/locations/aiw")}
    assert "ui_order" in shown[SHOWN[0]]
    assert "postgres_url" in shown[SHOWN[1]]  # what Dagster is configured with: names of variables
    assert {(where, secret) for where, text in shown.items() for secret in secrets if str(secret) in text} == set()


# ---------------------------------------------------------------------- the Launchpad


def test_the_launchpad_knows_the_inputs_and_their_types(stage: Stage) -> None:
    told = stage.graphql(FIELDS, p={**WHERE, "pipelineName": "ui_order"})["runConfigSchemaOrError"]
    fields = {field["name"]: field for kind in told["allConfigTypes"] for field in kind.get("fields", ())}
    assert (fields["cups"]["isRequired"], fields["cups"]["configType"]["key"]) == (True, "Int")
    assert fields["cups"]["description"] == "How many (min: 1, max: 12)"
    assert fields["tea"]["isRequired"] is False


def test_a_published_workflow_is_launched_with_typed_inputs(stage: Stage) -> None:
    run_id = launched(launch(stage, "ui_order", {"cups": 3, "tea": "green"}))
    run = end_of(stage, run_id)
    assert run["status"] == "SUCCESS"
    assert steps_of(run) == dict.fromkeys(("boil", "brew", "outputs"), "SUCCESS")
    assert stage.api.outputs(run_id) == {"order": "3 cups of green tea"}
    wait_for(lambda: stage.api.execution(run_id).status == "completed", "the story's end")


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"cups": "three"}, "Invalid scalar"),
        ({}, "cups"),
        ({"cups": 3, "tea": "mint"}, "mint"),
        ({"cups": 3, "sugar": 1}, "sugar"),
    ],
)
def test_wrong_inputs_are_marked_in_the_launchpad_and_start_nothing(
    stage: Stage, inputs: Mapping[str, Any], reason: str
) -> None:
    told = stage.graphql(CHECK, p={**WHERE, "pipelineName": "ui_order"}, c={"inputs": inputs})["isPipelineConfigValid"]
    assert told["__typename"] == "RunConfigValidationInvalid"
    assert any(reason in error["message"] for error in told["errors"])
    assert launch(stage, "ui_order", inputs)["__typename"] == "RunConfigValidationInvalid"


def test_what_types_cannot_say_is_refused_at_launch(stage: Stage) -> None:
    answer = launch(stage, "ui_order", {"cups": 13})
    assert answer["__typename"] != "LaunchRunSuccess"
    assert "cups" in str(answer)


@pytest.mark.parametrize("tags", [{"aiw__isolation": "process"}, {"aiw__executor": "multiprocess"}], ids=str)
def test_how_a_run_is_executed_is_chosen_by_its_tags(stage: Stage, tags: dict[str, str]) -> None:
    run_id = launched(launch(stage, "ui_order", {"cups": 1}, **tags))
    assert end_of(stage, run_id, seconds=150)["status"] == "SUCCESS"
    assert stage.api.outputs(run_id) == {"order": "1 cups of black tea"}
    told = {"boil": "completed", "brew": "completed"}
    wait_for(lambda: nodes_of(stage, run_id) == told, "the story of what other processes have executed")


def nodes_of(stage: Stage, run_id: str) -> dict[str, str]:
    return {node.id: node.status for node in stage.api.execution(run_id).nodes}


# ---------------------------------------------------------------------- buttons


def test_a_run_is_terminated(stage: Stage) -> None:
    run_id = launched(launch(stage, "ui_slow"))
    wait_for(partial(is_at, stage, run_id, "wait"), "the beginning of a node")
    assert stage.graphql(STOP, id=run_id)["terminateRun"]["__typename"] == "TerminateRunSuccess"
    assert end_of(stage, run_id)["status"] == "CANCELED"
    wait_for(lambda: stage.api.execution(run_id).status == "cancelled", "the story's end")


def test_a_failed_run_is_executed_again_from_where_it_failed(stage: Stage) -> None:
    failed = launched(launch(stage, "ui_broken"))
    assert end_of(stage, failed)["status"] == "FAILURE"
    again = launched(
        stage.graphql(AGAIN, reexecutionParams={"parentRunId": failed, "strategy": "FROM_FAILURE"})[
            "launchRunReexecution"
        ]
    )
    run = end_of(stage, again)
    assert (run["status"], run["parentRunId"]) == ("FAILURE", failed)
    assert steps_of(run) == {"second": "FAILURE"}


def test_chosen_steps_are_executed_again_with_what_came_before(stage: Stage) -> None:
    first = launched(launch(stage, "ui_order", {"cups": 2}))
    assert end_of(stage, first)["status"] == "SUCCESS"
    chosen = {
        "selector": {**WHERE, "pipelineName": "ui_order"},
        "mode": "default",
        "runConfigData": {"inputs": {"cups": 2}},
        "stepKeys": ["brew", "outputs"],
        "executionMetadata": {"parentRunId": first, "rootRunId": first, "tags": []},
    }
    again = launched(stage.graphql(AGAIN, executionParams=chosen)["launchRunReexecution"])
    run = end_of(stage, again)
    assert run["status"] == "SUCCESS"
    assert set(steps_of(run)) == {"brew", "outputs"}
    assert stage.api.outputs(again) == {"order": "2 cups of black tea"}


def test_documents_are_backfilled(stage: Stage) -> None:
    documents = [stage.hand_in(f"backfill-{number}") for number in range(2)]
    stage.ready(*documents)
    asked = {
        "selector": {"partitionSetName": "ingest_document_partition_set", "repositorySelector": WHERE},
        "partitionNames": documents,
        "tags": [{"key": "aiw/tenant", "value": "default"}],
    }
    answer = stage.graphql(FILL, b=asked)["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer

    def completed() -> Mapping[str, Any] | None:
        told: Mapping[str, Any] = stage.graphql(FILLED, id=answer["backfillId"])["partitionBackfillOrError"]
        return told if told["status"].startswith("COMPLETED") else None

    told = wait_for(completed, "the end of the backfill", seconds=120)
    assert told["status"] == "COMPLETED_SUCCESS"
    runs = told["runs"]
    partitions = [tag["value"] for run in runs for tag in run["tags"] if tag["key"] == "dagster/partition"]
    assert sorted(partitions) == sorted(documents)
    assert {run["status"] for run in runs} == {"SUCCESS"}
    assert {stage.api.document(document).status for document in documents} == {DocumentStatus.READY}


def in_force(stage: Stage, text: str) -> None:
    """Publish the prompt of the diary, and wait until Dagster knows that it is in force."""
    prompt = {"id": "ui_diary", "content": text + " {{day}}", "variables": {"day": {"type": "string"}}}
    published = stage.api.publish_prompt(prompt, labels=["production"])
    version = published["reference"]

    def told() -> bool:
        asset = stage.graphql(TOLD, key={"path": ["prompts", "ui_diary"]})["assetOrError"]
        entries = [entry for one in asset.get("assetMaterializations", []) for entry in one["metadataEntries"]]
        return any(entry["label"] == "version" and entry["text"] == version for entry in entries)

    wait_for(told, "the data version of the prompt", seconds=60)


def stale(stage: Stage) -> list[str]:
    node = stage.graphql(STALE, key={"path": PAGE}, days=list(DAYS))["assetNodeOrError"]
    assert node["isMaterializable"]
    return list(node["staleStatusByPartition"])


def test_assets_of_a_workflow_are_backfilled_and_those_made_with_another_text_of_the_prompt_are_stale(
    stage: Stage,
) -> None:
    in_force(stage, "Write about")
    for day in DAYS:
        assert stage.graphql(DAY, day=day, r=WHERE)["addDynamicPartition"]["__typename"] == "AddDynamicPartitionSuccess"
    assert stale(stage) == ["MISSING"] * 3
    answer = stage.graphql(FILL, b={"assetSelection": [{"path": PAGE}], "partitionNames": list(DAYS)})
    backfill = answer["launchPartitionBackfill"]
    assert backfill["__typename"] == "LaunchBackfillSuccess", backfill

    def completed() -> Mapping[str, Any] | None:
        told: Mapping[str, Any] = stage.graphql(FILLED, id=backfill["backfillId"])["partitionBackfillOrError"]
        return told if told["status"].startswith("COMPLETED") or told["status"] == "FAILED" else None

    told = wait_for(completed, "the end of the backfill", seconds=120)
    assert {run["status"] for run in told["runs"]} == {"SUCCESS"}
    assert stale(stage) == ["FRESH"] * 3
    pages = {}
    for run in told["runs"]:
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        assert tags["aiw/workflow"] == "ui_diary"
        assert "aiw/cost_usd" in tags or any("tokens" in key for key in tags), tags
        pages[tags["dagster/partition"]] = stage.api.outputs(run["id"])["page"]
        assert {node.id for node in stage.api.execution(run["id"]).nodes} >= {"ask", "page"}
    assert set(pages) == set(DAYS)
    assert all(page.startswith(f"{day}: ") for day, page in pages.items())

    in_force(stage, "Write a poem about")
    assert stale(stage) == ["STALE"] * 3
    again = stage.api.run_workflow("ui_diary", {"day": "friday"}).run_id
    assert end_of(stage, again)["status"] == "SUCCESS"
    assert stale(stage) == ["FRESH", "STALE", "STALE"]


# ---------------------------------------------------------------------- what dies


def test_two_identical_triggers_start_one_run(stage: Stage) -> None:
    key = uuid.uuid4().hex
    started = {stage.api.run_workflow("ui_order", {"cups": 1}, key=key).run_id for _ in range(2)}
    assert len(started) == 1
    assert end_of(stage, started.pop())["status"] == "SUCCESS"


def answers(stage: Stage, query: str, run_id: str) -> bool:
    """Whether the UI has found out, for this query's connections too, that the database has gone."""
    return "errors" not in stage.ui.post("/graphql", json={"query": query, "variables": {"id": run_id}}).json()


def messages_of(stage: Stage, run_id: str) -> list[str]:
    return [event.get("message", "") for event in stage.graphql(LOGS, id=run_id)["logsForRun"]["events"]]


def worker_of(stage: Stage, run_id: str) -> int:
    found = re.search(r"Executing in the warm worker (\d+)", "\n".join(messages_of(stage, run_id)))
    assert found is not None
    return int(found[1])


def test_a_run_whose_worker_dies_fails_at_once_and_the_daemon_starts_it_again(
    stage: Stage, record_property: Any
) -> None:
    run_id = launched(launch(stage, "ui_lasting"))
    wait_for(partial(is_at, stage, run_id, "wait"), "the beginning of a node")
    killed = time.time()
    os.kill(worker_of(stage, run_id), signal.SIGKILL)
    run = end_of(stage, run_id)
    again = wait_for(partial(retried, stage, run_id), "the retry")
    assert run["status"] == "FAILURE"
    record_property("seconds_to_failure", run["endTime"] - killed)
    record_property("seconds_to_retry", again["creationTime"] - run["endTime"])
    assert run["endTime"] - killed < 5  # a fraction of a second on a quiet machine
    assert again["creationTime"] - run["endTime"] < 10  # one or two
    finished = end_of(stage, again["runId"])
    assert finished["status"] == "SUCCESS"
    assert set(steps_of(finished)) == {"wait", "last"}


def test_a_run_whose_pool_dies_ends_and_is_started_again(stage: Stage) -> None:
    run_id = launched(launch(stage, "ui_lasting"))
    wait_for(partial(is_at, stage, run_id, "wait"), "the beginning of a node")
    pool = stage.platform.state.services["pool"].process
    assert pool is not None
    psutil.Process(pool.pid).kill()
    assert end_of(stage, run_id, seconds=120)["status"] == "FAILURE"
    again = wait_for(partial(retried, stage, run_id), "the retry")
    assert end_of(stage, again["runId"])["status"] == "SUCCESS"


def test_a_run_outlives_a_restart_of_the_database_and_no_node_runs_twice(stage: Stage) -> None:
    run_id = launched(launch(stage, "ui_lasting"))
    wait_for(partial(is_at, stage, run_id, "wait"), "the beginning of a node")
    with psycopg.connect(stage.postgres.url, autocommit=True) as connection:
        connection.execute(
            "CHECKPOINT"
        )  # what is in the run's log so far is on the disk: nobody waits for that otherwise
    assert stage.postgres.pid is not None
    os.kill(stage.postgres.pid, signal.SIGKILL)
    stage.postgres.stop()
    stage.postgres.start()
    wait_for(partial(ui_answers, stage), "an answer of the UI")
    wait_for(partial(answers, stage, RUN, run_id), "the connections of the UI")
    run = end_of(stage, run_id, seconds=120)
    assert run["status"] == "SUCCESS"
    assert steps_of(run) == dict.fromkeys(("first", "wait", "last"), "SUCCESS")
    starts = [message for message in messages_of(stage, run_id) if message.startswith("Started execution of step")]
    assert len(starts) == 3
