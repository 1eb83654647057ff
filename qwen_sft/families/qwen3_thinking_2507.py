"""Qwen3-Thinking-2507: Qwen3's template, but for its prompt, which opens the think block that the model then fills."""

from collections.abc import Sequence

from qwen_sft import reasoning
from qwen_sft.chatml import HEADER, text_of
from qwen_sft.errors import TemplateError
from qwen_sft.family import Family, Run
from qwen_sft.sample import Message, Tool
from qwen_sft.tokens import Kind, Span

PREFILL = "<think>\n"


def serialize(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Span]:
    """The official template's text, as spans; a turn's first `<think>` is the prompt's, and not the model's."""
    spans: list[Span] = []
    for span in reasoning.serialize(messages, tools):
        opens = bool(spans) and spans[-1].kind is Kind.HEADER and span.text.startswith(PREFILL)
        if opens:
            spans.append(Span(Kind.PREFILL, span.message, PREFILL))
            span = Span(span.kind, span.message, span.text.removeprefix(PREFILL))
        if span.text or not opens:
            spans.append(span)
    return spans


def runs(messages: Sequence[Message]) -> list[Run]:
    """The fewest renderings in which every turn stands whole behind its own prompt, think block and all.

    The block is printed only behind the last query, so every rendering ends before the next one; and in a turn without
    reasoning only where it is the last, so such a turn ends its rendering. A turn right behind it needs a rendering of
    its own: in its prompt that neighbour is the last turn, and gets an empty block.

    Raises:
        TemplateError: the assistant speaks where the user has not asked yet: there the prompt opens a block that the
            template never prints, and nobody can tell what the model would put into it.
    """
    made: list[Run] = []
    group: list[int] = []
    first_query: int | None = None
    for index, message in enumerate(messages):
        text_of(message, index)  # a list is the greater fault: say that first
        if reasoning.is_query(message):
            if first_query is None:
                first_query = index
            elif group and group[-1] > first_query:
                made.append(Run(tuple(group)))
                group = []
        if message.get("role") != "assistant" or not index:  # a first message has no prompt
            continue
        thought, content = reasoning.split_reasoning(message, index)
        if first_query is None:
            if not content.startswith(PREFILL):
                raise TemplateError(
                    f"messages[{index}] answers no query of the user: this template's prompt opens a think block there "
                    "that its history never shows"
                )
            group.append(index)
            continue
        alone = reasoning.follows_bare_turn(messages, index)
        if alone and group:
            made.append(Run(tuple(group)))
            group = []
        group.append(index)
        if alone or not thought:
            made.append(Run(tuple(group)))
            group = []
    return [*made, Run(tuple(group))] if group else made


FAMILY = Family(
    name="qwen3_thinking_2507",
    title="Qwen3-Thinking-2507: JSON calls, every turn reasons, its reasoning kept only after the last query",
    models=("Qwen/Qwen3-4B-Thinking-2507", "Qwen/Qwen3-30B-A3B-Thinking-2507"),
    template_sha256=("3802169b2a02b81e6adb7ab4f64f91ff02db753c8c3a64a01c35192d3a61d8d7",),
    vocabulary="qwen3",
    parser="hermes",
    serialize=serialize,
    generation_prompt=HEADER + PREFILL,
    runs=runs,
)
