"""Workflows over HTTP, on a real pool: published, run, watched, broken and mended."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from resources.errors import ConflictError, InvalidInputError, NotFoundError
from tests.api.workflows.conftest import wait_for

if TYPE_CHECKING:
    from tests.api.workflows.conftest import Platform

pytestmark = pytest.mark.timeout(240)

HELLO = """
name: hello
inputs: {who: {default: world}}
nodes:
  greet: {type: template, config: {template: "Hello, {{ inputs.who }}!"}}
outputs: {greeting: "{{ nodes.greet.output.text }}"}
"""
BROKEN = """
name: fragile
inputs: {who: {default: world}}
nodes:
  first: {type: template, config: {template: "{{ inputs.who }}"}}
  second: {type: fail, needs: first, config: {message: it broke}}
  third: {type: template, needs: second, config: {template: "{{ nodes.first.output.text }}!"}}
outputs: {text: "{{ nodes.third.output.text }}"}
"""
MENDED = BROKEN.replace(
    "{type: fail, needs: first, config: {message: it broke}}",
    "{type: template, needs: first, config: {template: fine}}",
)
SLOW = "{name: slow, nodes: {wait: {type: delay, config: {seconds: 60}}}}"


# ---------------------------------------------------------------------- publishing


def test_a_workflow_is_published_and_runs_at_once(platform: Platform) -> None:
    platform.publish(HELLO)
    found = platform.run("hello", who="you")
    assert (found.status, found.outputs, found.revision) == ("completed", {"greeting": "Hello, you!"}, 1)
    assert [(node.id, node.status) for node in found.nodes] == [("greet", "completed")]
    assert found.progress.percentage == 100


def test_everything_that_is_wrong_is_told_with_its_place(platform: Platform) -> None:
    wrong = "name: wrong\nnodes:\n  a: {type: nonsense}\n  b: {type: template, config: {template: '{{ nodes.c.output }}'}}\n"
    with platform.http as http:
        answer = http.post("/api/v1/workflows", content=wrong, headers={"content-type": "application/yaml"})
    assert answer.status_code == 400
    errors = {error["path"]: error for error in answer.json()["errors"]}
    assert "line 3" in errors["nodes.a.type"]["hint"]
    assert any(path.startswith("nodes.b.config") for path in errors)
    assert all(error["code"] for error in errors.values())


def test_a_dry_run_publishes_nothing(platform: Platform) -> None:
    with platform.api as api:
        assert api.publish_workflow(HELLO.encode(), dry_run=True)["valid"] is True
        assert "hello" in {one.name for one in api.workflows() if one.bundled} | {"hello"}
        with pytest.raises(NotFoundError):
            api.workflow_versions("hello")


def test_the_same_text_again_is_no_new_revision(platform: Platform) -> None:
    with platform.api as api:
        first, again = api.publish_workflow(HELLO.encode()), api.publish_workflow(HELLO.encode())
        other = api.publish_workflow(HELLO.replace("Hello", "Good day").encode())
        versions = api.workflow_versions("hello")
        changed = api.workflow_diff("hello", 1)
    assert [one["created"] for one in (first, again, other)] == [True, False, True]
    assert [one.revision for one in versions] == [2, 1]
    assert [change.path for change in changed.nodes] == ["nodes.greet.config.template"]


def test_names_that_addresses_have_are_refused(platform: Platform) -> None:
    with platform.api as api, pytest.raises(InvalidInputError) as caught:
        api.publish_workflow(HELLO.replace("name: hello", "name: instances").encode())
    assert [problem.code for problem in caught.value.problems] == ["name_reserved"]


def test_what_is_archived_is_offered_no_longer_and_can_be_restored(platform: Platform) -> None:
    platform.publish(HELLO.replace("name: hello", "name: salute"))
    with platform.api as api:
        assert api.archive_workflow("salute").archived
        with pytest.raises(NotFoundError):
            api.run_workflow("salute")
        api.publish_workflow(HELLO.replace("name: hello", "name: salute").encode())
        assert api.workflow("salute").revision == 1


def test_a_workflow_is_drawn_in_three_ways(platform: Platform) -> None:
    platform.publish(HELLO)
    with platform.http as http:
        path = "/api/v1/workflows/hello/graph"
        assert http.get(path).text.startswith("flowchart TD")
        assert http.get(path, headers={"accept": "image/svg+xml"}).text.startswith("<svg")
        assert http.get(path, params={"format": "png"}).content.startswith(b"\x89PNG")


def test_workflows_and_nodes_describe_themselves(platform: Platform) -> None:
    platform.publish(HELLO)
    with platform.http as http:
        inputs = http.get("/api/v1/workflows/hello/schema").json()
        assert inputs["properties"]["who"] == {"type": "string", "default": "world"}
        assert http.get("/api/v1/workflows/schema").json()["$schema"].endswith("2020-12/schema")
        names = {one["name"] for one in http.get("/api/v1/node-types").json()}
        assert {"template", "router", "map"} <= names
        assert "template" in http.get("/api/v1/node-types/template").json()["config_schema"]["properties"]


# ---------------------------------------------------------------------- running


def test_wrong_inputs_are_refused_with_their_paths(platform: Platform) -> None:
    platform.publish(HELLO)
    with platform.api as api, pytest.raises(InvalidInputError) as caught:
        api.run_workflow("hello", {"who": 5, "more": 1})
    assert {problem.path for problem in caught.value.problems} == {"inputs.who", "inputs.more"}


def test_a_key_starts_one_run_however_often_it_is_asked_for(platform: Platform) -> None:
    platform.publish(HELLO)

    def start(_: int) -> tuple[str, bool]:
        with platform.api as api:
            started = api.run_workflow("hello", key="once")
            return started.run_id, started.created

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(start, range(8)))
    assert len({run_id for run_id, _ in found}) == 1
    assert sum(created for _, created in found) == 1


def test_whoever_waits_gets_the_outputs(platform: Platform) -> None:
    platform.publish(HELLO)
    with platform.api as api:
        found = api.run_workflow("hello", {"who": "all"}, wait=60)
    assert (found.status, found.outputs) == ("completed", {"greeting": "Hello, all!"})


def test_large_outputs_are_previews_but_for_who_asks(platform: Platform) -> None:
    text = HELLO.replace(
        "Hello, {{ inputs.who }}!", "{{ 'x' * 100 }}{% for n in range(400) %}{{ 'y' * 100 }}{% endfor %}"
    )
    platform.publish(text.replace("{{ 'x' * 100 }}", "x").replace("{{ 'y' * 100 }}", "y" * 100))
    found = platform.run("hello")
    assert set(found.outputs) == {"truncated", "bytes"}
    with platform.api as api:
        assert api.outputs(found.run_id)["greeting"] == "x" + "y" * 40_000
        assert api.outputs(found.run_id, node="greet")["text"] == "x" + "y" * 40_000


def test_a_run_can_be_ended(platform: Platform) -> None:
    platform.publish(SLOW)
    with platform.api as api:
        run_id = api.run_workflow("slow").run_id
        assert api.cancel_run(run_id)
        assert platform.end_of(run_id).status == "cancelled"
        assert not api.cancel_run(run_id)


def test_runs_and_their_logs_are_listed(platform: Platform) -> None:
    platform.publish(HELLO)
    runs = [platform.run("hello").run_id for _ in range(3)]
    wait_for(lambda: len(platform.runs_of("hello")) == len(runs), "the list of the runs")
    with platform.http as http:
        page = http.get("/api/v1/executions", params={"workflow": "hello", "limit": 2}).json()
        rest = http.get("/api/v1/executions", params={"workflow": "hello", "cursor": page["cursor"]}).json()
        listed = [one["run_id"] for one in [*page["executions"], *rest["executions"]]]
        assert listed == runs[::-1]
        found = http.get("/api/v1/runs", params={"job": f"{platform.tenant.replace('-', '_')}__hello"}).json()["runs"]
        assert {run["id"] for run in found} == set(runs)
        run = http.get(f"/api/v1/runs/{runs[0]}").json()
        assert (run["status"], run["execution"]["status"]) == ("success", "completed")
        kinds = [line["kind"] for line in http.get(f"/api/v1/runs/{runs[0]}/logs").json()["lines"]]
        assert "step_success" in kinds


def test_runs_of_others_are_not_there(platform: Platform) -> None:
    platform.publish(HELLO)
    run_id = platform.run("hello").run_id
    platform.app.state.tenant = f"{platform.tenant}-other"
    with platform.http as http:
        for path in ("executions/{}", "executions/{}/outputs", "runs/{}", "runs/{}/logs", "workflows/{}/status"):
            assert http.get(f"/api/v1/{path.format(run_id)}").status_code == 404, path
        assert http.post(f"/api/v1/runs/{run_id}/cancel").status_code == 404
        assert http.post(f"/api/v1/runs/{run_id}/rerun", json={}).status_code == 404


def test_a_broken_run_goes_on_from_where_it_broke_with_the_mended_workflow(platform: Platform) -> None:
    platform.publish(BROKEN)
    broken = platform.run("fragile", who="you")
    assert (broken.status, broken.failed_node) == ("failed", "second")
    assert broken.error is not None
    assert "it broke" in broken.error
    platform.publish(MENDED)
    with platform.api as api:
        plan = api.plan_rerun(broken.run_id, revision=2)
        assert (plan.runs, plan.reused) == (["second", "third", "outputs"], ["first"])
        again = platform.end_of(api.rerun(broken.run_id, revision=2).run_id)
    assert (again.status, again.outputs, again.parent_run_id) == ("completed", {"text": "you!"}, broken.run_id)
    assert {node.id for node in again.nodes} == {"second", "third"}


def test_outputs_that_were_there_before_it_broke_are_those_of_the_run_that_goes_on(platform: Platform) -> None:
    early = BROKEN.replace("nodes.third.output.text", "nodes.first.output.text")
    platform.publish(early)
    broken = platform.run("fragile", who="you")
    assert broken.status == "failed"
    platform.publish(MENDED.replace("nodes.third.output.text", "nodes.first.output.text"))
    platform.publish(MENDED)
    with platform.api as api:
        kept = platform.end_of(api.rerun(broken.run_id, revision=2).run_id)
        assert api.outputs(kept.run_id) == {"text": "you"}
        changed = platform.end_of(api.rerun(broken.run_id, revision=3).run_id)
        assert api.outputs(changed.run_id) == {"text": "you!"}


def test_a_run_that_did_not_break_cannot_go_on(platform: Platform) -> None:
    platform.publish(HELLO)
    found = platform.run("hello")
    with platform.api as api:
        with pytest.raises(ConflictError):
            api.rerun(found.run_id)
        assert platform.end_of(api.rerun(found.run_id, begin="greet").run_id).status == "completed"


# ---------------------------------------------------------------------- old addresses, templates


def test_old_addresses_work_as_before(platform: Platform) -> None:
    platform.publish(HELLO)
    with platform.http as http:
        made = http.post("/api/v1/workflows/trigger", json={"workflow_name": "hello", "inputs": {"who": "old"}})
        assert (made.status_code, made.json()["status"], made.json()["workflow_name"]) == (202, "Created", "hello")
        instance = made.json()["instance_id"]
        assert platform.end_of(instance).status == "completed"
        status = http.get(made.json()["status_url"]).json()
        assert (status["instance_id"], status["status"]) == (instance, "completed")
        assert status["outputs"] == {"greeting": "Hello, old!"}
        assert status["progress"]["percentage"] == 100
        assert status["steps"]["greet"]["status"] == "completed"
        wait_for(
            lambda: instance in {one["instance_id"] for one in http.get("/api/v1/workflows/instances").json()},
            "the list of the runs",
        )
        assert "hello" in {one["name"] for one in http.get("/api/v1/workflows/available").json()}
        assert http.post("/api/v1/workflows/hello/execute", json={"inputs": {}}).status_code == 202
        assert http.get("/api/v1/workflows/status/nonsense").status_code == 404


def test_templates_are_a_catalogue(platform: Platform) -> None:
    with platform.http as http:
        ids = {one["id"] for one in http.get("/api/v1/templates").json()}
        assert {"research_to_documentation", "user_query_processing", "ai_content_generation"} <= ids
        found = http.get("/api/v1/templates/search", params={"text": "search", "complexity": "Simple"}).json()
        assert "knowledge_base_search" in {one["id"] for one in found}
        assert http.get("/api/v1/templates/categories").json()
        assert "search" in http.get("/api/v1/templates/tags").json()
        assert http.get("/api/v1/templates/statistics").json()["total"] >= 7
        shown = http.get("/api/v1/templates/knowledge_base_search").json()
        assert shown["required_inputs"] == ["query"]
        assert http.get("/api/v1/templates/nonsense").json()["code"] == "template_not_found"


def test_a_template_is_run_by_its_id(platform: Platform) -> None:
    platform.publish(HELLO)
    with platform.http as http:
        made = http.post("/api/v1/templates/trigger", json={"template_id": "hello", "inputs": {"who": "t"}}).json()
        assert platform.end_of(made["instance_id"]).outputs == {"greeting": "Hello, t!"}
        assert http.post("/api/v1/templates/trigger", json={"template_id": "nonsense"}).status_code == 404
