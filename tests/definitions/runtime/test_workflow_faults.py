"""What goes wrong in runs of workflows: every run ends in a state that the UI shows, nothing hangs, nothing runs twice."""

from __future__ import annotations

import importlib
import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from dagster import DagsterEventType, DagsterRunStatus, RunsFilter
from dagster._core.events import JobFailureData, RunFailureReason

from definitions.runtime import retries
from definitions.runtime.launch import ENDED
from definitions.runtime.reexecution import Reexecution
from resources.errors import ConflictError
from tests.definitions.runtime.conftest import wait_until
from tests.definitions.runtime.workflows import Engine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.definitions.runtime.conftest import Runtime

pytestmark = pytest.mark.timeout(180)

FAULTY = "tests.definitions.runtime.faulty"


def _calls(name: str, function: str, more: str = "", **args: object) -> str:
    given = ", ".join(
        f'{key}: "{value}"' if isinstance(value, str) else f"{key}: {value}" for key, value in args.items()
    )
    return (
        f"name: {name}\nnodes:\n"
        f"  node: {{type: python, config: {{function: {function}, args: {{{given}}}}}{more}}}\n"
        "  after: {type: template, needs: node, config: {template: done}}\n"
    )


def _is_under_way(engine: Engine, run_id: str) -> bool:
    return engine.runtime.status(run_id) is DagsterRunStatus.STARTED


def _reason(engine: Engine, run_id: str) -> str:
    return engine.runtime.messages(run_id)


def _logged_errors(engine: Engine, run_id: str) -> str:
    return "\n".join(
        str(entry.get_dagster_event().event_specific_data)
        for entry in engine.runtime.instance.all_logs(run_id)
        if entry.is_dagster_event
    )


def _ends(engine: Engine, run_id: str, ending: str) -> list[str]:
    """The types of the story's events, without those of nodes, once it has come to `ending`."""
    story = engine.story(run_id, until=ending)
    return [event.type for event in story if not event.type.startswith("workflow.node")]


def _retry(engine: Engine, run_id: str) -> str:
    """What the daemon does with a run that has failed, which is to say nothing if it is done twice. No code location knows it."""
    instance, reexecution = engine.runtime.instance, Reexecution(engine.launcher)
    module: Any = importlib.import_module(retries.MODULE)
    stock = module.retry_run
    try:
        retries.install(lambda: reexecution)
        for _ in range(2):
            records = instance.get_run_records(RunsFilter(run_ids=[run_id]))
            context = SimpleNamespace(instance=instance)
            list(module.consume_new_runs_for_automatic_reexecution(context, records, logging.getLogger()))
    finally:
        module.retry_run = stock
    (retried,) = instance.get_runs(RunsFilter(tags={"dagster/parent_run_id": run_id}))
    return retried.run_id


def _tag(engine: Engine, run_id: str, name: str) -> str:
    """A tag of the run, once it has it."""

    def found() -> str | None:
        run = engine.runtime.instance.get_run_by_id(run_id)
        assert run is not None
        return run.tags.get(name)

    wait_until(found)
    return str(found())


def _tried_again(engine: Engine, run_id: str) -> str:
    """The run that has taken the failed one's place, once there is one."""
    return _tag(engine, run_id, "dagster/auto_retry_run_id")


# ---------------------------------------------------------------------- a node


def test_a_node_that_takes_too_long_fails_and_those_after_it_do_not_run(engine: Engine) -> None:
    engine.publish(_calls("late", "tests.sleep", ", timeout: 0.3", seconds=30))
    run_id = engine.launch("late")
    began = time.monotonic()
    assert engine.end_of(run_id) is DagsterRunStatus.FAILURE
    assert time.monotonic() - began < 15
    story = engine.story(run_id, until="workflow.failed")
    assert story[-1].data["failed_node"] == "node"
    assert "after" not in {event.data.get("node_id") for event in story if event.type == "workflow.node_started"}


def test_a_node_that_raises_fails_the_run_with_its_reason(engine: Engine) -> None:
    engine.publish('name: raising\nnodes:\n  no: {type: fail, config: {message: "out of tea"}}\n')
    run_id = engine.launch("raising")
    assert engine.end_of(run_id) is DagsterRunStatus.FAILURE
    (failed,) = [event for event in engine.story(run_id, until="workflow.failed") if event.type == "workflow.failed"]
    assert failed.data["error_message"] == "out of tea"
    assert failed.data["failed_node"] == "no"


