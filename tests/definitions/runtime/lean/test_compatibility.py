"""The start-up check knows every private part of Dagster that the lean runtime imports."""

from __future__ import annotations

import ast
from pathlib import Path

from definitions.runtime.lean import compatibility

LEAN = Path(compatibility.__file__).parent


def test_every_function_and_private_name_that_is_imported_is_checked_at_the_start() -> None:
    unchecked = []
    for path in sorted(LEAN.glob("*.py")):
        for module, name in _imported(ast.parse(path.read_text())):
            public = name[0].isupper() or name.isupper()
            known = compatibility.PRIVATE_PARTS.get(module, {})
            if name not in known and not (public and not name.startswith("_")):
                unchecked.append(f"{path.name}: {module}.{name}")
    assert unchecked == []


def test_the_locked_release_has_all_of_them() -> None:
    assert compatibility.differs() is None


def _imported(tree: ast.Module) -> list[tuple[str, str]]:
    """What is imported at run time from packages of Dagster that are its own affair."""
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    return [
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and id(node) not in typing_only
        if node.module is not None and node.module.startswith(("dagster._", "dagster_postgres."))
        for alias in node.names
    ]
