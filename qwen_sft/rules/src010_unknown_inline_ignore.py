"""SRC010 unknown-inline-ignore."""

from collections.abc import Iterator
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.inspecting.inline import marks
from qwen_sft.rule import Source, rule, rules
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.text.quote import quoted

_FIX = 'write {"ignore": ["TOL020"]}: codes, letters of codes or names of rules, see: qwen-sft rule'
_ALWAYS = ("SRC", "SCH")


@rule(code="SRC010", name="unknown-inline-ignore", severity="warning", since="0.1.0", stage="record")
def check(source: Source) -> Iterator[Finding]:
    """A record asks not to be held to a rule in words that are not understood.

    What it catches: a field `qwen_sft`, at the top of a record or in its `metadata`, that is not
        `{"ignore": ["TOL020"]}`: another key, no list, a code or name that no rule has, or a rule that no record can
        silence (SRC, SCH). What is understood of it holds.

    Why it matters: who wrote it believes that a finding is silenced. After a misspelling it is not, and a later version
        may read the words in another way.

    Fix: correct the code or the name, or take the field out.

    Bad:
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
         "qwen_sft": {"ignore": ["TOL999"]}}

    Bad:
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
         "metadata": {"qwen_sft": {"ignored": ["TOL020"]}}}

    Good:
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
         "qwen_sft": {"ignore": ["TOL020", "orphan-tool-result"]}}

    Source: `qwen_sft.inspecting.inline`; settings are held to the same: an unknown key is an error there.
    """
    if source.settings.inline_ignore and source.reading is not None:  # else it is no trace, but a report, say
        for place, mark in marks(source.record):
            yield from _faults(place, mark)


def _faults(place: Path, mark: Any) -> Iterator[Finding]:
    if not is_object(mark):
        yield Finding(place, f"{quoted(mark)} is no object that says what to ignore", _FIX)
        return
    for key in mark:
        if key != "ignore":
            yield Finding((*place, key), f"{quoted(key)} is nothing that a record can say of its checks", _FIX)
    listed: Any = mark.get("ignore", [])
    if not is_list(listed):
        yield Finding((*place, "ignore"), f"{quoted(listed)} is no list of rules", _FIX)
        return
    for k, one in enumerate(listed):
        named = [rule for rule in rules().values() if rule.is_named([one])] if isinstance(one, str) and one else []
        if not named:
            yield Finding((*place, "ignore", k), f"{quoted(one)} is no rule", _FIX)
        elif all(rule.code.startswith(_ALWAYS) for rule in named):
            says = f"{quoted(one)} says that a record was not checked, which no record can silence"
            yield Finding((*place, "ignore", k), says, "take it out, and mend what is found")
