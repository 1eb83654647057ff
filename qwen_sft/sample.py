"""The one shape that every stage speaks: a conversation in chat messages, with its tools.

The shape is the one that chat templates are written for (`tool_calls[].function.arguments` is a dict), so that a
sample goes to a template as it is. What is wrong in a trace stays visible in the sample, for the rules to judge:
arguments that are not JSON stay the string that they were, a role that nobody knows stays that role.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict, TypeGuard, get_args

Role = Literal["system", "user", "assistant", "tool"]
"""Who speaks. A tool's turn is the result of one call."""

ROLES: tuple[Role, ...] = get_args(Role)


class Function(TypedDict):
    """What is called: `arguments` is a dict; a string only where the trace held something that is not a JSON object."""

    name: str
    arguments: Any


class ToolCall(TypedDict):
    """One call in an assistant turn; `id` is absent where the trace has none."""

    id: NotRequired[str]
    type: Literal["function"]
    function: Function


class Message(TypedDict, total=False):
    """One turn. `content` is text (an empty string for none), or a list of parts where one of them is not text.

    `train` and `weight` are what the trace says about training the turn, `finish_reason` is why the turn was cut off,
    where it was (see `qwen_sft.reading.metadata.TRUNCATED`); no template prints them.
    """

    role: str
    content: Any
    reasoning_content: str
    tool_calls: list[ToolCall]
    tool_call_id: str
    name: str
    train: bool
    weight: float
    finish_reason: str


class ToolFunction(TypedDict, total=False):
    """A declared function; `parameters` is a JSON Schema, in the key order that the template will print."""

    name: str
    description: str
    parameters: Any


class Tool(TypedDict, total=False):
    """One declared tool, as the template prints it."""

    type: str
    function: ToolFunction


class Sample(TypedDict, total=False):
    """One conversation. `messages` is always there; `id` is the trace's own name for it.

    `metadata` is what the trace says about the run as a whole, under the names of `qwen_sft.reading.metadata`.
    """

    id: str
    messages: list[Message]
    tools: list[Tool]
    metadata: dict[str, Any]


Path = tuple[str | int, ...]
"""A place in a JSON value: ("messages", 4, "tool_call_id")."""


def json_pointer(path: Path) -> str:
    """The JSON Pointer (RFC 6901) of a place: `/messages/4/tool_call_id`; "" for the whole value."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def json_path(path: Path) -> str:
    """The JSONPath spelling of a place: `$.messages[4].tool_call_id`.

    Keys that are no plain name are quoted: `$['a b']`.
    """
    parts = ["$"]
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif step.isidentifier():
            parts.append(f".{step}")
        else:
            parts.append("['" + step.replace("\\", "\\\\").replace("'", "\\'") + "']")
    return "".join(parts)


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """True for a JSON object."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """True for a JSON array."""
    return isinstance(value, list)


if not TYPE_CHECKING:  # the same without a frame of Python's: a third of the time, and a record asks 400 times
    is_object, is_list = dict.__instancecheck__, list.__instancecheck__


def is_same(one: Any, other: Any) -> bool:
    """True for two equal JSON values; False for ones that nest deeper than Python's stack."""
    try:
        return one == other
    except RecursionError:
        return False


_HOLDERS: frozenset[type[Any]] = frozenset({dict, list})

MOST_NESTED = 200
"""Levels of lists and objects that a JSON value may have: a value that parsed can still be too deep to print."""


def is_too_deep(value: Any) -> bool:
    """True for a JSON value of more than MOST_NESTED levels."""
    level: list[Any] = [value] if type(value) in _HOLDERS else []
    for _ in range(MOST_NESTED):
        if not level:
            return False
        above, level = level, list[Any]()
        for item in above:
            inner: Collection[Any] = item.values() if is_object(item) else item
            if not _HOLDERS.isdisjoint(map(type, inner)):  # at C's speed: most hold texts and numbers only
                level += [child for child in inner if type(child) in _HOLDERS]
    return bool(level)


def value_at(value: Any, path: Path) -> Any:
    """What stands at a place of a JSON value; None where nothing does."""
    for step in path:
        if isinstance(step, int):
            if not is_list(value) or not -1 < step < len(value):
                return None
            value = value[step]
        else:
            if not is_object(value) or step not in value:
                return None
            value = value[step]
    return value
