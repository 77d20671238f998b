"""A workflow whose worker is killed after each of its calls pays for none of them twice; replayed, it pays for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dagster import DagsterRunStatus

from definitions.runtime.reexecution import Reexecution
from resources.ai.ledger.postgres import PostgresCallBooks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.definitions.runtime.workflows import Engine

CALLS = 20


def _workflow(folder: Path, memo: str) -> str:
    return f"""
name: twenty
nodes:
  turn:
    type: loop
    config: {{items: {list(range(CALLS))}}}
    nodes:
      ask:
        type: prompt
        config:
          prompt: "Summarise what the text says about tea number {{{{ item }}}}."
          passages: ["Tea number {{{{ item }}}} is made from leaves. Coffee is made from beans."]
      die: {{type: python, config: {{function: tests.exit_once, args: {{path: "{folder}/{{{{ item }}}}", code: 9}}}}}}
outputs: {{texts: "{{{{ nodes.turn.output.results | map(attribute='ask') | map(attribute='text') | list }}}}"}}
config: {{memo: {memo}}}
"""


@pytest.mark.timeout(240)
def test_a_run_that_is_killed_after_every_call_pays_each_once(engine: Engine, tmp_path: Path) -> None:
    engine.publish(_workflow(tmp_path, "read_through"))
    reexecution = Reexecution(engine.launcher)
    run_id, kills = engine.launch("twenty"), 0
    while engine.end_of(run_id) is not DagsterRunStatus.SUCCESS:
        kills += 1
        assert kills <= CALLS, engine.runtime.messages(run_id)
        run_id = reexecution.start(run_id, tenant=engine.tenant, strategy="all").run_id
    books = PostgresCallBooks(engine.runtime.database)
    made = [call for call in books.calls(tenant=engine.tenant) if call.memo == "miss"]
    assert (kills, len(made)) == (CALLS, CALLS)
    assert len({call.fingerprint for call in made}) == CALLS
    assert {call.outcome for call in made} == {"answered"}

    engine.publish(_workflow(tmp_path, "replay_only"))
    replayed = engine.succeed("twenty")
    calls = books.calls(tenant=engine.tenant, run_id=replayed)
    assert ([call.memo for call in calls], sum(call.cost or 0 for call in calls)) == (["hit"] * CALLS, 0)
    assert engine.outputs(replayed) == engine.outputs(run_id)
    assert len(set(engine.outputs(replayed)["texts"])) == CALLS