def test_a_node_that_gives_what_is_no_json_fails_and_says_so(engine: Engine) -> None:
    engine.publish(_calls("odd", "tests.unjson"))
    run_id = engine.launch("odd")
    assert engine.end_of(run_id) is DagsterRunStatus.FAILURE
    story = engine.story(run_id, until="workflow.failed")
    assert "object" in story[-1].data["error_message"]


def test_a_failed_node_is_tried_again_and_each_try_is_told(engine: Engine) -> None:
    retry = ", retry: {attempts: 2, delay: 0.01, jitter: false}"
    engine.publish(f'name: stubborn\nnodes:\n  no: {{type: fail, config: {{message: "no", retryable: true}}{retry}}}\n')
    run_id = engine.launch("stubborn")
    assert engine.end_of(run_id) is DagsterRunStatus.FAILURE
    told = [event for event in engine.story(run_id, until="workflow.failed") if event.data.get("node_id") == "no"]
    assert [(event.type.partition(".node_")[2], event.data["attempt"]) for event in told] == [
        *(("started", 1), ("retried", 1), ("started", 2), ("retried", 2), ("started", 3), ("failed", 3))
    ]


def test_a_tolerated_failure_is_the_output_of_its_node(engine: Engine) -> None:
    engine.publish("""
name: tolerant
nodes:
  no: {type: fail, continue_on_error: true, config: {message: "out of tea", code: tea}}
outputs: {code: "{{ nodes.no.output.error.code }}"}
""")
    assert engine.outputs(engine.succeed("tolerant")) == {"code": "tea"}


