"""Functions that workflows may call by name, with the node type `python`.

    @workflow_function("invoices.total")
    def total(lines: list[Line], *, currency: str = "EUR") -> Total: ...

Arguments are checked against the annotations (pydantic), results become JSON. A parameter annotated with NodeContext is
given the node's context. A package brings functions of its own through the entry point group `aiw.functions`: each entry names a
module, which is imported, or a function, which is registered under the entry's name.
"""

import importlib.metadata
import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from assets.nodes.base import near
from resources.errors import InvalidInputError, NotFoundError, Problem
from resources.workflows.node_type import NodeContext

GROUP: Final = "aiw.functions"

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class WorkflowFunction:
    """A function with the model of its arguments. `context` is the name of the parameter that takes the node's context."""

    name: str
    call: Callable[..., Any]
    parameters: Mapping[str, str]
    model: type[BaseModel]
    context: str | None

    @classmethod
    def of(cls, name: str, function: Callable[..., Any]) -> "WorkflowFunction":
        """Raises InvalidInputError for a signature that cannot be called with named arguments."""
        hints = get_type_hints(function, include_extras=True)
        fields: dict[str, Any] = {}
        context = None
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
                raise InvalidInputError(
                    f"The workflow function {name!r} cannot have the parameter {parameter}: arguments are named.",
                    code="function_signature",
                )
            if hints.get(parameter.name) is NodeContext:
                context = parameter.name
                continue
            default = ... if parameter.default is parameter.empty else parameter.default
            # Fields get names of ours, because a parameter may be called as a method of pydantic's.
            fields[f"argument_{len(fields)}"] = (
                hints.get(parameter.name, Any),
                Field(default=default, alias=parameter.name),
            )
        model = create_model("Arguments", __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True), **fields)
        parameters = {field: info.alias or field for field, info in model.model_fields.items()}
        return cls(name, function, parameters, model, context)

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the annotations want them. Raises InvalidInputError with every problem."""
        try:
            values = self.model.model_validate(given)
        except ValidationError as error:
            problems = tuple(
                Problem("config.args" + "".join(f".{part}" for part in found["loc"]), found["msg"])
                for found in error.errors(include_url=False)
            )
            raise InvalidInputError(
                f"The function {self.name!r} cannot be called: {'; '.join(map(str, problems))}.",
                code="function_arguments",
                problems=problems,
            ) from error
        return {name: getattr(values, field) for field, name in self.parameters.items()}

    def unfitting(self, given: Mapping[str, Any]) -> list[Problem]:
        """What is wrong with the names of the arguments, when their values are not known yet."""
        names = set(self.parameters.values())
        needed = {info.alias for info in self.model.model_fields.values() if info.is_required()}
        return [
            *(
                Problem(f"config.args.{name}", "there is no such parameter", near(name, names))
                for name in given
                if name not in names
            ),
            *(Problem(f"config.args.{name}", "is required") for name in sorted(map(str, needed)) if name not in given),
        ]


class Functions:
    """The registered functions, by name. Those of other packages are looked for when the first one is asked for."""

    def __init__(self) -> None:
        self._functions: dict[str, WorkflowFunction] = {}
        self._lock = threading.RLock()
        self._looked = False

    def register(self, name: str, function: Callable[..., Any]) -> None:
        """Raises InvalidInputError when the name is taken by another function, or the signature does not do."""
        with self._lock:
            known = self._functions.get(name)
            if known is not None and known.call is not function:
                raise InvalidInputError(f"Two workflow functions are called {name!r}.", code="function_name_taken")
            self._functions[name] = WorkflowFunction.of(name, function)

    def get(self, name: str) -> WorkflowFunction:
        """Raises NotFoundError with what was probably meant."""
        self._look()
        try:
            return self._functions[name]
        except KeyError:
            raise NotFoundError(
                f"There is no workflow function {name!r}; {near(name, self._functions)}.",
                code="function_not_found",
                name=name,
            ) from None

    def names(self) -> list[str]:
        """All names, sorted."""
        self._look()
        return sorted(self._functions)

    def _look(self) -> None:
        with self._lock:
            if self._looked:
                return
            for entry in importlib.metadata.entry_points(group=GROUP):
                found = entry.load()
                if not inspect.ismodule(found):
                    self.register(entry.name, found)
            self._looked = True


FUNCTIONS: Final = Functions()


def workflow_function(name: str) -> Callable[[AnyFunction], AnyFunction]:
    """Register the function under `name`; it stays the function that it is."""

    def register(function: AnyFunction) -> AnyFunction:
        FUNCTIONS.register(name, function)
        return function

    return register


@workflow_function("json.merge_patch")
def merge_patch(target: Any, patch: Any) -> Any:
    """`target` with the changes that `patch` says (RFC 7396): null removes a field, objects are merged, the rest is replaced."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result
