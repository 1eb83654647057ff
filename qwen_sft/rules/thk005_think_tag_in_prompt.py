"""THK005 think-tag-in-prompt."""

import re
from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule

_TAG = re.compile(r"</?think>")


@rule(code="THK005", name="think-tag-in-prompt", severity="info", since="0.1.0", stage="sample", marks=("think>",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A text that the model reads holds a think tag.

    What it catches: `<think>` or `</think>` in a system, user or tool message. A sample is told once, at the first
        such text.

    Why it matters: from Qwen3 on each tag is a single token, in any text. A prompt that says how to write them is in
        order; a web page or an earlier answer that holds them shows the model a block that nobody thought. A text
        that asks for tags in the answer asks for what the server takes out.

    Fix: none is needed where the text means the tags. Else break them up, for example as `< think >`.

    Bad:
        {"messages": [
          {"role": "user", "content": "Write your thoughts between <think> and </think>. What is 2 + 2?"},
          {"role": "assistant", "content": "It is 4."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "It is 4."}]}

    Source: `added_tokens` in the official tokenizer.json files from Qwen3 on.
    """
    found = [
        (path, tag[0])
        for path, text in transcript.contents
        if "think>" in text and not transcript.is_trained(path)
        for tag in [_TAG.search(text)]
        if tag is not None
    ]
    if found:
        path, tag = found[0]
        others = f"; {len(found)} texts that the model reads hold such a tag" if len(found) > 1 else ""
        yield Finding(path, f"{tag!r} stands in this text{others}", "break it up as in '< think >', unless it is meant")
