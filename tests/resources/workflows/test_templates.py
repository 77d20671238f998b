from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from resources.errors import ConflictError, NotFoundError
from resources.workflows.templates import Template, Templates
from resources.workflows.validation import parse
from tests.resources.workflows.table import say, workflow


def template(name: str, **fields: Any) -> Template:
    return Template.of(parse(workflow(say("a"), name=name, **fields)))


RESEARCH = template(
    "research_to_documentation",
    description="Finds out and writes down.",
    category="research",
    complexity="Moderate",
    estimated_duration=600,
    tags=["notion", "research"],
    inputs={"topic": {"min": 3}, "difficulty": {"default": "intermediate"}, "note": {"required": False}},
    outputs={"summary": "1", "url": "2"},
    author="ada",
    version="1.2",
)
SLACK = template(
    "research_to_slack", category="research", complexity="Simple", estimated_duration=180, tags=["slack", "research"],
    metadata={"title": "Research for Slack"}, inputs={"topic": {}, "channel": {}},
)  # fmt: skip
OTHER = template("other", category="query_processing", complexity="Simple")
ALL = Templates([RESEARCH, SLACK, OTHER])


def test_a_template_tells_what_its_workflow_says() -> None:
    assert (RESEARCH.name, SLACK.name) == ("Research to documentation", "Research for Slack")
    assert (RESEARCH.required_inputs, RESEARCH.optional_inputs) == (("topic",), ("difficulty", "note"))
    assert (RESEARCH.outputs, RESEARCH.estimated_duration) == (("summary", "url"), timedelta(minutes=10))
    assert (RESEARCH.version, RESEARCH.author) == ("1.2", "ada")


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, [RESEARCH, SLACK, OTHER]),
        ({"category": "research"}, [RESEARCH, SLACK]),
        ({"category": "research", "complexity": "Simple"}, [SLACK]),
        ({"tags": ["research"]}, [RESEARCH, SLACK]),
        ({"tags": ["research", "slack"]}, [SLACK]),
        ({"text": "WRITES"}, [RESEARCH]),
        ({"text": "for slack"}, [SLACK]),
        ({"has_inputs": ["topic", "note"]}, [RESEARCH]),
        ({"has_outputs": ["url"]}, [RESEARCH]),
        ({"max_duration": timedelta(seconds=180)}, [SLACK]),
        ({"category": "research", "text": "nothing"}, []),
    ],
)
def test_everything_asked_for_holds(filters: dict[str, Any], found: list[Template]) -> None:
    assert ALL.search(**filters) == found


def test_statistics_count_and_average() -> None:
    figures = ALL.statistics()
    assert (figures.total, figures.by_category) == (3, {"research": 2, "query_processing": 1})
    assert figures.by_complexity == {"Moderate": 1, "Simple": 2}
    assert figures.average_duration == timedelta(seconds=390)
    assert Templates().statistics().average_duration is None


def test_an_id_is_there_once() -> None:
    with pytest.raises(ConflictError):
        Templates([OTHER, OTHER])


def test_templates_are_found_by_id() -> None:
    assert ALL.get("other") is OTHER
    with pytest.raises(NotFoundError):
        ALL.get("gone")
