"""What of a sample is lost on the way into a row, or back out of it through the server's parser."""

from collections.abc import Iterator, Sequence
from typing import Any

from qwen_sft.asking.request import OptionsOf
from qwen_sft.encoding.model import Model
from qwen_sft.encoding.render import Rendering
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.parser import Difference, ToolParser
from qwen_sft.sample import Message, Path, is_object
from qwen_sft.serving.parse import differences, parse_turn
from qwen_sft.serving.tools import kind
from qwen_sft.templating.reasoning import inline_reasoning
from qwen_sft.tokenizing.control import unmarked
from qwen_sft.tokens import GENERATED, Kind


def unshown(
    transcript: Transcript, renderings: Sequence[Rendering], prepared: Sequence[Message]
) -> Iterator[tuple[Path, str]]:
    """Words of the sample that stand in no row: of a turn that is trained, in the row that trains it.

    Args:
        prepared: the messages that were rendered: as in the transcript, or without their reasoning.
    """
    trained = {turn for rendering in renderings for turn in rendering.turns}
    shown: dict[int, list[str]] = {}
    for rendering in renderings:
        before = set(shown)
        for span in rendering.spans:
            index = span.message
            if index >= 0 and index not in before and (index not in trained or index in rendering.turns):
                shown.setdefault(index, []).append(span.text)
    end = max((rendering.n_messages for rendering in renderings), default=0)
    for index, (message, left) in enumerate(zip(transcript.messages[:end], prepared[:end], strict=True)):
        text = unmarked("".join(shown.get(index, ())))
        words: Any = left.get("content", "")
        inline = inline_reasoning(left) if index not in trained and left.get("role") == "assistant" else None
        if not _stands_in(inline[1] if inline else words, text):  # of a past turn, templates take the think block out
            yield ("messages", index, "content"), "content"
        if index not in trained:
            continue
        if message.get("content", "") != words:
            yield ("messages", index, "content"), "reasoning"
        reasoning = message.get("reasoning_content", "")
        stripped = left is not message and bool(_squeezed(reasoning))
        if stripped or not _stands_in(reasoning, text):
            yield ("messages", index, "reasoning_content"), "reasoning"


def _stands_in(words: Any, text: str) -> bool:
    """True if a text holds some words, white space and think tags aside."""
    if not isinstance(words, str):
        return False
    if words in text:
        return True
    return _squeezed(words) in _squeezed(text)


def _squeezed(text: str) -> str:
    return "".join(text.replace("<think>", "").replace("</think>", "").split())


def unreasoned(rendering: Rendering) -> Iterator[int]:
    """Trained turns in which the model says no reasoning."""
    thoughts = dict.fromkeys(rendering.turns, "")
    for span in rendering.spans:
        if span.kind is Kind.REASONING and span.message in thoughts:
            thoughts[span.message] += span.text
    yield from (turn for turn, text in thoughts.items() if not _squeezed(text))


def said(rendering: Rendering) -> dict[int, str]:
    """What the model says in each trained turn, without the stop token."""
    words: dict[int, list[str]] = {turn: [] for turn in rendering.turns}
    for span in rendering.spans:
        if span.message in words and span.kind in GENERATED and span.kind is not Kind.STOP:
            words[span.message].append(span.text)
    return {turn: unmarked("".join(texts)) for turn, texts in words.items()}


def unparsed(
    transcript: Transcript,
    renderings: Sequence[Rendering],
    model: Model,
    options_of: OptionsOf,
    parser: ToolParser | None,
) -> Iterator[tuple[int, Difference]]:
    """What the server's parsers would not give back as the sample has it, of every trained turn.

    Args:
        parser: who reads calls; None where it is not known who would: then only reasoning and words are compared.
    """
    if parser is None and model.family.reasoning_parser is None:
        return
    messages = model.prepared(transcript.messages)
    tools = [*(dict(tool) for tool in transcript.tools), *_undeclared(transcript)]
    for rendering in renderings:
        if not any(_may_be_misread(messages[turn]) for turn in rendering.turns):
            continue
        for turn, text in said(rendering).items():
            message = messages[turn]
            if not _may_be_misread(message):
                continue
            reasoning, content = _declared(message, model)
            calls = message.get("tool_calls", [])
            if parser is None and calls:
                calls, content = [], None
            parsed = parse_turn(
                text,
                tools,
                parser=parser,
                thinking=model.thinking(options_of(turn), text),
                reasoning_parser=model.family.reasoning_parser,
            )
            found = differences(
                [(call["function"]["name"], call["function"]["arguments"]) for call in calls],
                parsed,
                content=content,
                reasoning=reasoning,
                tools=tools,
                parser=parser,
            )
            yield from ((turn, difference) for difference in found)


def _may_be_misread(message: Message) -> bool:
    """False for words without markup: what the template writes around them is read as it is meant."""
    if message.get("tool_calls"):
        return True
    return any("<" in text for text in (message.get("content"), message.get("reasoning_content")) if text)


def _declared(message: Message, model: Model) -> tuple[str | None, Any]:
    """A turn's reasoning, None where no server parts it from the words, and its words."""
    content = message.get("content")
    if model.family.reasoning_parser is None:
        return None, content
    return inline_reasoning(message) or (message.get("reasoning_content", ""), content)


def _undeclared(transcript: Transcript) -> Iterator[dict[str, Any]]:
    """Declarations for tools that are called and not declared, typed after their calls.

    What types the server will know them by cannot be told (TOL020 says so); names and the values' text can be checked.
    """
    types: dict[str, dict[str, set[str]]] = {}
    for exchange in transcript.exchanges:
        for call in exchange.calls:
            name, given = call["function"]["name"], call["function"]["arguments"]
            if name not in transcript.declared and is_object(given):
                for key, value in given.items():
                    types.setdefault(name, {}).setdefault(key, set()).add(kind(value))
    for name, arguments in types.items():
        properties = {key: {"type": sorted(kinds)} for key, kinds in arguments.items()}
        yield {"type": "function", "function": {"name": name, "parameters": {"properties": properties}}}
