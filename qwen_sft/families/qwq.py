"""QwQ: JSON calls; the model's reasoning stands in its content, and only that of a last turn is printed."""

from collections.abc import Sequence

from qwen_sft.asking.request import NO_OPTIONS, Options, OptionsOf
from qwen_sft.family import Family, Plan, Run, prompts_with
from qwen_sft.sample import Message, Tool
from qwen_sft.templating.chatml import HEADER, START, STOP, conversation, end, json_calls, json_tools, text_of
from qwen_sft.templating.history import OPEN_REASONING
from qwen_sft.templating.reasoning import inlined
from qwen_sft.tokens import Kind, Span


def serialize(messages: Sequence[Message], tools: Sequence[Tool], _options: Options = NO_OPTIONS, /) -> list[Span]:
    """The official template's text, as spans: a last turn's content up to a `</think>` is its reasoning."""

    def assistant(message: Message, index: int) -> list[Span]:
        return _assistant(message, index, last=index + 1 == len(messages))

    return _system(messages, tools) + conversation(messages, assistant)


def _system(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Span]:
    given = bool(messages) and messages[0].get("role") == "system"
    if not given and not tools:
        return []
    spans = [Span(Kind.SCAFFOLD, -1, f"{START}system\n")]
    if given:
        spans.append(Span(Kind.SYSTEM, 0, text_of(messages[0], 0)))
    if tools:
        spans += [Span(Kind.SCAFFOLD, -1, "\n\n"), *json_tools(tools)]
    return [*spans, Span(Kind.SCAFFOLD, -1, f"{STOP}\n")]


def _assistant(message: Message, index: int, *, last: bool) -> list[Span]:
    content = text_of(message, index)
    words = _words(content)
    spans = [Span(Kind.HEADER, index, HEADER)]
    if last and len(words) < len(content):
        spans.append(Span(Kind.REASONING, index, content[: len(content) - len(words)]))
    if words:
        spans.append(Span(Kind.CONTENT, index, words))
    return [*spans, *json_calls(message, index, content), *end(index)]


def _words(content: str) -> str:
    """What a template prints of a turn's content once other messages follow it."""
    return content.split("</think>")[-1].lstrip("\n")


def plan(messages: Sequence[Message], _tools: Sequence[Tool], options_of: OptionsOf, /) -> Plan:
    """A row for each turn: as history, none begins as its prompt does."""
    runs: list[Run] = []
    untrained: dict[int, str] = {}
    for index, message in enumerate(messages):
        if not index or message.get("role") != "assistant":
            continue
        before = messages[index - 1]
        words = text_of(before, index - 1) if before.get("role") == "assistant" else ""
        if words.startswith("\n") and "</think>" not in words:
            untrained[index] = "it follows a turn of the assistant, which its prompt shows otherwise than history does"
        elif not text_of(inlined([message])[0], index).startswith(OPEN_REASONING):
            untrained[index] = (
                f"its prompt ends with {OPEN_REASONING!r}, and its content ends a think block without that"
            )
        else:
            runs.append(Run((index,), options_of(index)))
    return Plan(tuple(runs), untrained)


FAMILY = Family(
    name="qwq",
    title="QwQ: JSON calls, every turn reasons, its reasoning kept only in the last turn",
    models=("Qwen/QwQ-32B",),
    template_sha256=("16488ad69d85833e5f66c50174f39834b688343337e9337f018deaa21b354117",),
    vocabulary="qwen3",
    parser="hermes",
    serialize=serialize,
    generation_prompt=prompts_with(HEADER + OPEN_REASONING),
    plan=plan,
    reasoning_parser="deepseek_r1",
    inline_reasoning=True,
    context=32_768,
)
