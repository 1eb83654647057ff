"""MSG019 turns-in-text."""

import re
from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted

_HINTS = ("ssistant:", "ASSISTANT:", "<|", "<｜", "INST]", "_of_turn>", "### ")

_MARK = re.compile(
    r"^(<\|(?:user|assistant|system|eot_id|start_header_id|end_of_turn|eom_id)\|>|<｜(?:User|Assistant)｜>|\[/?INST\]"
    r"|<(?:start|end)_of_turn>|### (?:Instruction|Response|Human|Assistant|User): *)",
    re.MULTILINE,
)
_LABEL = re.compile(r"^(User|Human|Assistant|USER|HUMAN|ASSISTANT): ", re.MULTILINE)
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_FIX = "cut the turn where the next one begins, or split it into messages"


@rule(
    code="MSG019",
    name="turns-in-text",
    severity="warning",
    since="0.1.0",
    stage="sample",
    heuristic=True,
    marks=(
        "ssistant:",
        "ASSISTANT:",
        r"<\|",
        "<｜",
        r"INST\]",
        "_of_turn>",
        "### (?:Instruction|Response|Human|Assistant|User)",
    ),
)
def check(transcript: Transcript) -> Iterator[Finding]:
    r"""An assistant's text goes on with turns of its own.

    What it catches: heuristic: at the beginning of a line in an assistant's content, outside of code blocks, a mark
        with which other models' templates begin a turn (`<|user|>`, `[INST]`, `### Instruction:`), or lines of a
        dialogue that the assistant holds with itself: `User:` or `Human:` and `Assistant:` in one text.

    Why it matters: the model that made the trace did not stop where its turn ended, and made up what the user says
        next. Trained in full, the turn teaches the same. A label at the beginning of the text is trained too.

    Fix: cut the turn where the next one begins; split a dialogue into its messages; take a label away.

    Bad:
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "It is 4.\nUser: And 3 + 3?\nAssistant: It is 6."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Who can log in?"},
          {"role": "assistant", "content": "This account can:\nUser: alice"}]}

    Source: the chat templates of Zephyr, Llama 2 and 3, Gemma, DeepSeek and Alpaca, and those of plain completion.
    """
    for path, text in transcript.said:
        if not any(hint in text for hint in _HINTS):
            continue
        shown = _FENCED.sub("", text) if "```" in text else text
        mark = _MARK.search(shown)
        if mark:
            yield Finding(path, f"a line begins with {mark[1]!r}, as a turn of another model's template does", _FIX)
            continue
        labels = [label.lower() for label in _LABEL.findall(shown)]
        if "assistant" in labels and (len(set(labels)) > 1 or _LABEL.match(shown)):
            says = f"lines begin with {quoted(_LABEL.findall(shown)[0] + ':')} and so on, {len(labels)} in all"
            yield Finding(path, says if len(labels) > 1 else "the text begins with the label 'Assistant:'", _FIX)
