"""What docs/content.md shows of reading and analysing works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "content.md").read_text()
BLOCKS = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "parse_document" in block]


def test_there_are_examples() -> None:
    assert len(BLOCKS) == 2


@pytest.mark.parametrize("block", BLOCKS, ids=["read", "analyse"])
def test_an_example_runs(block: str) -> None:
    exec(compile(block, "docs/content.md", "exec"), {})
