"""Qwen3, the hybrid models: JSON calls; reasoning is printed only in turns after the last query of the user."""

from collections.abc import Sequence

from qwen_sft.chatml import HEADER, START, STOP, end, json_call, json_tools, result, text_of, turn, unknown_role
from qwen_sft.family import Family, Run
from qwen_sft.sample import Message, Tool
from qwen_sft.tokens import Kind, Span

EMPTY_REASONING = "<think>\n\n</think>\n\n"


def serialize(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Span]:
    """The official template's text, as spans."""
    spans = _system(messages, tools)
    query = _last_query(messages)
    for index, message in enumerate(messages):
        match message.get("role"):
            case "system" if index == 0:
                pass
            case "system":
                spans += turn(Kind.SYSTEM, index, "system", text_of(message, index))
            case "user":
                spans += turn(Kind.USER, index, "user", text_of(message, index))
            case "assistant":
                after_query = query is not None and index > query
                spans += _assistant(message, index, after_query=after_query, last=index + 1 == len(messages))
            case "tool":
                spans += result(messages, index, opens=index == 0 or messages[index - 1].get("role") != "tool")
            case _:
                raise unknown_role(message, index)
    return spans


def _system(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Span]:
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
    calls = "\n".join(json_call(call, index) for call in message.get("tool_calls", []))
    if calls:
        spans.append(Span(Kind.CALL, index, f"\n{calls}" if content else calls))
    return [*spans, *end(index)]


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


def _is_query(message: Message) -> bool:
    content = message.get("content")
    return (
        message.get("role") == "user"
        and isinstance(content, str)
        and not (content.startswith("<tool_response>") and content.endswith("</tool_response>"))
    )


def _last_query(messages: Sequence[Message]) -> int | None:
    """Index of the last message in which the user asks; None where none does, and then no reasoning is printed."""
    return next((i for i in range(len(messages) - 1, -1, -1) if _is_query(messages[i])), None)


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
        if _is_query(message):
            if bound:
                made.append(Run(tuple(group)))
                group, bound = [], False
            query, sees_reasoning = index, False
        if message.get("role") != "assistant":
            continue
        sees_reasoning |= bool(split_reasoning(message, index)[0])
        if query is not None and _follows_bare_turn(messages, index):
            made += [Run(tuple(group))] if group else []
            made.append(Run((index,)))
            group, bound = [], False
            continue
        bound |= sees_reasoning and query is not None
        group.append(index)
    return [*made, Run(tuple(group))] if group else made


def _follows_bare_turn(messages: Sequence[Message], index: int) -> bool:
    """True right behind an assistant turn without reasoning."""
    if not index or messages[index - 1].get("role") != "assistant":
        return False
    return not split_reasoning(messages[index - 1], index - 1)[0]


FAMILY = Family(
    name="qwen3",
    title="Qwen3 hybrid (0.6B to 235B-A22B, current revision): JSON calls, reasoning kept only after the last query",
    models=("Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B", "Qwen/Qwen3-4B", "Qwen/Qwen3-8B", "Qwen/Qwen3-14B", "Qwen/Qwen3-32B"),
    template_sha256=("a55ee1b1660128b7098723e0abcd92caa0788061051c62d51cbe87d9cf1974d8",),
    vocabulary="qwen3",
    parser="hermes",
    serialize=serialize,
    empty_reasoning=EMPTY_REASONING,
    runs=runs,
)
