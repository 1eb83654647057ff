"""Tables that lie in a temporary file: what they hold, and what is said where the disk is full."""

import pickle

import pytest

import qwen_sft.inspecting.census
from qwen_sft.errors import OutputError
from qwen_sft.inspecting.census import Census, Facts
from qwen_sft.inspecting.scratch import Scratch
from qwen_sft.record import Where


def test_first_row_of_a_key_stays_and_rows_come_back():
    scratch = Scratch("kept (key BLOB PRIMARY KEY, place)")
    scratch.put("kept", [(b"a", "1"), (b"b", "2"), (b"a", "3")], 2)
    assert list(scratch.ask("SELECT key, place FROM kept WHERE key >= ? ORDER BY key", b"a")) == [
        (b"a", "1"), (b"b", "2")
    ]  # fmt: skip


def test_full_disk_is_told_with_what_to_do():
    scratch = Scratch("kept (key BLOB)")
    scratch.ask("PRAGMA max_page_count = 4")
    with pytest.raises(
        OutputError,
        match=r"^what is known of the samples so far cannot be held \(database or disk is full\); it lies in a "
        r"temporary file: make room, or name a folder that has some in TMPDIR$",
    ):
        scratch.put("kept", ((bytes(1000),) for _ in range(100)), 1)


def facts(said: int) -> Facts:
    return Facts(said, 0, 0, "", (), (), 0, 0)


def test_part_of_a_census_stays_whole_until_it_is_merged(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(qwen_sft.inspecting.census, "HELD", 2)
    whole, part = Census(), Census(is_part=True)
    for line in range(1, 6):
        whole.see(facts(line), Where("a.jsonl", line))
        part.see(facts(line), Where("b.jsonl", line))
    whole.merge(pickle.loads(pickle.dumps(part)))
    assert (whole.n_samples, whole.repeats()) == (10, (5, 0, 5, 0))
    assert (whole.place(0), whole.place(5), whole.place(9)) == ("a.jsonl:1", "b.jsonl:1", "b.jsonl:5")
