"""A think block at the beginning of an assistant's content: its words become `reasoning_content`; an empty one goes.

Safe: the words of reasoning and answer stay, less the line breaks between them, which templates write themselves.
THK001 and THK004 prove that the block is the turn's one reasoning: it begins the text, it is whole, and there is no
other. A turn that holds no more than the block, or whose tag says more than `<think>`, stays as it is.
"""

from collections.abc import Iterator, Sequence

from qwen_sft.finding import Finding
from qwen_sft.fix import ABSENT, Edit, Fix
from qwen_sft.inspecting.transcript import Transcript


def _edits(transcript: Transcript, _: Sequence[Finding]) -> Iterator[Edit]:
    for tags in transcript.think_tags:
        index = int(tags.path[1])
        text = transcript.messages[index].get("content")
        if tags.kind in ("leading", "empty") and isinstance(text, str):
            thought, answer = text.split("</think>", 1)
            if thought.lstrip().startswith("<think>"):
                thought = thought.lstrip().removeprefix("<think>")
            if "<think" in thought or not (answer.strip() or "tool_calls" in transcript.messages[index]):
                continue
            thought = thought.strip("\n")
            yield Edit(tags.path, answer.lstrip("\n"))
            if thought.strip():
                yield Edit(("messages", index, "reasoning_content"), thought)
    for index in transcript.turns:
        reasoning = transcript.messages[index].get("reasoning_content")
        if reasoning and reasoning.isspace():
            yield Edit(("messages", index, "reasoning_content"), ABSENT)


FIX = Fix(
    name="think-block",
    title="moves a think block that content begins with to reasoning_content; takes an empty one out",
    codes=("THK001", "THK004"),
    safe=True,
    edits=_edits,
)
