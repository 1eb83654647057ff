"""Templates that rewrite history: which assistant turns share one rendering, in one pass and without rendering any.

All that such a template changes in a turn that it has printed once is its think block, by where the turn stands: it may
be the last message, or stand behind the user's last query, or before that.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from qwen_sft.asking.request import Options, OptionsOf
from qwen_sft.family import Plan, Run
from qwen_sft.sample import Message

EMPTY_REASONING = "<think>\n\n</think>\n\n"
OPEN_REASONING = "<think>\n"


class Forms(msgspec.Struct, frozen=True, gc=False):
    """A turn's think block and words, as the template prints them; what it prints behind that is the same everywhere.

    Attributes:
        last: as the last message.
        recent: behind the user's last query, with more messages to come.
        old: before the user's last query.
    """

    last: str
    recent: str
    old: str


class _Turn(msgspec.Struct, frozen=True):
    """A turn that has a prompt.

    Attributes:
        index: where it stands.
        options: of its request.
        ends_row: nothing may follow it in its row.
        ends_stretch: the user's next query may not follow it in its row.
        alone: its row serves no other turn.
        frame: what its options print elsewhere than in the turns.
        stretch: the index of the query that it answers; None before the first.
    """

    index: int
    options: Options
    ends_row: bool
    ends_stretch: bool
    alone: bool
    frame: str
    stretch: int | None


def plan_by_forms(
    messages: Sequence[Message],
    options_of: OptionsOf,
    *,
    asks: Callable[[Message, int], bool],
    forms: Callable[[Message, int, bool], Forms],
    prefill: Callable[[Options], str],
    frame: Callable[[Options], str] | None = None,
    refused: Mapping[int, str] | None = None,
    empty_reasoning: str = "",
) -> Plan:
    """The plan of a sample under a template that rewrites history, minimal in number.

    Args:
        asks: whether a message is a query of the user.
        forms: how a turn is printed; told whether a query stands before it.
        prefill: what the generation prompt holds behind the turn's header.
        frame: what the options print elsewhere: turns for which it differs share no rendering.
        refused: turns whose prompt the template does not print, with the reason.
        empty_reasoning: as in Family.
    """
    turns: list[_Turn] = []
    untrained = dict(refused or {})
    stretch: int | None = None
    fades = False  # an earlier turn of this stretch looks otherwise once the next query has come
    reprinted = False  # the message right before looks otherwise as the last one
    for index, message in enumerate(messages):
        if asks(message, index):
            stretch, fades = index, False
        if message.get("role") != "assistant":
            reprinted = False
            continue
        shown = forms(message, index, stretch is not None)
        if index and index not in untrained:
            options = options_of(index)
            sent = prefill(options)
            if shown.last.startswith(sent):
                said = shown.last.removeprefix(sent)
                fits = (shown.last, sent + said.removeprefix(empty_reasoning))
                ends_row = reprinted or shown.recent not in fits
                ends_stretch = fades or shown.old not in fits
                turns.append(
                    _Turn(index, options, ends_row, ends_stretch, reprinted, frame(options) if frame else "", stretch)
                )
            else:
                untrained[index] = f"its prompt ends with {sent!r}, and the template prints the turn without that"
        fades |= shown.recent != shown.old
        reprinted = shown.last != shown.recent
    return Plan(_runs(turns), untrained)


def _runs(turns: Sequence[_Turn]) -> tuple[Run, ...]:
    """As few rows as there can be.

    From the end: a row ends with its last turn, so the last turn that no row serves yet ends the next one, and the rows
    that begin to serve late reach furthest.
    """
    rows: dict[int, list[int]] = {}
    options: dict[int, Options] = {}
    furthest: dict[tuple[str, int | None], int] = {}
    anywhere = -1
    for turn in reversed(turns):
        place = (turn.frame, turn.stretch if turn.ends_stretch else anywhere)
        row = None if turn.ends_row else furthest.get(place)
        if row is not None:
            rows[row].append(turn.index)
            continue
        rows[turn.index] = [turn.index]
        options[turn.index] = turn.options
        if not turn.alone:
            furthest.setdefault((turn.frame, turn.stretch), turn.index)
            furthest.setdefault((turn.frame, anywhere), turn.index)
    runs = [Run(tuple(reversed(row)), options[last]) for last, row in rows.items()]
    return tuple(sorted(runs, key=lambda run: run.turns))
