"""Qwen2.5 and Qwen2.5-Coder, Instruct: JSON calls, no reasoning, a system prompt of its own where there is none."""

from collections.abc import Sequence

from qwen_sft.chatml import HEADER, START, STOP, end, json_call, json_tools, result, text_of, turn, unknown_role
from qwen_sft.family import Family
from qwen_sft.sample import Message, Tool
from qwen_sft.tokens import Kind, Span

DEFAULT_SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."


def serialize(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Span]:
    """The official template's text, as spans."""
    spans = _system(messages, tools)
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
                spans += result(messages, index, opens=index == 0 or messages[index - 1].get("role") != "tool")
            case _:
                raise unknown_role(message, index)
    return spans


def _system(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Span]:
    given = bool(messages) and messages[0].get("role") == "system"
    spans = [
        Span(Kind.SCAFFOLD, -1, f"{START}system\n"),
        Span(Kind.SYSTEM, 0, text_of(messages[0], 0)) if given else Span(Kind.SYSTEM, -1, DEFAULT_SYSTEM),
    ]
    if tools:
        spans += [Span(Kind.SCAFFOLD, -1, "\n\n"), *json_tools(tools)]
    return [*spans, Span(Kind.SCAFFOLD, -1, f"{STOP}\n")]


def _assistant(message: Message, index: int) -> list[Span]:
    content = text_of(message, index)
    spans = [Span(Kind.HEADER, index, HEADER)]
    if content:
        spans.append(Span(Kind.CONTENT, index, content))
    calls = "\n".join(json_call(call, index) for call in message.get("tool_calls", []))
    if calls:
        spans.append(Span(Kind.CALL, index, f"\n{calls}" if content else calls))
    return [*spans, *end(index)]


FAMILY = Family(
    name="qwen2_5",
    title="Qwen2.5-Instruct, Qwen2.5-Coder-Instruct: JSON calls, no reasoning",
    models=("Qwen/Qwen2.5-*-Instruct", "Qwen/Qwen2.5-Coder-*-Instruct"),
    template_sha256=("cd8e9439f0570856fd70470bf8889ebd8b5d1107207f67a5efb46e342330527f",),
    vocabulary="qwen2_5",
    parser="hermes",
    serialize=serialize,
)
