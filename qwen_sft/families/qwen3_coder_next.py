"""Qwen3-Coder-Next: calls and tool declarations in XML, no reasoning."""

from collections.abc import Container, Sequence
from typing import Any

from qwen_sft.chatml import HEADER, START, STOP, end, result, text_of, tojson, turn, unknown_role, xml_call
from qwen_sft.family import Family
from qwen_sft.sample import Message, Tool, is_object
from qwen_sft.tokens import Kind, Span

DEFAULT_SYSTEM = "You are Qwen, a helpful AI assistant that can interact with a computer to solve tasks."
TOOLS_BEFORE = "\n\n# Tools\n\nYou have access to the following functions:\n\n<tools>"
TOOLS_AFTER = (
    "\n</tools>\n\nIf you choose to call a function ONLY reply in the following format with NO suffix:\n\n"
    "<tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n</parameter>\n"
    "<parameter=example_parameter_2>\nThis is the value for the second parameter\nthat can span\nmultiple lines\n"
    "</parameter>\n</function>\n</tool_call>\n\n<IMPORTANT>\nReminder:\n"
    "- Function calls MUST follow the specified format: an inner <function=...></function> block must be nested within "
    "<tool_call></tool_call> XML tags\n"
    "- Required parameters MUST be specified\n"
    "- You may provide optional reasoning for your function call in natural language BEFORE the function call, "
    "but NOT after\n"
    "- If there is no function call available, answer the question like normal with your current knowledge and do not "
    "tell the user about function calls\n</IMPORTANT>"
)


def serialize(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Span]:
    """The official template's text, as spans."""
    spans = _system(messages, tools)
    first = 1 if messages and messages[0].get("role") == "system" else 0
    for index, message in enumerate(messages):
        match message.get("role"):
            case "system" if index == 0:
                pass
            case "system":
                spans += turn(Kind.SYSTEM, index, "system", text_of(message, index))
            case "user":
                spans += turn(Kind.USER, index, "user", text_of(message, index))
            case "assistant":
                spans += _assistant(message, index)
            case "tool":
                spans += result(messages, index, opens=index > first and messages[index - 1].get("role") != "tool")
            case _:
                raise unknown_role(message, index)
    return spans


def _system(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Span]:
    given = bool(messages) and messages[0].get("role") == "system"
    if not given and not tools:
        return []
    spans = [
        Span(Kind.SCAFFOLD, -1, f"{START}system\n"),
        Span(Kind.SYSTEM, 0, text_of(messages[0], 0)) if given else Span(Kind.SYSTEM, -1, DEFAULT_SYSTEM),
    ]
    if tools:
        spans += [
            Span(Kind.SCAFFOLD, -1, TOOLS_BEFORE),
            Span(Kind.TOOLS, -1, "".join(_tool(tool) for tool in tools)),
            Span(Kind.SCAFFOLD, -1, TOOLS_AFTER),
        ]
    return [*spans, Span(Kind.SCAFFOLD, -1, f"{STOP}\n")]


def _tool(tool: Tool) -> str:
    function: dict[str, Any] = dict(tool.get("function", tool))
    text = f"\n<function>\n<name>{function.get('name', '')}</name>"
    if "description" in function:
        text += f"\n<description>{str(function['description']).strip()}</description>"
    text += "\n<parameters>"
    parameters = function.get("parameters")
    properties = parameters.get("properties") if is_object(parameters) else None
    for name, fields in properties.items() if is_object(properties) else ():
        text += f"\n<parameter>\n<name>{name}</name>"
        if is_object(fields) and "type" in fields:
            text += f"\n<type>{fields['type']}</type>"
        if is_object(fields) and "description" in fields:
            text += f"\n<description>{str(fields['description']).strip()}</description>"
        text += _extra(fields, ("name", "type", "description")) + "\n</parameter>"
    text += _extra(parameters, ("type", "properties")) + "\n</parameters>"
    return text + _extra(function, ("type", "name", "description", "parameters")) + "\n</function>"


def _extra(fields: Any, handled: Container[str]) -> str:
    """The keys that have no tag of their own: strings as they are, the rest as JSON."""
    if not is_object(fields):
        return ""
    return "".join(
        f"\n<{key}>{value if isinstance(value, str) else tojson(value)}</{key}>"
        for key, value in fields.items()
        if key not in handled
    )


def _assistant(message: Message, index: int) -> list[Span]:
    content = text_of(message, index)
    calls = "\n".join(xml_call(call, index) for call in message.get("tool_calls", []))
    spans = [Span(Kind.HEADER, index, HEADER)]
    if calls:
        content = content.strip()
    if content:
        spans.append(Span(Kind.CONTENT, index, content))
    if calls:
        spans.append(Span(Kind.CALL, index, f"\n\n{calls}" if content else calls))
    return [*spans, *end(index)]


FAMILY = Family(
    name="qwen3_coder_next",
    title="Qwen3-Coder-Next: XML calls, no reasoning",
    models=("Qwen/Qwen3-Coder-Next", "Qwen/Qwen3-Coder-Next-FP8"),
    template_sha256=("c79a833039a43602150cce0902403d6e376c50930c1b2a139b2964e1f0c322a0",),
    vocabulary="qwen3",
    parser="qwen3_coder",
    serialize=serialize,
)
