"""The guide to workflows, followed by a new user on the real platform; and what they see in Dagster's UI meanwhile."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from api.platform import as_environment
from tests.e2e.conftest import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Stage

pytestmark = pytest.mark.timeout(400)

GUIDE = Path(__file__).parents[2] / "docs" / "workflows.md"
JOBS = """
{ repositoryOrError(repositorySelector: {repositoryLocationName: "aiw", repositoryName: "__repository__"}) {
    ... on Repository { jobs { name } } } }
"""
GRAPH = """
query($job: String!) {
  pipelineOrError(params: {repositoryLocationName: "aiw", repositoryName: "__repository__", pipelineName: $job}) {
    ... on Pipeline { solidHandles { handleID solid { inputs { dependsOn { solid { name } } } } } }
  }
}
"""
RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status stepStats { stepKey status } } } }"


def blocks() -> Iterator[tuple[str, str]]:
    """The guide's files and commands, in order."""
    yield from re.findall(r"```(yaml|sh)\n(.*?)```", GUIDE.read_text(), re.DOTALL)


def shell(stage: Stage, commands: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Commands of the guide, with `aiw` as it is installed."""
    program = folder / "bin" / "aiw"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from api.cli import main; main()" "$@"\n')
    program.chmod(0o755)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIW_", "DAGSTER_"))}
    environment = inherited | as_environment(stage.settings)
    environment["PATH"] = f"{program.parent}:{environment['PATH']}"
    environment["PYTHONPATH"] = str(GUIDE.parents[1])
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def jobs(stage: Stage) -> set[str]:
    return {job["name"] for job in stage.graphql(JOBS)["repositoryOrError"]["jobs"]}


def test_the_guide_leads_to_where_it_says(stage: Stage, tmp_path: Path) -> None:
    commands = ""
    for kind, text in blocks():
        if kind == "sh":
            commands += text
        elif named := re.match(r"# (\S+\.yaml)\n", text):
            commands += f"cat > {named[1]} <<'END'\n{text}END\n"
    done = shell(stage, commands, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Pour water for black tea." in done.stdout
    assert "it failed, as it should" in done.stdout
    assert "reused: boil" in done.stdout
    ends = ["completed", "failed", "completed"]
    wait_for(
        lambda: [found.status for found in stage.api.executions(workflow="tea_time").executions] == ends, "three runs"
    )
    executions = stage.api.executions(workflow="tea_time").executions
    assert [node.id for node in executions[0].nodes] == ["pour"]
    assert executions[0].parent_run_id == executions[1].run_id
    assert stage.api.run_workflow("tea_time", wait=60).status == "completed"
    reports = wait_for(
        lambda: stage.api.executions(workflow="tea_report", status="completed").executions, "the run after the run"
    )
    assert reports[0].trigger == {"type": "run"}


def test_what_is_published_runs_before_the_ui_knows_it_and_is_shown_soon(stage: Stage) -> None:
    name = f"shown_{uuid.uuid4().hex[:8]}"
    text = f"""
name: {name}
nodes:
  first: {{type: template, config: {{template: x}}}}
  second: {{type: template, config: {{template: "{{{{ nodes.first.output.text }}}}"}}}}
"""
    stage.api.publish_workflow(text.encode())
    before = jobs(stage)
    run = stage.api.run_workflow(name, wait=60)
    assert run.status == "completed"
    assert name not in before
    told: dict[str, Any] = stage.graphql(RUN, id=run.run_id)["runOrError"]
    assert told["status"] == "SUCCESS"
    assert {step["stepKey"] for step in told["stepStats"]} == {"first", "second"}
    wait_for(lambda: name in jobs(stage), "the job in the UI", seconds=90)
    handles = stage.graphql(GRAPH, job=name)["pipelineOrError"]["solidHandles"]
    edges = {
        handle["handleID"]: [each["solid"]["name"] for one in handle["solid"]["inputs"] for each in one["dependsOn"]]
        for handle in handles
    }
    assert edges == {"first": [], "second": ["first"]}


def test_a_broken_workflow_in_the_store_takes_no_other_down(stage: Stage) -> None:
    from resources.database.postgres import Database
    from resources.events.postgres import PostgresEventStore
    from resources.workflows.definitions import WorkflowDefinitions
    from resources.workflows.spec import WorkflowSpec

    url = stage.settings.database.url
    assert url is not None
    database = Database(url.get_secret_value())
    events = PostgresEventStore(database)
    broken, good = (f"{kind}_{uuid.uuid4().hex[:8]}" for kind in ("broken", "good"))
    node = {"id": "say", "type": "nonsense", "config": {}}
    WorkflowDefinitions(events).publish(
        WorkflowSpec.model_validate({"name": broken, "nodes": [node]}), tenant="default"
    )
    events.close()
    database.close()
    stage.api.publish_workflow(
        f"{{name: {good}, nodes: {{say: {{type: template, config: {{template: x}}}}}}}}".encode()
    )
    wait_for(lambda: good in jobs(stage), "the good one in the UI", seconds=90)
    assert broken not in jobs(stage)
