"""The jobs of workflows: their graphs, their Launchpad, their assets; executed here, in memory, by Dagster's own executor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from assets.nodes import NODES
from definitions.builder import build_job, width
from definitions.naming import job_name
from definitions.workflow_assets import asset_specs, build_assets
from definitions.workflows import Workflows, load
from resources.errors import InvalidInputError
from resources.workflows.expressions import Expressions
from resources.workflows.loading import load as read
from resources.workflows.validation import check

if TYPE_CHECKING:
    from pathlib import Path

    from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

    from resources.workflows.graph import CheckedWorkflow
    from resources.workflows.spec import WorkflowSpec

HELLO = """
name: hello
inputs: {who: {type: string}}
nodes:
  greet: {type: template, config: {template: "Hello, {{ inputs.who }}!"}}
outputs: {greeting: "{{ nodes.greet.output.text }}"}
"""


def checked(text: str) -> CheckedWorkflow:
    def lookup(name: str, revision: int | None) -> tuple[int, WorkflowSpec]:
        del name
        return revision or 1, read(HELLO)

    return check(read(text), NODES, lookup=lookup)


def job_of(text: str, *, tenant: str | None = None, revision: int = 0) -> dg.JobDefinition:
    return build_job(
        checked(text),
        NODES,
        tenant=tenant,
        revision=revision,
        expressions=Expressions(environment=frozenset()),
        executor=dg.in_process_executor,
        resources={"io_manager": dg.mem_io_manager},
    )


def run(text: str, **inputs: Any) -> dg.ExecuteInProcessResult:
    return job_of(text).execute_in_process(run_config={"inputs": inputs}, raise_on_error=False)


def outputs(result: dg.ExecuteInProcessResult) -> Any:
    assert result.success, [str(event.event_specific_data) for event in result.all_events if event.is_step_failure]
    return result.output_for_node("outputs").output


def ended(result: dg.ExecuteInProcessResult, kind: dg.DagsterEventType) -> set[str]:
    return {str(event.step_key) for event in result.all_events if event.event_type is kind}


# ---------------------------------------------------------------------- graphs


def test_a_node_is_a_step_and_expressions_are_edges() -> None:
    result = run(HELLO, who="you")
    assert outputs(result) == {"greeting": "Hello, you!"}
    assert ended(result, dg.DagsterEventType.STEP_SUCCESS) == {"greet", "outputs"}


def test_one_branch_runs_and_the_merge_takes_what_ran() -> None:
    text = """
name: routes
inputs: {kind: {type: string}}
nodes:
  triage:
    type: router
    config:
      cases:
        - {when: "{{ inputs.kind == 'bill' }}", branch: billing}
        - {when: "{{ inputs.kind == 'bug' }}", branch: technical}
  money: {type: template, needs: "triage:billing", config: {template: money}}
  fixes: {type: template, needs: "triage:technical", config: {template: fixes}}
  answer: {type: template, join: any, needs: [money, fixes], config: {template: "{{ nodes.fixes.output.text | default('no') }}"}}
outputs: {answer: "{{ nodes.answer.output.text | default('nobody') }}", branch: "{{ nodes.triage.output.branch }}"}
"""
    result = run(text, kind="bug")
    assert outputs(result) == {"answer": "fixes", "branch": "technical"}
    assert ended(result, dg.DagsterEventType.STEP_SKIPPED) == {"money"}
    neither = run(text, kind="other")
    assert neither.success
    assert ended(neither, dg.DagsterEventType.STEP_SKIPPED) >= {"money", "fixes", "answer"}


def test_a_map_has_a_step_for_each_item_and_node_and_keeps_the_order() -> None:
    result = run("""
name: maps
nodes:
  mark: {type: template, config: {template: "!"}}
  each:
    type: map
    config: {items: [a, b, c], as: letter}
    nodes:
      shout: {type: template, config: {template: "{{ letter | upper }}{{ nodes.mark.output.text }}"}}
      number: {type: template, config: {template: "{{ index }}:{{ nodes.shout.output.text }}"}}
outputs: {all: "{{ nodes.each.output | map(attribute='text') | list }}"}
""")
    assert outputs(result) == {"all": ["0:A!", "1:B!", "2:C!"]}
    assert ended(result, dg.DagsterEventType.STEP_SUCCESS) >= {"each.items", "each.shout[0]", "each.number[2]"}


def test_a_map_of_nothing_gives_an_empty_list() -> None:
    result = run(
        """
