"""The main job as its users see it: the shell, the API and Dagster's UI, on a platform of real processes."""

from __future__ import annotations

import importlib.metadata
import json
import random
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from resources.content.model import DocumentStatus
from tests.e2e.conftest import MAX_BYTES, PAGE, wait_for
from tests.fixtures.pdf import make_pdf

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from tests.e2e.conftest import Stage

pytestmark = pytest.mark.timeout(240)

WAY = [
    ["content", "parsed"],
    ["content", "analysis"],
    ["content", "embeddings"],
    ["knowledge", "concepts"],
    ["content", "published"],
]
GARBAGE = random.Random(11).randbytes(3000)


def test_the_demonstration_gives_figures_that_dagster_confirms(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "figures of the demo.json"
    done = stage.aiw("demo", "--limit", "12", "--target", "alembic", "--json", str(file))
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert figures["documents"] >= 12
    assert figures["chunks"] > figures["documents"]
    assert figures["concepts"] > 0
    assert figures["edges"] > 0
    assert {"document_id", "score", "text"} <= set(figures["search"][0])
    assert figures["refused"] == []
    assert set(figures["seconds"]) == {"by_step", "start", "ingest", "total"}
    handed_in = figures["handed_in"]
    assert handed_in.get("received", 0) + handed_in.get("unchanged", 0) == 12
    assert (figures["runs"]["failed"], figures["runs"]["total"]) == (0, handed_in.get("received", 0))
    statuses = {run_status(stage, run_id) for run_id in figures["runs"]["ids"]}
    assert statuses <= {"SUCCESS"}
    assert_valid_path(figures["learning_path"], target="alembic")
    assert "learning path" in done.stdout

    again = stage.aiw("demo", "--limit", "12", "--target", "alembic", "--json", str(file))
    assert again.returncode == 0, again.stderr
    repeated = json.loads(file.read_text())
    assert repeated["handed_in"] == {"unchanged": 12}
    assert repeated["runs"]["total"] == 0


def run_status(stage: Stage, run_id: str) -> str:
    told = stage.graphql("query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run_id)
    status: str = told["runOrError"]["status"]
    return status


def assert_valid_path(path: list[Mapping[str, Any]], *, target: str) -> None:
    """Every step's prerequisites come before it, and the declared dependencies of the target are among them."""
    order = [step["concept"]["id"] for step in path]
    assert len(order) >= 3
    assert order[-1] == target
    for place, step in enumerate(path):
        assert set(step["requires"]) <= set(order[:place]), step
    declared = {
        canonicalize_name(requirement.name)
        for requirement in map(Requirement, importlib.metadata.requires(target) or [])
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    }
    assert declared <= set(order)


BAD = {
    "empty.md": (b"", "document_empty"),
    "huge.md": (b"Words and more words. " * (MAX_BYTES // 22 + 10), "CONTENT_TOO_LARGE"),
    "garbage.md": (GARBAGE, "document_binary"),
    "wrong extension.pdf": (b"This is no PDF, it is a plain sentence of words.", "content_type_mismatch"),
    "secret.pdf": (make_pdf([["Nobody may read this"]], encrypted=True), "document_encrypted"),
    "nested.json": (b'{"a":' * 5000 + b'"x"' + b"}" * 5000, "document_nested_too_deep"),
    "invalid utf-8.txt": (bytes(range(128, 256)) * 20, "document_binary"),
    "broken.json": (b'{"a": [1, 2', "PARSE_ERROR"),
    "thin.txt": (b"!? -- !? -- ##", "document_check_failed"),
}


def test_bad_documents_are_refused_with_their_codes_and_good_neighbours_become_ready(
    stage: Stage, tmp_path: Path
) -> None:
    folder = tmp_path / "my documents"
    folder.mkdir()
    good = {f"good {number}.md": PAGE.format(title=f"Gardening {number}", mark=uuid.uuid4().hex) for number in range(3)}
    for name, text in good.items():
        (folder / name).write_text(text)
    for name, (content, _) in BAD.items():
        (folder / name).write_bytes(content)
    (folder / "z duplicate.md").write_text(good["good 0.md"])

    done = stage.aiw("ingest", str(folder), "--json")
    assert done.returncode == 1, done.stderr
    told = {item["item"].rpartition("/")[2]: item for item in json.loads(done.stdout)["documents"]}
    assert {name: told[name]["status"] for name in good} == dict.fromkeys(good, "ready")
    assert {name: (told[name]["outcome"], told[name]["code"]) for name in BAD} == {
        name: ("rejected", code) for name, (_, code) in BAD.items()
    }
    assert all(told[name]["reason"] for name in BAD)
    twins = [told[name] for name in ("good 0.md", "z duplicate.md")]
    assert [twin["code"] for twin in twins if twin["outcome"] == "duplicate"] == ["duplicate_document"]

    rejected = {
        event.data["uri"].rpartition("/")[2].replace("%20", " "): event.data["code"]
        for event in all_events(stage, "document.rejected")
        if event.data["uri"].startswith(folder.as_uri())
    }
    assert rejected.pop("z duplicate.md", None) or rejected.pop("good 0.md", None)
    assert rejected == {name: code for name, (_, code) in BAD.items()}


def all_events(stage: Stage, *types: str) -> list[Any]:
    found: list[Any] = []
    after = 0
    while (page := stage.api.read_events(after=after, types=types, limit=1000)).events:
        found += page.events
        after = page.next_after
    return found


def test_a_run_that_failed_shows_its_reason_in_the_ui(stage: Stage) -> None:
    content = b'{"nobody": ["closed", "%s' % uuid.uuid4().hex.encode()
    document = stage.api.upload(content, name=f"open-{uuid.uuid4().hex[:6]}.json").document.id
    assert stage.ends_of([document])[document].status is DocumentStatus.REJECTED
    (run,) = wait_for(lambda: [run for run in stage.runs_of(document) if run["status"] == "FAILURE"], "the failed run")
    query = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
        ... on ExecutionStepFailureEvent { stepKey
          failureMetadata { metadataEntries { label ... on TextMetadataEntry { text } ... on BoolMetadataEntry { boolValue } } }
        } } } } }"""
    told = wait_for(lambda: stage.graphql(query, id=run["id"])["logsForRun"].get("events"), "the log of the run")
    events = [event for event in told if event]
    (failure,) = events
    told = {entry["label"]: entry.get("text") for entry in failure["failureMetadata"]["metadataEntries"]}
    assert (failure["stepKey"], told["code"]) == ("content__parsed", "PARSE_ERROR")


def test_the_ui_shows_lineage_checks_partitions_and_numbers(stage: Stage) -> None:
    document = stage.hand_in("terraces")
    stage.ready(document)
    query = """{ assetNodes { assetKey { path } groupName description kinds dependencyKeys { path }
        partitionDefinition { name } owners { ... on TeamAssetOwner { team } }
        assetChecksOrError { ... on AssetChecks { checks { name blocking } } } } }"""
    nodes = {"/".join(node["assetKey"]["path"]): node for node in stage.graphql(query)["assetNodes"]}
    upstream = {
        key: {"/".join(one["path"]) for one in node["dependencyKeys"]}
        for key, node in nodes.items()
        if key.startswith(("content/", "knowledge/"))
    }
    assert upstream == {
        "content/received": set(),
        "content/parsed": {"content/received"},
        "content/analysis": {"content/parsed"},
        "content/embeddings": {"content/parsed"},
        "knowledge/concepts": {"content/parsed", "content/analysis"},
        "content/published": {"content/embeddings", "knowledge/concepts"},
        "knowledge/edges": {"knowledge/concepts"},
        "knowledge/vectors": {"knowledge/concepts"},
        "knowledge/ranking": {"knowledge/edges"},
        "knowledge/paths": {"knowledge/ranking"},
    }
    for key, node in nodes.items():
        assert node["description"], key
        assert node["kinds"], key
        assert node["owners"], key
    checks = {check["name"]: check["blocking"] for check in nodes["content/parsed"]["assetChecksOrError"]["checks"]}
    assert checks == {"has_text": True, "has_a_title": False, "sections_lie_in_the_text": True}

    for path in WAY:
        assert document in partitions_of(stage, path)
    told = metadata_of(stage, WAY[2], document)
    assert told["chunks"] == told["embedded"] + told["reused"] > 0
    assert metadata_of(stage, WAY[0], document)["title"] == "terraces"
    executions = """query($k: AssetKeyInput!) { assetCheckExecutions(assetKey: $k, checkName: "has_text", limit: 100) {
        status evaluation { partition metadataEntries { label } } } }"""
    found = stage.graphql(executions, k={"path": WAY[0]})["assetCheckExecutions"]
    assert "SUCCEEDED" in {execution["status"] for execution in found}
    assert any(execution["evaluation"]["metadataEntries"] for execution in found if execution["evaluation"])


def partitions_of(stage: Stage, path: list[str]) -> Collection[str]:
    query = """query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode {
        assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions } } } } }"""
    told = stage.graphql(query, k={"path": path})["assetNodeOrError"]["assetPartitionStatuses"]
    found: list[str] = told["materializedPartitions"]
    return found


def metadata_of(stage: Stage, path: list[str], document: str) -> dict[str, Any]:
    """Of the newest materialisation, the numbers and texts that the UI shows and plots."""
    query = """query($k: AssetKeyInput!, $p: [String!]) { assetNodeOrError(assetKey: $k) { ... on AssetNode {
        assetMaterializations(partitions: $p, limit: 1) { runId metadataEntries { label
          ... on IntMetadataEntry { intValue } ... on TextMetadataEntry { text }
          ... on BoolMetadataEntry { boolValue } } } } } }"""
    (found,) = stage.graphql(query, k={"path": path}, p=[document])["assetNodeOrError"]["assetMaterializations"]
    return {
        entry["label"]: value for entry in found["metadataEntries"] for name, value in entry.items() if name != "label"
    }


LAUNCH_BACKFILL = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename
    ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status numPartitions error { message } } } }"""
