"""TOK010 rewritten-history."""

from collections.abc import Iterator

from qwen_sft.finding import Finding, Severity
from qwen_sft.rule import Encoded, rule


@rule(code="TOK010", name="rewritten-history", severity="error", since="0.1.0", stage="tokens")
def check(encoded: Encoded) -> Iterator[Finding]:
    """The template rewrites history, and settings want one row.

    What it catches: with `--rewritten-history error`, a sample that needs several rows, because the chat template
        prints earlier turns otherwise than they stood when they were asked for: Qwen3 takes the reasoning of turns
        before the last query away. With `last` it is a warning: only the last row is written, and the turns that it
        cannot serve are not trained.

    Why it matters: one row for all turns would train turns behind a history that no server ever sends.

    Fix: use `--rewritten-history expand`, which is the default and writes every row that is needed.

    Bad (model=qwen3, rewritten_history=error):
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "It is 4.", "reasoning_content": "2 + 2 = 4"},
          {"role": "user", "content": "And 3 + 3?"},
          {"role": "assistant", "content": "It is 6.", "reasoning_content": "3 + 3 = 6"}]}

    Good (model=qwen3, rewritten_history=error):
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "It is 4.", "reasoning_content": "2 + 2 = 4"}]}

    Source: the Qwen3 chat template, the branch that drops reasoning before the last user query.
    """
    if not encoded.rewritten:
        return
    if encoded.rows:
        turns = ", ".join(map(str, encoded.left_out))
        says = (
            f"the template rewrites history: of {encoded.rewritten} rows only the last is written; not trained: {turns}"
        )
        severity = Severity.WARNING
    else:
        says = f"the template rewrites history: this sample needs {encoded.rewritten} rows"
        severity = None
    yield Finding((), says, "write them all with --rewritten-history expand", severity)
