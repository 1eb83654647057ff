"""MSG009 non-text-content."""

import reprlib
from collections.abc import Iterator
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.sample import is_list, is_object
from qwen_sft.text.normalize import is_text_part


@rule(code="MSG009", name="non-text-content", severity="error", since="0.1.0", stage="sample", traits=("parts",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A message holds something that is not text.

    What it catches: content with a part that is an image, a video, audio, a file or anything else but text. Parts that
        are all text have been joined before. Media that a record keeps beside its turns (`images`, `videos`, `audios`)
        are parts of the turns whose tags they belong to, such as `<image>`.

    Why it matters: a row holds tokens and no pixels. The current Qwen3 templates print such content as nothing at all,
        its text included; those of Qwen2.5 and the Coder models fail or print the list as Python would; Qwen3-VL and
        Qwen3.5 and later print a place for an image that no row brings along.

    Fix: put into words what the model needs to know of the part, or take the record out. `--media placeholder` puts
        `[image]` in its place and `--media drop` leaves it out, both with the words of a text document or a transcript.

    Bad:
        {"messages": [
          {"role": "user", "content": [
            {"type": "text", "text": "What colour is the door?"},
            {"type": "image_url", "image_url": {"url": "https://example.org/door.png"}}]},
          {"role": "assistant", "content": "Red."}]}

    Bad:
        {"images": ["door.png"], "messages": [
          {"role": "user", "content": "<image>What colour is the door?"},
          {"role": "assistant", "content": "Red."}]}

    Good:
        {"messages": [
          {"role": "user", "content": [
            {"type": "text", "text": "Alt text: a house with a red door."},
            {"type": "text", "text": "What colour is the door?"}]},
          {"role": "assistant", "content": "Red."}]}

    Source: the official chat templates, rendered with content that is a list.
    """
    for index, message in enumerate(transcript.messages):
        content = message.get("content")
        if not is_list(content):
            continue
        kinds = dict.fromkeys(_kind(part) for part in content if is_object(part) and not is_text_part(part))
        if kinds:
            yield Finding(
                ("messages", index, "content"),
                f"content holds {', '.join(kinds)} besides text",
                "put into words what the model needs of it, read it with --media placeholder, or take the record out",
            )


def _kind(part: dict[str, Any]) -> str:
    """What a part calls itself: its type, or else its first key."""
    kind = part.get("type", next(iter(part), ""))
    return "a text part without text" if kind == "text" else reprlib.repr(kind)
