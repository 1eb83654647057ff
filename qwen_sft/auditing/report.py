"""What an audit found, in words and as JSON; what rows hold is escaped."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from qwen_sft import __version__
from qwen_sft.auditing.audit import Audit
from qwen_sft.auditing.judge import FINE, LEFT_OUT, MISSED, NEEDLESS, PASSED_OVER, RIGHT
from qwen_sft.auditing.parts import FAULTS, Part
from qwen_sft.auditing.tally import Exhibit
from qwen_sft.errors import InputError
from qwen_sft.templating.chatml import HEADER
from qwen_sft.text.terminal import one_line, printable, styled
from qwen_sft.tokenizing.tokenizer import Tokenizer

_OUTCOMES = {
    "trained_rightly": RIGHT,
    "trained_wrongly": NEEDLESS,
    "untrained_rightly": LEFT_OUT,
    "untrained_wrongly": MISSED,
    "in_untrained_answers": PASSED_OVER,
}
"""What became of tokens, as JSON calls it."""
_MOST_STRETCHES = 24
_AROUND = 2
_LONG = 12
_LONG_TEXT = 400


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring tokens of one part, one training and one fault, of a row that is shown.

    Attributes:
        start: its first token's place in the row.
        fault: its name; "" where nothing is wrong.
    """

    start: int
    end: int
    part: Part
    trained: bool
    fault: str


def stretches(one: Exhibit) -> list[Stretch]:
    """A row from its first token to its last."""
    if not len(one.ids):
        return []
    state = np.stack([one.parts, one.trained, one.faults])
    edges = [0, *(np.flatnonzero((state[:, 1:] != state[:, :-1]).any(axis=0)) + 1).tolist(), len(one.ids)]
    return [
        Stretch(
            a,
            b,
            Part(int(one.parts[a])),
            bool(one.trained[a]),
            "" if one.faults[a] == FINE else FAULTS[int(one.faults[a])].name,
        )
        for a, b in pairwise(edges)
    ]


def shown(every: Sequence[Stretch]) -> list[Stretch | int]:
    """The stretches around faults; a number stands for so many others between them."""
    faulty = {i for i, one in enumerate(every) if one.fault}
    near = {i + step for i in faulty for step in range(-_AROUND, _AROUND + 1)} & set(range(len(every)))
    near |= {i for i in range(1, len(every) - 1) if {i - 1, i + 1} <= near}
    chosen = sorted(near)[:_MOST_STRETCHES]
    made: list[Stretch | int] = []
    before = -1
    for i in chosen:
        if i > before + 1:
            made.append(i - before - 1)
        made.append(every[i])
        before = i
    if before + 1 < len(every):
        made.append(len(every) - before - 1)
    return made


# -- in words ----------------------------------------------------------------------------------------------------------


def text_report(result: Audit, n_worst: int, colour: bool, width: int) -> Iterator[str]:
    """The lines of a report."""
    tally = result.tally
    yield from _summary(result)
    if result.found:
        yield ""
        label = max(len(count.fault.name) for count in result.found) + 2
        yield f"{'fault':<{label}}{'rows':>9}{'tokens':>12}  what"
        for count in result.found:
            allowed = count.fault.name in result.allowed
            name = styled(f"{count.fault.name:<{label}}", "dim" if allowed else "error", colour)
            says = count.fault.says + (" (allowed)" if allowed else "")
            yield f"{name}{count.n_rows:>9,}{count.n_tokens:>12,}  {says}"
    if tally.confusion.any():
        yield ""
        # 79 columns: a screen has 80
        yield f"{'part':<17}{'trained':>10}{'wrongly':>9}{'not trained':>13}{'wrongly':>9}{'in answers left out':>21}"
        for part in Part:
            counts = tally.confusion[part]
            if counts.any():
                right, needless, left_out, missed, passed = (f"{int(n):,}" if n else "-" for n in counts)
                yield f"{part.label:<17}{right:>10}{needless:>9}{left_out:>13}{missed:>9}{passed:>21}"
    worst = tally.worst(n_worst)
    if worst:
        yield ""
        yield f"{len(worst)} of the worst rows; T is trained, ! is wrong, ⏎ a newline:"
    for one in worst:
        yield ""
        yield from _exhibit(one, result.grammar.tokenizer, colour, width)
    for count in result.failing:
        yield ""
        yield f"{styled('fix', 'fix', colour)} {count.fault.name}: {count.fault.fix}"
    for file, broken in tally.told[:n_worst]:
        yield ""
        yield f"{one_line(file)}:{broken.line} {broken.fault}: {printable(broken.says)}"