BACKFILL_RUNS = """query($f: RunsFilter!) { runsOrError(filter: $f) { ... on Runs { results { id status } } } }"""


def test_a_backfill_of_all_ready_documents_from_the_ui_completes_and_embeds_nothing(stage: Stage) -> None:
    own = [stage.hand_in(f"backfill-{number}") for number in range(3)]
    stage.ready(*own)
    page = stage.api.documents(limit=1000, status=DocumentStatus.READY)
    documents = [document.id for document in page.documents]
    selection = [{"path": path} for path in WAY]
    launched = stage.graphql(LAUNCH_BACKFILL, p={"assetSelection": selection, "partitionNames": documents, "tags": []})
    outcome = launched["launchPartitionBackfill"]
    assert outcome["__typename"] == "LaunchBackfillSuccess", outcome

    def ended() -> Any:
        told = stage.graphql(BACKFILL, id=outcome["backfillId"])["partitionBackfillOrError"]
        return told if told["status"] not in ("REQUESTED", "CANCELING", "FAILING") else None

    told = wait_for(ended, "the end of the backfill", seconds=120)
    assert (told["status"], told["numPartitions"]) == ("COMPLETED_SUCCESS", len(documents)), told
    tag = {"key": "dagster/backfill", "value": outcome["backfillId"]}
    runs = stage.graphql(BACKFILL_RUNS, f={"tags": [tag]})["runsOrError"]["results"]
    assert [run["status"] for run in runs] == ["SUCCESS"] * len(documents)
    for document in own:
        told = metadata_of(stage, WAY[2], document)
        assert (told["embedded"], told["work_done"]) == (0, False)
        assert metadata_of(stage, WAY[0], document)["work_done"] is False
        woven = metadata_of(stage, ["knowledge", "concepts"], document)
        assert (woven["work_done"], woven["passages"] > 0) == (False, True)
        assert stage.api.document(document).status is DocumentStatus.READY


