from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "knowledge.md"


def test_what_the_page_shows_works() -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    assert code.count("assert") >= 7
    exec(compile(code, str(PAGE), "exec"), {})
