"""Arithmetic, as models are bad at it. Expressions are parsed, never evaluated as Python, and bounded in size and time."""

from __future__ import annotations

import ast
import math
import operator
from typing import TYPE_CHECKING, Any, Final

from resources.agents.tools.port import Tool, ToolUse
from resources.ai.model import ToolSpec
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Number = int | float

MAX_CHARS: Final = 500
MAX_BITS: Final = 4096
_OPERATORS: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "abs": abs,
    "ceil": math.ceil,
    "exp": math.exp,
    "floor": math.floor,
    "log": math.log,
    "max": max,
    "min": min,
    "round": round,
    "sqrt": math.sqrt,
    "sum": lambda *numbers: sum(numbers),
}
_CONSTANTS: Final = {"pi": math.pi, "e": math.e}


def calculate(expression: str) -> Number:
    """The value. Raises InvalidInputError for what is no arithmetic, and for numbers that are too large."""
    if len(expression) > MAX_CHARS:
        raise _refused(f"has {len(expression)} characters; {MAX_CHARS} are read")
    try:
        value = _value(ast.parse(expression.strip().replace("^", "**"), mode="eval").body)
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError) as error:
        raise _refused(str(error) or type(error).__name__) from error
    return value


def calculator() -> Tool:
    """The tool `calculator`."""

    def run(arguments: Mapping[str, Any], use: ToolUse) -> str:
        del use
        return str(calculate(arguments["expression"]))

    spec = ToolSpec(
        name="calculator",
        description="Calculate an arithmetic expression: + - * / // % ** and " + ", ".join(sorted(_FUNCTIONS)),
        parameters={
            "type": "object",
            "properties": {"expression": {"type": "string", "description": "Such as (1 + 2) * sqrt(9)"}},
            "required": ["expression"],
            "additionalProperties": False,
        },
    )
    return Tool(spec, run, pure=True, trusted=True, timeout=5.0)


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=bool()):
            raise TypeError("true and false are no numbers")
        case ast.Constant(value=int() | float() as number):
            return _bounded(number)
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _operated(op, _value(left), _value(right))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _bounded(_FUNCTIONS[name](*map(_value, arguments)))
    raise TypeError(f"{ast.unparse(node)!r} is no arithmetic")


def _operated(op: ast.operator, left: Number, right: Number) -> Number:
    whole = isinstance(left, int) and isinstance(right, int)
    if whole and isinstance(op, ast.Pow) and int(left).bit_length() * max(0, int(right)) > MAX_BITS:
        raise OverflowError("the number is too large")
    return _bounded(_OPERATORS[type(op)](left, right))


def _bounded(number: Any) -> Number:
    if isinstance(number, int) and not isinstance(number, bool):
        if number.bit_length() > MAX_BITS:
            raise OverflowError("the number is too large")
        return number
    if isinstance(number, float) and math.isfinite(number):
        return number
    raise ValueError("the result is no number")


def _refused(reason: str) -> InvalidInputError:
    return InvalidInputError(f"The expression cannot be calculated: {reason}.", code="expression_invalid")
