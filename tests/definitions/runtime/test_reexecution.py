"""Past runs executed again: which steps run, and what the others gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dagster import DagsterEventType, DagsterRunStatus

from definitions.runtime.reexecution import Reexecution
from resources.errors import ConflictError, NotFoundError
from tests.definitions.runtime.conftest import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.definitions.runtime.workflows import Engine

pytestmark = pytest.mark.timeout(180)


def _workflow(path: Path, *, good: bool) -> str:
    def note(node: str, text: str) -> str:
        return f'  {node}: {{type: python, config: {{function: tests.note, args: {{path: "{path}", text: "{text}"}}}}}}'

    middle = (
        note("middle", "m-{{ nodes.first.output }}")
        if good
        else ('  middle: {type: fail, config: {message: "no {{ nodes.first.output }}"}}')
    )
    return "\n".join(
        [
            "name: again",
            "nodes:",
            note("first", "f"),
            middle,
            note("last", "l-{{ nodes.middle.output }}"),
            'outputs: {all: "{{ nodes.first.output }} {{ nodes.last.output }}"}',
        ]
    )


def _executed(engine: Engine, run_id: str) -> set[str]:
    entries = engine.runtime.instance.all_logs(run_id, of_type=DagsterEventType.STEP_START)
    return {str(entry.step_key) for entry in entries}


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace"


def test_all_steps_are_executed_again(engine: Engine, trace: Path) -> None:
    engine.publish(_workflow(trace, good=True))
    first = engine.succeed("again")
    again = Reexecution(engine.launcher).start(first, tenant=engine.tenant, strategy="all").run_id
    assert engine.end_of(again) is DagsterRunStatus.SUCCESS
    assert trace.read_text().splitlines() == ["f", "m-f", "l-m-f"] * 2
    run = engine.runtime.instance.get_run_by_id(again)
    assert run is not None
    assert run.parent_run_id == first


def test_only_the_chosen_node_and_those_after_it_are_executed_again(engine: Engine, trace: Path) -> None:
    engine.publish(_workflow(trace, good=True))
    first = engine.succeed("again")
    reexecution = Reexecution(engine.launcher)
    preview = reexecution.preview(first, tenant=engine.tenant, strategy="from_node", node="middle")
    assert preview.runs == ("middle", "last", "outputs")
    assert preview.reused == ("first",)
    again = reexecution.start(first, tenant=engine.tenant, strategy="from_node", node="middle").run_id
    assert engine.end_of(again) is DagsterRunStatus.SUCCESS, engine.runtime.messages(again)
    assert trace.read_text().splitlines() == ["f", "m-f", "l-m-f", "m-f", "l-m-f"]
    assert engine.outputs(again) == {"all": "f l-m-f"}
    twice = reexecution.start(again, tenant=engine.tenant, strategy="from_node", node="last").run_id
    assert engine.end_of(twice) is DagsterRunStatus.SUCCESS, engine.runtime.messages(twice)
    assert _executed(engine, twice) == {"last", "outputs"}


def test_a_failed_run_goes_on_with_the_mended_revision(engine: Engine, trace: Path) -> None:
    engine.publish(_workflow(trace, good=False))
    failed = engine.launch("again")
    assert engine.end_of(failed) is DagsterRunStatus.FAILURE
    engine.publish(_workflow(trace, good=True))
    again = Reexecution(engine.launcher).start(failed, tenant=engine.tenant, revision=2).run_id
    assert engine.end_of(again) is DagsterRunStatus.SUCCESS, engine.runtime.messages(again)
    assert trace.read_text().splitlines() == ["f", "m-f", "l-m-f"]
    assert _executed(engine, again) == {"middle", "last", "outputs"}
    told = [
        event.data.get("revision")
        for event in engine.story(again, until="workflow.completed")
        if event.type == "workflow.started"
    ]
    assert told == [2]


def test_a_failed_run_of_a_map_repeats_the_failed_items_alone(engine: Engine, trace: Path, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    engine.publish(f"""
name: mapped
nodes:
  each:
    type: map
    config: {{items: [a, b, c]}}
    nodes:
      note: {{type: python, config: {{function: tests.note, args: {{path: "{trace}", text: "{{{{ item }}}}"}}}}}}
      check: {{type: python, config: {{function: tests.need, args: {{path: "{flag}", item: "{{{{ nodes.note.output }}}}"}}}}}}
outputs: {{all: "{{{{ nodes.each.output }}}}"}}
""")
    failed = engine.launch("mapped")
    assert engine.end_of(failed) is DagsterRunStatus.FAILURE
    flag.touch()
    again = Reexecution(engine.launcher).start(failed, tenant=engine.tenant).run_id
    assert engine.end_of(again) is DagsterRunStatus.SUCCESS, engine.runtime.messages(again)
    assert engine.outputs(again) == {"all": ["a", "b", "c"]}
    assert sorted(trace.read_text().splitlines()) == ["a", "b", "c"]
    assert _executed(engine, again) == {"each.check[1]", "each.collect", "outputs"}


def test_what_cannot_be_executed_again_is_refused_with_the_reason(engine: Engine, trace: Path, tmp_path: Path) -> None:
    engine.publish(_workflow(trace, good=True))
    first = engine.succeed("again")
    reexecution = Reexecution(engine.launcher)
    with pytest.raises(ConflictError, match="has not failed"):
        reexecution.start(first, tenant=engine.tenant)
    with pytest.raises(NotFoundError, match="only: first, middle, last, outputs"):
        reexecution.start(first, tenant=engine.tenant, strategy="from_node", node="nowhere")
    with pytest.raises(NotFoundError):
        reexecution.start(first, tenant="t-another", strategy="all")
    path = tmp_path / "pid"
    engine.publish(
        f'name: slow\nnodes:\n  wait: {{type: python, config: {{function: tests.linger, args: {{path: "{path}"}}}}}}'
    )
    running = engine.launch("slow")
    wait_until(path.exists)
    with pytest.raises(ConflictError, match="has not ended"):
        reexecution.preview(running, tenant=engine.tenant)
    path.unlink()
    engine.end_of(running)
    engine.publish(_workflow(trace, good=False))
    failed = engine.launch("again")
    engine.end_of(failed)
    with pytest.raises(ConflictError, match="has not recorded what middle gave"):
        reexecution.start(failed, tenant=engine.tenant, strategy="from_node", node="last")
