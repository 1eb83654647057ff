"""Writers: what is read back equals what went in, whoever reads it, and each trainer's own loader takes the files."""

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pandas.io.json import ujson_loads  # what datasets reads `Json` with
from strategies import json_values, texts

from qwen_sft.building.build import build
from qwen_sft.building.outfolder import UNFINISHED
from qwen_sft.cli import main
from qwen_sft.errors import OutputError, UsageError
from qwen_sft.record import Where
from qwen_sft.sample import Sample
from qwen_sft.settings import Settings
from qwen_sft.tokenizing.vocabulary import tokenizer_json
from qwen_sft.tokens import Tokens
from qwen_sft.writer import Part, Row, Writer, shown, talks, writer_named, writers
from qwen_sft.writing.chat import TEMPLATE_FIELDS
from qwen_sft.writing.spelling import datasets_text, json_text, spelled, unreadable

ROOT = Path(__file__).parents[1]
CLEAN, THINKING = ROOT / "examples" / "clean.jsonl", ROOT / "examples" / "thinking.jsonl"
WRITERS = writers()
OF_TOKENS = [name for name, one in WRITERS.items() if one.writes == "tokens"]
OF_CONVERSATIONS = [name for name, one in WRITERS.items() if one.writes == "conversations"]
QWEN3 = Settings(model="qwen3")


def is_exact(one: Any, other: Any) -> bool:
    """True for JSON values that are printed alike: types, signs of zero, keys and their order."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(is_exact(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_exact, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


# -- rows without a model ---------------------------------------------------------------------------------------------


def tokens(n_messages: int, turns: tuple[int, ...], n_tokens: int = 5) -> Tokens:
    """Any tokens of a row that trains these turns, the last two of them in the loss."""
    mask = np.arange(n_tokens) >= n_tokens - 2
    kinds = np.where(mask, 8, 3).astype(np.int8)
    ids = np.arange(n_tokens, dtype=np.int32) + 40_000
    last = np.full(n_tokens, n_messages - 1, dtype=np.int32)
    return Tokens(ids, mask, kinds, last, turns, n_messages, ((n_tokens - 2, n_tokens),) * len(turns))


def row(sample: Sample, line: int = 1, *, turns: tuple[int, ...] | None = None, **more: Any) -> Row:
    """The row of a sample, in which all turns of the assistant are trained."""
    messages = sample.get("messages", [])
    spoken = tuple(i for i, message in enumerate(messages) if message.get("role") == "assistant")
    made = tokens(len(messages), spoken if turns is None else turns)
    return Row(made, Where("a.jsonl", line), sample.get("id", ""), 0, sample, **more)


def placed(parts: list[Part], folder: Path) -> list[str]:
    """Gives the files their names, as a build does, and says them."""
    for part in parts:
        (folder / part.name).parent.mkdir(parents=True, exist_ok=True)
        part.path.rename(folder / part.name)
    return [part.name for part in parts]


def written(name: str, rows: list[Row], folder: Path, shard_size: int = 500_000_000) -> list[dict[str, Any]]:
    """What a writer reads back of rows that it wrote one by one."""
    opened = WRITERS[name].open(folder, shard_size)
    for one in rows:
        opened.write([one])
    placed(opened.finish(), folder)
    return WRITERS[name].read(folder)


CALL_IDS = st.sampled_from(["c1", "c2"])


@st.composite
def tool_samples(draw: st.DrawFn) -> Sample:
    """Conversations that take turns, with calls of any arguments, and tools of any schema."""
    arguments = st.dictionaries(texts(), json_values(6), max_size=4)
    messages: list[Any] = [{"role": "system", "content": draw(texts())}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 2))):
        messages.append({"role": "user", "content": draw(texts())})
        if draw(st.booleans()):
            names = draw(st.lists(st.sampled_from(["f", "天气", "a b"]), min_size=1, max_size=2))
            calls = [
                {"type": "function", "id": f"c{i}", "function": {"name": name, "arguments": draw(arguments)}}
                for i, name in enumerate(names)
            ]
            said = draw(texts()).replace("<tool_call>", "")
            turn: Any = {"role": "assistant", "content": said, "tool_calls": calls}
            if draw(st.booleans()):
                turn["reasoning_content"] = "Hm."
            messages.append(turn)
            messages += [{"role": "tool", "content": draw(texts()), "tool_call_id": call["id"]} for call in calls]
        messages.append({"role": "assistant", "content": draw(texts())})
    sample: Any = {"id": draw(texts()), "messages": messages}
    if draw(st.booleans()):
        function = {"name": "f", "description": draw(texts()), "parameters": draw(json_values(6))}
        sample["tools"] = [{"type": "function", "function": function}]
    return sample


def called(*values: Any, asked: str = "Go.") -> Sample:
    """A conversation with these values as arguments."""
    function = {"name": "f", "arguments": {str(i): value for i, value in enumerate(values)}}
    return {
        "messages": [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]},
            {"role": "tool", "content": "done"},
            {"role": "assistant", "content": "Done."},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"0": {}}}}}],
    }


HARD = called(
    *("2025", "true", "null", "{}", None, {}, [], {"a": None}, [None], -0.0, 0.0, 1.0, 1, 0.7, 7.56, 71.199109, 1e16),
    *(2**53 + 1, 2**63, 2**64 - 1, -(2**63), 1e300, 1e-300, 0.1 + 0.2, "\x00", "\u2028", "e\u0301", "\U0001f600"),
    *("\x85a\x0bb\x1c", "</tool_call>", "</think>", {"b": 1, "a": 2}, {"a": 2, "b": 1}, "\\", "\r\n", True, False),
)
TINY = 3.2427673424582767e-308
TOO_HARD = called(2**64, -(2**63) - 1, 10**400, TINY, "\ud800")
"""What JSON text holds and the `Json` of datasets does not."""


def templated(sample: Sample) -> list[Any]:
    return [{key: value for key, value in one.items() if key in TEMPLATE_FIELDS} for one in sample.get("messages", [])]


def parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def by_datasets(texts_: list[str] | None) -> Any:
    """A `List(Json)` as `datasets` reads it."""
    return None if texts_ is None else [ujson_loads(text) for text in texts_]


# What each writer's rows hold of a conversation, told again from the file alone; and the same from the sample.


def conversations_told(rows: list[Any]) -> Any:
    (one,) = rows
    return parsed(one["messages"]), parsed(one["tools"]), one["trained_turns"]


def trl_told(rows: list[Any]) -> Any:
    (one,) = rows
    assert is_exact(by_datasets(one["messages"]), [parsed(text) for text in one["messages"]])
    return by_datasets(one["messages"]), by_datasets(one["tools"])


def trl_prompt_completion_told(rows: list[Any]) -> Any:
    return [(by_datasets(r["prompt"]), by_datasets(r["completion"]), by_datasets(r["tools"]), r["turn"]) for r in rows]


def axolotl_told(rows: list[Any]) -> Any:
    (one,) = rows
    return parsed(one["messages"]), parsed(one["tools"])


def verl_told(rows: list[Any]) -> Any:
    (one,) = rows
    return parsed(one["messages"]), parsed(one["tools"])


def ms_swift_told(rows: list[Any]) -> Any:
    (one,) = rows
    said = [
        (m["role"], parsed(m["content"]) if m["role"] == "tool_call" else m["content"], m.get("loss"))
        for m in one["messages"]
    ]
    return said, parsed(one["tools"])


def llama_factory_told(rows: list[Any]) -> Any:
    (one,) = rows
    said: list[Any] = []
    for turn in one["conversations"]:
        text, calls = turn["value"], None
        if turn["from"] == "function_call":
            if text.endswith("</tool_call>"):
                text, _, told = text.removesuffix("</tool_call>").partition("<tool_call>")
                calls = parsed(told)
            else:
                thought, end, told = text.rpartition("</think>\n\n")
                text, calls = thought + end, parsed(told)
        said.append((turn["from"], text, calls))
    return one["system"], said, parsed(one["tools"])


TOLD: dict[str, Callable[[list[Any]], Any]] = {
    "axolotl": axolotl_told,
    "conversations": conversations_told,
    "llama_factory": llama_factory_told,
    "ms_swift": ms_swift_told,
    "trl": trl_told,
    "trl_prompt_completion": trl_prompt_completion_told,
    "verl": verl_told,
}


def spoken(message: Mapping[str, Any]) -> str:
    reasoning = message.get("reasoning_content", "")
    return (f"<think>\n{reasoning}\n</think>\n\n" if reasoning.strip() else "") + message["content"]


def pairs(message: Mapping[str, Any]) -> list[Any]:
    functions = [call["function"] for call in message.get("tool_calls", [])]
    return [{"name": one["name"], "arguments": one["arguments"]} for one in functions]


def of_swift(message: Mapping[str, Any]) -> Iterator[Any]:
    if message["role"] != "assistant":
        yield message["role"], message["content"], None
        return
    if spoken(message) or not pairs(message):
        yield "assistant", spoken(message), True
    for call in pairs(message):
        yield "tool_call", call, True


def of_llama_factory(sample: Any) -> Any:
    messages = sample["messages"]
    system = messages[0]["content"] if messages[0]["role"] == "system" else ""
    said: list[Any] = []
    for before, message in zip([{}, *messages], messages, strict=False):
        if message["role"] == "tool" and before["role"] == "tool":
            name, text, _ = said.pop()
            said.append((name, f"{text}\n</tool_response>\n<tool_response>\n{message['content']}", None))
        elif message["role"] == "assistant" and pairs(message):
            said.append(("function_call", spoken(message) + ("\n" if message["content"] else ""), pairs(message)))
        elif message["role"] != "system":
            name = {"user": "human", "tool": "observation", "assistant": "gpt"}[message["role"]]
            said.append((name, spoken(message), None))
    return system, said, sample.get("tools", [])


def meant(name: str, sample: Any) -> Any:
    """What a writer's rows are to hold of a conversation of which every turn is trained."""
    messages, tools = sample["messages"], sample.get("tools")
    turns = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    plain = templated(sample)
    flagged = [{**told, "training": one["role"] == "assistant"} for told, one in zip(plain, messages, strict=True)]
    return {
        "axolotl": (flagged, tools or []),
        "conversations": (messages, tools, turns),
        "llama_factory": of_llama_factory(sample),
        "ms_swift": ([made for message in messages for made in of_swift(message)], tools or []),
        "trl": (plain, tools),
        "trl_prompt_completion": [(plain[:turn], plain[turn : turn + 1], tools, turn) for turn in turns],
        "verl": (plain, tools),
    }[name]