def _summary(result: Audit) -> Iterator[str]:
    tally = result.tally
    rows = "1 row" if tally.n_rows == 1 else f"{tally.n_rows:,} rows"
    files = "1 file" if result.files == 1 else f"{result.files:,} files"
    by = " and ".join(f"{name} of {n:,}" if len(tally.columns) > 1 else name for name, n in tally.columns.items())
    yield (
        f"{rows} in {files}, judged by {by or 'nothing'}: {tally.n_tokens:,} tokens, "
        f"{tally.n_trained:,} trained, {int(tally.confusion[:, RIGHT].sum()):,} of them rightly"
    )
    for (file, lacks), n_rows in tally.n_unjudged_rows.items():
        yield f"not judged: {n_rows:,} {'record' if n_rows == 1 else 'records'} of {one_line(file)}: {one_line(lacks)}"
    for prompt, n_answers in zip(result.grammar.prompts, tally.asked.tolist(), strict=True):
        if n_answers:
            sent = HEADER + result.grammar.tokenizer.decode(list(prompt.ids))
            yield f"trained answers behind the prompt {sent!r}, as {prompt.request} asks for it: {n_answers:,}"
    for n, says in _notes(result):
        yield f"{says}: {n:,}"


def _notes(result: Audit) -> list[tuple[int, str]]:
    tally = result.tally
    every = [
        (
            tally.n_history,
            "answers that only stand as history: the template changes them there, or nobody has asked for them",
        ),
        (tally.n_trained_elsewhere, "answers that only stand as history, and another row trains them"),
        (tally.n_untrained_answers, "answers that no row trains"),
        (tally.n_cut, "trained answers that are cut off before their stop token"),
        (tally.n_rewritten, "trained answers behind think blocks that the server's template does not print there"),
        (tally.n_unjudged, "trained tokens before a row's first turn, which cannot be judged"),
    ]
    return [(n, says) for n, says in every if n]


def _exhibit(one: Exhibit, tokenizer: Tokenizer, colour: bool, width: int) -> Iterator[str]:
    kinds = ", ".join(f"{FAULTS[i].name} {int(one.counts[i]):,}" for i in np.flatnonzero(one.counts))
    yield (
        f"{styled(f'{one_line(one.file)}:{one.line}', 'code', colour)} {len(one.ids):,} tokens, "
        f"{int(one.trained.sum()):,} trained: {kinds}"
    )
    for each in shown(stretches(one)):
        if isinstance(each, int):
            yield f"     … {each:,} more"
            continue
        gutter = ("T" if each.trained else " ") + ("!" if each.fault else " ")
        style = "error" if each.fault else "ok" if each.trained else "dim"
        tokens = _tokens(one, each, tokenizer)
        label = each.part.label
        for line in _lines(tokens, max(40, width - 22)):
            yield f"{styled(gutter, style, colour)} {label:<17} {styled(line, style, colour)}"
            label, gutter = "", "  "


