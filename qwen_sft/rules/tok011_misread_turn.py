"""TOK011 misread-turn."""

from collections.abc import Iterator

from qwen_sft.finding import Finding, Severity
from qwen_sft.rule import Encoded, rule


@rule(code="TOK011", name="misread-turn", severity="error", since="0.1.0", stage="tokens")
def check(encoded: Encoded) -> Iterator[Finding]:
    r"""The server would not part a turn's reasoning from its words as the sample has them.

    What it catches: a trained turn whose text, parted by the server's reasoning parser, gives other reasoning than the
        sample's: think tags in the content of a turn whose template does not read them (Qwen3.8), so that the think
        block is trained behind another one; a `</think>` or `<tool_call>` inside the reasoning, where the server ends
        it. Reasoning is `reasoning_content`, or else what stands before a `</think>` that the content begins with. Tags
        that the server only takes out of reasoning or words are a warning; words beside calls are TOK004's.

    Why it matters: the model learns to think where its answer belongs, or to answer inside its thoughts, and nobody
        sees it before it is served.

    Fix: as the finding says: give the reasoning as `reasoning_content`, or take the tag out of it.

    Bad (model=qwen3_8):
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "<think>\nTwo and two.\n</think>\n\nIt is 4."}]}

    Bad (model=qwen3):
        {"messages": [
          {"role": "user", "content": "What closes a think block?"},
          {"role": "assistant", "content": "A tag.", "reasoning_content": "It is </think>, by the template."}]}

    Good (model=qwen3_8):
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "reasoning_content": "Two and two.", "content": "It is 4."}]}

    Good (model=qwen3, ignore=THK001):
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "<think>\nTwo and two.\n</think>\n\nIt is 4."}]}

    Source: the reasoning parsers of vLLM and SGLang (`qwen3`, `deepseek_r1`); the Qwen3.8 chat template has no branch
        that splits content at its think tags.
    """
    for turn, difference in encoded.unparsed:
        message = encoded.transcript.messages[turn]
        if difference.path == ("reasoning_content",):
            field = "reasoning_content" if "reasoning_content" in message else "content"
            severity = Severity.WARNING if difference.spelling else None
            yield Finding(("messages", turn, field), difference.says, difference.fix, severity)
        elif difference.path[0] == "content" and not message.get("tool_calls"):
            yield Finding(("messages", turn, *difference.path), difference.says, difference.fix, Severity.WARNING)