def listed(value: Any) -> Any:
    """Tuples as lists, for `is_exact`."""
    return [listed(one) for one in value] if isinstance(value, tuple | list) else value


@pytest.mark.parametrize("name", OF_CONVERSATIONS)
@settings(max_examples=60, deadline=None)
@given(sample=tool_samples())
@example(sample=HARD)
def test_conversation_is_read_back_as_it_was(
    name: str, sample: Sample, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if WRITERS[name].refuses(sample) is not None:
        assert name in ("trl", "trl_prompt_completion")
        assert unreadable([sample.get("messages"), sample.get("tools")]) is not None
        return
    rows = written(name, [row(sample)], tmp_path_factory.mktemp(name))
    assert is_exact(listed(TOLD[name](rows)), listed(meant(name, sample)))


@pytest.mark.parametrize("name", sorted(set(OF_CONVERSATIONS) - {"trl", "trl_prompt_completion"}))
def test_json_text_holds_every_number_and_half_a_surrogate_pair(name: str, tmp_path: Path) -> None:
    assert WRITERS[name].refuses(TOO_HARD) is None
    assert is_exact(listed(TOLD[name](written(name, [row(TOO_HARD)], tmp_path))), listed(meant(name, TOO_HARD)))


def test_every_writer_of_conversations_is_tested_here() -> None:
    assert sorted(TOLD) == sorted(OF_CONVERSATIONS)
    assert sorted(OF_TOKENS) == ["axolotl_tokenized", "hf", "parquet"]


TOKEN_ARRAYS: dict[str, Callable[[Tokens], Any]] = {
    "input_ids": lambda t: t.input_ids.tolist(),
    "labels": lambda t: t.labels.tolist(),
    "attention_mask": lambda t: [1] * len(t.input_ids),
    "kinds": lambda t: t.kinds.tolist(),
    "weights": lambda t: t.loss_mask.astype(float).tolist(),
    "turns": lambda t: list(t.turns),
    "n_tokens": lambda t: len(t.input_ids),
    "n_trained_tokens": lambda t: t.n_trained_tokens,
    "boundary": lambda t: t.boundary,
}


@pytest.mark.parametrize("name", OF_TOKENS)
@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(2, 40), min_size=1, max_size=6), shard_size=st.sampled_from([1, 300, 10**9]))
def test_tokens_are_read_back_as_they_were(
    name: str, sizes: list[int], shard_size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [Row(tokens(2, (1,), n), Where("a.jsonl", k + 1, item=k or None), f"s{k}", k) for k, n in enumerate(sizes)]
    read = written(name, rows, tmp_path_factory.mktemp(name), shard_size)
    assert len(read) == len(rows)
    for one, given_ in zip(read, rows, strict=True):
        assert {key: value for key, value in one.items() if key in TOKEN_ARRAYS} == {
            key: make(given_.tokens) for key, make in TOKEN_ARRAYS.items() if key in one
        }
        where = given_.where
        place = (one["sample_id"], one["sample"], one["source_file"], one["source_line"], one["source_item"])
        assert place == (given_.sample_id, given_.sample, where.file, where.line, where.item)


# -- numbers ----------------------------------------------------------------------------------------------------------


@settings(max_examples=500)
@given(number=st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False))
@example(number=0.7)
@example(number=-0.0)
def test_spelling_reads_as_the_same_float_or_there_is_none(number: float) -> None:
    text = spelled(number)
    assert text is None or repr(json.loads(text)) == repr(ujson_loads(text)) == repr(number)
    if 1e-300 < abs(number) < 1e300 or number == 0:
        assert text is not None


