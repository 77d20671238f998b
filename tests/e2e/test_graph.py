"""One query over everything, as the README shows it, on what the main job and a workflow have left."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import wait_for

if TYPE_CHECKING:
    from tests.e2e.conftest import Stage

pytestmark = pytest.mark.timeout(240)

README = Path(__file__).parents[2] / "README.md"


def example() -> str:
    """The README's query."""
    (found,) = re.findall(r"```graphql\n(.*?)```", README.read_text(), re.DOTALL)
    return str(found)


def test_the_readmes_query_tells_of_runs_documents_knowledge_and_people(stage: Stage) -> None:
    mark = uuid.uuid4().hex[:8]
    subject, required = f"Terrace {mark}", f"Masonry {mark}"
    documents = [
        stage.hand_in(required, subject=required),
        stage.hand_in(subject, subject=subject, requires=[required]),
    ]
    stage.ready(*documents)
    name = f"digest_{mark}"
    stage.api.publish_workflow(
        f"""
name: {name}
inputs: {{documents: {{type: array}}}}
nodes:
  say: {{type: template, config: {{template: "About {{{{ inputs.documents | length }}}}."}}}}
""".encode()
    )
    run = stage.api.run_workflow(name, {"documents": documents}, wait=60)
    assert run.status == "completed"

    def told() -> Any:
        answer = stage.http.post("/graphql", json={"query": example(), "variables": {"id": name}}).json()
        assert "errors" not in answer, answer
        found = answer["data"]["workflow"]
        return found if [one["status"] for one in found["executions"]["nodes"]] == ["COMPLETED"] else None

    # Lists of runs are read models, which follow the events.
    found = wait_for(told, "the end of the run in the graph")
    assert found["name"] == name
    (execution,) = found["executions"]["nodes"]
    assert execution["id"] == run.run_id
    assert execution["progress"] == {"percentage": 100.0}
    concepts = {
        concept["name"]: [one["name"] for one in concept["prerequisites"]]
        for content in found["processedContent"]
        for concept in content["concepts"]
    }
    assert {content["title"] for content in found["processedContent"]} == {subject, required}
    assert concepts[subject] == [required]
    graph = found["knowledgeGraph"]
    assert {subject, required} <= {node["name"] for node in graph["nodes"]}
    assert "REQUIRES" in {edge["type"] for edge in graph["relationships"]}
    assert [bool(person["id"] and person["presence"]["status"]) for person in found["collaborators"]] == [True]
