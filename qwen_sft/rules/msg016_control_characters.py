"""MSG016 control-characters."""

from collections import Counter
from collections.abc import Iterator

from qwen_sft.finding import Finding, Severity
from qwen_sft.inspecting.characters import controls
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.sample import Path

_MOST = 4


@rule(
    code="MSG016",
    name="control-characters",
    severity="warning",
    since="0.1.0",
    stage="sample",
    marks=(r"\\u00[01]", r"\\[bf]", r"\x7f", r"\xc2[\x80-\x9f]"),
)
def check(transcript: Transcript) -> Iterator[Finding]:
    r"""A text holds control characters, such as those that colour a terminal.

    What it catches: the characters below U+0020 but for tab, line feed and carriage return, U+007F, and U+0080 to
        U+009F, in content, reasoning and the arguments of calls: ANSI escape sequences begin with one. A warning for
        each text of an assistant; an info, once a sample, in what the model reads. Those that come of a wrong encoding
        are MSG017's.

    Why it matters: nobody sees them, and each costs a token or more: a progress bar costs thousands. In the
        assistant's own turn the model learns to write them.

    Fix: strip the escape sequences where the tool's output is recorded; take the characters out of the turn.

    Bad:
        {"messages": [
          {"role": "user", "content": "Is it done?"},
          {"role": "assistant", "content": "It is \u001b[32mdone\u001b[0m."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Is it done?"},
          {"role": "assistant", "content": "It is\tdone.\n"}]}

    Source: ECMA-48, and ISO/IEC 6429: C0 and C1 are control functions.
    """
    read: list[tuple[Path, Counter[str]]] = []
    for path, text in transcript.odd_texts:
        found = controls(text)
        if found and transcript.is_trained(path):
            yield Finding(path, f"this text holds {_listed(found)}", "take them out")
        elif found:
            read.append((path, found))
    if read:
        path, found = read[0]
        others = f"; {len(read)} texts hold such characters" if len(read) > 1 else ""
        fix = "strip them where the tool's output is recorded"
        yield Finding(path, f"this text holds {_listed(found)}{others}", fix, Severity.INFO)


def _listed(found: Counter[str]) -> str:
    """The commonest characters with their counts: `control characters: '\\x1b' (2 times)`."""
    told = [f"{c!r} ({'once' if n == 1 else f'{n} times'})" for c, n in found.most_common(_MOST)]
    return f"control characters: {', '.join(told)}{', …' if len(found) > _MOST else ''}"
