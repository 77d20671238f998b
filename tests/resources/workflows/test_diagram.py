from __future__ import annotations

import struct

import pytest
from defusedxml import ElementTree
from hypothesis import given

from resources.workflows.diagram import mermaid, png, svg
from tests.resources.workflows.table import checked, choose, say
from tests.resources.workflows.test_validation import graphs

CARE = checked(
    say("read"),
    choose("triage", "billing", "end", needs="read"),
    say("bill", needs="triage:billing"),
    {
        "id": "rows",
        "type": "map",
        "config": {"items": [1]},
        "needs": "triage:end",
        "nodes": [say("row", "{{ nodes.read.output.text }}")],
    },
    say("answer", "{{ nodes.read.output.text }}", needs=["bill", "rows"], join="any"),
)


def test_mermaid_shows_nodes_bodies_branches_and_what_is_implied() -> None:
    lines = [line.strip() for line in mermaid(CARE).splitlines()]
    assert lines[0] == "flowchart TD"
    assert 'n_triage{"triage<br/><small>choose</small>"}' in lines
    assert 'subgraph n_rows["rows<br/><small>map</small>"]' in lines
    assert "n_triage -- billing --> n_bill" in lines
    assert "n_read -.-> n_answer" in lines
    assert "n_bill --> n_answer" in lines


def test_svg_is_well_formed_and_names_every_node() -> None:
    root = ElementTree.fromstring(svg(CARE))
    texts = {text.strip() for text in root.itertext()}
    assert {"read", "triage", "bill", "rows", "row", "answer", "billing"} <= texts


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\"&'<>"])
def test_what_authors_write_is_text_in_the_picture(text: str) -> None:
    drawn = svg(checked(say("a", description=text)))
    assert text in {title.text for title in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}title")}


def test_png_has_twice_the_size() -> None:
    picture = png(CARE)
    root = ElementTree.fromstring(svg(CARE))
    assert picture.startswith(b"\x89PNG")
    assert struct.unpack(">II", picture[16:24]) == tuple(2 * int(root.attrib[name]) for name in ("width", "height"))


@given(graphs())
def test_every_workflow_can_be_drawn_with_each_node_below_what_it_needs(nodes: list[dict[str, object]]) -> None:
    workflow = checked(*nodes)
    root = ElementTree.fromstring(svg(workflow))
    space = "{http://www.w3.org/2000/svg}"
    top = {
        group.findtext(f"{space}title"): float(rectangle.attrib["y"])
        for group in root.iter(f"{space}g")
        for rectangle in group.findall(f"{space}rect")
    }
    assert len(top) == len(nodes)
    assert all(top[one.node] < top[name] for name, needs in workflow.level.dependencies.items() for one in needs)