name: maps
inputs: {items: {type: array}}
nodes:
  each: {type: map, config: {items: "{{ inputs.items }}"}, nodes: {one: {type: template, config: {template: "{{ item }}"}}}}
outputs: {count: "{{ nodes.each.output | length }}"}
""",
        items=[],
    )
    assert outputs(result) == {"count": 0}


def test_a_map_body_with_branches_groups_maps_and_workflows_is_a_step_for_each_item() -> None:
    result = run("""
name: maps
nodes:
  each:
    type: map
    config: {items: [1, 2], as: n}
    nodes:
      big: {type: condition, config: {when: "{{ n > 1 }}"}}
      shown: {type: template, needs: "big:true", config: {template: "big"}}
      hidden: {type: template, needs: "big:false", config: {template: "small"}}
      size:
        type: template
        join: any
        needs: [shown, hidden]
        config: {template: "{{ nodes.shown.output.text | default('small') }}"}
      pair:
        type: parallel
        nodes:
          a: {type: template, config: {template: "a{{ n }}"}}
          b: {type: template, config: {template: b}}
      inner: {type: map, config: {items: [7, 8], as: m}, nodes: {one: {type: template, config: {template: "{{ n }}-{{ m }}"}}}}
      sub: {type: sub_workflow, config: {workflow: hello, inputs: {who: "no. {{ n }}"}}}
      all:
        type: template
        config:
          template: >-
            {{ nodes.size.output.text }} {{ nodes.pair.output.a.text }} {{ nodes.inner.output[1].text }}
            {{ nodes.sub.output.greeting }}
outputs: {all: "{{ nodes.each.output | map(attribute='text') | list }}"}
""")
    assert [" ".join(line.split()) for line in outputs(result)["all"]] == [
        "small a1 1-8 Hello, no. 1!",
        "big a2 2-8 Hello, no. 2!",
    ]
    assert ended(result, dg.DagsterEventType.STEP_SUCCESS) >= {"each.body[0]", "each.body[1]", "each.collect"}


def test_a_group_waits_for_what_the_group_needs_and_its_output_is_by_id() -> None:
    result = run("""
name: groups
nodes:
  first: {type: template, config: {template: "1"}}
  both:
    type: parallel
    needs: first
    nodes:
      one: {type: template, config: {template: "a{{ nodes.first.output.text }}"}}
      two: {type: template, config: {template: "b"}}
outputs: {both: "{{ nodes.both.output.one.text }}{{ nodes.both.output.two.text }}"}
""")
    assert outputs(result)["both"] == "a1b"
    order = [event.step_key for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_START]
    assert order.index("first") < min(order.index("both.one"), order.index("both.two"))


def test_another_workflow_is_a_graph_with_inputs_and_outputs_of_its_own() -> None:
    result = run(
        """
name: outer
inputs: {name: {type: string}}
nodes:
  sub: {type: sub_workflow, config: {workflow: hello, inputs: {who: "{{ inputs.name }}"}}}
outputs: {said: "{{ nodes.sub.output.greeting }}"}
""",
        name="you",
    )
    assert outputs(result) == {"said": "Hello, you!"}
    assert ended(result, dg.DagsterEventType.STEP_SUCCESS) == {"sub.inputs", "sub.greet", "sub.outputs", "outputs"}


def test_a_loop_tells_of_each_pass() -> None:
    result = run("""
name: loops
nodes:
  double:
    type: loop
    config: {while: "{{ state < 20 }}", state: 1, next: "{{ nodes.twice.output }}"}
    nodes: {twice: {type: transform, config: {value: "{{ state * 2 }}"}}}
outputs: {state: "{{ nodes.double.output.state }}"}
""")
    assert outputs(result) == {"state": 32}
    passes = [event for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_EXPECTATION_RESULT]
    assert len(passes) == 5


# ---------------------------------------------------------------------- jobs


def test_definitions_of_ops_have_names_unlike_all_others() -> None:
    jobs = [job_of(HELLO, tenant=tenant, revision=1) for tenant in ("default", "acme", "acme-two")]
    names = [node.definition.name for job in jobs for node in job.graph.nodes]
    assert len(names) == len(set(names)) == 6
    assert [job.name for job in jobs] == ["hello", "acme__hello", "acme_two__hello"]
    assert dg.Definitions(jobs=jobs).get_repository_def().has_job("acme__hello")


def test_inputs_are_typed_in_the_launchpad() -> None:
    job = job_of("""
