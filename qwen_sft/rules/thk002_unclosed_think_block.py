"""THK002 unclosed-think-block."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="THK002", name="unclosed-think-block", severity="error", since="0.1.0", stage="sample", marks=("think>",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A turn begins a think block and never ends it.

    What it catches: an assistant's content that begins with `<think>` and holds no `</think>`.

    Why it matters: all of the text is reasoning: the model was cut off, the closing tag was lost, or a call was taken
        out of the thoughts. A server would return an empty answer. Trained, the model learns to end its turn, or to
        call, inside its thoughts.

    Fix: put the reasoning into `reasoning_content`, and what is the answer into `content`; if the model was cut off,
        take the turn out.

    Bad:
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "<think>Two and two, that makes"}]}

    Good:
        {"messages": [
          {"role": "user", "content": "What opens a block?"},
          {"role": "assistant", "content": "The tag is called <think>, and it is a single token."}]}

    Source: the reasoning parsers of vLLM and SGLang: text before the first `</think>` is no answer.
    """
    for tags in transcript.think_tags:
        if tags.kind == "unclosed":
            yield Finding(tags.path, tags.says, "put it into reasoning_content, or take the turn out")