def _tokens(one: Exhibit, each: Stretch, tokenizer: Tokenizer) -> list[str]:
    """The tokens of a stretch as text; of a long one its ends."""
    size = each.end - each.start
    if size <= _LONG + 1:
        return [_token(int(i), tokenizer) for i in one.ids[each.start : each.end]]
    half = _LONG // 2
    first = [_token(int(i), tokenizer) for i in one.ids[each.start : each.start + half]]
    last = [_token(int(i), tokenizer) for i in one.ids[each.end - half : each.end]]
    return [*first, f"… {size - 2 * half:,} tokens …", *last]


def _token(token: int, tokenizer: Tokenizer) -> str:
    """One token as text: a newline is written ⏎, a tab ⇥, a byte of no whole character <0xNN>."""
    try:
        data = tokenizer.decode_bytes([token])
    except InputError:
        return f"<id {token}>"
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return "".join(f"<0x{byte:02X}>" for byte in data)
    return printable(text).replace("\n", "⏎").replace("\t", "⇥")


def _lines(tokens: Sequence[str], width: int) -> Iterator[str]:
    line = ""
    for token in tokens:
        piece = f"{token}│"
        if line and len(line) + len(piece) > width:
            yield line
            line = ""
        line += piece
    if line:
        yield line


# -- as JSON -----------------------------------------------------------------------------------------------------------


def json_report(result: Audit, n_worst: int) -> dict[str, Any]:
    """The result as JSON values."""
    tally, grammar = result.tally, result.grammar
    return {
        "qwen_sft": __version__,
        "model": result.model,
        "exit_code": result.exit_code,
        "n_files": result.files,
        "n_rows": tally.n_rows,
        "n_tokens": tally.n_tokens,
        "n_trained_tokens": tally.n_trained,
        "columns": dict(tally.columns),
        "not_judged": [
            {"file": file, "says": lacks, "n_records": n} for (file, lacks), n in tally.n_unjudged_rows.items()
        ],
        "faults": [
            {
                "name": count.fault.name,
                "says": count.fault.says,
                "fix": count.fault.fix,
                "allowed": count.fault.name in result.allowed,
                "n_rows": count.n_rows,
                "n_tokens": count.n_tokens,
            }
            for count in result.found
        ],
        "confusion": {
            part.label: {name: int(tally.confusion[part, outcome]) for name, outcome in _OUTCOMES.items()}
            for part in Part
            if tally.confusion[part].any()
        },
        "prompts": [
            {
                "request": prompt.request,
                "prompt": HEADER + grammar.tokenizer.decode(list(prompt.ids)),
                "n_trained_answers": n_answers,
            }
            for prompt, n_answers in zip(grammar.prompts, tally.asked.tolist(), strict=True)
        ],
        "answers": {
            "trained": result.tally.n_trained_answers,
            "only_history": tally.n_history,
            "trained_in_another_row": tally.n_trained_elsewhere,
            "untrained": tally.n_untrained_answers,
            "cut_off": tally.n_cut,
            "behind_rewritten_history": tally.n_rewritten,
        },
        "n_unjudged_tokens": tally.n_unjudged,
        "unreadable": [
            {"file": file, "line": broken.line, "fault": broken.fault, "says": broken.says}
            for file, broken in tally.told[:n_worst]
        ],
        "worst": [_worst(one, grammar.tokenizer) for one in tally.worst(n_worst)],
    }


def _worst(one: Exhibit, tokenizer: Tokenizer) -> dict[str, Any]:
    every = stretches(one)
    return {
        "file": one.file,
        "line": one.line,
        "n_tokens": len(one.ids),
        "n_trained_tokens": int(one.trained.sum()),
        "faults": {FAULTS[i].name: int(one.counts[i]) for i in np.flatnonzero(one.counts)},
        "stretches": [
            {
                "start": each.start,
                "end": each.end,
                "part": each.part.label,
                "trained": each.trained,
                "fault": each.fault,
                "text": "".join(_token(int(i), tokenizer) for i in one.ids[each.start : each.end])[:_LONG_TEXT],
            }
            for each in shown(every)
            if isinstance(each, Stretch)
        ],
    }
