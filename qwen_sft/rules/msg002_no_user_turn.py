"""MSG002 no-user-turn."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="MSG002", name="no-user-turn", severity="warning", since="0.1.0", stage="sample", traits=("no-user",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """No user asks for anything.

    What it catches: a sample without a single user message.

    Why it matters: the model answers a request that it never sees. The templates of Qwen3.5 and later refuse such a
        sample with an error; the older ones print it.

    Fix: restore the user's request; where the task stands in the system message, give it to a user turn.

    Bad:
        {"messages": [
          {"role": "system", "content": "List three primes."},
          {"role": "assistant", "content": "2, 3, 5"}]}

    Good:
        {"messages": [
          {"role": "user", "content": "List three primes."},
          {"role": "assistant", "content": "2, 3, 5"}]}

    Source: the Qwen3.5 chat template: "No user query found in messages."
    """
    if not any(message.get("role") == "user" for message in transcript.messages):
        yield Finding(("messages",), "no message is the user's", "restore the user's request")
