"""MSG013 truncated-answer."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.metadata import TRUNCATED
from qwen_sft.rule import rule
from qwen_sft.transcript import Transcript


@rule(code="MSG013", name="truncated-answer", severity="error", since="0.1.0", stage="sample")
def check(transcript: Transcript) -> Iterator[Finding]:
    """The last answer was cut off before the model ended it.

    What it catches: a trace whose finish reason is a limit of tokens, or a recorded stream that breaks off.

    Why it matters: the template writes a stop token behind every turn, and it would be trained: the model learns to
        stop in the middle of a sentence, or of a call's arguments.

    Fix: generate the answer again with a higher limit, or take the record out.

    Bad:
        {"finish_reason": "length", "messages": [
          {"role": "user", "content": "Tell me a story."},
          {"role": "assistant", "content": "Once upon a time there was a"}]}

    Good:
        {"finish_reason": "stop", "messages": [
          {"role": "user", "content": "Tell me a story."},
          {"role": "assistant", "content": "Once upon a time there was a fox. The end."}]}

    Source: the finish reasons of the chat APIs, `qwen_sft.metadata.TRUNCATED`.
    """
    reason = transcript.sample.get("metadata", {}).get("finish_reason")
    messages = transcript.messages
    if reason in TRUNCATED and messages and messages[-1].get("role") == "assistant":
        yield Finding(
            ("messages", len(messages) - 1),
            f"the answer was cut off (finish reason {reason!r})",
            "generate it again with a higher limit, or take the record out",
        )
