from typing import Any

import pytest
from reading import FORMATS, example_files

from qwen_sft.format import Candidates, recognising
from qwen_sft.ingesting.ingest import expand, records
from qwen_sft.reading.chat import dialogue, has_role, have_parts, keys_of
from qwen_sft.text.glance import ONE_RECORD, shared

CANDIDATES = Candidates(FORMATS.values())


def values_of(kind: str) -> list[Any]:
    """The lines of a format's example, each before any others are joined to it."""
    files = expand([str(path) for path in example_files(kind)])
    return [record.data for file in files for record in records(file) if record.fault is None]


@pytest.mark.parametrize("kind", FORMATS)
def test_fields_of_a_format_leave_none_of_its_records_and_first_lines_out(kind: str):
    values = values_of(kind)
    assert values
    for value in values:
        asked = CANDIDATES.of(value)
        assert recognising(asked, value) == recognising(FORMATS.values(), value)
        begun = [one.name for one in FORMATS.values() if one.joins and one.joins((), value)]
        assert [one.name for one in asked if one.joins and one.joins((), value)] == begun


def test_candidates_are_the_formats_whose_fields_a_record_has_and_those_that_name_none():
    names = [one.name for one in CANDIDATES.of({"traj": []})]
    assert names == [one.name for one in FORMATS.values() if one.fields is None or "traj" in one.fields]
    assert "tau_bench" in names
    assert "gemini" not in names
    assert CANDIDATES.of([]) == tuple(FORMATS.values())
    assert CANDIDATES.of({str(n): n for n in range(100)}) == tuple(FORMATS.values())


def test_candidates_of_many_layouts_stay_right():
    few = Candidates(FORMATS.values())
    for n in range(1200):
        assert few.of({"traj": [], f"column {n}": 1}) == few.of({"traj": []})


def test_question_is_answered_once_for_one_record_and_never_remembered_beyond_it():
    asked: list[Any] = []

    @shared
    def size(value: list[int]) -> int:
        asked.append(value)
        return len(value)

    given = [1]
    with ONE_RECORD:
        with ONE_RECORD:
            assert size(given) == size(given) == 1
        assert size(given) == 1
        assert size([1, 2]) == 2
    assert len(asked) == 2
    given.append(2)
    with ONE_RECORD:
        assert size(given) == 2
    given.append(3)
    assert size(given) == 3


def test_record_that_changes_between_two_looks_is_seen_as_it_is():
    record: dict[str, Any] = {"messages": []}
    assert recognising(FORMATS.values(), record) == []
    record["messages"].append({"role": "user", "content": "Hi"})
    assert [one.name for one in recognising(FORMATS.values(), record)] == ["openai_chat"]


def test_keys_roles_and_parts_of_turns_whatever_these_are():
    odd: list[Any] = [{"role": "user", "content": []}, 3, None, [{}], "text", {"role": {}, "loss": 1}]
    assert keys_of(odd) == {"role", "content", "loss"}
    assert keys_of([]) == set()
    assert have_parts(odd)
    assert not have_parts([{"role": "user"}, {"content": "text"}, 3])
    assert has_role(odd, frozenset({"user"}))
    assert not has_role(odd, frozenset({"tool"}))
    assert not has_role([{"role": ["tool"]}, {"content": ""}], frozenset({"tool"}))


def test_item_of_another_api_behind_many_turns_makes_a_list_no_dialogue():
    turns: list[Any] = [{"role": "user", "content": "Hi"}] * 5000
    assert dialogue(turns) is not None
    assert dialogue([*turns, {"type": "function_call", "name": "f"}]) is None
    assert dialogue([*turns, {"type": "message", "role": "user"}]) is not None
