"""Qwen2.5 and Qwen2.5-Coder, Instruct: JSON calls, no reasoning, a system prompt of its own where there is none."""

from collections.abc import Sequence

from qwen_sft.asking.request import NO_OPTIONS, Options
from qwen_sft.family import Family
from qwen_sft.sample import Message, Tool
from qwen_sft.templating.chatml import START, STOP, conversation, json_tools, json_turn, text_of
from qwen_sft.tokens import Kind, Span

DEFAULT_SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."


def serialize(messages: Sequence[Message], tools: Sequence[Tool], _options: Options = NO_OPTIONS, /) -> list[Span]:
    """The official template's text, as spans."""
    return _system(messages, tools) + conversation(messages, json_turn)


def _system(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Span]:
    given = bool(messages) and messages[0].get("role") == "system"
    spans = [
        Span(Kind.SCAFFOLD, -1, f"{START}system\n"),
        Span(Kind.SYSTEM, 0, text_of(messages[0], 0)) if given else Span(Kind.SYSTEM, -1, DEFAULT_SYSTEM),
    ]
    if tools:
        spans += [Span(Kind.SCAFFOLD, -1, "\n\n"), *json_tools(tools)]
    return [*spans, Span(Kind.SCAFFOLD, -1, f"{STOP}\n")]


FAMILY = Family(
    name="qwen2_5",
    title="Qwen2.5-Instruct, Qwen2.5-Coder-Instruct: JSON calls, no reasoning",
    models=("Qwen/Qwen2.5-*-Instruct", "Qwen/Qwen2.5-Coder-*-Instruct"),
    template_sha256=("cd8e9439f0570856fd70470bf8889ebd8b5d1107207f67a5efb46e342330527f",),
    vocabulary="qwen2_5",
    parser="hermes",
    serialize=serialize,
    context=32_768,
)
