"""What `qwen-sft show` shows: which records of some traces, or which rows of a built set."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_sft.errors import UsageError
from qwen_sft.ingesting.ingest import Input, records
from qwen_sft.pipeline import Outcome, Pipeline

if TYPE_CHECKING:
    from qwen_sft.encoding.model import Model
    from qwen_sft.parser import ToolParser
    from qwen_sft.showing.view import View

_BATCH = 32
_COLUMNS = ("input_ids", "labels", "kinds", "weights", "turns", "source_file", "source_line")


@dataclass(frozen=True, slots=True)
class Pick:
    """What is asked for; all of it must hold.

    Attributes:
        first, last: the place among all, from 1; None for the end.
        codes: codes of rules, letters of them, or names: the record has such a finding.
        tool: is called.
        source: a pattern of the files' names.
        longer_than: tokens; a row has more.
    """

    first: int = 1
    last: int | None = None
    codes: tuple[str, ...] = ()
    tool: str | None = None
    source: str | None = None
    longer_than: int | None = None

    @property
    def searches(self) -> bool:
        """True if more is asked than a place."""
        return bool(self.codes or self.tool or self.source or self.longer_than is not None)

    def is_from(self, file: str) -> bool:
        """True for a file that is asked for."""
        from qwen_sft.asking.pathglob import is_matched
        from qwen_sft.reporter import in_checkout

        return self.source is None or is_matched(in_checkout(file), [self.source])


def pick_of(
    rows: str | None, codes: Sequence[str], tool: str | None, source: str | None, longer_than: int | None
) -> Pick:
    """What flags ask for; nothing but the first where none is given.

    Args:
        rows: `12`, `10-20`, or `10-`.

    Raises:
        UsageError: a range or a code that is none.
    """
    from qwen_sft.rule import rules

    named = tuple(code for part in codes for each in part.split(",") if (code := each.strip()))
    for code in named:
        if not any(rule.is_named([code]) for rule in rules().values()):
            raise UsageError(f"no rule {code!r}; see: qwen-sft rule")
    searches = bool(named or tool or source or longer_than is not None)
    first, last = (1, None if searches else 1) if rows is None else _range(rows)
    return Pick(first, last, named, tool, source, longer_than)


def _range(text: str) -> tuple[int, int | None]:
    match = re.fullmatch(r"(\d+)(-(\d*))?", text.strip())
    first = int(match[1]) if match else 0
    last = first if match and match[2] is None else int(match[3]) if match and match[3] else None
    if not first or (last is not None and last < first):
        raise UsageError(f"--row is {text!r}; it can be a number from 1, as 12, or a range, as 10-20 or 10-")
    return first, last


# -- traces ------------------------------------------------------------------------------------------------------------


def outcomes_of(inputs: Sequence[Input], pipeline: Pipeline, pick: Pick) -> Iterator[tuple[Outcome, bool]]:
    """Each record that was looked at, and whether it is asked for.

    Raises:
        InputError: an input cannot be opened.
    """
    number, batch = 0, list[Any]()
    size = _BATCH if pick.searches else 1
    for source in inputs:
        for record in pipeline.whole(records(source)):
            number += 1
            if pick.last is not None and number > pick.last:
                break
            if number < pick.first or not pick.is_from(record.where.file):
                continue
            batch.append(record)
            if len(batch) == size:
                yield from ((one, _fits(one, pick)) for one in pipeline.process(batch))
                batch = []
        if pick.last is not None and number > pick.last:
            break
    yield from ((one, _fits(one, pick)) for one in pipeline.process(batch))


def _fits(outcome: Outcome, pick: Pick) -> bool:
    from qwen_sft.rule import is_named

    if pick.codes and not any(is_named(found.code, found.name, pick.codes) for found in outcome.diagnostics):
        return False
    if pick.longer_than is not None and not any(len(row.tokens.input_ids) > pick.longer_than for row in outcome.rows):
        return False
    return pick.tool is None or any(
        call["function"]["name"] == pick.tool
        for one in outcome.conversations
        for message in one.sample.get("messages", ())
        for call in message.get("tool_calls", ())
    )


# -- a built set -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PickedRow:
    """A row of a built set: its number, where it stands, the record that it came from, and its tokens."""

    number: int
    place: str
    source: str
    view: "View"


def rows_of(
    folder: Path, manifest: dict[str, Any], inputs: Sequence[Input], pick: Pick
) -> Iterator[tuple[Input, int, PickedRow | None]]:
    """After each row that was looked at, its file, how many more rows that makes, and the row if it is asked for.

    Raises:
        UsageError: findings are asked for, or the rows do not hold what they are.
        ModelError: the set's model cannot be loaded.
        InputError: a file cannot be read.
    """
    from qwen_sft.decoding.columnar import n_rows, tables
    from qwen_sft.encoding.model import load_model
    from qwen_sft.family import families
    from qwen_sft.serving.server import serving

    if pick.codes:
        raise UsageError(f"a built set holds no findings; look at those that were rejected: {folder}/rejects.jsonl")
    if manifest["writer"].get("writes") != "tokens":
        raise UsageError(
            f"the rows of {str(folder)!r} are conversations; name the files with a model: "
            f"qwen-sft show {folder}/data --model {manifest['model']['name']}"
        )
    model = load_model(str(manifest["model"]["name"]), families())
    if model.tokenizer.fingerprint != manifest["model"]["tokenizer_sha256"]:
        raise UsageError(f"{model.name} has another tokenizer than the set was made with; its tokens cannot be read")
    wire = model.family.parser
    parser = None if wire is None else serving(str(manifest["settings"]["serve"])).parser(wire)
    number = 0
    for source in inputs:
        assert source.path is not None
        held = n_rows(source.path)
        if held is not None and number + held < pick.first:
            number += held
            yield source, held, None
            continue
        at = 0
        with tables(source.name, source.path, _BATCH, lambda name: name in _COLUMNS) as (_, batches):
            for batch in batches:
                for k in range(batch.num_rows):
                    number, at = number + 1, at + 1
                    if pick.last is not None and number > pick.last:
                        return
                    row = batch.slice(k, 1)
                    fits = number >= pick.first and _is_picked(row, pick)
                    made = _row(row, number, f"{source.name}:{at}", model, parser) if fits else None
                    if made is not None and pick.tool is not None and pick.tool not in _called(made.view):
                        made = None
                    yield source, 1, made


def _cell(row: Any, name: str) -> Any:
    """The value of a column; None where the row has none."""
    return row.column(name)[0] if name in row.schema.names else None


def _is_picked(row: Any, pick: Pick) -> bool:
    file = _cell(row, "source_file")
    is_from = pick.source is None or (file is not None and pick.is_from(str(file.as_py())))
    return is_from and (pick.longer_than is None or len(_cell(row, "input_ids")) > pick.longer_than)


def _row(row: Any, number: int, place: str, model: "Model", parser: "ToolParser | None") -> PickedRow:
    import numpy as np

    from qwen_sft.parser import Parsed
    from qwen_sft.showing.view import Turn, View, view
    from qwen_sft.tokens import GENERATED, IGNORE, Kind, Tokens
    from qwen_sft.viewing.row import declared

    def array(name: str, kind: Any) -> Any:
        cell = _cell(row, name)
        return None if cell is None else cell.values.to_numpy(zero_copy_only=False).astype(kind)

    ids, kinds, turns = array("input_ids", np.int32), array("kinds", np.int8), array("turns", np.int32)
    if kinds is None:
        raise UsageError(f"{place}: the rows do not say of what kind each token is, so nothing of them can be shown")
    trained = array("labels", np.int64) != IGNORE
    is_header = (kinds == Kind.HEADER).astype(np.int8)
    answers = np.cumsum(np.diff(is_header, prepend=np.int8(0)) == 1).astype(np.int32)  # which answer a token is of
    weights = array("weights", np.float32)
    tokens = Tokens(ids, trained, kinds, answers, tuple(turns.tolist()), 0, (), weights=weights)
    made: dict[int, Turn] = {}
    tools = [
        {"type": "function", "function": one} for one in declared(model.tokenizer.decode(ids[kinds == Kind.TOOLS]))
    ]
    for answer in dict.fromkeys(answers[trained].tolist()):
        here = answers == answer
        start = int(np.flatnonzero(here & np.isin(kinds, list(GENERATED)))[0])
        said = model.tokenizer.decode(ids[here & (kinds == Kind.CALL)])
        read = parser.read(said, tools, thinking=None) if parser is not None and said else None
        n_bytes = len(model.tokenizer.decode_bytes(ids[:start]))
        made[answer] = Turn(answer, start, n_bytes, "{}", False, None if read is None else Parsed(None, read.calls))
    whole = view(replace(tokens, turns=()), [], [], model, parser)
    file, line = _cell(row, "source_file"), _cell(row, "source_line")
    source = "" if file is None else f"{file.as_py()}:{line.as_py()}"
    return PickedRow(number, place, source, View(tokens, whole.stretches, made, whole.text))


def _called(view: "View") -> set[str]:
    """The tools that the trained answers of a row call."""
    return {name for turn in view.turns.values() if turn.read is not None for name, _ in turn.read.calls}
