"""MSG017 mojibake."""

from collections.abc import Iterator

from qwen_sft.finding import Finding, Severity
from qwen_sft.inspecting.characters import misread
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.sample import Path

_FIX = "read the source as UTF-8"


@rule(
    code="MSG017",
    name="mojibake",
    severity="warning",
    since="0.1.0",
    stage="sample",
    heuristic=True,
    marks=(r"\xc3[\x82-\xb4][\xc2\xc5\xc6\xcb\xe2]",),
)
def check(transcript: Transcript) -> Iterator[Finding]:
    """UTF-8 was read as another encoding.

    What it catches: heuristic: characters that are UTF-8 when they are written as Windows-1252 or Latin-1 again, and
        that no language writes: `â€™` for an apostrophe, `Ã©` in a word for `é`, whole words of another script. In
        content, reasoning and arguments. A warning for each text of an assistant; an info, once a sample, in what the
        model reads.

    Why it matters: the model learns to write the wrong characters, in several tokens each.

    Fix: read the trace's source as UTF-8, or write the text as Windows-1252 and read it as UTF-8.

    Bad:
        {"messages": [
          {"role": "user", "content": "A word for a place to drink coffee?"},
          {"role": "assistant", "content": "A cafÃ©."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "A word for a place to drink coffee?"},
          {"role": "assistant", "content": "A café, or « LE CAFÉ»."}]}

    Source: the Unicode Standard, table 3-7 (well-formed UTF-8), and the WHATWG encoding standard's windows-1252.
    """
    read: list[tuple[Path, str]] = []
    for path, text in transcript.odd_texts:
        found = None if text.isascii() else misread(text)
        if found is None:
            continue
        says = f"{found[0]!r} is {found[1]!r} in UTF-8 that was read as Windows-1252 or Latin-1"
        if transcript.is_trained(path):
            yield Finding(path, says, _FIX)
        else:
            read.append((path, says))
    if read:
        others = f"; {len(read)} texts hold such characters" if len(read) > 1 else ""
        yield Finding(read[0][0], read[0][1] + others, _FIX, Severity.INFO)
