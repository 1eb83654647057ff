"""The second computation: what the server would have sent and received, turn by turn, against the row that we made.

It shares nothing with `render`: it takes the template as a function from messages to text, renders the history of every
trained turn with the generation prompt, and asks whether the row's tokens are exactly that prompt's, followed by what
the model would have had to say. Nothing else in the row may be trained.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qwen_sft.chatml import START, STOP
from qwen_sft.sample import Message, Tool
from qwen_sft.tokenizer import Tokenizer
from qwen_sft.tokens import Tokens

Render = Callable[[Sequence[Message], Sequence[Tool], bool], str]
"""messages, tools and add_generation_prompt to text: the real template."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A turn whose tokens in our row are not what the server's view asks for.

    Attributes:
        turn: index of the assistant message.
        ours: the text in our row, from shortly before the first difference.
        theirs: the server's text, likewise.
        what: which part differs: "rows", "prompt", "completion", "end" or "mask".
    """

    turn: int
    ours: str
    theirs: str
    what: str


def disagreements(
    messages: Sequence[Message],
    tools: Sequence[Tool],
    rows: Sequence[Tokens],
    *,
    render: Render,
    tokenizer: Tokenizer,
    empty_reasoning: str = "",
    turns: Sequence[int] | None = None,
) -> list[Disagreement]:
    """Where rows and the server's view differ; empty if each turn is trained once, exactly as it would be served.

    Args:
        rows: the training rows of one sample.
        render: the real template.
        empty_reasoning: text that the template writes into a last turn without reasoning, and into no earlier one. A
            row may show such a turn with it or without it: both stand behind the server's exact prompt and say the
            same.
        turns: the assistant turns that must be trained; default: all but a first message, which has no prompt.
    """
    found: list[Disagreement] = []
    prompted = [i for i, message in enumerate(messages) if i and message.get("role") == "assistant"]
    expected = prompted if turns is None else list(turns)
    trained = sorted(turn for row in rows for turn in row.turns)
    if trained != sorted(expected):
        found.append(Disagreement(-1, f"trained turns {trained}", f"assistant turns {sorted(expected)}", "rows"))
    for row in rows:
        mask = np.zeros(len(row.input_ids), dtype=np.bool_)
        for turn in row.turns:
            prompt = render(messages[:turn], tools, True)
            whole = render(messages[: turn + 1], tools, False)
            prompt_ids = tokenizer.encode(prompt)
            ours = row.input_ids[: len(prompt_ids)]
            if not np.array_equal(ours, prompt_ids):
                found.append(_differ(turn, tokenizer, ours, prompt_ids, "prompt"))
                continue
            said = _said(prompt, whole)
            if said is None:
                found.append(Disagreement(turn, prompt[-80:], whole[-200:], "prompt"))
                continue
            completion, after_stop = said
            after = row.input_ids[len(prompt_ids) :]
            candidates = [tokenizer.encode(completion)]
            if empty_reasoning and completion.startswith(empty_reasoning):
                candidates.append(tokenizer.encode(completion.removeprefix(empty_reasoning)))
            fits = [ids for ids in candidates if np.array_equal(after[: len(ids)], ids)]
            if not fits:
                found.append(_differ(turn, tokenizer, after[: len(candidates[0])], candidates[0], "completion"))
                continue
            mask[len(prompt_ids) : len(prompt_ids) + len(fits[0])] = True
            rest = tokenizer.encode(after_stop)
            if turn == row.turns[-1] and not np.array_equal(after[len(fits[0]) :], rest):
                found.append(_differ(turn, tokenizer, after[len(fits[0]) :], rest, "end"))
        if not np.array_equal(mask, row.loss_mask) and not found:
            at = int(np.flatnonzero(mask != row.loss_mask)[0])
            side = "trained" if row.loss_mask[at] else "not trained"
            token = tokenizer.decode(row.input_ids[at : at + 1])
            text = f"token {at} {token!r} is {side}"
            found.append(Disagreement(row.turns[-1], text, f"token {at} {token!r} is the opposite", "mask"))
    return found


def _said(prompt: str, whole: str) -> tuple[str, str] | None:
    """What the model says behind a prompt, up to its stop token, and what the template prints behind that.

    None where the turn does not stand behind the prompt.
    """
    if whole.startswith(prompt):
        said = whole[len(prompt) :]
    else:
        # In the prompt a neighbouring assistant turn is the last one and may be printed otherwise than before this
        # turn: then only the turn itself, from its header on, can be compared.
        tail = prompt[prompt.rfind(START) :]
        start = whole.rfind(tail)
        if start < 0:
            return None
        said = whole[start + len(tail) :]
    end = said.rfind(STOP)
    return (said[: end + len(STOP)], said[end + len(STOP) :]) if end >= 0 else None


def _differ(turn: int, tokenizer: Tokenizer, ours: np.ndarray, theirs: np.ndarray, what: str) -> Disagreement:
    shorter = min(len(ours), len(theirs))
    differing = np.flatnonzero(ours[:shorter] != theirs[:shorter])
    start = max(0, (int(differing[0]) if len(differing) else shorter) - 8)
    return Disagreement(
        turn, tokenizer.decode(ours[start : start + 24]), tokenizer.decode(theirs[start : start + 24]), what
    )