name: typed
inputs:
  text: {type: string, min: 2}
  count: {type: integer, default: 3}
  mode: {type: string, enum: [fast, good], default: good}
  more: {type: object, required: false}
nodes: {one: {type: template, config: {template: "{{ inputs.text }}{{ inputs.count }}{{ inputs.mode }}"}}}
outputs: {all: "{{ nodes.one.output.text }}"}
""")
    result = job.execute_in_process(run_config={"inputs": {"text": "ab"}})
    assert outputs(result) == {"all": "ab3good"}
    for wrong in ({}, {"text": 5}, {"text": "ab", "mode": "other"}, {"text": "ab", "unknown": 1}):
        with pytest.raises(dg.DagsterInvalidConfigError):
            dg.validate_run_config(job, {"inputs": wrong})
    with pytest.raises(dg.DagsterError) as caught:  # what a type cannot say
        job.execute_in_process(run_config={"inputs": {"text": "a"}})
    assert "inputs.text" in str(caught.value.__cause__)


def test_limits_and_retries_are_on_the_ops_and_facts_on_the_job() -> None:
    job = job_of(
        """
name: limits
config: {retries: 2, timeout: 60, concurrency: 3, isolation: process}
nodes:
  call:
    type: template
    timeout: 5
    pool: openai
    priority: 7
    retry: {attempts: 3, delay: 2, backoff: linear}
    config: {template: x}
""",
        tenant="acme",
        revision=4,
    )
    (node,) = job.graph.nodes
    op = node.definition
    assert isinstance(op, dg.OpDefinition)
    assert op.tags == {
        "dagster/compute_kind": "text",
        "aiw/node": "template",
        "aiw/timeout_seconds": "5",
        "dagster/priority": "7",
    }
    assert op.pool == "openai"
    policy = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.LINEAR, jitter=dg.Jitter.PLUS_MINUS)
    assert op.retry_policy == policy
    assert {
        "aiw/workflow": "limits",
        "aiw/tenant": "acme",
        "aiw/revision": "4",
        "aiw/isolation": "process",
        "aiw/concurrency": "3:acme__limits",
        "dagster/max_runtime": "60",
        "dagster/max_retries": "2",
    }.items() <= job.tags.items()


def test_a_chain_needs_no_threads() -> None:
    text = "{type: template, config: {template: x}"
    chain = f"name: c\nnodes:\n  a: {text}}}\n  b: {text}, needs: a}}\n"
    assert width(checked(chain), NODES) == 1
    assert width(checked(chain.replace(", needs: a", "")), NODES) == 8


def test_a_resource_that_is_not_there_is_told() -> None:
    with pytest.raises(InvalidInputError, match="needs io_manager, which this platform does not have"):
        build_job(
            checked(HELLO),
            NODES,
            tenant=None,
            revision=0,
            expressions=Expressions(environment=frozenset()),
            executor=dg.in_process_executor,
            resources={},
        )


# ---------------------------------------------------------------------- assets


ASSETS = """
name: reports
inputs: {day: {type: string}}
nodes:
  facts: {type: template, asset: {key: reports/facts, description: "What happened"}, config: {template: x}}
  middle: {type: template, config: {template: "{{ nodes.facts.output.text }}"}}
  report:
    type: template
    asset: {key: reports/daily, partition: "{{ inputs.day }}"}
    config: {template: "{{ nodes.middle.output.text }}"}