def test_reader_of_datasets_misreads_what_is_written_plainly() -> None:
    """If this fails, `datasets` reads numbers exactly now, and spelling.py has done its work."""
    assert [ujson_loads(text) for text in ("0.7", "71.199109")] == [0.7000000000000001, 71.19910899999999]
    assert [spelled(number) for number in (0.7, 71.199109, 0.5)] == ["0.0007e3", "0.71199109e2", "0.5"]
    assert datasets_text({"t": [0.7, {}], "a": None}) == '{"t":[0.0007e3,{}],"a":null}'
    assert spelled(float("inf")) is None
    with pytest.raises(ValueError, match=r"no spelling of 3.2427673424582767e-308 is read back by datasets"):
        datasets_text([TINY])


def test_what_datasets_cannot_read_is_named() -> None:
    assert unreadable(HARD) is None
    assert unreadable({"a": [2**64]}) == "it holds the integer 18446744073709551616, and `datasets` reads 64 bits"
    long = unreadable([10**400])
    assert long == f"it holds the integer 1{'0' * 19}… of 401 digits, and `datasets` reads 64 bits"
    assert unreadable([TINY]) == f"it holds the number {TINY}, of which `datasets` makes another"


def test_json_text_keeps_what_orjson_does_not_know() -> None:
    assert json_text([2**70, "\ud800é", -0.0]) == '[1180591620717411303424,"\\ud800\\u00e9",-0.0]'
    assert json_text({"b": "é\u2028", "a": 1.0}) == '{"b":"é\u2028","a":1.0}'


# -- shards and splits ------------------------------------------------------------------------------------------------


def placed_at(one: dict[str, Any]) -> dict[str, Any]:
    """Where a row came from, by its columns, or by the one that holds them all."""
    return json.loads(one["provenance"]) if "provenance" in one else one


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_rows_go_to_their_split_in_order(name: str, tmp_path: Path) -> None:
    splits = ["train", "eval", "train", "train", "eval"]
    rows = [row(called(k), k + 1, split=split) for k, split in enumerate(splits)]
    opened = WRITERS[name].open(tmp_path, 1)
    opened.write(rows)
    parts = opened.finish()
    assert all(part.path.name.startswith(".") and part.path.suffix == ".part" for part in parts)
    placed(parts, tmp_path)
    by_split: dict[str, int] = {}
    for part in parts:
        if part.split is not None:
            by_split[part.split] = by_split.get(part.split, 0) + part.n_rows
    factor = 2 if name == "trl_prompt_completion" else 1  # a row for each of the two trained turns
    assert by_split == {"train": 3 * factor, "eval": 2 * factor}
    lines = [placed_at(one)["source_line"] for one in WRITERS[name].read(tmp_path)]
    assert list(dict.fromkeys(lines)) == [2, 5, 1, 3, 4]  # the files of eval come before those of train


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_writer_without_a_row_leaves_a_file_with_its_columns(name: str, tmp_path: Path) -> None:
    opened = WRITERS[name].open(tmp_path, 1000)
    parts = opened.finish()
    assert [(part.split, part.n_rows) for part in parts if part.split] == [("train", 0)]
    placed(parts, tmp_path)
    assert WRITERS[name].read(tmp_path) == []


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_abort_takes_everything_away(name: str, tmp_path: Path) -> None:
    for finished in (False, True):
        opened = WRITERS[name].open(tmp_path / "data", 1)
        opened.write([row(HARD), row(HARD, 2)])
        if finished:
            opened.finish()
        opened.abort()
        assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_columns_are_those_of_the_files(name: str, tmp_path: Path) -> None:
    (one, *_) = written(name, [row(HARD)], tmp_path)
    assert list(one) == [column.name for column in WRITERS[name].columns]
    assert all(column.type and column.what for column in WRITERS[name].columns)


def test_parquet_is_laid_out_to_be_read_fast(tmp_path: Path) -> None:
    rows = [Row(tokens(2, (1,), 10 * (k + 1)), Where("a.jsonl", k + 1), "", 0) for k in range(4)]
    opened = WRITERS["parquet"].open(tmp_path, 10**9)
    opened.write(rows[:2])
    opened.write(rows[2:])
    placed(opened.finish(), tmp_path)
    (path,) = tmp_path.glob("*.parquet")
    file = pq.ParquetFile(path)
    assert file.num_row_groups == 2
    group = file.metadata.row_group(1)
    columns = {column.path_in_schema: column for column in map(group.column, range(group.num_columns))}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    stats = columns["n_tokens"].statistics
    assert (stats.min, stats.max) == (30, 40)
    with_stats = {name for name, column in columns.items() if column.is_stats_set}
    assert with_stats == {name for name in columns if ".list." not in name}
    with_dictionary = {name for name, column in columns.items() if column.has_dictionary_page}
    lists = ("labels", "kinds", "weights", "turns")
    assert with_dictionary == {"boundary", "source_file", *(f"{name}.list.element" for name in lists)}
    # A reader that asks for short rows passes over the second group.
    found = pq.read_table(path, filters=[("n_tokens", "<=", 20)], columns=["n_tokens"])
    assert found["n_tokens"].to_pylist() == [10, 20]