def test_a_node_that_takes_too_long_is_tried_again_and_then_tolerated(engine: Engine, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    more = ", timeout: 0.2, continue_on_error: true, retry: {attempts: 1, delay: 0.01, jitter: false}"
    engine.publish(_calls("patient", "tests.note_and_sleep", more, path=str(trace), seconds=30))
    run_id = engine.succeed("patient")
    assert trace.read_text() == "called\n" * 2
    told = [event for event in engine.story(run_id, until="workflow.completed") if event.data.get("node_id") == "node"]
    assert [event.type.partition(".node_")[2] for event in told] == ["started", "retried", "started", "completed"]
    assert told[-1].data["output_data"]["error"]["code"] == "node_timeout"


def test_a_node_in_a_loop_that_takes_too_long_fails_the_loop(engine: Engine) -> None:
    body = "{step: {type: python, timeout: 0.2, config: {function: tests.sleep, args: {seconds: 30}}}}"
    engine.publish(f"name: late_loop\nnodes:\n  turn: {{type: loop, config: {{items: [1, 2]}}, nodes: {body}}}\n")
    run_id = engine.launch("late_loop")
    assert engine.end_of(run_id) is DagsterRunStatus.FAILURE
    assert "did not end within 0.2 seconds" in engine.story(run_id, until="workflow.failed")[-1].data["error_message"]


def test_the_nodes_of_a_loop_tell_what_they_do(engine: Engine) -> None:
    engine.publish("""
name: telling
nodes:
  turn:
    type: loop
    config: {items: [a, b]}
    nodes: {step: {type: template, config: {template: "{{ item }}!"}}}
""")
    story = engine.story(engine.succeed("telling"), until="workflow.completed")
    told = [(event.type.partition(".node_")[2], event.data["node_id"]) for event in story if "node_id" in event.data]
    assert told == [
        ("started", "turn"),
        *((kind, f"turn.step[{turn}]") for turn in (0, 1) for kind in ("started", "completed")),
        ("completed", "turn"),
    ]
    assert story[-1].data["nodes_executed"] == 1


def test_a_loop_tells_of_a_bounded_number_of_nodes(engine: Engine) -> None:
    engine.publish("""
name: talkative
nodes:
  turn:
    type: loop
    config: {while: "{{ state < 600 }}", state: 0, next: "{{ state + 1 }}", max_iterations: 1000}
    nodes: {step: {type: template, config: {template: "{{ index }}"}}}
""")
    story = engine.story(engine.succeed("talkative"), until="workflow.completed")
    assert sum(event.type == "workflow.node_completed" for event in story) == 501


def test_a_branch_that_is_not_taken_is_skipped_and_told(engine: Engine) -> None:
    engine.publish(
        """
name: branching
nodes:
  check: {type: condition, config: {when: "{{ 1 > 2 }}"}}
  yes: {type: template, needs: ["check:true"], config: {template: "yes"}}
  no: {type: template, needs: ["check:false"], config: {template: "no"}}
  merged: {type: template, join: any, needs: [yes, no], config: {template: "{{ nodes.no.output.text }}!"}}
outputs: {text: "{{ nodes.merged.output.text }}"}
""".replace("  yes:", '  "yes":')
        .replace("  no:", '  "no":')
        .replace("[yes, no]", '["yes", "no"]')
    )
    run_id = engine.succeed("branching")
    assert engine.outputs(run_id) == {"text": "no!"}
    skipped = [
        event.data["node_id"]
        for event in engine.story(run_id, until="workflow.completed")
        if event.type == "workflow.node_skipped"
    ]
    assert skipped == ["yes"]


def test_a_loop_that_never_ends_is_ended(engine: Engine) -> None:
    engine.publish("""
name: endless
nodes:
  turn:
    type: loop
    config: {while: "{{ state >= 0 }}", state: 0, next: "{{ state + 1 }}", max_iterations: 20}
    nodes: {step: {type: template, config: {template: "{{ index }}"}}}
""")
    run_id = engine.launch("endless")
    assert engine.end_of(run_id) is DagsterRunStatus.FAILURE
    assert "more than 20 passes" in engine.story(run_id, until="workflow.failed")[-1].data["error_message"]
    passes = engine.runtime.instance.all_logs(run_id, of_type=DagsterEventType.STEP_EXPECTATION_RESULT)
    assert len(passes) == 20


def test_fifty_megabytes_pass_from_node_to_node(engine: Engine) -> None:
    engine.publish("""
name: heavy
nodes:
  make: {type: python, config: {function: tests.large, args: {megabytes: 50}}}
  measure: {type: python, config: {function: tests.length, args: {text: "{{ nodes.make.output }}"}}}
outputs: {length: "{{ nodes.measure.output }}"}
""")
    assert engine.outputs(engine.succeed("heavy")) == {"length": 50 * 2**20}


# ---------------------------------------------------------------------- a process


def test_a_node_that_ends_its_process_fails_the_run_within_a_second(engine: Engine) -> None:
    engine.publish(_calls("crashing_flow", "tests.exit", code=9))
    engine.succeed("hello")  # a worker is idle and warm
    run_id = engine.launch("crashing_flow")
    assert engine.end_of(run_id) is DagsterRunStatus.FAILURE
    assert "exited with code 9" in _reason(engine, run_id)
    stats = engine.runtime.instance.get_run_stats(run_id)
    (start,) = engine.runtime.instance.all_logs(run_id, of_type=DagsterEventType.STEP_START)
    assert stats.end_time is not None
    assert stats.end_time - start.timestamp < 5


def test_a_run_in_a_process_of_its_own_succeeds_and_tells_its_story(engine: Engine) -> None:
    engine.publish(
        "name: alone\nconfig: {isolation: process}\nnodes:\n  one: {type: template, config: {template: x}}\n"
    )
    run_id = engine.succeed("alone")
    assert "which is the run's own" in _reason(engine, run_id)
    assert _ends(engine, run_id, "workflow.completed") == ["workflow.created", "workflow.started", "workflow.completed"]
    assert [event.type.partition(".")[2] for event in engine.story(run_id, until="workflow.completed")] == [
        *("created", "started", "node_started", "node_completed", "completed")
    ]
    assert engine.story(run_id)[2].data["node_type"] == "template"


def test_a_run_in_a_process_of_its_own_can_be_killed_and_be_cancelled(engine: Engine) -> None:
    own = "config: {isolation: process}\nnodes:\n  wait: {type: delay, config: {seconds: 60}}\n"
    engine.publish(f"name: alone_waiting\n{own}")
    for signal, end in ((True, DagsterRunStatus.FAILURE), (False, DagsterRunStatus.CANCELED)):
        run_id = engine.launch("alone_waiting")
        wait_until(partial(_is_under_way, engine, run_id))
        found = re.search(r"Executing in the process (\d+)", _reason(engine, run_id))
        assert found is not None
        pid = int(found[1])
        engine.story(run_id, until="workflow.node_started")  # and not only when it has ended
        if signal:
            psutil.Process(pid).kill()
        else:
            assert engine.launcher.cancel(run_id, tenant=engine.tenant)
        assert engine.end_of(run_id) is end
        psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=30)
        assert not psutil.pid_exists(pid)


