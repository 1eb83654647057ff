"""TOK008 untrainable-turn."""

from collections.abc import Iterator

from qwen_sft.family import mending
from qwen_sft.finding import Finding
from qwen_sft.rule import Encoded, rule


@rule(code="TOK008", name="untrainable-turn", severity="warning", since="0.1.0", stage="tokens")
def check(encoded: Encoded) -> Iterator[Finding]:
    """A turn stands behind no prompt that a server could send.

    What it catches: an assistant turn whose prompt the chat template refuses to print (Qwen3.5 and later before the
        user asks anything), or that the template prints otherwise than behind its own prompt: reasoning behind a think
        block that the prompt has closed already, a turn without a stop token. The turn is shown as history and not
        trained. A first message is MSG010's.

    Why it matters: what the model would have had to produce there cannot be told, and a guess would be trained in
        silence.

    Fix: put the user's request before the turn; or choose the mode that it was made in (`--thinking`), and give its
        reasoning as `reasoning_content`.

    Bad (model=qwen3_5):
        {"messages": [
          {"role": "system", "content": "Greet the user."},
          {"role": "assistant", "content": "Hi! How can I help you today?"},
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "It is 4."}]}

    Bad (model=qwen3_5_nothink, thinking=as-is):
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "It is 4.", "reasoning_content": "2 + 2 = 4"},
          {"role": "user", "content": "And 3 + 3?"},
          {"role": "assistant", "content": "It is 6."}]}

    Good (model=qwen3_5):
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "It is 4."}]}

    Source: the templates of Qwen3.5 and later raise "No user query found in messages."
    """
    for turn, why in encoded.untrained:
        yield Finding(("messages", turn), f"this turn is shown and not trained: {why}", mending(why))