def test_row_groups_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn far down in a long conversation is written with all that is before it."""
    monkeypatch.setattr("qwen_sft.writing.shards.GROUP_BYTES", 3 * len(json_text([HARD["messages"], HARD["tools"]])))
    opened = WRITERS["trl_prompt_completion"].open(tmp_path, 10**9)
    opened.write([row(HARD, n + 1) for n in range(4)])
    placed(opened.finish(), tmp_path)
    (path,) = tmp_path.glob("*.parquet")
    metadata = pq.ParquetFile(path).metadata
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [3, 3, 2]


# -- what a conversation is -------------------------------------------------------------------------------------------


def test_rows_of_one_sample_are_one_conversation_up_to_its_last_trained_turn() -> None:
    sample: Sample = {"messages": [{"role": "user", "content": "a"}, *[{"role": "assistant", "content": "b"}] * 5]}
    early, late = (Row(tokens(turn + 1, (turn,)), Where("a", 1), "", 0, sample) for turn in (1, 3))
    other = Row(tokens(2, (1,)), Where("a", 1), "", 1, sample, split="eval")
    found = list(talks([early, late, other]))
    assert [(talk.trained, len(talk.shown.get("messages", [])), talk.rows) for talk in found] == [
        ((1, 3), 4, (early, late)),
        ((1,), 2, (other,)),
    ]
    assert all(talk.sample is sample for talk in found)
    assert shown(sample, []) is sample
    with pytest.raises(ValueError, match="a row without its conversation cannot be written as one"):
        list(talks([Row(tokens(2, (1,)), Where("a", 1), "", 0)]))


FLAGGED: Sample = {
    "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "not this", "train": False},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "half", "weight": 0.5},
    ]
}


def test_turns_that_are_not_trained_are_flagged_where_the_format_can(tmp_path: Path) -> None:
    rows = [row(FLAGGED, turns=(3,))]
    (axolotl,) = written("axolotl", rows, tmp_path / "axolotl")
    assert [message["training"] for message in json.loads(axolotl["messages"])] == [False, False, False, True]
    (swift,) = written("ms_swift", rows, tmp_path / "ms_swift")
    assert swift["messages"] == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "not this", "loss": False},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "half", "loss": True},
    ]
    turns = written("trl_prompt_completion", rows, tmp_path / "trl")
    assert [(one["turn"], by_datasets(one["completion"])) for one in turns] == [
        (3, [{"role": "assistant", "content": "half"}])
    ]


REFUSED: list[tuple[str, list[Any], str]] = [
    ("llama_factory", [], "the last message is not the assistant's"),
    ("llama_factory", [{"role": "assistant", "content": "b"}], "messages[0] is the assistant's behind the beginning"),
    (
        "llama_factory",
        [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
        "messages[1] is a user's behind user, and it takes the two sides by turns",
    ),
    (
        "llama_factory",
        [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}],
        "messages[1] is a system message behind the first message",
    ),
    (
        "llama_factory",
        [
            {"role": "user", "content": "a"},
            {
                "role": "assistant",
                "content": "<tool_call>",
                "tool_calls": [{"function": {"name": "f", "arguments": {}}}],
            },
        ],
        "messages[1] says '<tool_call>' in words beside its calls",
    ),
    ("ms_swift", [{"role": "critic", "content": "a"}], "messages[0] has the role 'critic', which it does not know"),
    ("ms_swift", [{"role": "user", "content": [{"type": "image"}]}], "messages[0] has parts that are not text"),
    ("trl", [{"role": "user", "content": "a", "tool_calls": [2**64]}], "it holds the integer 18446744073709551616"),
    ("trl_prompt_completion", [{"role": "assistant", "content": "a"}], "messages[0] is the assistant's, and TRL needs"),
]


@pytest.mark.parametrize(("name", "messages", "says"), REFUSED)
def test_sample_that_a_format_cannot_hold_is_refused_with_the_reason(name: str, messages: list[Any], says: str) -> None:
    why = WRITERS[name].refuses({"messages": messages})
    assert why is not None
    assert why.startswith(says)


def test_writer_that_does_not_exist_stops_us() -> None:
    says = (
        r"no writer 'csv'; writers are axolotl, axolotl_tokenized, conversations, hf, llama_factory, ms_swift, .*verl"
    )
    for stopped in (lambda: writer_named("csv"), lambda: build([str(CLEAN)], Settings(writer="csv"), ROOT, PARQUET)):
        with pytest.raises(UsageError, match=says if stopped.__code__.co_names[0] == "writer_named" else "no model"):
            stopped()


PARQUET: Writer = WRITERS["parquet"]

# -- whole builds -----------------------------------------------------------------------------------------------------


def hard_traces(folder: Path) -> str:
    """A file of traces: calls with arguments that readers spoil, and a turn that is not trained."""
    samples: list[Any] = [HARD, called("2025"), called({"n": None}), {**FLAGGED, "id": "flagged"}]
    path = folder / "hard.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in samples))
    return str(path)


HARD_SETTINGS: dict[str, Any] = {"model": "qwen3", "ignore": ("MSG", "TOL", "THK", "TOK004", "SEC")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a build of the hard traces by each writer."""
    folder = tmp_path_factory.mktemp("built")
    traces = hard_traces(folder)
    for name in WRITERS:
        build([traces], Settings(**HARD_SETTINGS, writer=name, license="cc0-1.0"), folder / name, WRITERS[name])
    return folder


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_manifest_and_card_tell_what_was_written(name: str, built: Path) -> None:
    manifest = json.loads((built / name / "manifest.json").read_text())
    schema = json.loads((ROOT / "schemas" / "manifest.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(manifest)
    writer = WRITERS[name]
    n_rows = {"trl_prompt_completion": 7}.get(name, 4)
    assert manifest["records"]["written"] == 4
    assert manifest["writer"] == {
        "name": name,
        "writes": writer.writes,
        "columns": [{"name": c.name, "type": c.type, "what": c.what} for c in writer.columns],
        "n_rows": n_rows,
        "n_rows_by_split": {"train": n_rows},
        "trains": writer.trains,
        "n_turns_masked": None if writer.trains == "tokens" else 1,
    }
    files = {path.relative_to(built / name).as_posix() for path in (built / name / "data").rglob("*") if path.is_file()}
    assert {one["file"] for one in manifest["files"]} == files
    assert sum(one["n_rows"] for one in manifest["files"]) == n_rows
    assert not (built / name / UNFINISHED).exists()
    card = (built / name / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == manifest["license"] == "cc0-1.0"
    (config,) = front["configs"]
    found = [sorted(p.name for p in (built / name).glob(one["path"])) for one in config["data_files"]]
    assert [one["split"] for one in config["data_files"]] == ["train"]
    assert found == [[Path(one["file"]).name for one in manifest["files"] if one["split"] == "train"]]
    for column in writer.columns:
        assert f"| `{column.name}` | {column.type} | {column.what} |" in card
    assert writer.masks in " ".join(card.split())
    assert "FOLDER" not in card.replace("PATH/TO/THIS/FOLDER", "")
    masked = "The conversations show 1 turns of the assistant that are not to be trained"
    assert (masked in card) is (writer.trains != "tokens")


LOADS = """
import json, sys
from datasets import load_dataset, load_from_disk
built, cache, names = sys.argv[1], sys.argv[2], sys.argv[3:]
found = {}
for name in names:
    rows = load_dataset(f"{built}/{name}", split="train", cache_dir=f"{cache}/{name}")
    found[name] = list(rows)
    stream = load_dataset(f"{built}/{name}", split="train", streaming=True, cache_dir=f"{cache}/{name}")
    assert list(stream) == found[name], name
told = load_dataset(f"{built}/conversations", split="train", streaming=True)
told = told.map(lambda row: {"messages": json.loads(row["messages"])})  # as docs/writers.md says
found["mapped"] = [row["messages"] for row in told]
disk = load_from_disk(f"{built}/hf/data")
found["from_disk"] = {split: list(rows) for split, rows in disk.items()}
print(json.dumps(found))
"""


def offline(cache_: Path) -> dict[str, str]:
    return {"PATH": "", "HF_HOME": str(cache_), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def test_datasets_gives_every_argument_back_whatever_the_writer(built: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOADS, str(built), str(tmp_path), *sorted(WRITERS)]
    done = subprocess.run(command, env=offline(tmp_path), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    loaded = json.loads(done.stdout)
    samples: list[Any] = [json.loads(line) for line in (built / "hard.jsonl").read_text().splitlines()]
    given_calls = [[pairs(message) for message in sample["messages"] if pairs(message)] for sample in samples]
    told: dict[str, list[Any]] = {name: [] for name in OF_CONVERSATIONS}
    for name in ("conversations", "axolotl", "verl"):
        found = [json.loads(one["messages"]) for one in loaded[name]]
        told[name] = [[pairs(message) for message in messages if pairs(message)] for messages in found]
    told["trl"] = [[pairs(message) for message in one["messages"] if pairs(message)] for one in loaded["trl"]]
    completed = loaded["trl_prompt_completion"]
    told["trl_prompt_completion"] = [
        [pairs(m) for one in completed if one["source_line"] == n + 1 for m in one["completion"] if pairs(m)]
        for n in range(len(samples))
    ]
    told["ms_swift"] = [
        [[json.loads(m["content"])] for m in one["messages"] if m["role"] == "tool_call"] for one in loaded["ms_swift"]
    ]
    told["llama_factory"] = [
        [json.loads(turn["value"]) for turn in one["conversations"] if turn["from"] == "function_call"]
        for one in loaded["llama_factory"]
    ]
    for name, found in told.items():
        assert is_exact(found, given_calls), name
    assert is_exact(loaded["mapped"], [sample["messages"] for sample in samples])
    tools = [sample.get("tools") for sample in samples]
    assert is_exact([one["tools"] for one in loaded["trl"]], tools)
    for name in ("conversations", "verl"):
        assert is_exact([parsed(one["tools"]) for one in loaded[name]], tools), name
    for name in ("ms_swift", "axolotl", "llama_factory"):
        assert is_exact([json.loads(one["tools"]) or None for one in loaded[name]], tools), name
    # Tokens: the same rows in each form, and the folder of `hf` opened as it is.
    assert loaded["hf"] == loaded["parquet"] == PARQUET.read(built / "parquet" / "data")
    assert loaded["from_disk"] == {"train": loaded["hf"]}
    for one, bare in zip(loaded["parquet"], loaded["axolotl_tokenized"], strict=True):
        assert (one["input_ids"], one["labels"]) == (bare["input_ids"], bare["labels"])


IN_PARTS = """
import json, sys
from datasets import load_dataset
found = {}
for name in sys.argv[3:]:
    files = f"{sys.argv[1]}/{name}/*.jsonl"
    rows = load_dataset("json", data_files=files, split="train", chunksize=3000, cache_dir=f"{sys.argv[2]}/{name}")
    found[name] = list(rows)
print(json.dumps(found))
"""


def test_lines_read_in_parts_have_the_same_types_in_each(tmp_path: Path) -> None:
    """As `datasets` reads more than 10 MB: the types of the first part hold for all."""
    plain: Any = [{"role": "user", "content": "When?"}, {"role": "assistant", "content": "2026-05-04"}]
    samples: list[Any] = [{"id": "2026-05-03", "messages": plain} for _ in range(40)]
    samples += [{**HARD, "id": f"s{n}"} for n in range(5)] + [{**FLAGGED, "id": ""}]
    rows = [row(one, n + 1) for n, one in enumerate(samples)]
    rows[-2:] = [Row(one.tokens, Where("b.json", 1, item=3), "s", 0, one.conversation) for one in rows[-2:]]
    names = [name for name in WRITERS if WRITERS[name].data_files.endswith(".jsonl")]
    assert names == ["axolotl", "llama_factory", "ms_swift"]
    read = {name: written(name, rows, tmp_path / name) for name in names}
    command = [sys.executable, "-c", IN_PARTS, str(tmp_path), str(tmp_path / "cache"), *names]
    done = subprocess.run(command, env=offline(tmp_path), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    assert is_exact(json.loads(done.stdout), read)


IN_PARQUET = [name for name in WRITERS if WRITERS[name].data_files.endswith(".parquet")]


@pytest.mark.parametrize("name", IN_PARQUET)
def test_pandas_and_polars_read_what_pyarrow_reads(name: str, built: Path) -> None:
    (path,) = (built / name / "data").glob("*.parquet")
    rows = WRITERS[name].read(built / name / "data")
    frame, lazy = pd.read_parquet(path), pl.read_parquet(path)
    assert list(frame.columns) == lazy.columns == list(rows[0])
    for column in frame.columns:
        expected = [one[column] for one in rows]
        for found in (frame[column].tolist(), lazy[column].to_list()):
            plain = [one.tolist() if isinstance(one, np.ndarray) else one for one in found]
            assert [None if one != one else one for one in plain] == expected, column  # pandas has NaN for null


def test_split_is_a_split_for_whoever_loads_the_set(tmp_path: Path) -> None:
    traces = tmp_path / "a.jsonl"
    traces.write_text("".join(json.dumps(called(n, asked=f"Do {n}.")) + "\n" for n in range(40)))
    for name in ("hf", "axolotl", "llama_factory", "trl"):
        told = Settings(**HARD_SETTINGS, writer=name, split={"train": 0.75, "eval": 0.25})
        manifest, _ = build([str(traces)], told, tmp_path / name, WRITERS[name])
        counts = manifest["writer"]["n_rows_by_split"]
        assert sorted(counts) == ["eval", "train"]
        assert sum(counts.values()) == 40
        card = (tmp_path / name / "README.md").read_text()
        data_files = yaml.safe_load(card.split("---\n")[1])["configs"][0]["data_files"]
        assert sorted((one["split"], one["path"]) for one in data_files) == [
            (split, WRITERS[name].data_files.format(split=split)) for split in ("eval", "train")
        ]
        assert f"| rows | 40 ({', '.join(f'{split} {n}' for split, n in counts.items())}) |" in card
    assert sorted(json.loads((tmp_path / "hf/data/dataset_dict.json").read_text())["splits"]) == ["eval", "train"]
    entries = json.loads((tmp_path / "llama_factory/data/dataset_info.json").read_text())
    assert {key: one["file_name"] for key, one in entries.items()} == {
        "qwen_sft": "train-00000-of-00001.jsonl",
        "qwen_sft_eval": "eval-00000-of-00001.jsonl",
    }
    stanza = yaml.safe_load((tmp_path / "axolotl/data/axolotl.yaml").read_text())
    assert [(key, one["split"]) for key, listed_ in stanza.items() for one in listed_] == [
        ("datasets", "train"),
        ("test_datasets", "eval"),
    ]


def test_sample_that_the_format_cannot_hold_is_rejected_and_told(tmp_path: Path) -> None:
    traces = tmp_path / "a.jsonl"
    traces.write_text(f"{json.dumps(called(2**64))}\n{json.dumps(called(1))}\n")
    manifest, _ = build([str(traces)], Settings(**HARD_SETTINGS, writer="trl"), tmp_path / "trl", WRITERS["trl"])
    assert manifest["records"] == {**manifest["records"], "read": 2, "written": 1, "rejected": 1}
    assert manifest["rejected_by_code"] == {"TOK012": 1}
    (rejected,) = (tmp_path / "trl" / "rejects.jsonl").read_text().splitlines()
    (finding,) = [one for one in json.loads(rejected)["findings"] if one["code"] == "TOK012"]
    says = "trl cannot hold it: it holds the integer 18446744073709551616, and `datasets` reads 64 bits"
    assert (finding["says"], finding["path"]) == (says, "$")
    # What is behind the last trained turn is not written, so it is no reason to refuse.
    tail = {"messages": [*called(1)["messages"], {"role": "user", "content": "Thanks."}], "tools": called(1)["tools"]}
    traces.write_text(json.dumps(tail) + "\n")
    told = Settings(**HARD_SETTINGS, writer="llama_factory")
    manifest, _ = build([str(traces)], told, tmp_path / "lf", WRITERS["llama_factory"])
    assert manifest["writer"]["n_rows"] == 1
    (one,) = WRITERS["llama_factory"].read(tmp_path / "lf" / "data")
    assert [turn["from"] for turn in one["conversations"]] == ["human", "function_call", "observation", "gpt"]


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("sys.argv", ["qwen-sft", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


def test_command_says_what_a_trainer_will_not_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    traces = tmp_path / "a.jsonl"
    traces.write_text(json.dumps(FLAGGED) + "\n")
    command = ["build", str(traces), "--model", "qwen3", "--ignore", "MSG,TOL", "--license", "mit"]
    monkeypatch.chdir(tmp_path)
    for name, told in (("verl", True), ("axolotl", False), ("parquet", False)):
        assert run(*command, "--writer", name, "--out", name, monkeypatch=monkeypatch) == 0
        stdout, stderr = capsys.readouterr()
        says = f"1 turns are not to be trained, and {name} has no word for that: a trainer may train them"
        assert (stdout, says in stderr) == (f"{name}\n", told)
        assert "license: mit\n" in (tmp_path / name / "README.md").read_text()
    assert run(*command, "--writer", "csv", "--out", "csv", monkeypatch=monkeypatch) == 2
    assert "no writer 'csv'; writers are axolotl, " in capsys.readouterr().err
    (tmp_path / "qwen-sft.toml").write_text('writer = "hf"\nlicense = "two words"\n')
    assert run(*command[:-2], "--out", "b", monkeypatch=monkeypatch) == 2
    assert "license is 'two words'; name an identifier such as 'apache-2.0'" in capsys.readouterr().err
    (tmp_path / "qwen-sft.toml").write_text('writer = "hf"\n')
    assert run(*command, "--out", "b", monkeypatch=monkeypatch) == 0
    assert (tmp_path / "b" / "data" / "train" / "state.json").exists()


# -- the folder of another writer -------------------------------------------------------------------------------------


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_force_replaces_the_build_of_any_other_writer(tmp_path: Path) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    for name in (*WRITERS, next(iter(WRITERS))):
        told = Settings(**HARD_SETTINGS, writer=name, verify="none")
        build([hard_traces(tmp_path)], told, out, WRITERS[name], force=True)
        build([hard_traces(tmp_path)], told, fresh / name, WRITERS[name], force=True)
        assert files_in(out) == files_in(fresh / name)
        assert not (out / "data" / "train").exists() or name == "hf"


def test_file_that_no_manifest_names_keeps_a_folder_from_being_replaced(tmp_path: Path) -> None:
    build([hard_traces(tmp_path)], Settings(**HARD_SETTINGS), out := tmp_path / "out", PARQUET)
    for name in ("data/train-00000-of-00002.parquet", "data/train/mine.arrow", "data/dataset_dict.json"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
        with pytest.raises(OutputError, match=rf"holds '{Path(name).parent if 'mine' in name else name}', so it is no"):
            build([hard_traces(tmp_path)], Settings(**HARD_SETTINGS), out, PARQUET, force=True)
        (out / name).unlink()
        if "mine" in name:
            (out / name).parent.rmdir()


@pytest.mark.parametrize(
    "hostile", ["../precious.txt", "data/../../precious.txt", "/tmp/precious.txt", "README.md/x", 3]
)
def test_manifest_cannot_name_files_elsewhere(hostile: Any, tmp_path: Path) -> None:
    build([hard_traces(tmp_path)], Settings(**HARD_SETTINGS), out := tmp_path / "out", PARQUET)
    (tmp_path / "precious.txt").write_text("mine")
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["files"].append({"file": hostile})
    (out / "manifest.json").write_text(json.dumps(manifest))
    build([hard_traces(tmp_path)], Settings(**HARD_SETTINGS), out, PARQUET, force=True)
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_link_in_place_of_the_data_is_not_followed(tmp_path: Path) -> None:
    build([hard_traces(tmp_path)], Settings(**HARD_SETTINGS), out := tmp_path / "out", PARQUET)
    (out / "data").rename(tmp_path / "elsewhere")
    (out / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="has a link for 'data', so it is no earlier build"):
        build([hard_traces(tmp_path)], Settings(**HARD_SETTINGS), out, PARQUET, force=True)
    assert files_in(tmp_path / "elsewhere") == ["train-00000-of-00001.parquet"]
    (out / "data").unlink()
    told = Settings(**HARD_SETTINGS, writer="hf")
    build([hard_traces(tmp_path)], told, out := tmp_path / "hf", WRITERS["hf"])
    (out / "data" / "train").rename(tmp_path / "train")
    (out / "data" / "train").symlink_to(tmp_path / "train")
    with pytest.raises(OutputError, match="holds 'data/train', so it is no earlier build"):
        build([hard_traces(tmp_path)], told, out, WRITERS["hf"], force=True)
    assert len(files_in(tmp_path / "train")) == 3


@pytest.mark.parametrize("stage", ["rejected", "_manifest"], ids=["at work", "when its files have their names"])
@pytest.mark.parametrize("name", ["hf", "llama_factory"])
def test_what_a_killed_build_left_is_replaced(
    name: str, stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    told = Settings(**HARD_SETTINGS, writer=name)
    traces, out = Path(hard_traces(tmp_path)), tmp_path / "out"
    traces.write_text(traces.read_text() * 200 + "null\n")  # so many that files are begun before the last line is read
    with monkeypatch.context() as patch:
        patch.setattr("qwen_sft.building.outfolder._take_away", lambda _: None)
        patch.setattr("qwen_sft.writing.shards.Shards.abort", lambda _: None)
        patch.setattr(f"qwen_sft.building.build.{stage}", killed)
        with pytest.raises(KeyboardInterrupt):
            build([str(traces)], told, out, WRITERS[name])
    left = files_in(out)
    assert UNFINISHED in left
    assert any("00000-of-00001" in one if stage == "_manifest" else one.endswith(".part") for one in left)
    (out / "data" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds 'data/mine\.txt', so it is no earlier build"):
        build([str(CLEAN)], told, out, WRITERS[name], force=True)
    (out / "data" / "mine.txt").unlink()
    build([str(CLEAN)], told, out, WRITERS[name], force=True)
    assert "manifest.json" in files_in(out)
    assert not [one for one in files_in(out) if one == UNFINISHED or one.endswith(".part")]


# -- the trainers' own loaders ----------------------------------------------------------------------------------------

TRL = """
import json, sys
from datasets import load_dataset, load_from_disk
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from trl import SFTConfig, SFTTrainer
built, out, tokenizer_file, template = sys.argv[1:5]
tokenizer = PreTrainedTokenizerFast(tokenizer_file=tokenizer_file, eos_token="<|im_end|>", pad_token="<|endoftext|>")
tokenizer.chat_template = open(template).read()
sizes = dict(vocab_size=151936, hidden_size=16, intermediate_size=16, num_hidden_layers=1)
model = Qwen3ForCausalLM(Qwen3Config(**sizes, num_attention_heads=2, num_key_value_heads=1, head_dim=8))
found = {}
for name in ("parquet", "hf", "axolotl_tokenized", "trl", "trl_prompt_completion"):
    folder = f"{built}/{name}"
    rows = load_from_disk(f"{folder}/data")["train"] if name == "hf" else load_dataset(folder, split="train")
    config = SFTConfig(output_dir=out, max_length=None, use_cpu=True, report_to="none")
    made = SFTTrainer(model, args=config, train_dataset=rows, processing_class=tokenizer).train_dataset
    found[name] = [[row["input_ids"], row["labels"], tokenizer.decode(row["input_ids"])] for row in made]
print(json.dumps(found))
"""

TEMPLATE = (
    "{%- for message in messages %}<|im_start|>{{ message.role }}\\n{{ message.content }}"
    "{%- for call in message.tool_calls or [] %}{{ call.function.arguments | tojson }}{%- endfor %}<|im_end|>\\n"
    "{%- endfor %}{%- if add_generation_prompt %}<|im_start|>assistant\\n{%- endif %}"
)


@pytest.mark.slow
def test_trl_prepares_our_tokens_unchanged_and_our_conversations_with_every_argument(
    built: Path, tmp_path: Path
) -> None:
    pytest.importorskip("trl", reason="trl is in the extra `bench`")
    (tmp_path / "t.jinja").write_text(TEMPLATE.replace("\\n", "\n"))
    arguments = [str(built), str(tmp_path / "out"), str(tokenizer_json("qwen3")), str(tmp_path / "t.jinja")]
    environment = {**os.environ, **offline(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", TRL, *arguments], env=environment, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout.splitlines()[-1])
    rows = PARQUET.read(built / "parquet" / "data")
    for name in OF_TOKENS:
        assert [made[:2] for made in found[name]] == [[one["input_ids"], one["labels"]] for one in rows]
    samples = [json.loads(line) for line in (built / "hard.jsonl").read_text().splitlines()]
    for sample, (ids, labels, text) in zip(samples, found["trl"], strict=True):
        assert labels == ids  # as the card says: by default TRL trains every token
        for message in sample["messages"]:
            for call in message.get("tool_calls", []):
                told = json.dumps(call["function"]["arguments"], ensure_ascii=False)
                assert unicodedata.normalize("NFC", told) in text  # which is how the tokenizer reads it
    assert len(found["trl_prompt_completion"]) == 7
    assert all(-100 in labels and labels[-1] == ids[-1] for ids, labels, _ in found["trl_prompt_completion"])


PEERS = {
    "ms_swift": """
from swift.dataset import load_dataset
rows, _ = load_dataset([f"{built}/data/train-00000-of-00001.jsonl"], split_dataset_ratio=0.0)
calls = [[json.loads(m["content"]) for m in row["messages"] if m["role"] == "tool_call"] for row in rows]
flags = [[m["loss"] for m in row["messages"] if m["role"] == "assistant"] for row in rows]
print(json.dumps({"calls": calls, "tools": [row["tools"] for row in rows], "trained": flags}))
""",
    "llama_factory": """
import importlib.machinery, types
sys.modules["torchaudio"] = types.ModuleType("torchaudio")  # for audio only, and often of another torch
sys.modules["torchaudio"].__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
from llamafactory.data.formatter import FunctionFormatter
from llamafactory.data.loader import _load_single_dataset
from llamafactory.data.parser import get_dataset_list
from llamafactory.hparams import DataArguments, ModelArguments
from transformers import Seq2SeqTrainingArguments
data = DataArguments(dataset="qwen_sft", dataset_dir=f"{built}/data")
(attributes,) = get_dataset_list(["qwen_sft"], data.dataset_dir)
model = ModelArguments(model_name_or_path="none", cache_dir=cache)
rows = _load_single_dataset(attributes, model, data, Seq2SeqTrainingArguments(output_dir=cache, report_to=[]))
printed = FunctionFormatter(slots=["{{content}}"], tool_format="qwen")
words = dict(thought_words=("<think>\\n", "\\n</think>\\n\\n"), tool_call_words=("<tool_call>", "</tool_call>"))
said = [[m for m in row["_prompt"] + row["_response"] if m["role"] == "function"] for row in rows]
texts = ["".join(printed.apply(content=m["content"], **words)[0] for m in turns) for turns in said]
print(json.dumps({"texts": texts, "tools": [json.loads(row["_tools"]) for row in rows]}))
""",
    "axolotl": """
import yaml
from axolotl.prompt_strategies.chat_template import load
from axolotl.utils.data.shared import load_dataset_with_config
from axolotl.utils.dict import DictDefault
from transformers import PreTrainedTokenizerFast
with open(f"{built}/data/axolotl.yaml") as file:
    (entry,) = yaml.safe_load(file.read().replace("PATH/TO/THIS/FOLDER", built))["datasets"]
rows = load_dataset_with_config(DictDefault(entry), False)
tokenizer = PreTrainedTokenizerFast(tokenizer_file=tokenizer_file, eos_token="<|im_end|>")
tokenizer.chat_template = template
strategy = load(tokenizer, DictDefault({"sequence_len": 10**6, "train_on_inputs": False}), ds_cfg=entry)
threads = [strategy.get_conversation_thread(dict(row)) for row in rows]
calls = [[call["function"] for turn in turns for call in turn.get("tool_calls") or []] for turns in threads]
flags = [[turn["training"] for turn in turns if turn["role"] == "assistant"] for turns in threads]
trained = [strategy.tokenize_prompt(dict(row))["labels"] for row in rows]
said = [tokenizer.decode([one for one in labels if one != -100]) for labels in trained]
tools = [strategy._get_tools(dict(row)) for row in rows]
print(json.dumps({"calls": calls, "tools": tools, "trained": flags, "said": said}))
""",
    "axolotl_tokenized": """
import yaml
from axolotl.utils.data.shared import load_dataset_with_config
from axolotl.utils.data.wrappers import _is_dataset_already_tokenized
from axolotl.utils.dict import DictDefault
with open(f"{built}/data/axolotl.yaml") as file:
    (entry,) = yaml.safe_load(file.read().replace("PATH/TO/THIS/FOLDER", built))["datasets"]
rows = load_dataset_with_config(DictDefault(entry), False)
print(json.dumps({"tokenized": _is_dataset_already_tokenized(rows), "labels": list(rows["labels"])}))
""",
    "verl": """
from omegaconf import OmegaConf
from transformers import PreTrainedTokenizerFast
from verl.utils.import_utils import load_extern_object
tokenizer = PreTrainedTokenizerFast(tokenizer_file=tokenizer_file, eos_token="<|im_end|>")
tokenizer.chat_template = template
made = load_extern_object(f"{built}/data/verl_dataset.py", "JsonSFTDataset")
config = OmegaConf.create({"max_length": 10**6, "pad_mode": "no_padding"})
rows = made([f"{built}/data/train-00000-of-00001.parquet"], tokenizer, config)
calls = [[c["function"] for m in messages for c in m.get("tool_calls", [])] for messages in rows.messages]
said = [tokenizer.decode(row["input_ids"][row["loss_mask"] == 1].tolist()) for row in map(rows.__getitem__, range(4))]
print(json.dumps({"calls": calls, "tools": rows.tools, "said": said}))
""",
}
"""What each trainer's own loader makes of our files. QWEN_SFT_PEERS names a folder of virtual environments, one for
each trainer (ms_swift, llama_factory, axolotl, verl); docs/writers.md says how they are made."""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PEERS))
def test_loader_of_the_trainer_gives_every_argument_back(name: str, built: Path, tmp_path: Path) -> None:
    environments = os.environ.get("QWEN_SFT_PEERS", "")
    python = Path(environments) / name.removesuffix("_tokenized") / "bin" / "python"
    if not environments or not python.exists():
        pytest.skip(f"QWEN_SFT_PEERS names no folder with {name.removesuffix('_tokenized')}")
    head = "import json, sys\nbuilt, cache, tokenizer_file, template = sys.argv[1:5]\n"
    template = TEMPLATE.replace("\\n", "\n")
    arguments = [str(built / name), str(tmp_path), str(tokenizer_json("qwen3")), template]
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment = {**own, **offline(tmp_path), "CUDA_VISIBLE_DEVICES": "", "MODELSCOPE_CACHE": str(tmp_path)}
    command = [str(python), "-c", head + PEERS[name], *arguments]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout.splitlines()[-1])
    samples = [json.loads(line) for line in (built / "hard.jsonl").read_text().splitlines()]
    if name == "axolotl_tokenized":
        rows = PARQUET.read(built / "parquet" / "data")
        assert found == {"tokenized": True, "labels": [one["labels"] for one in rows]}
        return
    nothing: Any = None if name == "verl" else []
    assert is_exact(found["tools"], [sample.get("tools", nothing) for sample in samples])
    meant_calls = [[call for message in sample["messages"] for call in pairs(message)] for sample in samples]
    if name == "llama_factory":
        for text, calls in zip(found["texts"], meant_calls, strict=True):
            assert all(json.dumps(call, ensure_ascii=False) in text for call in calls)
    else:
        assert is_exact(found["calls"], meant_calls)
    if "trained" in found:
        assert (
            found["trained"] == [[True], [True], [True], [False, True]]
            if name == "ms_swift"
            else [
                *([[True, True]] * 3),
                [False, True],
            ]
        )
    if name == "axolotl":
        assert found["said"][3] == "half<|im_end|>"
    if name == "verl":  # as the card says
        assert found["said"][3].split() == ["not", "this<|im_end|>", "half<|im_end|>"]
