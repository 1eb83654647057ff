"""MSG018 replacement-character."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.characters import REPLACEMENT
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(
    code="MSG018",
    name="replacement-character",
    severity="info",
    since="0.1.0",
    stage="sample",
    marks=(r"\xef\xbf\xbd",),
)
def check(transcript: Transcript) -> Iterator[Finding]:
    """A text holds the character that stands for unreadable bytes.

    What it catches: U+FFFD in content, reasoning and the arguments of calls. A sample is told once, at the first such
        text, an assistant's before others.

    Why it matters: what stood there is lost: bytes that are no UTF-8, or half of a character that a stream was cut in.
        A tool that reads a binary file gives such results in good faith; in an assistant's turn the model learns to
        write the character.

    Fix: decode the trace from its source again; join the bytes of a stream before they are decoded.

    Bad:
        {"messages": [
          {"role": "user", "content": "A word for a place to drink coffee?"},
          {"role": "assistant", "content": "A caf�."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "A word for a place to drink coffee?"},
          {"role": "assistant", "content": "A café."}]}

    Source: the Unicode Standard, section 23.8: U+FFFD REPLACEMENT CHARACTER.
    """
    found = [(path, n) for path, text in transcript.odd_texts for n in [text.count(REPLACEMENT)] if n]
    if found:
        path, n = next((one for one in found if transcript.is_trained(one[0])), found[0])
        others = f"; {len(found)} texts hold it" if len(found) > 1 else ""
        says = f"this text holds U+FFFD {'once' if n == 1 else f'{n} times'}{others}"
        yield Finding(path, says, "decode the trace from its source again")
