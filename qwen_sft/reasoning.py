"""Reasoning that a template prints only behind the last query of the user: the hybrid Qwen3 models share it.

A query is a user's message, unless it is a `<tool_response>` block and nothing else.
"""

from collections.abc import Sequence

from qwen_sft.chatml import HEADER, conversation, end, json_calls, json_system, text_of
from qwen_sft.family import Run
from qwen_sft.sample import Message, Tool
from qwen_sft.tokens import Kind, Span

EMPTY_REASONING = "<think>\n\n</think>\n\n"


def serialize(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Span]:
    """The template's text, as spans: a think block in turns behind the last query that reason or are the last."""
    query = _last_query(messages)

    def assistant(message: Message, index: int) -> list[Span]:
        after_query = query is not None and index > query
        return _assistant(message, index, after_query=after_query, last=index + 1 == len(messages))

    return json_system(messages, tools) + conversation(messages, assistant)


def _assistant(message: Message, index: int, *, after_query: bool, last: bool) -> list[Span]:
    reasoning, content = split_reasoning(message, index)
    spans = [Span(Kind.HEADER, index, HEADER)]
    shown = content
    if after_query and (last or reasoning):
        thought = reasoning.strip("\n")
        spans.append(Span(Kind.REASONING, index, f"<think>\n{thought}\n</think>\n\n"))
        shown = content.lstrip("\n")
    if shown:
        spans.append(Span(Kind.CONTENT, index, shown))
    return [*spans, *json_calls(message, index, content), *end(index)]


def split_reasoning(message: Message, index: int) -> tuple[str, str]:
    """A turn's reasoning and content as the template sees them: it also takes think tags out of the content."""
    content = text_of(message, index)
    reasoning = message.get("reasoning_content")
    if isinstance(reasoning, str):
        return reasoning, content
    if "</think>" not in content:
        return "", content
    before = content.split("</think>")[0].rstrip("\n")
    return before.split("<think>")[-1].lstrip("\n"), content.split("</think>")[-1].lstrip("\n")


def is_query(message: Message) -> bool:
    """True where the user asks: a result in the user's turn is no query."""
    content = message.get("content")
    return (
        message.get("role") == "user"
        and isinstance(content, str)
        and not (content.startswith("<tool_response>") and content.endswith("</tool_response>"))
    )


def _last_query(messages: Sequence[Message]) -> int | None:
    """Index of the last message in which the user asks; None where none does, and then no reasoning is printed."""
    return next((i for i in range(len(messages) - 1, -1, -1) if is_query(messages[i])), None)


def runs(messages: Sequence[Message]) -> list[Run]:
    """The fewest renderings in which every turn stands whole behind its own prompt.

    A turn that reasons, and every turn that saw reasoning since the last query, stands so only in a rendering that ends
    before the next query. A turn right behind another assistant turn without reasoning needs a rendering of its own:
    in its prompt that neighbour is the last turn, and gets an empty think block.
    """
    made: list[Run] = []
    group: list[int] = []
    query: int | None = None
    sees_reasoning = False
    bound = False  # the group holds a turn that needs the rendering to end before the next query
    for index, message in enumerate(messages):
        if is_query(message):
            if bound:
                made.append(Run(tuple(group)))
                group, bound = [], False
            query, sees_reasoning = index, False
        if message.get("role") != "assistant":
            continue
        sees_reasoning |= bool(split_reasoning(message, index)[0])
        if query is not None and follows_bare_turn(messages, index):
            made += [Run(tuple(group))] if group else []
            made.append(Run((index,)))
            group, bound = [], False
            continue
        bound |= sees_reasoning and query is not None
        group.append(index)
    return [*made, Run(tuple(group))] if group else made


def follows_bare_turn(messages: Sequence[Message], index: int) -> bool:
    """True right behind an assistant turn without reasoning."""
    if not index or messages[index - 1].get("role") != "assistant":
        return False
    return not split_reasoning(messages[index - 1], index - 1)[0]
