"""MSG003 empty-assistant-turn."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="MSG003", name="empty-assistant-turn", severity="error", since="0.1.0", stage="sample")
def check(transcript: Transcript) -> Iterator[Finding]:
    """An assistant turn says nothing and calls nothing.

    What it catches: an assistant message without calls whose content is empty or white space, with reasoning or
        without.

    Why it matters: its end-of-turn token is trained like any other, so the model learns to answer with silence. Such
        turns come from requests that failed, were cut off or were blocked.

    Fix: restore the answer, or end the sample before this turn.

    Bad:
        {"messages": [
          {"role": "user", "content": "Is 7 a prime?"},
          {"role": "assistant", "content": ""}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Is 7 a prime?"},
          {"role": "assistant", "content": "Yes."}]}

    Source: every Qwen template prints the turn as `<|im_start|>assistant` and `<|im_end|>` with no answer between.
    """
    for index in transcript.turns:
        message = transcript.messages[index]
        content = message.get("content")
        if not isinstance(content, str) or message.get("tool_calls") or (content and not content.isspace()):
            continue
        if message.get("reasoning_content"):
            says = "this turn holds reasoning, but no answer and no call"
        elif content:
            says = "this turn holds white space only, and no call"
        else:
            says = "this turn holds no answer and no call"
        yield Finding(("messages", index), says, "restore the answer, or end the sample before this turn")
