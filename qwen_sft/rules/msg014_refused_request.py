"""MSG014 refused-request."""

import re
from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted

_REFUSAL = re.compile(
    r"""\s*+(?:
      (?:(?:i['’]m|i\ am)\ (?:very\ |so\ |truly\ |really\ )?sorry|sorry|my\ apologies|i\ apologi[sz]e|unfortunately)?
      [,.;:!]?\s*+(?:but\ |however,?\ )?
      i(?:\ can['’]t|\ cannot|\ can\ not|\ won['’]t|\ will\ not|(?:['’]|\ a)m\ (?:unable|not\ able)\ to)
      \ (?:help\ (?:you\ )?with|assist|comply|fulfil|engage|participate)\b
    | as\ an\ ai\ (?:language\ )?(?:model|assistant),
    | (?:很|非常|十分)?(?:抱歉|对不起|遗憾)[,，。!！]?\s*+(?:但是?)?我(?:无法|不能|没有办法)(?:协助|帮助|满足|回答)
    )""",
    re.IGNORECASE | re.VERBOSE,
)


_MARKS = (
    r"(?i)(?:t|able to) (?:help (?:you )?with|assist|comply|fulfil|engage|participate)",
    r"(?i)as an ai (?:language )?(?:model|assistant),",
    r"我(?:无法|不能|没有办法)(?:协助|帮助|满足|回答)",
    r"\xc4[\xb0\xb1]|\xc5\xbf|\xe2\x84\xaa",  # letters that stand for i, s and k where case does not count
)


@rule(
    code="MSG014",
    name="refused-request",
    severity="info",
    since="0.1.0",
    stage="sample",
    heuristic=True,
    marks=_MARKS,
)
def check(transcript: Transcript) -> Iterator[Finding]:
    """An assistant turn refuses to help.

    What it catches: heuristic: a turn without calls that begins with a refusal in a set phrase, such as "I'm sorry,
        but I can't assist with that" or "As an AI language model", in English or Chinese. What cannot be done ("I
        can't find the file") is no refusal.

    Why it matters: a refusal that belongs to the task, by a policy of the system message for example, is good data.
        One that a safety filter or a weaker model put into a run teaches the model to refuse tasks that it could do.

    Fix: read the turn, and take the sample out if the refusal is not wanted.

    Bad:
        {"messages": [
          {"role": "user", "content": "Rename the file a.txt to b.txt."},
          {"role": "assistant", "content": "I am sorry, but I cannot assist with that request."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Rename the file a.txt to b.txt."},
          {"role": "assistant", "content": "I am sorry, but I cannot find the file a.txt."}]}

    Source: the phrases that filters of public chat data look for, without those that tool agents say in good faith.
    """
    for path, text in transcript.said:
        if _REFUSAL.match(text) and not transcript.calls(path):
            yield Finding(
                path, f"the turn refuses: {quoted(text.strip())}", "take the sample out if the refusal is not wanted"
            )
