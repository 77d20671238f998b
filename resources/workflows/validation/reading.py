"""A workflow as its models read it: every field that does not fit, in the words of who wrote it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from resources.errors import Problem
from resources.workflows.spec import NodeSpec, WorkflowSpec
from resources.workflows.validation.findings import WorkflowInvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_NESTING = 220  # levels of JSON; the encoder takes 254
_FIELDS = sorted({*WorkflowSpec.model_fields, *NodeSpec.model_fields})


def parse(raw: Mapping[str, Any]) -> WorkflowSpec:
    """The spec that a mapping describes. Raises WorkflowInvalidError with everything that does not fit the models."""
    given = raw.get("name")
    name = given if isinstance(given, str) else ""
    if _is_too_deep(raw):
        message = f"values are nested in more than {MAX_NESTING} levels"
        raise WorkflowInvalidError(name, [Problem("", message, code="limit_exceeded")])
    try:
        return WorkflowSpec.model_validate(raw)
    except ValidationError as error:
        problems = [_of_pydantic(found, raw) for found in error.errors(include_url=False)]
        raise WorkflowInvalidError(name, problems) from error


def _of_pydantic(found: Any, raw: Any) -> Problem:
    path = path_of(found["loc"], raw)
    match found["type"]:
        case "extra_forbidden":
            close = get_close_matches(str(found["loc"][-1]), _FIELDS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else None
            return Problem(path, "there is no such field", hint, "field_unknown")
        case "missing":
            return Problem(path, "is required", None, "field_missing")
    return Problem(path, found["msg"], None, "field_invalid")


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_NESTING):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list | tuple)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def path_of(location: Sequence[str | int], raw: Any) -> str:
    """`("nodes", 0, "timeout")` as `nodes.fetch.timeout`, in the words of who wrote it."""
    path, at, last = "", raw, ""
    for part in location:
        shown: str | int = part
        if isinstance(part, int) and last == "nodes":
            listed = list(at.items()) if isinstance(at, dict) else None
            at = listed[part][1] if listed and part < len(listed) else _item(at, part)
            own = at.get("id") if isinstance(at, dict) else None
            shown = str(listed[part][0]) if listed and part < len(listed) else own if isinstance(own, str) else part
        elif isinstance(part, str) and last == "triggers" and isinstance(at, dict) and at.get("type") == part:
            last = ""
            continue  # which of the models was tried
        else:
            at = _item(at, part)
        path += f"[{shown}]" if isinstance(shown, int) else f".{shown}" if path else str(shown)
        last = last if isinstance(part, int) and last == "triggers" else str(part)
    return path


def _item(value: Any, part: str | int) -> Any:
    try:
        return value[part]
    except (LookupError, TypeError):
        return None
