"""Python-list calls: `[f(a=1, b="x"), g()]`, as Llama's and ToolACE's prompts ask for; nothing is executed.

Names may hold spaces and dots, as ToolACE's do. Arguments are named, and literals; `true`, `false` and
`null` too.
"""

import ast
from collections.abc import Sequence
from typing import Any

from qwen_sft.dialect import Dialect
from qwen_sft.normalize import call
from qwen_sft.sample import MOST_NESTED, Tool, ToolCall

_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_LONGEST = 1_000_000  # characters
_MOST_TRIES = 64  # closing brackets of one call that are tried


def _calls(text: str, _tools: Sequence[Tool]) -> tuple[str, list[ToolCall]] | None:
    body = text.strip()
    if not body.startswith("[") or not body.endswith(")]") or len(body) > _LONGEST:
        return None
    made: list[ToolCall] = []
    rest = body[1:-1].strip()
    while rest:
        found = _first(rest)
        if found is None:
            return None
        made.append(found[0])
        rest = found[1].strip()
        if rest and not rest.startswith(","):
            return None
        rest = rest.removeprefix(",").strip()
    return ("", made) if made else None


def _first(text: str) -> tuple[ToolCall, str] | None:
    """The call that a text begins with, and what stands behind it."""
    name, bracket, _ = text.partition("(")
    name = name.strip()
    if not bracket or not name or any(c in name for c in "[]{}'\"=,\n"):
        return None
    end = start = text.index("(")
    for _ in range(_MOST_TRIES):
        end = text.find(")", end + 1)
        if end < 0:
            return None
        arguments = _arguments(f"f{text[start : end + 1]}")
        if arguments is not None:
            return call(name, arguments), text[end + 1 :]
    return None


def _arguments(text: str) -> dict[str, Any] | None:
    try:
        tree = ast.parse(text, mode="eval").body
        if not isinstance(tree, ast.Call) or tree.args:
            return None
        names = [keyword.arg for keyword in tree.keywords]
        if len(set(names)) != len(names):
            return None
        return {_name(keyword): _literal(keyword.value, 0) for keyword in tree.keywords}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _name(keyword: ast.keyword) -> str:
    if keyword.arg is None:
        raise ValueError("**values have no name")
    return keyword.arg


def _literal(node: ast.expr, depth: int) -> Any:
    """The JSON value that an expression is.

    Raises:
        ValueError: it is none.
    """
    if depth > MOST_NESTED:
        raise ValueError("it is nested too deep")
    match node:
        case ast.Constant(value=str() | bool() | int() | float() | None):
            return node.value
        case ast.Name(id=name) if name in _WORDS:
            return _WORDS[name]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_literal(element, depth + 1) for element in elements]
        case ast.Dict(keys=keys, values=values):
            names = [key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
            if len(set(names)) != len(keys):
                raise ValueError("a key is no text, or stands twice")
            return dict(zip(names, (_literal(value, depth + 1) for value in values), strict=True))
        case _:
            raise ValueError("it is no literal")


DIALECT = Dialect(
    name="python_list",
    title="[name(key=value), ...]",
    marks=("(",),
    calls=_calls,
    results=lambda _text: None,
)