@pytest.mark.parametrize(
    ("executor", "said"),
    [("in_process", "Executing steps in process"), ("multiprocess", 'Executing step "two" in subprocess.')],
)
def test_dagsters_own_executors_are_a_tag_away(engine: Engine, executor: str, said: str) -> None:
    engine.publish("""
name: stock_flow
nodes:
  one: {type: template, config: {template: x}}
  two: {type: template, config: {template: "{{ nodes.one.output.text }}y"}}
outputs: {text: "{{ nodes.two.output.text }}"}
""")
    run_id = engine.succeed("stock_flow", tags={"aiw/executor": executor})
    assert said in engine.runtime.messages(run_id)
    story = engine.story(run_id, until="workflow.completed")
    assert [(event.type.partition(".")[2], event.data.get("node_id")) for event in story] == [
        *(("created", None), ("started", None)),
        *((kind, node) for node in ("one", "two") for kind in ("node_started", "node_completed")),
        ("completed", None),
    ]
    # Told while it happens: what is told from the log afterwards does not know types.
    assert {event.data["node_type"] for event in story if event.data.get("node_id")} == {"template"}
    assert engine.outputs(run_id) == {"text": "xy"}


def test_a_workflow_says_which_executor_it_wants(engine: Engine) -> None:
    engine.publish(
        "name: stocky\nconfig: {executor: in_process}\nnodes:\n  one: {type: template, config: {template: x}}\n"
    )
    run = engine.runtime.instance.get_run_by_id(engine.succeed("stocky"))
    assert run is not None
    assert run.tags["aiw/executor"] == "in_process"


def test_a_node_is_limited_by_its_time_under_every_executor(engine: Engine) -> None:
    engine.publish(_calls("late_stock", "tests.sleep", ", timeout: 0.3", seconds=30))
    run_id = engine.launch("late_stock", tags={"aiw/executor": "in_process"})
    assert engine.end_of(run_id) is DagsterRunStatus.FAILURE
    assert "did not end within 0.3 seconds" in engine.story(run_id, until="workflow.failed")[-1].data["error_message"]


def test_an_unknown_executor_fails_the_run_with_the_names_of_all(engine: Engine) -> None:
    run_id = engine.launch("hello", tags={"aiw/executor": "celery"})
    assert engine.end_of(run_id) is DagsterRunStatus.FAILURE
    assert "lean, in_process or multiprocess" in _logged_errors(engine, run_id)


def test_kubernetes_without_its_package_is_an_error_that_says_so(engine: Engine) -> None:
    with pytest.raises(ConflictError, match="no section `kubernetes`"):
        engine.launch("hello", tags={"aiw/isolation": "k8s"}, key="cluster")
    run_id = engine.launcher.launched("cluster", tenant=engine.tenant)
    assert run_id is not None
    assert engine.runtime.status(run_id) is DagsterRunStatus.FAILURE


# ---------------------------------------------------------------------- the pool


def test_a_killed_pool_ends_its_runs_when_the_next_one_comes(runtime: Runtime, tmp_path: Path) -> None:
    engine, path = Engine(runtime), tmp_path / "pid"
    pool = runtime.start_pool("--workers", "1", module=FAULTY)
    engine.publish(_calls("orphan", "tests.linger", path=str(path)) + "config: {retries: 1}\n")
    run_id = engine.launch("orphan")
    wait_until(lambda: path.exists() and path.read_text())
    waiting = engine.launch("hello")
    pool.process.kill()
    pool.process.wait()
    runtime.start_pool("--workers", "1", module=FAULTY)
    assert engine.end_of(run_id) is DagsterRunStatus.FAILURE
    assert "died" in _reason(engine, run_id)
    assert engine.end_of(waiting) is DagsterRunStatus.SUCCESS
    again = _tried_again(engine, run_id)
    engine.launcher.cancel(again, tenant=engine.tenant)
    assert engine.end_of(again) is DagsterRunStatus.CANCELED


def test_a_run_whose_worker_dies_is_tried_again_from_where_it_was_if_asked(engine: Engine, tmp_path: Path) -> None:
    trace, flag = tmp_path / "trace", tmp_path / "flag"
    engine.publish(f"""
name: surviving
config: {{retries: 1}}
nodes:
  first: {{type: python, config: {{function: tests.note, args: {{path: "{trace}", text: first}}}}}}
  second: {{type: python, needs: first, config: {{function: tests.exit_once, args: {{path: "{flag}", code: 3}}}}}}
outputs: {{said: "{{{{ nodes.second.output }}}}"}}
""")
    run_id = engine.launch("surviving")
    engine.publish("name: surviving\nnodes:\n  other: {type: template, config: {template: other}}\n")
    assert engine.end_of(run_id) is DagsterRunStatus.FAILURE
    again = _tried_again(engine, run_id)
    assert _retry(engine, run_id) == again  # the daemon comes too late
    assert engine.end_of(again) is DagsterRunStatus.SUCCESS, _reason(engine, again)
    assert engine.outputs(again) == {"said": "survived"}
    assert trace.read_text().splitlines() == ["first"]
    failed, retried = (engine.runtime.instance.get_run_by_id(each) for each in (run_id, again))
    assert failed is not None
    assert retried is not None
    assert failed.tags["dagster/auto_retry_run_id"] == again
    assert retried.tags["dagster/retry_number"] == "1"
    assert retried.job_snapshot_id == failed.job_snapshot_id  # not of the revision that is newest


