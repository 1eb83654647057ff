"""The wire format that all Qwen templates share: ChatML turns, results inside user turns, and of some, the JSON calls.

Every function gives spans; joined, they are the template's text. Facts: all turns end with `<|im_end|>` and a newline;
there is no turn for tools: results stand in a user turn, neighbouring results in one; no template prints a call's id.
"""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from qwen_sft.errors import TemplateError
from qwen_sft.sample import Message, Tool, ToolCall, is_object
from qwen_sft.text.exact import again, exactly
from qwen_sft.tokens import Kind, Span

START = "<|im_start|>"
STOP = "<|im_end|>"
HEADER = "<|im_start|>assistant\n"


_JSON = json.JSONEncoder(ensure_ascii=False)


def tojson(value: Any) -> str:
    """JSON as transformers' `tojson` filter prints it: insertion order, `", "` and `": "`, no ASCII escapes."""
    return _JSON.encode(value)


def tool_lines(tools: Sequence[Tool]) -> str:
    """The JSON of some tools, each behind a newline; samples of a set share theirs, so the last ones are remembered."""
    written = exactly(tools)
    return "".join(f"\n{tojson(tool)}" for tool in tools) if written is None else _tool_lines(written)


@lru_cache(maxsize=16)
def _tool_lines(written: bytes) -> str:
    return "".join(f"\n{tojson(tool)}" for tool in again(written))


def text_of(message: Message, index: int) -> str:
    """The message's text.

    Raises:
        TemplateError: its content is a list of parts: text-only templates print it as nothing, or as Python's repr.
    """
    content = message.get("content")
    if not isinstance(content, str):
        raise TemplateError(f"messages[{index}].content is {type(content).__name__}; this template prints only text")
    return content


def turn(kind: Kind, index: int, role: str, text: str) -> list[Span]:
    """A turn that nobody has to produce: header, words, end."""
    return [
        Span(Kind.SCAFFOLD, index, f"{START}{role}\n"),
        Span(kind, index, text),
        Span(Kind.SCAFFOLD, index, f"{STOP}\n"),
    ]


def end(index: int) -> list[Span]:
    """The end of an assistant's turn: the stop token that it has to produce, and the newline that it has not."""
    return [Span(Kind.STOP, index, STOP), Span(Kind.AFTER, index, "\n")]


def result(messages: Sequence[Message], index: int, *, first: int = -1, newline_after: bool = False) -> list[Span]:
    """One tool message: a `<tool_response>` block in the user turn that it shares with its neighbours.

    Args:
        first: where a tool message opens no turn, since the template looks for one before it; -1 for nowhere.
        newline_after: whether each block ends with a newline, or else each but the last.
    """
    opens = index != first and (not index or messages[index - 1].get("role") != "tool")
    closes = index + 1 == len(messages) or messages[index + 1].get("role") != "tool"
    before = f"{START}user\n" if opens else "" if newline_after else "\n"
    after = ("\n" if newline_after else "") + (f"{STOP}\n" if closes else "")
    return [
        Span(Kind.SCAFFOLD, index, f"{before}<tool_response>\n"),
        Span(Kind.RESULT, index, text_of(messages[index], index)),
        Span(Kind.SCAFFOLD, index, f"\n</tool_response>{after}"),
    ]


def arguments_of(call: ToolCall, index: int) -> dict[str, Any]:
    """A call's arguments.

    Raises:
        TemplateError: they are no object: templates crash on them, or print them as a JSON string.
    """
    given = call["function"]["arguments"]
    if not is_object(given):
        raise TemplateError(f"messages[{index}] calls with arguments {given!r:.60}, which are no object")
    return given


def json_call(call: ToolCall, index: int) -> str:
    """A call as `<tool_call>` with one JSON object on a line of its own (parser `hermes`)."""
    name = call["function"]["name"]
    return f'<tool_call>\n{{"name": "{name}", "arguments": {tojson(arguments_of(call, index))}}}\n</tool_call>'


JSON_TOOLS_BEFORE = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
JSON_TOOLS_AFTER = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
    "</tool_call>"
)


def json_tools(tools: Sequence[Tool]) -> list[Span]:
    """The tools block of the templates with JSON calls: one declaration a line, between fixed instructions."""
    return [
        Span(Kind.SCAFFOLD, -1, JSON_TOOLS_BEFORE),
        Span(Kind.TOOLS, -1, tool_lines(tools)),
        Span(Kind.SCAFFOLD, -1, JSON_TOOLS_AFTER),
    ]


def json_system(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Span]:
    """The system turn of Qwen3's templates with JSON calls: none where there is neither a system message nor a tool."""
    given = bool(messages) and messages[0].get("role") == "system"
    if not given and not tools:
        return []
    spans = [Span(Kind.SCAFFOLD, -1, f"{START}system\n")]
    if given:
        spans.append(Span(Kind.SYSTEM, 0, text_of(messages[0], 0)))
    if tools:
        spans += [Span(Kind.SCAFFOLD, -1, "\n\n")] if given else []
        spans += json_tools(tools)
    return [*spans, Span(Kind.SCAFFOLD, -1, f"{STOP}\n")]


def json_calls(message: Message, index: int, content: str) -> list[Span]:
    """A turn's JSON calls, one behind the other.

    Args:
        content: the turn's words, as far as the template sees any; a newline parts the first call from them.
    """
    calls = "\n".join(json_call(call, index) for call in message.get("tool_calls", []))
    return [Span(Kind.CALL, index, f"\n{calls}" if content else calls)] if calls else []


def json_turn(message: Message, index: int) -> list[Span]:
    """An assistant's turn of a model that does not reason: words, then JSON calls."""
    content = text_of(message, index)
    words = [Span(Kind.CONTENT, index, content)] if content else []
    return [Span(Kind.HEADER, index, HEADER), *words, *json_calls(message, index, content), *end(index)]


def conversation(
    messages: Sequence[Message],
    assistant: Callable[[Message, int], list[Span]],
    *,
    tool: Callable[[Sequence[Message], int], list[Span]] = result,
    late_system: bool = True,
) -> list[Span]:
    """The turns of a conversation, but for a system message that comes first: the preamble holds that.

    Args:
        assistant: prints the assistant's turn at an index.
        tool: prints the tool message at an index, with the edges of the turn that it shares with its neighbours.
        late_system: whether system messages further down have a turn of their own; else they are left out.

    Raises:
        TemplateError: a message is no text, or has a role that the template does not print.
    """
    spans: list[Span] = []
    for index, message in enumerate(messages):
        match message.get("role"):
            case "system" if index == 0 or not late_system:
                pass
            case "system":
                spans += turn(Kind.SYSTEM, index, "system", text_of(message, index))
            case "user":
                spans += turn(Kind.USER, index, "user", text_of(message, index))
            case "assistant":
                spans += assistant(message, index)
            case "tool":
                spans += tool(messages, index)
            case role:
                raise TemplateError(f"messages[{index}] has the role {role!r}, which this template does not print")
    return spans