"""


def test_assets_are_known_with_their_lineage_before_anything_ran() -> None:
    facts, daily = asset_specs(checked(ASSETS), tenant="acme")
    assert facts.key == dg.AssetKey(["acme", "reports", "facts"])
    assert facts.description == "What happened"
    assert [dependency.asset_key for dependency in daily.deps] == [facts.key]
    assert daily.partitions_def is not None


def test_a_run_materialises_its_assets_with_their_partition() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = job_of(ASSETS).execute_in_process(run_config={"inputs": {"day": "monday"}}, instance=instance)
        assert result.success
        made = {
            event.asset_key.to_user_string(): event.partition
            for event in result.all_events
            if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION and event.asset_key is not None
        }
        assert made == {"reports/facts": None, "reports/daily": "monday"}
        assert instance.has_dynamic_partition("reports.day", "monday")


def test_dagster_makes_the_assets_of_a_partition_as_a_run_of_the_workflow_does() -> None:
    job = job_of(ASSETS)
    made, shown = build_assets(checked(ASSETS), job, tenant=None)
    assert isinstance(made, dg.AssetsDefinition)
    assert isinstance(shown, dg.AssetSpec)
    daily, facts = dg.AssetKey(["reports", "daily"]), shown.key
    resources = {"io_manager": dg.mem_io_manager}
    location = dg.Definitions(assets=[made, shown], jobs=[job], resources=resources)  # shares all ops with the job
    with dg.DagsterInstance.ephemeral() as instance:
        assert job.execute_in_process(run_config={"inputs": {"day": "monday"}}, instance=instance).success
        instance.add_dynamic_partitions("reports.day", ["tuesday"])
        asset_job = location.resolve_implicit_global_asset_job_def()
        assert asset_job.execute_in_process(instance=instance, partition_key="tuesday", asset_selection=[daily]).success
        graph = location.resolve_asset_graph()

        def stale(graph: AssetGraph) -> list[StaleStatus]:
            resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
            return [resolver.get_status(daily, partition) for partition in ("monday", "tuesday", "sunday")]

        assert instance.get_latest_materialization_event(facts) is not None
        assert stale(graph) == [StaleStatus.FRESH, StaleStatus.FRESH, StaleStatus.MISSING]
        text = ASSETS.replace("template: x", "template: y")
        newer = build_assets(checked(text), job_of(text), tenant=None)
        assert stale(dg.Definitions(assets=newer, resources=resources).resolve_asset_graph())[:2] == [
            StaleStatus.STALE,
            StaleStatus.STALE,
        ]


# ---------------------------------------------------------------------- the code location


def test_a_broken_workflow_is_told_and_takes_nothing_down(tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text(HELLO)
    (tmp_path / "broken.yaml").write_text(HELLO.replace("name: hello", "name: broken").replace("template,", "no_such,"))
    (tmp_path / "garbage.yaml").write_text("{")
    workflows = Workflows(definitions=None, types=NODES, resources={"io_manager": dg.mem_io_manager}, specs=tmp_path)
    found = load(workflows, taken=())
    assert [job.name for job in found.jobs] == ["hello"]
    (told,) = found.assets
    assert isinstance(told, dg.AssetSpec)
    assert told.key.to_user_string() == "platform/broken_workflows"
    assert "no_such" in (told.description or "")
    assert set(told.metadata) >= {"broken", "garbage"}


def test_a_published_prompt_is_told_as_an_asset_once_for_all_workflows_that_name_it(tmp_path: Path) -> None:
    for name in ("diary", "letters"):
        node = {"type": "prompt", "config": {"prompt_id": "own"}, "asset": {"key": name}}
        (tmp_path / f"{name}.yaml").write_text(json.dumps({"name": name, "nodes": {"ask": node}}))
    resources = dict.fromkeys(("ai", "prompts", "io_manager"), dg.mem_io_manager)
    workflows = Workflows(definitions=None, types=NODES, resources=resources, specs=tmp_path)
    repository = dg.Definitions(load(workflows, taken=()).assets, resources=resources).get_repository_def()
    assert {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()} == {
        "diary",
        "letters",
        "prompts/own",
    }
    assert repository.asset_graph.get(dg.AssetKey(["prompts", "own"])).description


def test_a_workflow_does_not_take_the_name_of_another_job(tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text(HELLO)
    workflows = Workflows(definitions=None, types=NODES, resources={"io_manager": dg.mem_io_manager}, specs=tmp_path)
    found = load(workflows, taken={"hello"})
    assert found.jobs == ()
    (told,) = found.assets
    assert isinstance(told, dg.AssetSpec)
    assert "another job" in (told.description or "")


def test_jobs_of_tenants_with_similar_names_have_names_of_their_own() -> None:
    tenants = [None, "default", "a-b", "a_b", "a--b", "a_-b", "a-_b", "a__b", "a-ub", "a"]
    names = [job_name("hello", tenant) for tenant in tenants]
    assert names[:3] == ["hello", "hello", "a_b__hello"]
    assert len(set(names[1:])) == len(names) - 1
    assert all(name.replace("_", "").isalnum() for name in names)
