"""TOK001 template-refuses."""

from collections.abc import Iterator

from qwen_sft.family import mending
from qwen_sft.finding import Finding
from qwen_sft.rule import Encoded, rule


@rule(code="TOK001", name="template-refuses", severity="error", since="0.1.0", stage="tokens")
def check(encoded: Encoded) -> Iterator[Finding]:
    """The model's chat template refuses the sample.

    What it catches: a sample that the chat template raises an error on, or would print wrongly, so that our serializer
        refuses it: a role that it has no turn for, content that is no text, arguments that are no object. It fires
        only where the rule that names the fault itself (MSG001, MSG009, TOL008, TOL009) has been switched off, and
        for a sample without any turn to train, where MSG006 has.

    Why it matters: trainers that catch the template's error drop the row with a log line, or train on half of it.

    Fix: mend what the message names; `qwen-sft show` prints the sample.

    Bad (model=qwen3, ignore=MSG001):
        {"messages": [
          {"role": "user", "content": "Hello!"},
          {"role": "critic", "content": "Too short."},
          {"role": "assistant", "content": "Hello! How can I help?"}]}

    Good (model=qwen3):
        {"messages": [
          {"role": "user", "content": "Hello!"},
          {"role": "assistant", "content": "Hello! How can I help?"}]}

    Source: the Qwen3 template prints nothing for a role that it does not know; Qwen3.5 raises.
    """
    if encoded.refusal is not None:
        yield Finding((), f"the chat template refuses it: {encoded.refusal}", "mend what the template names")
    elif not (encoded.rows or encoded.too_long or encoded.unselected or encoded.rewritten):
        if not encoded.untrained:
            yield Finding((), "no turn of it can be trained", "give it an assistant turn that answers a request")
            return
        turn, why = encoded.untrained[0]
        yield Finding((), f"no turn of it can be trained; of messages[{turn}]: {why}", mending(why))
