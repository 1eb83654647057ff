"""Reasoning in the templates with JSON calls: the hybrid Qwen3 models print it only behind the user's last query.

A query is a user's message, unless it is a `<tool_response>` block and nothing else. QwQ prints none at all: there it
stands in a turn's content.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qwen_sft.asking.request import NO_OPTIONS, Options, OptionsOf
from qwen_sft.family import Plan
from qwen_sft.sample import Message, Tool
from qwen_sft.templating.chatml import HEADER, conversation, end, json_calls, json_system, text_of
from qwen_sft.templating.history import EMPTY_REASONING, Forms, plan_by_forms
from qwen_sft.tokens import Kind, Span


def answers_directly(options: Options) -> str:
    """The prompt leaves it to the model whether it thinks, unless the request turns thinking off."""
    return EMPTY_REASONING if options.get("enable_thinking") is False else ""


@dataclass(frozen=True, slots=True)
class ReasoningTemplate:
    """The template of the hybrid Qwen3 models, in which revisions differ in the prompt.

    Attributes:
        prefill: what the generation prompt holds behind the turn's header.
    """

    prefill: Callable[[Options], str] = answers_directly

    def serialize(
        self, messages: Sequence[Message], tools: Sequence[Tool], _options: Options = NO_OPTIONS, /
    ) -> list[Span]:
        """The template's text, as spans: a think block in turns behind the last query that reason or are the last."""
        query = next((i for i in range(len(messages) - 1, -1, -1) if _is_query(messages[i], i)), None)

        def assistant(message: Message, index: int) -> list[Span]:
            reasoning, content = _split(message, index)
            last = index + 1 == len(messages)
            spans = [Span(Kind.HEADER, index, HEADER)]
            shown = content
            if query is not None and index > query and (last or reasoning):
                spans.append(Span(Kind.REASONING, index, think_block(reasoning)))
                shown = content.lstrip("\n")
            if shown:
                spans.append(Span(Kind.CONTENT, index, shown))
            return [*spans, *json_calls(message, index, content), *end(index)]

        return json_system(messages, tools) + conversation(messages, assistant)

    def generation_prompt(self, _messages: Sequence[Message], _tools: Sequence[Tool], options: Options, /) -> str:
        """The header, and what opens or closes a think block behind it."""
        return HEADER + self.prefill(options)

    def plan(self, messages: Sequence[Message], _tools: Sequence[Tool], options_of: OptionsOf, /) -> Plan:
        """Which turns share one rendering: see Planner."""
        return plan_by_forms(
            messages,
            options_of,
            asks=_is_query,
            forms=_forms,
            prefill=self.prefill,
            empty_reasoning=EMPTY_REASONING,
        )


def _forms(message: Message, index: int, asked: bool) -> Forms:
    reasoning, content = _split(message, index)
    gap = "\n" if content and message.get("tool_calls") else ""
    plain = content + gap
    if not asked:
        return Forms(last=plain, recent=plain, old=plain)
    shown = think_block(reasoning) + content.lstrip("\n") + gap
    return Forms(last=shown, recent=shown if reasoning else plain, old=plain)


def _split(message: Message, index: int) -> tuple[str, str]:
    """A turn's reasoning and content as the template sees them: it also takes think tags out of the content."""
    content = text_of(message, index)
    reasoning = message.get("reasoning_content")
    if isinstance(reasoning, str):
        return reasoning, content
    if "</think>" not in content:
        return "", content
    before = content.split("</think>")[0].rstrip("\n")
    return before.split("<think>")[-1].lstrip("\n"), content.split("</think>")[-1].lstrip("\n")


def _is_query(message: Message, _index: int) -> bool:
    """True where the user asks: a result in the user's turn is no query."""
    content = message.get("content")
    return (
        message.get("role") == "user"
        and isinstance(content, str)
        and not (content.startswith("<tool_response>") and content.endswith("</tool_response>"))
    )


def inline_reasoning(message: Message) -> tuple[str, str] | None:
    """A turn's reasoning and its words, where the content begins with a think block; None where it does not.

    Nothing but white space may stand before the block. Its first tag may be missing: the prompt has opened the block,
    and a server without a reasoning parser returns what follows. Tags in the content of a turn that has
    `reasoning_content` are words.
    """
    content = message.get("content")
    if isinstance(message.get("reasoning_content"), str) or not isinstance(content, str) or "</think>" not in content:
        return None
    block, _, words = content.partition("</think>")
    before, opened, thought = block.partition("<think>")
    if opened and before.strip():
        return None
    return (thought if opened else before).strip("\n"), words.lstrip("\n")


def think_block(reasoning: str) -> str:
    """Reasoning as the model writes it in front of its answer; an empty block for none."""
    return "<think>\n{}\n</think>\n\n".format(reasoning.strip("\n"))


def inlined(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages with the reasoning of a last assistant turn in its content, as the model wrote it.

    A turn without reasoning gets an empty block; one whose content already ends a think block stays as it is. For
    templates that print no `reasoning_content`.
    """
    if not messages or messages[-1].get("role") != "assistant":
        return messages
    last = messages[-1].copy()
    content = last.get("content")
    reasoning = last.pop("reasoning_content", "")
    if not isinstance(content, str) or "</think>" in content:
        return messages
    last["content"] = think_block(reasoning) + content.lstrip("\n")
    return [*messages[:-1], last]
