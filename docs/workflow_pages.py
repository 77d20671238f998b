"""Writes the pages `docs/workflows/*.md` from the bundled workflows: `python -m docs.workflow_pages`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from assets.nodes import NODES
from resources.workflows.diagram import mermaid
from resources.workflows.loading import load_folder
from resources.workflows.validation import check

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resources.workflows.spec import InputSpec, WorkflowSpec

ROOT = Path(__file__).parents[1]
SPECS = ROOT / "definitions" / "specs"
PAGES = ROOT / "docs" / "workflows"

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "ai_content_generation": {"content_type": "blog_post", "topic": "green tea"},
    "blog_pipeline": {"topic": "green tea"},
    "content_analysis": {"job": "00000000-0000-4000-8000-000000000000"},
    "content_ingest": {"text": "# Green tea\n\nGreen tea wants water of eighty degrees.", "name": "green-tea.md"},
    "customer_care": {
        "ticket_id": "T-17",
        "subject": "Charged twice",
        "body": "I was charged twice for my order. How do I get my money back?",
        "sender": "somebody@example.org",
    },
    "ask": {"question": "How hot should the water for green tea be?"},
    "hello": {"who": "world"},
    "knowledge_base_search": {"query": "How hot should the water for green tea be?"},
    "meeting_time": {"time": "14:30", "here": "Europe/Berlin", "there": "Asia/Tokyo"},
    "research_to_documentation": {"topic": "green tea", "difficulty": "beginner"},
    "user_query_processing": {"query": "How hot should the water for green tea be?"},
}


def pages() -> dict[str, str]:
    """The text of each page, by the name of the workflow."""
    specs = load_folder(SPECS).specs
    return {name: _page(spec, specs) for name, spec in sorted(specs.items())}


def example_of(spec: WorkflowSpec) -> dict[str, Any]:
    """Inputs to try the workflow with."""
    return dict(EXAMPLES.get(spec.name, {}))


def main() -> None:
    """Write all pages."""
    PAGES.mkdir(exist_ok=True)
    for name, text in pages().items():
        (PAGES / f"{name}.md").write_text(text)


def _page(spec: WorkflowSpec, specs: Mapping[str, WorkflowSpec]) -> str:
    checked = check(spec, NODES, lookup=lambda name, _: (0, specs[name]))
    inputs = [
        f"| `{name}` | {wanted.type} | {_default(wanted)} | {wanted.description or ''} |"
        for name, wanted in spec.inputs.items()
    ]
    outputs = ", ".join(f"`{name}`" for name in spec.outputs)
    example = orjson.dumps(example_of(spec), option=orjson.OPT_INDENT_2).decode()
    parts = [
        f"# {spec.name}",
        spec.description,
        f"```mermaid\n{mermaid(checked)}```",
        "| input | type | default | |\n|---|---|---|---|\n" + "\n".join(inputs) if inputs else "",
        f"Outputs: {outputs}." if outputs else "",
        f"Try it:\n\n```json\n{example}\n```",
        f"```sh\naiw workflow run {spec.name} --inputs example.json\n```",
        f"The workflow itself: [definitions/specs/{spec.name}.yaml](../../definitions/specs/{spec.name}.yaml).",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _default(wanted: InputSpec) -> str:
    if wanted.has_default:
        return f"`{orjson.dumps(wanted.default).decode()}`"
    return "*required*" if wanted.required else ""


if __name__ == "__main__":
    main()
