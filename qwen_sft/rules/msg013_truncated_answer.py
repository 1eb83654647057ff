"""MSG013 truncated-answer."""

from collections.abc import Iterator
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.reading.metadata import remedy
from qwen_sft.rule import rule


@rule(code="MSG013", name="truncated-answer", severity="error", since="0.1.0", stage="sample", traits=("cut-off",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """An answer was cut off before the model ended it.

    What it catches: an answer whose finish reason is a limit of tokens, a filter, an error or a break, or a recorded
        stream that breaks off; in the middle of a conversation too, where the trace says so of each answer. A turn
        that is not trained (`"train": false`) may be cut off.

    Why it matters: the template writes a stop token behind every turn, and it would be trained: the model learns to
        stop in the middle of a sentence, or of a call's arguments.

    Fix: generate the answer again, take the record out, or keep the turn as history with `"train": false`.

    Bad:
        {"finish_reason": "length", "messages": [
          {"role": "user", "content": "Tell me a story."},
          {"role": "assistant", "content": "Once upon a time there was a"}]}

    Bad:
        {"messages": [
          {"role": "user", "content": "Tell me a story."},
          {"role": "assistant", "content": "Once upon a time there was a", "finish_reason": "content_filter"},
          {"role": "user", "content": "Go on."},
          {"role": "assistant", "content": "fox. The end.", "finish_reason": "stop"}]}

    Good:
        {"finish_reason": "stop", "messages": [
          {"role": "user", "content": "Tell me a story."},
          {"role": "assistant", "content": "Once upon a time there was a fox. The end."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Tell me a story."},
          {"role": "assistant", "content": "Once upon a", "finish_reason": "length", "train": false},
          {"role": "user", "content": "Go on."},
          {"role": "assistant", "content": "time there was a fox. The end."}]}

    Source: the finish reasons of the chat APIs, `qwen_sft.reading.metadata.TRUNCATED`.
    """
    messages = transcript.messages
    answers = [i for i, message in enumerate(messages) if message.get("role") == "assistant"]
    told: dict[int, Any] = {i: messages[i].get("finish_reason") for i in answers}
    if answers and not remedy(told[answers[-1]]):  # the label is the last answer's, whatever results stand behind it
        told[answers[-1]] = transcript.sample.get("metadata", {}).get("finish_reason")
    for i, reason in told.items():
        fix = remedy(reason)
        if fix and messages[i].get("train") is not False and messages[i].get("weight") != 0:
            yield Finding(("messages", i), f"the answer was cut off (finish reason {reason!r})", fix)
