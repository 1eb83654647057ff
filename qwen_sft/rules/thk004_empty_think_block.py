"""THK004 empty-think-block."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(
    code="THK004",
    name="empty-think-block",
    severity="info",
    since="0.1.0",
    stage="sample",
    traits=("reasoning",),
    marks=("think>",),
)
def check(transcript: Transcript) -> Iterator[Finding]:
    """A turn has an empty think block.

    What it catches: an assistant's content that begins with a `<think>` block that holds white space only, or a
        `reasoning_content` of white space only. A sample is told once, at the first such turn.

    Why it matters: templates write the empty block where their own mode of thinking asks for one. One that stands in
        the content is printed beside it, or is trained as the model's choice not to think.

    Fix: take the block out, and leave `reasoning_content` out.

    Bad:
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "<think> </think>It is 4."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "It is 4."}]}

    Source: the Qwen3 chat template, which writes the empty block itself with `enable_thinking=false`.
    """
    found = [(tags.path, tags.says) for tags in transcript.think_tags if tags.kind == "empty"]
    for index in transcript.turns:
        thought = transcript.messages[index].get("reasoning_content")
        if thought and thought.isspace():
            found.append((("messages", index, "reasoning_content"), "reasoning_content holds white space only"))
    if found:
        path, says = min(found, key=lambda one: one[0][1])
        others = f"; {len(found)} turns have it so" if len(found) > 1 else ""
        yield Finding(path, says + others, "take it out")
