"""Why records are read as what they are: `qwen-sft formats --explain`."""

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from qwen_sft.format import Candidates, Format, formats, recognising
from qwen_sft.ingesting.ingest import Input, records
from qwen_sft.reading.gather import gathered
from qwen_sft.record import Record, Where
from qwen_sft.sample import is_list, is_object
from qwen_sft.text.quote import quoted


@dataclass(slots=True)
class Seen:
    """Records of one file that were recognised alike.

    Attributes:
        names: the formats that recognise them: one, or none, or several, which is an error.
        why: what tells these formats; for none of them, what the first record looks like.
        first: the place of the first one.
        refusal: why the first one that gave no sample did not.
    """

    names: tuple[str, ...]
    why: str
    first: Where
    n_records: int = 0
    n_lines: int = 0
    n_samples: int = 0
    n_refused: int = 0
    refusal: str = ""


def explained(inputs: Iterable[Input]) -> Iterator[tuple[Input, list[Seen]]]:
    """What was seen in each file, the records that are alike counted together."""
    shelf = formats()
    candidates = Candidates(shelf.values())
    joining = [one for one in shelf.values() if one.joins]
    for source in inputs:
        groups: dict[tuple[str, ...], Seen] = {}
        for record in gathered(records(source), joining):
            found = [] if record.fault else recognising(candidates.of(record.data), record.data)
            names = ("unreadable",) if record.fault else tuple(one.name for one in found)
            seen = groups.setdefault(names, Seen(names, _why(found, record), record.where))
            _count(seen, found, record)
        yield source, list(groups.values())


def _count(seen: Seen, found: list[Format], record: Record) -> None:
    seen.n_records += 1
    seen.n_lines += len(record.parts) or 1
    if len(found) != 1:
        return
    reading = found[0].read(record.data)
    seen.n_samples += len(reading.conversations)
    if reading.refusal is not None:
        seen.n_refused += 1
        seen.refusal = seen.refusal or reading.refusal.says


def _why(found: list[Format], record: Record) -> str:
    if record.fault:
        return record.fault
    return "; ".join(shape(one) for one in found) or looks(record.data)


def shape(format: Format) -> str:
    """What tells a format from others, in a sentence: the first line of what `recognises` says of itself."""
    told = inspect.getdoc(format.recognises) or format.title
    return " ".join(told.partition("\n\n")[0].split()).removeprefix("True if ").rstrip(".")


def looks(data: object) -> str:
    """What a record of no known shape looks like: its keys, or those of the first of a list."""
    if is_object(data):
        return "an object with " + (", ".join(quoted(key, 30) for key in list(data)[:8]) or "no key")
    if is_list(data) and data:
        return f"a list of {len(data):,}, the first of them {looks(data[0])}"
    return quoted(data)
