"""MSG010 unprompted-turn."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="MSG010", name="unprompted-turn", severity="warning", since="0.1.0", stage="sample", traits=("unprompted",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """The first message is the assistant's.

    What it catches: a sample whose first message is an assistant's, as in harnesses that greet before the user speaks.

    Why it matters: no server renders a prompt for an empty history (the Qwen templates look at the first message), so
        there is no prompt behind which the model could have said this. The turn is shown as history and not trained.

    Fix: put the system message or the user's request before it, or take the greeting out.

    Bad:
        {"messages": [
          {"role": "assistant", "content": "Hi! How can I help you today?"},
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "It is 4."}]}

    Good:
        {"messages": [
          {"role": "system", "content": "Greet the user."},
          {"role": "assistant", "content": "Hi! How can I help you today?"},
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "It is 4."}]}

    Source: the Qwen2.5, Qwen3 and Coder-Next templates fail on an empty list of messages.
    """
    if transcript.messages[0].get("role") == "assistant":
        yield Finding(
            ("messages", 0),
            "the assistant speaks first: no prompt asks for this turn, so it is shown and not trained",
            "put a system message or the user's request before it",
        )