def test_an_event_starts_one_run_however_often_it_is_sent(stage: Stage) -> None:
    document = stage.hand_in("hedges")
    stage.ready(document)
    known = stage.api.document(document)
    data = {
        "document_id": document,
        "sha256": known.sha256,
        "uri": known.source.uri,
        "name": known.source.name,
        "media_type": known.media_type.value,
        "size_bytes": known.size_bytes,
    }
    event_id = str(uuid.uuid4())
    first = stage.api.append_event("document.received", data, event_id=event_id)
    assert stage.api.append_event("document.received", data, event_id=event_id).position == first.position
    wait_for(lambda: stage.events_of(document).count("run.succeeded") == 2, "the second run's end")
    assert [run["status"] for run in stage.runs_of(document)] == ["SUCCESS", "SUCCESS"]
    assert stage.events_of(document).count("document.ready") == 2
    assert metadata_of(stage, WAY[2], document)["embedded"] == 0


def test_a_workflow_over_what_was_learned_is_launched_from_the_ui(stage: Stage) -> None:
    stage.ready(stage.hand_in("orchards", subject="orchards", requires=["soil"]))
    launch = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename
        ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
        ... on RunConfigValidationInvalid { errors { message } } } }"""
    config = {
        "ops": {
            "find_passages": {"config": {"topic": "soil and water"}},
            "plan_path": {"config": {"target": "orchards"}},
        }
    }
    selector = {"repositoryLocationName": "aiw", "repositoryName": "__repository__", "jobName": "study_guide"}
    told = stage.graphql(launch, p={"selector": selector, "runConfigData": config})["launchRun"]
    assert told["__typename"] == "LaunchRunSuccess", told
    run_id = told["run"]["runId"]
    status = wait_for(
        lambda: (found := run_status(stage, run_id)) in ("SUCCESS", "FAILURE", "CANCELED") and found, "the guide"
    )
    assert status == "SUCCESS"
    assert stage.api.run(run_id).status == "success"
