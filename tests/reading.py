"""What tests of formats share: records as a run reads them, and the laws that hold for every reading."""

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from qwen_sft.format import Format, Reading, formats, recognising, unbalanced
from qwen_sft.ingesting.ingest import expand, records
from qwen_sft.reading.gather import gathered
from qwen_sft.record import Record
from qwen_sft.sample import json_path

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples" / "formats"
FORMATS = formats()


@cache
def schema() -> Any:
    """The published schema of a sample."""
    return jsonschema_rs.validator_for(json.loads((ROOT / "schemas" / "sample.schema.json").read_text()))


def records_of(*paths: Path) -> Iterator[Record]:
    """The records of some files, the lines of one record put together, as the pipeline reads them."""
    joining = [kind for kind in FORMATS.values() if kind.joins]
    for file in expand([str(path) for path in paths]):
        yield from gathered(records(file), joining)


def example_files(kind: str) -> list[Path]:
    """The raw files of a format's example: `raw.jsonl`, or several `raw*` where a record takes a file."""
    found = sorted((EXAMPLES / kind).glob("raw*"))
    assert found
    return found


def recognised(data: Any) -> list[str]:
    """The names of the formats that read a record: one, or it is refused."""
    return [kind.name for kind in recognising(FORMATS.values(), data)]


def read_whole(kind: Format, record: Any) -> Reading:
    """The reading of a record, once the laws are checked that hold for every reading."""
    before = copy.deepcopy(record)
    reading = kind.read(record)
    assert repr(record) == repr(before)
    if reading.refusal is None:
        assert unbalanced(kind.events(record), reading) == []
        assert reading.conversations
    else:
        assert reading.conversations == []
        assert reading.refusal.says
        assert reading.refusal.fix
    for conversation in reading.conversations:
        assert len(conversation.origins) == len(conversation.sample["messages"])
    return reading


def samples(name: str, record: Any) -> list[Any]:
    """The samples that one format makes of a record, which no other format may recognise."""
    assert recognised(record) == [name]
    return [found.sample for found in read_whole(FORMATS[name], record).conversations]


def fates(name: str, record: Any) -> list[tuple[str, str, str, bool]]:
    """What became of the events that are no message of their own: path, fate, reason, whether words were lost."""
    return [(json_path(e.path), e.fate, e.reason, e.loses) for e in FORMATS[name].read(record).aside]
