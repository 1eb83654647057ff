"""The second computation: what the server would have sent and received, turn by turn, against the row that we made.

It shares nothing with `render`: it takes the template as a function from messages to text, renders the history of every
trained turn with the generation prompt, and asks whether the row's tokens are exactly that prompt's, followed by what
the model would have had to say. Nothing else in the row may be trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qwen_sft.asking.request import OptionsOf, Render
from qwen_sft.errors import TemplateError
from qwen_sft.sample import Message, Tool
from qwen_sft.settings import Boundary
from qwen_sft.tokenizing.control import encode_batch
from qwen_sft.tokenizing.tokenizer import Ids, Tokenizer
from qwen_sft.tokens import Tokens


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


@dataclass(frozen=True, slots=True)
class _Turn:
    """A turn as it is served: the prompt, what may be answered to it, and what the template prints behind that."""

    prompt: str
    answers: tuple[str, ...]
    after: str


def disagreements(
    messages: Sequence[Message],
    tools: Sequence[Tool],
    rows: Sequence[Tokens],
    *,
    render: Render,
    options_of: OptionsOf,
    tokenizer: Tokenizer,
    stops: Sequence[str],
    empty_reasoning: str = "",
    turns: Sequence[int] | None = None,
    boundary: Boundary = "inference",
) -> list[Disagreement]:
    """Where rows and the server's view differ; empty if each turn is trained once, exactly as it would be served.

    Args:
        rows: the training rows of one sample.
        render: the real template.
        options_of: the template options of the request for each turn.
        stops: the tokens of which the last one in a turn ends it.
        empty_reasoning: text that the template writes into a last turn without reasoning, and into no earlier one. A
            row may show such a turn with it or without it: both stand behind the server's exact prompt and say the
            same.
        turns: the assistant turns that are to be trained, as far as a server could be asked for them; default: all.
        boundary: how turns are encoded whose first token straddles their prompt.
    """
    found: list[Disagreement] = []
    spoken = [i for i, message in enumerate(messages) if message.get("role") == "assistant"]
    wanted = spoken if turns is None else list(turns)
    served: dict[int, _Turn] = {}
    for turn in wanted:
        one = _served(messages, tools, turn, render, options_of, stops, empty_reasoning)
        if one is not None:
            served[turn] = one
    trained = sorted(turn for row in rows for turn in row.turns)
    if trained != sorted(served):
        found.append(Disagreement(-1, f"trained turns {trained}", f"assistant turns {sorted(served)}", "rows"))
    check = _as_served if boundary == "inference" else _as_text
    for row in rows:
        mask = np.zeros(len(row.input_ids), dtype=np.bool_)
        before = len(found)
        for turn in row.turns:
            one = served.get(turn)
            if one is None:
                continue  # said above
            fault = check(row, turn, one, mask, tokenizer)
            if fault is not None:
                found.append(fault)
        if len(found) == before and not np.array_equal(mask, row.loss_mask):
            at = int(np.flatnonzero(mask != row.loss_mask)[0])
            side = "trained" if row.loss_mask[at] else "not trained"
            token = tokenizer.decode(row.input_ids[at : at + 1])
            text = f"token {at} {token!r} is {side}"
            found.append(Disagreement(row.turns[-1], text, f"token {at} {token!r} is the opposite", "mask"))
    return found


def _served(
    messages: Sequence[Message],
    tools: Sequence[Tool],
    turn: int,
    render: Render,
    options_of: OptionsOf,
    stops: Sequence[str],
    empty_reasoning: str,
) -> _Turn | None:
    """A turn as it is served; None where no server can be asked for it.

    That is a first message, a turn whose prompt the template refuses to print, and one that it prints otherwise than
    behind its own prompt.
    """
    options = options_of(turn)
    if not turn:
        return None
    try:
        prompt = render(messages[:turn], tools, True, options)
    except TemplateError:
        return None
    whole = render(messages[: turn + 1], tools, False, options)
    if whole.startswith(prompt):
        said = whole[len(prompt) :]
    elif messages[turn - 1].get("role") == "assistant":
        # In the prompt the neighbouring turn is the last one and may be printed otherwise than before this turn: then
        # only the turn itself, from where the generation prompt stands, can be compared.
        history = render(messages[:turn], tools, False, options)
        opening = prompt.removeprefix(history)
        if opening in ("", prompt):
            return None
        before, _, _ = whole.rpartition(opening.partition("\n")[0])
        if not before or not whole.startswith(opening, len(before)):
            return None  # the turn goes on otherwise than its prompt does
        said = whole[len(before) + len(opening) :]
    else:
        return None
    end = max((at + len(stop) for stop in stops if (at := said.rfind(stop)) >= 0), default=0)
    if not end:
        return None
    answer = said[:end]
    answers = (answer,)
    if empty_reasoning and answer.startswith(empty_reasoning):
        answers = (answer, answer.removeprefix(empty_reasoning))
    return _Turn(prompt, answers, said[end:])


def _as_served(row: Tokens, turn: int, served: _Turn, mask: np.ndarray, tokenizer: Tokenizer) -> Disagreement | None:
    """Compares a turn whose prompt and answer are encoded apart, and marks what is to be trained of it."""
    prompt = _ids(served.prompt, tokenizer)
    start = len(prompt)
    if not np.array_equal(row.input_ids[:start], prompt):
        return _differ(turn, tokenizer, row.input_ids[:start], prompt, "prompt")
    after = row.input_ids[start:]
    candidates = [_ids(answer, tokenizer) for answer in served.answers]
    fits = [ids for ids in candidates if np.array_equal(after[: len(ids)], ids)]
    if not fits:
        return _differ(turn, tokenizer, after[: len(candidates[0])], candidates[0], "completion")
    end = start + len(fits[0])
    mask[start:end] = True
    rest = _ids(served.after, tokenizer)
    if turn == row.turns[-1] and not np.array_equal(row.input_ids[end:], rest):
        return _differ(turn, tokenizer, row.input_ids[end:], rest, "end")
    return None


def _as_text(row: Tokens, turn: int, served: _Turn, mask: np.ndarray, tokenizer: Tokenizer) -> Disagreement | None:
    """Compares a turn in a row that is encoded as one text: the trained tokens are those that begin in the answer."""
    said = tokenizer.decode_bytes(row.input_ids)
    prompt = tokenizer.decode_bytes(_ids(served.prompt, tokenizer))
    answers = [tokenizer.decode_bytes(_ids(answer, tokenizer)) for answer in served.answers]
    fits = [answer for answer in answers if said.startswith(prompt + answer)]
    if not fits:
        ours, theirs = row.input_ids, _ids(served.prompt + served.answers[0], tokenizer)
        return _differ(turn, tokenizer, ours[: len(theirs)], theirs, "prompt")
    end = len(prompt) + len(fits[0])
    starts = np.cumsum(tokenizer.byte_lengths[row.input_ids], dtype=np.int64)
    starts -= tokenizer.byte_lengths[row.input_ids]
    mask[(starts >= len(prompt)) & (starts < end)] = True
    if turn == row.turns[-1]:
        whole = _ids(served.prompt + served.answers[answers.index(fits[0])] + served.after, tokenizer)
        if not np.array_equal(row.input_ids, whole):
            return _differ(turn, tokenizer, row.input_ids, whole, "end")
    return None


def _ids(text: str, tokenizer: Tokenizer) -> Ids:
    return encode_batch([text], tokenizer)[0]


def _differ(turn: int, tokenizer: Tokenizer, ours: np.ndarray, theirs: np.ndarray, what: str) -> Disagreement:
    shorter = min(len(ours), len(theirs))
    differing = np.flatnonzero(ours[:shorter] != theirs[:shorter])
    start = max(0, (int(differing[0]) if len(differing) else shorter) - 8)
    return Disagreement(
        turn, tokenizer.decode(ours[start : start + 24]), tokenizer.decode(theirs[start : start + 24]), what
    )
