"""The pages of the bundled workflows say what the workflows say."""

from __future__ import annotations

import pytest

from docs.workflow_pages import PAGES, SPECS, example_of, pages
from resources.workflows.inputs import check_inputs
from resources.workflows.loading import load_file


def test_pages_are_those_of_the_workflows() -> None:
    kept = {path.stem: path.read_text() for path in PAGES.glob("*.md")}
    assert kept == pages(), "write them again: python -m docs.workflow_pages"


@pytest.mark.parametrize("name", sorted(path.stem for path in SPECS.glob("*.yaml")))
def test_examples_are_good_inputs(name: str) -> None:
    spec = load_file(SPECS / f"{name}.yaml")
    check_inputs(spec, example_of(spec))


def test_the_guide_leads_to_each_page() -> None:
    guide = (PAGES.parent / "workflows.md").read_text()
    assert [path.name for path in PAGES.glob("*.md") if f"(workflows/{path.name})" not in guide] == []
