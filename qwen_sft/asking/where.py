"""`--where`: a condition on a sample's metadata, such as `reward > 0 and model == "qwen3-8b"`; nothing is executed.

The text has Python's grammar and none of its power: names, constants, comparisons, `in`, `and`, `or`, `not`. A name is
a field of the metadata, `a.b` a field of a field, and besides `id`, `n_messages`, `n_calls` and `n_tools`. What a
sample does not have is `null`: it equals only `null`, and is neither less nor greater than anything.
"""

import ast
from collections.abc import Callable, Mapping
from typing import Any

from qwen_sft.errors import UsageError
from qwen_sft.sample import Sample, is_list, is_object

Condition = Callable[[Sample], bool]
"""True if a sample is to be kept."""

_Fields = Mapping[str, Any]
_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "null": None}
_LONGEST = 10_000  # characters


def condition(text: str) -> Condition:
    """The condition that a text states.

    Raises:
        UsageError: it is none, with what stands in the way.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval") if len(text) <= _LONGEST else None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"where {text!r} is no condition: {error}; write for example 'reward > 0'") from error
    if tree is None:
        raise UsageError(f"where has {len(text):,} characters; it can have {_LONGEST:,}")
    value = _compiled(tree.body, text)
    return lambda sample: bool(value(_fields(sample)))


def _fields(sample: Sample) -> _Fields:
    messages = sample.get("messages", [])
    counted = {
        "id": sample.get("id"),
        "n_messages": len(messages),
        "n_calls": sum(len(calls) for turn in messages if is_list(calls := turn.get("tool_calls"))),
        "n_tools": len(sample.get("tools", [])),
    }
    return {**counted, **sample.get("metadata", {})}


def _compiled(node: ast.expr, text: str) -> Callable[[_Fields], Any]:
    match node:
        case ast.Constant(value=str() | int() | float() | None):
            constant = node.value
            return lambda _: constant
        case ast.Name(id=name):
            return (lambda _: _CONSTANTS[name]) if name in _CONSTANTS else (lambda fields: fields.get(name))
        case ast.Attribute(value=inner, attr=name):
            holder = _compiled(inner, text)
            return lambda fields: held.get(name) if is_object(held := holder(fields)) else None
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            negated = _compiled(inner, text)
            return lambda fields: not negated(fields)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return lambda _: -number
        case ast.BoolOp(op=op, values=values):
            parts = [_compiled(value, text) for value in values]
            every = isinstance(op, ast.And)
            return lambda fields: (all if every else any)(part(fields) for part in parts)
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            items = [_compiled(element, text) for element in elements]
            return lambda fields: [item(fields) for item in items]
        case ast.Compare(left=left, ops=ops, comparators=rest):
            sides = [_compiled(side, text) for side in (left, *rest)]
            tests = [_test(op, node, text) for op in ops]
            return lambda fields: _chained([side(fields) for side in sides], tests)
        case _:
            raise _cannot(node, text)


def _chained(values: list[Any], tests: list[Callable[[Any, Any], bool]]) -> bool:
    return all(test(a, b) for test, a, b in zip(tests, values, values[1:], strict=False))


def _test(op: ast.cmpop, node: ast.expr, text: str) -> Callable[[Any, Any], bool]:
    found = _TESTS.get(type(op))
    if found is None:
        raise _cannot(node, text)
    return found


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """A comparison that is False between values that have no order: a number and a text, or anything and null."""

    def test(a: Any, b: Any) -> bool:
        numbers = isinstance(a, int | float) and isinstance(b, int | float)
        return (numbers or (isinstance(a, str) and isinstance(b, str))) and compare(a, b)

    return test


def _equal(a: Any, b: Any) -> bool:
    return a == b and (isinstance(a, bool) == isinstance(b, bool) or {a, b} <= {0, 1})


def _in(a: Any, b: Any) -> bool:
    if isinstance(b, str):
        return isinstance(a, str) and a in b
    return any(_equal(a, item) for item in b) if is_list(b) else is_object(b) and a in b


_TESTS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: _equal,
    ast.NotEq: lambda a, b: not _equal(a, b),
    ast.Is: _equal,
    ast.IsNot: lambda a, b: not _equal(a, b),
    ast.Lt: _ordered(lambda a, b: a < b),
    ast.LtE: _ordered(lambda a, b: a <= b),
    ast.Gt: _ordered(lambda a, b: a > b),
    ast.GtE: _ordered(lambda a, b: a >= b),
    ast.In: _in,
    ast.NotIn: lambda a, b: not _in(a, b),
}


def _cannot(node: ast.expr, text: str) -> UsageError:
    what = ast.get_source_segment(text.strip(), node) or type(node).__name__
    return UsageError(f"where {text!r} holds {what!r}; it can hold fields, constants, comparisons, in, and, or, not")
