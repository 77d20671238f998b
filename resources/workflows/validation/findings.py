"""What is wrong with a workflow, collected until all of it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class WorkflowInvalidError(InvalidInputError):
    """The workflow cannot run. `problems` lists everything that is wrong with it."""

    default_code = "workflow_invalid"

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        shown = "; ".join(map(str, problems[:3])) + ("; …" if len(problems) > 3 else "")  # noqa: PLR2004  # a line
        super().__init__(f"The workflow {name!r} is not valid: {shown}", problems=tuple(problems))


class Findings:
    """The problems found so far, each once, in the order in which they were found."""

    def __init__(self) -> None:
        self._problems: dict[Problem, None] = {}

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._problems)

    def __bool__(self) -> bool:
        return bool(self._problems)

    def report(self, path: str, message: str, hint: str | None = None, *, code: str) -> None:
        """Add a problem."""
        self._problems[Problem(path, message, hint, code)] = None

    def take(self, problems: Iterable[Problem]) -> None:
        """Add those that others found."""
        self._problems.update(dict.fromkeys(problems))

    def has(self, *paths: str) -> bool:
        """Whether something was found at one of the paths."""
        return any(problem.path in paths for problem in self._problems)


def strings(value: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """All strings in a JSON value, each with the keys that lead to it."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        keys, value = waiting.pop()
        if isinstance(value, str):
            yield keys, value
        elif isinstance(value, dict):
            waiting += [((*keys, str(key)), inner) for key, inner in reversed(value.items())]
        elif isinstance(value, list | tuple):
            waiting += [((*keys, index), inner) for index, inner in reversed(list(enumerate(value)))]


def joined(path: str, keys: Iterable[str | int]) -> str:
    """The path with the keys behind it."""
    return path + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