def test_a_run_that_fails_is_tried_again_as_often_as_it_asks(engine: Engine) -> None:
    engine.publish("name: stubborn\nconfig: {retries: 2}\nnodes:\n  bad: {type: fail, config: {message: No.}}\n")
    first = engine.launch("stubborn")
    second = _tried_again(engine, first)
    third = _tried_again(engine, second)
    assert [engine.end_of(each) for each in (first, second, third)] == [DagsterRunStatus.FAILURE] * 3
    assert _tag(engine, third, "dagster/will_retry") == "false"
    assert _tag(engine, third, "dagster/retry_number") == "2"


def test_a_retry_is_started_once_however_many_try_it_at_once(runtime: Runtime) -> None:
    engine = Engine(runtime)  # without a pool: nobody is there to do it at once
    engine.publish("name: late\nconfig: {retries: 1}\nnodes:\n  one: {type: template, config: {template: one}}\n")
    run = runtime.instance.get_run_by_id(engine.launch("late"))
    assert run is not None
    failure = JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION)
    runtime.instance.report_run_failed(run, "The worker died.", failure)
    reexecution = Reexecution(engine.launcher)
    with ThreadPoolExecutor(4) as threads:
        tries = [threads.submit(retries.at_once, runtime.instance, run.run_id, reexecution) for _ in range(4)]
    assert [each.result() for each in tries] == [None] * 4
    assert _retry(engine, run.run_id) == _tried_again(engine, run.run_id)


# ---------------------------------------------------------------------- cancelling


def test_a_run_is_cancelled_while_it_waits(runtime: Runtime) -> None:
    engine = Engine(runtime)
    run_id = engine.launch("hello")
    assert engine.launcher.cancel(run_id, tenant=engine.tenant)
    assert runtime.status(run_id) is DagsterRunStatus.CANCELED
    assert not engine.launcher.cancel(run_id, tenant=engine.tenant)


def test_a_run_is_cancelled_while_a_node_runs(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    engine.publish(_calls("cancelled_flow", "tests.linger", path=str(path)))
    run_id = engine.launch("cancelled_flow")
    wait_until(lambda: path.exists() and path.read_text())
    assert engine.launcher.cancel(run_id, tenant=engine.tenant)
    assert engine.end_of(run_id) is DagsterRunStatus.CANCELED
    assert _ends(engine, run_id, "workflow.cancelled")[-1] == "workflow.cancelled"
    assert engine.end_of(engine.launch("hello")) is DagsterRunStatus.SUCCESS


def test_a_run_is_cancelled_within_a_loop(engine: Engine) -> None:
    engine.publish("""
name: looping
nodes:
  turn:
    type: loop
    config: {while: "{{ state >= 0 }}", state: 0, next: "{{ state + 1 }}", max_iterations: 1000}
    nodes: {pause: {type: delay, config: {seconds: 0.05}}}
""")
    run_id = engine.launch("looping")
    passes = DagsterEventType.STEP_EXPECTATION_RESULT
    wait_until(lambda: engine.runtime.instance.all_logs(run_id, of_type=passes))
    assert engine.launcher.cancel(run_id, tenant=engine.tenant)
    assert engine.end_of(run_id) is DagsterRunStatus.CANCELED


def test_runs_that_are_cancelled_while_they_begin_end_one_way_or_the_other(engine: Engine) -> None:
    engine.publish("name: short\nnodes:\n  pause: {type: delay, config: {seconds: 0.2}}\n")
    for wait in (0.0, 0.01, 0.03, 0.06):
        run_id = engine.launch("short")
        time.sleep(wait)
        engine.launcher.cancel(run_id, tenant=engine.tenant)
        assert engine.end_of(run_id) in ENDED


def test_nobody_cancels_the_run_of_another_tenant(engine: Engine) -> None:
    from resources.errors import NotFoundError

    run_id = engine.succeed("hello")
    with pytest.raises(NotFoundError):
        engine.launcher.cancel(run_id, tenant="t-another")
