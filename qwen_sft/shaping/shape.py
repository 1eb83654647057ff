"""From the sample as it was read to the sample as it is rendered: the few changes that settings or templates ask for.

They come after the rules, so that a rule has said of each of them what was found.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from qwen_sft.format import Conversation, Event
from qwen_sft.inspecting.schema import Change, declared
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.sample import Sample, Tool
from qwen_sft.settings import Settings


def shaped(conversation: Conversation, transcript: Transcript, settings: Settings) -> tuple[Conversation, list[Event]]:
    """The conversation in the order and spelling that templates need, and the events that were dropped on the way.

    Parallel results come into the order of their calls (Qwen templates match them by position), a trailing call is
    dropped where settings say so (TOL002), tool schemas are spelled as JSON Schema (TOL012). Where nothing of this is
    needed, the conversation comes back as it is.
    """
    order = _order(transcript)
    dropped: list[Event] = []
    trailing = transcript.trailing
    if trailing is not None and settings.trailing_calls == "drop-turn":
        for index in order[trailing.turn :]:
            dropped.append(Event(conversation.origins[index], "dropped", "trailing call without result", loses=True))
        order = order[: trailing.turn]
    functions = declared(transcript.tools).functions
    tools = [_tool(tool, *made) for tool, made in zip(transcript.tools, functions, strict=True)]
    unchanged = all(new is old for new, old in zip(tools, transcript.tools, strict=True))
    if unchanged and order == list(range(len(transcript.messages))):
        return conversation, []
    sample: Sample = {**conversation.sample, "messages": [transcript.messages[i] for i in order]}
    if tools:
        sample["tools"] = tools
    kept = {conversation.origins[i] for i in order}
    gone = [event for event in dropped if event.path not in kept]
    return Conversation(sample, [conversation.origins[i] for i in order]), gone


def _order(transcript: Transcript) -> list[int]:
    """The messages' indices with each exchange's results in the order of its calls."""
    order = list(range(len(transcript.messages)))
    for exchange in transcript.exchanges:
        answered = [answer for answer in exchange.answers if answer is not None]
        if not exchange.unmatched and answered != exchange.results:
            start = exchange.results[0]
            order[start : start + len(answered)] = answered
    return order


def _tool(tool: Tool, function: Mapping[str, Any], changes: Sequence[Change]) -> Tool:
    return tool if not changes else cast("Tool", {**tool, "function": function})  # it had and has the tool's shape
