"""TOL030 foretold-result."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Exchange, Transcript
from qwen_sft.rule import rule
from qwen_sft.sample import is_list, is_object
from qwen_sft.text.quote import quoted

_SHORTEST = 20
"""Characters of a result that nobody writes by chance."""


@rule(
    code="TOL030",
    name="foretold-result",
    severity="warning",
    since="0.1.0",
    stage="sample",
    heuristic=True,
    traits=("calls",),
)
def check(transcript: Transcript) -> Iterator[Finding]:
    """A turn holds the result of its own call, word for word.

    What it catches: heuristic: an assistant turn with calls whose content or reasoning holds the whole text of a result
        of these calls, if that has 20 characters or more. Not where the model could have known it: the words stand in
        the call's arguments or in a message before.

    Why it matters: the model did not have the result when it wrote this. A harness put it there, or the turn was
        written afterwards. Trained on it, the model makes up what its tools will say instead of waiting for it.

    Fix: take the result out of the turn, and what rests on it; let the turn behind the result say it.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "I looked: 4 degrees, rain from the west. Let me check.", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain from the west"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "Let me check.", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain from the west"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Source: none of 1,629 results in public traces stands in the turn that asks for it.
    """
    for exchange in transcript.exchanges:
        for field in ("reasoning_content", "content"):
            said = transcript.messages[exchange.turn].get(field)
            if isinstance(said, str) and len(said) >= _SHORTEST:
                yield from _foretold(transcript, exchange, field, said)


def _foretold(transcript: Transcript, exchange: Exchange, field: str, said: str) -> Iterator[Finding]:
    for result in exchange.answers:
        told = None if result is None else transcript.messages[result].get("content")
        if not isinstance(told, str) or len(told) < _SHORTEST or len(words := told.strip()) < _SHORTEST:
            continue
        if words in said and not _known(transcript, exchange, words):
            says = f"this turn holds a result of its own calls: {quoted(words)}"
            fix = "take it out of this turn; the turn behind the result can say it"
            yield Finding(("messages", exchange.turn, field), says, fix)


def _known(transcript: Transcript, exchange: Exchange, words: str) -> bool:
    """True if the words stand in a message before, or in an argument of the calls."""
    before = (message.get("content") for message in transcript.messages[: exchange.turn])
    if any(isinstance(text, str) and words in text for text in before):
        return True
    given = [call.get("function", {}).get("arguments") for call in exchange.calls]
    return any(words in text for text in _texts(given))


def _texts(value: object) -> Iterator[str]:
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            yield item
        elif is_object(item):
            rest += item.values()
        elif is_list(item):
            rest += item
