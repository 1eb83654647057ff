"""Curation: what is left out, drawn, repeated, split, shortened and packed, and that none of it depends on chance."""

import io
import json
import pickle
import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from real import TRACES, needs_real_data

from qwen_sft.building.build import build
from qwen_sft.cli import main
from qwen_sft.curating.draw import Draw
from qwen_sft.curating.mix import Source, load_mix, source_in, with_mix
from qwen_sft.curating.pack import Packer, packed
from qwen_sft.curating.split import split_of, splits_of
from qwen_sft.curating.twins import Twins
from qwen_sft.encoding.shorten import PLACEHOLDER, SHORTEN, Parts
from qwen_sft.errors import UsageError
from qwen_sft.format import Conversation
from qwen_sft.ingesting.ingest import expand
from qwen_sft.inspecting.keys import Keys, chance, keys_of
from qwen_sft.pipeline import Outcome, Pipeline, outcomes
from qwen_sft.record import Where
from qwen_sft.settings import Settings, load_settings
from qwen_sft.tokens import Kind, Tokens
from qwen_sft.writer import Row, writers

SCHEMAS = Path(__file__).parents[1] / "schemas"
MANIFEST_SCHEMA = json.loads((SCHEMAS / "manifest.schema.json").read_text())


def asked(text: str, answer: str = "Yes.", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": answer}], **more}


def keys(sample: Any, *, near: bool = False) -> Keys:
    return keys_of(sample, near=near)


def task(name: str) -> Keys:
    return keys(asked("Hi", metadata={"task_id": name}))


# -- keys -------------------------------------------------------------------------------------------------------------


def call(name: str, **more: Any) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": name}, **more}],
    }


def test_content_key_is_of_all_that_a_model_is_shown_or_trained_on_and_of_nothing_else():
    one = {"messages": [call("f", id="c1"), {"role": "tool", "content": "4", "tool_call_id": "c1"}], "tools": [{}]}
    other_ids = {
        "messages": [call("f", id="c9"), {"role": "tool", "tool_call_id": "c9", "content": "4"}],
        "tools": [{}],
    }
    assert keys(one).content == keys({**other_ids, "id": "x", "metadata": {"reward": 1}}).content
    others = [
        {**one, "tools": []},
        {**one, "messages": one["messages"][:1]},
        {**one, "messages": [call("g", id="c1"), one["messages"][1]]},
        {**one, "messages": [{**one["messages"][0], "train": False}, one["messages"][1]]},
    ]
    assert len({keys(sample).content for sample in [one, *others]}) == 5


def test_group_is_the_task_or_what_is_asked_or_the_id_or_the_sample():
    assert task("t1").is_task and task("t1").group == keys(asked("Bye", metadata={"task_id": "t1"})).group
    assert task("1").group == keys(asked("Hi", metadata={"task_id": 1})).group != task("2").group
    assert keys(asked("Hi", "Yes.")).group == keys(asked("Hi", "No.")).group != keys(asked("Bye")).group
    assert not keys(asked("Hi")).is_task and not task("").is_task
    speech: Any = {"messages": [{"role": "assistant", "content": "Hello."}]}
    named, same_name = keys({**speech, "id": "a"}), keys({"messages": [*speech["messages"]] * 2, "id": "a"})
    assert named.group == same_name.group != keys({**speech, "id": "b"}).group
    assert keys(speech).group == keys(speech).content


def test_chance_is_even_and_its_draws_are_independent():
    drawn = [
        [chance(what, seed, str(n).encode()) for n in range(4000)] for what, seed in [("a", 0), ("b", 0), ("a", 1)]
    ]
    for numbers in drawn:
        assert all(0 <= number < 1 for number in numbers)
        assert np.histogram(numbers, bins=4, range=(0, 1))[0].tolist() == pytest.approx([1000] * 4, abs=130)
    for one, other in [(0, 1), (0, 2)]:
        assert abs(float(np.corrcoef(drawn[one], drawn[other])[0, 1])) < 0.05
    assert chance("a", 0, b"x") == chance("a", 1 << 128, b"x") != chance("a", -1, b"x")


# -- split ------------------------------------------------------------------------------------------------------------

SHARES = {"train": 0.6, "eval": 0.3, "test": 0.1}


def test_splits_have_their_shares_and_a_changed_share_moves_no_more_than_it_must():
    groups = [str(n).encode() for n in range(5000)]
    before = [split_of(group, SHARES, 0) for group in groups]
    counts = Counter(before)
    assert [counts[name] for name in SHARES] == pytest.approx([3000, 1500, 500], abs=150)
    after = [split_of(group, {"train": 0.5, "eval": 0.4, "test": 0.1}, 0) for group in groups]
    moved = Counter((old, new) for old, new in zip(before, after, strict=True) if old != new)
    assert set(moved) == {("train", "eval")} and moved["train", "eval"] == pytest.approx(500, abs=80)
    assert {split_of(group, SHARES, 1) for group in groups} == set(SHARES)
    thirds = dict.fromkeys("abcdefghij", 0.1)
    assert sum(thirds.values()) < 1 and all(split_of(group, thirds, 0) in thirds for group in groups)


@given(
    st.lists(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=1, max_size=4), min_size=1, max_size=30),
    st.integers(),
)
def test_no_task_is_in_two_splits_and_a_record_only_if_it_names_several_tasks(
    records: list[list[tuple[bool, int]]], seed: int
):
    """Each sample is named by a task, or only by what is asked."""
    owners: dict[bytes, set[str]] = {}
    for record in records:
        samples = [task(f"t{n}") if is_task else keys(asked(f"q{n}")) for is_task, n in record]
        found = splits_of(samples, SHARES, seed)
        if len({one.group for one in samples if one.is_task}) < 2:
            assert len(set(found)) == 1
        for one, split in zip(samples, found, strict=True):
            if one.is_task:
                owners.setdefault(one.group, set()).add(split)
    assert all(len(splits) == 1 for splits in owners.values())
    (lonely,) = splits_of([keys(asked("q1"))], SHARES, seed)
    assert lonely == split_of(keys(asked("q1", "Another answer.")).group, SHARES, seed)


# -- draw -------------------------------------------------------------------------------------------------------------


def drawn(wanted: float, contents: Sequence[bytes], seed: int = 0) -> list[bytes]:
    draw = Draw(wanted, seed)
    if draw.is_number:
        for content in contents:
            draw.see(content)
        draw.rewind()
    return [content for content in contents if draw.takes(content)]


@given(st.lists(st.binary(max_size=2), max_size=60), st.integers(1, 70), st.randoms(use_true_random=False))
def test_number_is_drawn_exactly_and_the_order_of_files_changes_nothing(contents: list[bytes], n: int, order: Any):
    found = drawn(n, contents)
    assert len(found) == min(n, len(contents))
    shuffled = list(contents)
    order.shuffle(shuffled)
    assert Counter(drawn(n, shuffled)) == Counter(found)
    assert not Counter(found) - Counter(drawn(n + 5, contents))


def test_share_is_drawn_by_each_sample_alone():
    contents = [str(n).encode() for n in range(5000)]
    found = drawn(0.2, contents)
    assert len(found) == pytest.approx(1000, abs=120)
    assert drawn(0.2, contents[:100]) == [content for content in contents[:100] if content in set(found)]
    assert set(found) < set(drawn(0.3, contents)) and found != drawn(0.2, contents, seed=1)
    assert drawn(1.0, contents) == contents


# -- twins ------------------------------------------------------------------------------------------------------------

LONG = " ".join(f"word{n}" for n in range(60))


def test_first_of_two_twins_stays_and_its_place_is_told():
    places = [Where("a.jsonl", 1), Where("b.json", 7, item=3), Where("a.jsonl", 2), Where("c.jsonl", 1)]
    samples = [asked(LONG), asked("Hi"), asked(LONG), asked(f"{LONG} more")]
    for threshold, told in [(None, [None, None, "a.jsonl:1", None]), (0.8, [None, None, "a.jsonl:1", "a.jsonl:1"])]:
        twins = Twins(threshold)
        seen = [twins.earlier(keys(s, near=threshold is not None), w) for s, w in zip(samples, places, strict=True)]
        assert seen == told
    assert twins.earlier(keys(asked("Hi"), near=True), Where("d.jsonl", 9)) == "b.json:7[3]"


# -- mix --------------------------------------------------------------------------------------------------------------


def test_mix_is_read_with_paths_beside_the_file(tmp_path: Path):
    text = '[sources.tools]\npaths = ["t/*.jsonl", "/abs.jsonl", "hf://datasets/a/b"]\nweight = 0.25\n'
    (tmp_path / "mix.toml").write_text(f'{text}[sources."my chat"]\npaths = ["chat.jsonl"]\n')
    assert load_mix(str(tmp_path / "mix.toml")) == [
        Source("tools", (f"{tmp_path}/t/*.jsonl", "/abs.jsonl", "hf://datasets/a/b"), 0.25),
        Source("my chat", (f"{tmp_path}/chat.jsonl",), 1.0),
    ]


WRONG_MIX = {
    "sources = 3": r"has no sources; write tables such as \[sources.chat\] with paths and weight",
    "": r"has no sources; ",
    "[source.a]": r"sets 'source'; write tables such as ",
    "[sources]\na = 1": r"source 'a' of the mix '.*mix.toml' sets 'it'; it takes paths = \[...\] and weight = 0.5",
    "[sources.a]\npath = 'x'": r"source 'a' of the mix '.*mix.toml' sets 'path'; it takes paths",
    "[sources.a]\nweight = 1": r"has paths = None; it takes a list of files, directories, globs or URLs",
    "[sources.a]\npaths = 'x'": r"has paths = 'x'; it takes a list",
    "[sources.a]\npaths = ['x']\nweight = 0": r"has weight = 0; it takes a number above 0",
    "[sources.a]\npaths = ['x']\nweight = true": r"has weight = True; it takes a number above 0",
    "[sources.a]\npaths = ['x']\nweight = nan": r"has weight = nan; it takes a number above 0",
    "[sources.a]\npaths = ['x']\nweight = inf": r"has weight = inf; it takes a number above 0",
    "[sources": r"the mix '.*mix.toml' is not TOML: ",
}


@pytest.mark.parametrize(("text", "says"), WRONG_MIX.items(), ids=list(WRONG_MIX))
def test_mix_that_says_nothing_that_a_mix_can_say_is_refused(tmp_path: Path, text: str, says: str):
    (tmp_path / "mix.toml").write_text(text)
    with pytest.raises(UsageError, match=says):
        load_mix(str(tmp_path / "mix.toml"))
    with pytest.raises(UsageError, match=r"cannot read the mix '.*none.toml': No such file or directory"):
        load_mix(str(tmp_path / "none.toml"))


def test_file_of_two_sources_is_refused_and_a_file_in_an_archive_has_that_of_the_archive(tmp_path: Path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text("{}\n")
    mix = tmp_path / "mix.toml"
    mix.write_text('[sources.both]\npaths = ["*.jsonl"]\n')
    a, b = str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")
    inputs, sources = with_mix([], str(mix))
    assert ([one.name for one in inputs], list(sources)) == ([a, b], [a, b])
    assert {source.name for source in sources.values()} == {"both"}
    inputs, sources = with_mix(expand([a]), None)
    assert ([one.name for one in inputs], sources) == ([a], {})
    with pytest.raises(UsageError, match=r"a.jsonl' belongs to the command line and to source 'both'; name it once"):
        with_mix(expand([a]), str(mix))
    mix.write_text('[sources.one]\npaths = ["a.jsonl"]\n[sources.both]\npaths = ["*.jsonl"]\n')
    with pytest.raises(UsageError, match=r"a.jsonl' belongs to source 'one' and to source 'both'; name it once"):
        with_mix([], str(mix))
    one = Source("one", ())
    assert source_in({"x!y.zip": one}, "x!y.zip!in/a.json") is one
    assert source_in({"x": one}, "y!z") is None


def test_weight_is_how_often_a_sample_stands_there_on_the_whole():
    contents = [str(n).encode() for n in range(4000)]
    for weight, counts in [(0.25, {0, 1}), (1.0, {1}), (2.5, {2, 3})]:
        copies = [Source("s", (), weight).copies(content, 0) for content in contents]
        assert set(copies) == counts
        assert sum(copies) / len(copies) == pytest.approx(weight, abs=0.03)
        assert copies[:50] == [Source("other", (), weight).copies(content, 0) for content in contents[:50]]


# -- packing ----------------------------------------------------------------------------------------------------------


def made_row(n_tokens: int, number: int = 0, split: str = "train", weight: float | None = None) -> Row:
    mask = np.ones(n_tokens, dtype=np.bool_)
    tokens = Tokens(
        np.arange(n_tokens, dtype=np.int32) + 1000 * number,
        mask,
        np.full(n_tokens, Kind.CONTENT, dtype=np.int8),
        np.ones(n_tokens, dtype=np.int32),
        (1,),
        2,
        ((0, n_tokens),),
        weights=None if weight is None else np.full(n_tokens, weight, dtype=np.float32),
    )
    return Row(tokens, Where("a.jsonl", number + 1), f"s{number}", 0, split=split)


@given(
    st.lists(st.tuples(st.integers(1, 40), st.sampled_from(["train", "eval"])), max_size=80),
    st.integers(1, 5),
)
def test_packs_lose_no_row_and_hold_no_more_than_their_length(given_rows: list[tuple[int, str]], most_open: int):
    rows = [made_row(n, number, split) for number, (n, split) in enumerate(given_rows)]
    packer = Packer(40, most_open)
    packs: list[Row] = []
    n_held = 0
    for row in rows:
        made = packer.add([row])
        packs += made
        n_held += len(row.tokens.input_ids) - sum(len(pack.tokens.input_ids) for pack in made)
        assert n_held <= 2 * most_open * 40  # of each split
    packs += packer.close()
    assert sorted(piece.sample_id for pack in packs for piece in pack.pieces) == sorted(row.sample_id for row in rows)
    for pack in packs:
        lengths = [len(piece.tokens.input_ids) for piece in pack.pieces]
        assert len(pack.tokens.input_ids) == sum(lengths) <= 40
        assert {piece.split for piece in pack.pieces} == {pack.split}
        ids = np.concatenate([piece.tokens.input_ids for piece in pack.pieces])
        assert pack.tokens.input_ids.tolist() == ids.tolist()
        starts = np.cumsum([0, *lengths[:-1]])
        assert (
            np.flatnonzero(~pack.tokens.loss_mask).tolist() == starts.tolist()
        )  # all rows here train all their tokens
    assert packer.close() == []
    if most_open > 1 and rows:
        assert [p.tokens.input_ids.tolist() for p in packs] == [
            p.tokens.input_ids.tolist() for p in _packed_again(rows, most_open)
        ]


def _packed_again(rows: Sequence[Row], most_open: int) -> list[Row]:
    packer = Packer(40, most_open)
    return packer.add(rows) + packer.close()


def test_row_goes_into_the_fullest_pack_that_has_room():
    packer = Packer(10, most_open=2)
    assert packer.add([made_row(5, 0), made_row(7, 1), made_row(3, 2)])[0].pieces[0].sample_id == "s1"  # 7 + 3 is full
    (closed,) = packer.add([made_row(6, 3), made_row(8, 4)])  # open: 5, 6, and one more is too many
    assert [piece.sample_id for piece in closed.pieces] == ["s3"]
    assert [[piece.sample_id for piece in pack.pieces] for pack in packer.close()] == [["s0"], ["s4"]]
    with pytest.raises(ValueError, match="a row of 11 tokens fits into no pack of 10"):
        packer.add([made_row(11)])


def test_pack_keeps_each_rows_tokens_regions_and_weights():
    one, other = made_row(3, 0), made_row(2, 1, weight=0.5)
    pack = packed([one, replace(other, tokens=replace(other.tokens, boundary="inference", straddling=(1,)))])
    assert pack.tokens.labels.tolist() == [-100, 1, 2, -100, 1001]
    assert pack.tokens.weights is not None and pack.tokens.weights.tolist() == [0, 1, 1, 0, 0.5]
    assert (pack.tokens.regions, pack.tokens.turns) == (((0, 3), (3, 5)), (1, 1))
    assert (pack.tokens.boundary, pack.tokens.straddling) == ("inference", (1,))
    assert (pack.where, pack.sample_id, pack.pieces[0]) == (Where("a.jsonl", 1), "", one)
    assert one.tokens.loss_mask.all()  # what was packed is left as it was


# -- what a row shows of calls ----------------------------------------------------------------------------------------


def test_row_tells_its_calls_and_their_depth():
    two = {**call("f"), "tool_calls": [*call("f")["tool_calls"]] * 2}
    result, user = {"role": "tool", "content": "4"}, {"role": "user", "content": "Hi"}
    said = {"role": "assistant", "content": "Yes."}
    messages = [user, two, result, result, call("f"), result, said, user, call("f"), result, said]
    row = replace(made_row(1), conversation={"messages": messages})
    for n_messages, calls in [(11, (4, 2)), (7, (3, 2)), (2, (2, 1)), (1, (0, 0))]:
        assert replace(row, tokens=replace(row.tokens, n_messages=n_messages)).calls == calls
    whole = replace(row, tokens=replace(row.tokens, n_messages=11))
    assert packed([whole, made_row(1), whole]).calls == (8, 2)


# -- samples that are too long ----------------------------------------------------------------------------------------


def n_words(message: Mapping[str, Any]) -> int:
    return 1 + len(str(message["content"]).split())


def counted(conversation: Conversation) -> dict[int, int]:
    """A stand-in for rows: a token for each word and each message."""
    ends = np.cumsum([n_words(message) for message in conversation.sample["messages"]]).tolist()
    return {
        index: ends[index]
        for index, message in enumerate(conversation.sample["messages"])
        if message["role"] == "assistant" and message.get("train", True)
    }


@st.composite
def conversations(draw: Any) -> Conversation:
    """Users' turns, each with tool loops of parallel calls behind it, and most often an answer."""
    words = st.integers(0, 30).map(lambda n: "w " * n)
    messages: list[Any] = [{"role": "system", "content": draw(words)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 4))):
        messages.append({"role": "user", "content": draw(words)})
        for _ in range(draw(st.integers(0, 3))):
            ids = [f"c{k}" for k in range(draw(st.integers(1, 2)))]
            calls = [{"id": one, "type": "function", "function": {"name": "f", "arguments": {}}} for one in ids]
            messages.append({"role": "assistant", "content": draw(words), "tool_calls": calls})
            messages += [{"role": "tool", "tool_call_id": one, "content": draw(words) * 2} for one in ids]
        if draw(st.booleans()):
            messages.append({"role": "assistant", "content": draw(words)})
    return Conversation({"messages": messages}, [("messages", index) for index in range(len(messages))])


def spoken(conversation: Conversation) -> list[int]:
    return [i for i, message in enumerate(conversation.sample["messages"]) if message["role"] == "assistant"]


def places(part: Conversation, turns: Sequence[int]) -> list[int]:
    return [int(part.origins[turn][1]) for turn in turns]


def check_laws(conversation: Conversation, wanted: list[int], limit: int, parts: Parts) -> None:
    """What holds of any policy: no call loses its result, nothing is trained twice, and all are accounted for."""
    original = conversation.sample["messages"]
    trained: list[int] = []
    shown: set[int] = set()
    for part in parts.conversations:
        messages = part.sample["messages"]
        found = counted(part)
        assert found and max(found.values()) <= limit
        trained += places(part, list(found))
        for here, message in zip(places(part, range(len(messages))), messages, strict=True):
            same = {**message, "content": original[here]["content"]}
            same.pop("train", None)
            assert same == original[here]
            if message["content"] == original[here]["content"]:
                shown.add(here)
            else:
                assert message["role"] == "tool" and message["content"] == PLACEHOLDER
        for index, message in enumerate(messages):
            wanted_ids = [one["id"] for one in message.get("tool_calls", [])]
            answers = messages[index + 1 : index + 1 + len(wanted_ids)]
            assert [one.get("tool_call_id") for one in answers] == wanted_ids
    assert sorted([*trained, *parts.turns]) == wanted
    lost = [int(event.path[1]) for event in parts.lost]
    assert sorted([*lost, *shown]) == list(range(len(original)))
    assert all(event.fate == "dropped" and event.loses for event in parts.lost)


@given(conversations(), st.integers(10, 200), st.data())
def test_parts_that_begin_at_users_turns_keep_the_laws(conversation: Conversation, limit: int, data: Any):
    wanted = [turn for turn in spoken(conversation) if data.draw(st.booleans())]
    parts = SHORTEN["split-at-user"](conversation, Settings(), wanted, limit, counted)
    check_laws(conversation, wanted, limit, parts)
    messages = conversation.sample["messages"]
    head = messages[0]["role"] == "system"
    for part in parts.conversations:
        assert part.sample["messages"][:head] == messages[:head]
        assert part.sample["messages"][head]["role"] == "user"
    users = [i for i, m in enumerate(messages) if m["role"] == "user" and messages[i - 1]["role"] != "user"]
    for turn in parts.turns:  # all that stands behind its user's turn is too long by itself
        start = max([head * 1, *(i for i in users if i <= turn)])
        end = min([len(messages), *(i for i in users if i > turn)])
        asked_for = [one for one in wanted if start <= one < end]
        assert sum(n_words(m) for m in [*messages[:head], *messages[start : asked_for[-1] + 1]]) > limit


@given(conversations(), st.integers(10, 200), st.data())
def test_parts_without_old_results_keep_the_laws(conversation: Conversation, limit: int, data: Any):
    wanted = [turn for turn in spoken(conversation) if data.draw(st.booleans())]
    parts = SHORTEN["drop-oldest-results"](conversation, Settings(), wanted, limit, counted)
    check_laws(conversation, wanted, limit, parts)
    messages = conversation.sample["messages"]
    replaced: set[int] = set()
    for part in parts.conversations:
        assert part.origins == conversation.origins[: len(part.origins)]
        gone = [i for i, message in enumerate(part.sample["messages"]) if message["content"] != messages[i]["content"]]
        older = [i for i, m in enumerate(messages) if m["role"] == "tool" and len(m["content"]) > len(PLACEHOLDER)]
        assert gone == older[: len(gone)]  # the oldest ones
        first = min(counted(part))
        before = max((turn for turn in spoken(conversation) if turn < first), default=0)
        assert all(index < before for index in gone)  # what a turn answers is never among them
        replaced |= set(gone)
    assert parts.n_results == len(replaced)
    for turn in parts.turns:  # it fits into nothing, with all older results gone
        before = max((one for one in spoken(conversation) if one < turn), default=0)
        least = [
            {**m, "content": PLACEHOLDER}
            if m["role"] == "tool" and i < before and len(m["content"]) > len(PLACEHOLDER)
            else m
            for i, m in enumerate(messages[: turn + 1])
        ]
        assert sum(n_words(message) for message in least) > limit


def loop(n_rounds: int, n_words_each: int = 40) -> dict[str, Any]:
    """One user's turn, rounds of a call and its long result, and an answer."""
    messages: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Look it up."}]
    for n in range(n_rounds):
        function = {"name": "look", "arguments": {"page": n}}
        messages.append({**call("look"), "tool_calls": [{"id": f"c{n}", "type": "function", "function": function}]})
        messages.append({"role": "tool", "tool_call_id": f"c{n}", "content": f"page {n} " + "word " * n_words_each})
    look = {
        "name": "look",
        "description": "A page.",
        "parameters": {"type": "object", "properties": {"page": {"type": "integer"}}},
    }
    messages.append({"role": "assistant", "content": "Done."})
    return {"id": "loop", "messages": messages, "tools": [{"type": "function", "function": look}]}


def processed(tmp_path: Path, samples: Sequence[Any], **settings: Any) -> list[Outcome]:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    pipeline = Pipeline(Settings(**{"model": "qwen3", "verify": "all", **settings}))
    return list(outcomes(expand([str(tmp_path / "a.jsonl")]), pipeline))


@pytest.mark.parametrize("model", ["qwen3", "qwen3_coder", "qwen3_5"])
def test_long_tool_loop_is_trained_turn_by_turn_with_old_results_left_out(tmp_path: Path, model: str):
    (whole,) = processed(tmp_path, [loop(8)], model=model)
    limit = len(whole.rows[0].tokens.input_ids) - 100
    (outcome,) = processed(tmp_path, [loop(8)], model=model, max_length=limit, on_too_long="drop-oldest-results")
    assert [d.code for d in outcome.diagnostics if d.code.startswith("TOK")] == ["TOK006"]
    says = outcome.diagnostics[-1].says
    assert outcome.diagnostics[-1].severity == "warning" and says.startswith("a row of this sample has ")
    assert f"more than {limit}; it became 2 samples, " in says and "(--on-too-long drop-oldest-results)" in says
    first, second = outcome.rows
    assert max(len(row.tokens.input_ids) for row in outcome.rows) <= limit
    assert sorted([*first.tokens.turns, *second.tokens.turns]) == [2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert (first.sample, second.sample, outcome.numbers, outcome.n_verified) == (0, 1, [0, 0], 2)
    tokenizer = Pipeline(Settings(model=model)).encoder.model.tokenizer
    texts = [tokenizer.decode(row.tokens.input_ids) for row in outcome.rows]
    n_gone = texts[1].count(PLACEHOLDER)
    assert (texts[0].count(PLACEHOLDER), n_gone > 0) == (0, True) and f", {n_gone} of its results stand" in says
    assert [f"page {n} word" in texts[1] for n in range(8)] == [n >= n_gone for n in range(8)]
    assert outcome.aside == [] and outcome.n_events == outcome.n_kept == 19


def test_long_conversation_becomes_samples_that_begin_at_users_turns(tmp_path: Path):
    turns = [m for n in range(6) for m in asked(f"And {n}?", f"It is {n}.")["messages"]]
    sample = {"messages": [{"role": "system", "content": "Count."}, *turns]}
    (outcome,) = processed(tmp_path, [sample], max_length=60, on_too_long="split-at-user")
    assert [d.code for d in outcome.diagnostics] == ["TOK006"]
    assert outcome.diagnostics[0].says == (
        "a row of this sample has 125 tokens, more than 60; it became 3 samples (--on-too-long split-at-user)"
    )
    assert [row.tokens.turns for row in outcome.rows] == [(2, 4), (2, 4), (2, 4)]
    assert [one.sample["messages"][:2] for one in outcome.conversations] == [
        [sample["messages"][0], {"role": "user", "content": f"And {n}?"}] for n in (0, 2, 4)
    ]
    assert (outcome.n_verified, outcome.n_events, outcome.n_kept, outcome.aside) == (3, 13, 13, [])


def test_what_fits_into_no_part_is_dropped_and_told_and_a_sample_of_nothing_else_is_rejected(tmp_path: Path):
    long = asked("Why? " + "word " * 100, "Because.")["messages"]
    fine = asked("And 2?", "It is 2.")["messages"]
    both, neither = processed(
        tmp_path, [{"messages": [*long, *fine]}, {"messages": long}], max_length=60, on_too_long="split-at-user"
    )
    assert both.diagnostics[0].says.endswith(
        "more than 60; it became 1 sample, 1 of its turns fit into none and are left out (--on-too-long split-at-user)"
    )
    assert [(event.path, event.fate, event.reason) for event in both.aside] == [
        (("messages", index), "dropped", "too long (--on-too-long split-at-user)") for index in (0, 1)
    ]
    assert (both.n_events, both.n_kept, [row.tokens.turns for row in both.rows]) == (4, 2, [(1,)])
    assert [(d.code, d.severity) for d in neither.diagnostics] == [("TOK006", "error")] and neither.rejected
    assert neither.diagnostics[0].says.startswith("the row that ends with this turn has ")


def test_part_trains_no_turn_that_the_sample_does_not_train(tmp_path: Path):
    (outcome,) = processed(tmp_path, [loop(8)], max_length=500, on_too_long="drop-oldest-results", train=("last-turn",))
    assert [row.tokens.turns for row in outcome.rows] == [(18,)]
    turns = [m for n in range(6) for m in asked(f"And {n}?", f"It is {n}.")["messages"]]
    policy = {"max_length": 60, "on_too_long": "split-at-user", "train": ("last-turn",)}
    (outcome,) = processed(tmp_path, [{"messages": turns}], **policy)
    assert [one.sample["messages"][0]["content"] for one in outcome.conversations] == ["And 4?"]
    assert [row.tokens.turns for row in outcome.rows] == [(3,)]


def chat_with_loops(choose: random.Random) -> dict[str, Any]:
    """Users' turns with tool loops, some turns with reasoning, parallel results out of order."""

    def words(most: int) -> str:
        return " ".join(choose.choice(["alpha", "beta", "gamma", "42"]) for _ in range(choose.randint(1, most)))

    def spoken_by_model(**more: Any) -> dict[str, Any]:
        thought = {"reasoning_content": words(30)} if choose.random() < 0.5 else {}
        return {"role": "assistant", "content": words(8), **thought, **more}

    messages: list[Any] = [{"role": "system", "content": words(10)}] if choose.random() < 0.5 else []
    for _ in range(choose.randint(1, 4)):
        messages.append({"role": "user", "content": words(20)})
        for _ in range(choose.randint(0, 4)):
            ids = [f"c{len(messages)}-{k}" for k in range(choose.choice([1, 1, 2]))]
            calls = [loop_call(one) for one in ids]
            messages.append(spoken_by_model(tool_calls=calls))
            choose.shuffle(ids)
            messages += [{"role": "tool", "tool_call_id": one, "content": words(80)} for one in ids]
        messages.append(spoken_by_model())
    return {"messages": messages, "tools": loop(0)["tools"]}


def loop_call(name: str) -> dict[str, Any]:
    return {"id": name, "type": "function", "function": {"name": "look", "arguments": {"page": 1}}}


@pytest.mark.parametrize("model", ["qwen2_5", "qwen3", "qwen3_5"])
@pytest.mark.parametrize("policy", list(SHORTEN))
def test_each_turn_is_trained_once_or_told_as_left_out_under_every_template(tmp_path: Path, model: str, policy: str):
    choose = random.Random(0)
    samples = [chat_with_loops(choose) for _ in range(30)]
    n_shortened = 0
    for sample, outcome in zip(
        samples, processed(tmp_path, samples, model=model, max_length=600, on_too_long=policy), strict=True
    ):
        assert outcome.n_events == outcome.n_kept + len(outcome.aside) == len(sample["messages"])
        errors = {d.code for d in outcome.diagnostics if d.severity == "error"}
        assert errors <= {"TOK006"}
        if errors:
            continue
        assert all(len(row.tokens.input_ids) <= 600 for row in outcome.rows)
        trained = Counter(
            outcome.conversations[row.sample].origins[turn] for row in outcome.rows for turn in row.tokens.turns
        )
        told = [one.shortened for one in outcome.encoded or () if one.shortened is not None]
        n_lost = sum(one.n_turns for one in told)
        n_spoken = sum(message["role"] == "assistant" for message in sample["messages"])
        assert set(trained.values()) == {1} and len(trained) + n_lost == n_spoken
        n_shortened += len(told)
    assert n_shortened > 5


@needs_real_data
@pytest.mark.parametrize("model", ["qwen3", "qwen3_coder"])
@pytest.mark.parametrize("policy", list(SHORTEN))
def test_real_traces_fit_and_agree_with_the_oracle(model: str, policy: Any):
    settings = Settings(model=model, verify="all", max_length=4000, on_too_long=policy)
    n_shortened = 0
    for outcome in outcomes(expand([str(TRACES / "tau-bench" / "gpt-4o-airline*.json")]), Pipeline(settings)):
        assert not outcome.rejected and "TOK005" not in {d.code for d in outcome.diagnostics}
        assert all(len(row.tokens.input_ids) <= 4000 for row in outcome.rows)
        assert outcome.n_events == outcome.n_kept + len(outcome.aside)
        turns = Counter(
            outcome.conversations[row.sample].origins[turn] for row in outcome.rows for turn in row.tokens.turns
        )
        assert set(turns.values()) == {1}
        n_shortened += any(one.shortened for one in outcome.encoded or ())
    assert n_shortened > 5


# -- a build ----------------------------------------------------------------------------------------------------------


def put(path: Path, samples: Sequence[Any]) -> str:
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return str(path)


def chats(*numbers: int) -> list[dict[str, Any]]:
    """Two runs of each of these tasks; their words differ."""
    return [
        asked(f"What is {n} times {run + 2}?", f"It is {n * (run + 2)}.", id=f"{n}-{run}", task_id=f"task-{n}")
        for n in numbers
        for run in range(2)
    ]


def built(paths: Sequence[str], out: Path, writer: str = "parquet", **settings: Any) -> dict[str, Any]:
    given_settings = Settings(**{"model": "qwen3", **settings})
    manifest, _ = build(paths, given_settings, out, writers()[writer], force=True)
    jsonschema.Draft202012Validator(MANIFEST_SCHEMA).validate(json.loads(json.dumps(manifest)))
    return manifest


def rows_of(out: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in sorted((out / "data").glob("*.parquet")):
        rows += [{"split": path.name.partition("-")[0], **row} for row in pq.read_table(path).to_pylist()]
    return rows


def rejects_of(out: Path) -> list[tuple[str, int, list[str]]]:
    lines = [json.loads(line) for line in (out / "rejects.jsonl").read_bytes().splitlines()]
    return [(Path(one["file"]).name, one["line"], [found["says"] for found in one["findings"]]) for one in lines]


ALL = {
    "split": {"train": 0.5, "eval": 0.3, "test": 0.2},
    "dedup": "exact",
    "sample": 0.6,
    "seed": 7,
}


def test_splits_stay_when_files_are_added_or_come_in_another_order(tmp_path: Path):
    a, b = put(tmp_path / "a.jsonl", chats(*range(20))), put(tmp_path / "b.jsonl", chats(*range(10, 40)))
    alone = built([a], tmp_path / "out", **ALL)
    before = {row["sample_id"]: row["split"] for row in rows_of(tmp_path / "out")}
    assert set(before.values()) == {"train", "eval", "test"}
    assert alone["records"]["written"] == len(before) < 40
    for paths in ([a, b], [b, a]):
        manifest = built(paths, tmp_path / "both", **ALL)
        rows = rows_of(tmp_path / "both")
        after = {row["sample_id"]: row["split"] for row in rows}
        assert len(after) == len(rows) == manifest["records"]["written"]  # of b's runs of a's tasks each is a twin
        assert {name: split for name, split in after.items() if name in before} == before
        of_tasks: dict[str, set[str]] = {}
        for name, split in after.items():
            of_tasks.setdefault(name.partition("-")[0], set()).add(split)
        assert all(len(splits) == 1 for splits in of_tasks.values())
        assert manifest["curation"]["left_out"] == {
            "has an earlier twin (--dedup exact)": 20,
            "not drawn (--sample)": 80 - len(after),
        }
        assert {name: book["n_rows"] for name, book in manifest["curation"]["splits"].items()} == Counter(
            after.values()
        )
    assert {row["sample_id"] for row in rows} == set(after)
    built([a], tmp_path / "again", **ALL)
    assert rows_of(tmp_path / "again") == rows_of(tmp_path / "out")
    built([a], tmp_path / "seed", **{**ALL, "seed": 8})
    assert {row["sample_id"]: row["split"] for row in rows_of(tmp_path / "seed")} != before


def test_what_curation_knows_of_a_record_comes_from_a_worker_as_it_is(tmp_path: Path):
    (outcome, *_) = processed(tmp_path, chats(1), dedup="near", split={"train": 1.0})
    (found,) = outcome.keys.values()
    assert found.is_task and len(found.near) == 128
    assert pickle.loads(pickle.dumps(outcome)).keys == outcome.keys
    (plain, *_) = processed(tmp_path, chats(1))
    assert plain.keys == {}


def test_twin_stands_in_the_rejects_with_the_place_of_the_earlier_one(tmp_path: Path):
    near = asked(f"{LONG} more", task_id="t")
    a = put(tmp_path / "a.jsonl", [asked(LONG), asked("Hi"), asked(LONG, id="again"), near])
    manifest = built([a], tmp_path / "out", dedup="exact")
    assert rejects_of(tmp_path / "out") == [
        ("a.jsonl", 3, [f"left out: it is word for word the same as a sample of {a}:1 (--dedup exact)"])
    ]
    assert (manifest["records"], manifest["rejected_by_code"]) == (
        {"read": 4, "written": 3, "rejected": 1},
        {"SRC009": 1},
    )
    events = {"read": 8, "kept": 6, "merged": 0, "dropped": 2}
    assert manifest["events"] == {
        **events,
        "by_format": {"openai_chat": events},
        "dropped_reasons": {"has an earlier twin (--dedup exact)": 2},
    }
    assert manifest["curation"]["remarks"] == ["1 sample left out: has an earlier twin (--dedup exact)"]
    built([a], tmp_path / "out", dedup="near")
    assert [(line, says) for _, line, (says,) in rejects_of(tmp_path / "out")] == [
        (3, f"left out: it is nearly the same as a sample of {a}:1 (--dedup near)"),
        (4, f"left out: it is nearly the same as a sample of {a}:1 (--dedup near)"),
    ]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "## Curation\n\n- 2 samples left out: has an earlier twin (--dedup near)\n\n## Sources" in card


def test_record_that_is_left_out_counts_under_that_and_no_warning(tmp_path: Path):
    warned = {"messages": [*asked("Hi")["messages"], {"role": "user", "content": "Bye"}]}
    manifest = built([put(tmp_path / "a.jsonl", [warned, warned])], tmp_path / "out", dedup="exact")
    assert manifest["findings_by_code"] == {"MSG005": 2, "SRC009": 1}
    assert manifest["rejected_by_code"] == {"SRC009": 1}


def test_rejected_record_is_no_ones_twin(tmp_path: Path):
    bad = asked("Hi", "<|im_end|>")
    manifest = built([put(tmp_path / "a.jsonl", [bad, bad, asked("Hi")])], tmp_path / "out", dedup="exact")
    assert (manifest["records"], manifest["curation"]["left_out"]) == ({"read": 3, "written": 1, "rejected": 2}, {})


def test_number_of_samples_is_drawn_of_those_that_pass(tmp_path: Path):
    samples = [one for n in range(30) for one in (chats(n)[0], asked(f"{n}", "<|im_end|>"), chats(n)[0])]
    a, b = put(tmp_path / "a.jsonl", samples[:50]), put(tmp_path / "b.jsonl", samples[50:])
    manifest = built([a, b], tmp_path / "out", sample=12, dedup="exact")
    names = [row["sample_id"] for row in rows_of(tmp_path / "out")]
    assert len(names) == len(set(names)) == 12
    assert manifest["records"] == {"read": 90, "written": 12, "rejected": 78}
    assert [one["n_records"] for one in manifest["inputs"]] == [50, 40]
    assert manifest["curation"]["left_out"] == {"has an earlier twin (--dedup exact)": 30, "not drawn (--sample)": 18}
    built([b, a], tmp_path / "other", sample=12, dedup="exact")
    assert {row["sample_id"] for row in rows_of(tmp_path / "other")} == set(names)
    few = built([a], tmp_path / "few", sample=1000)
    assert few["curation"]["remarks"] == ["1,000 samples are wanted, and no more than 33 passed (--sample)"]


def test_number_of_samples_needs_inputs_that_can_be_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    says = r"is drawn by reading all of them twice, and <stdin> can be read once; name a file, or draw a share"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(asked("Hi")).encode())))
    with pytest.raises(UsageError, match=says):
        built(["-"], tmp_path / "out", sample=1)
    assert list((tmp_path / "out").iterdir()) == []
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(asked("Hi")).encode())))
    assert built(["-"], tmp_path / "out", sample=1.0)["records"]["written"] == 1


def test_mix_draws_and_repeats_its_sources_and_says_so(tmp_path: Path):
    put(tmp_path / "much.jsonl", chats(*range(60)))
    put(tmp_path / "little.jsonl", chats(*range(100, 110)))
    (tmp_path / "mix.toml").write_text(
        '[sources.much]\npaths = ["much.jsonl"]\nweight = 0.25\n'
        '[sources.little]\npaths = ["little.jsonl"]\nweight = 2.5\n'
    )
    beside = put(tmp_path / "beside.jsonl", chats(200))
    manifest = built([beside], tmp_path / "out", mix=str(tmp_path / "mix.toml"), split={"train": 0.9, "eval": 0.1})
    rows = rows_of(tmp_path / "out")
    counts = Counter(row["sample_id"] for row in rows)
    assert {counts[f"{n}-{run}"] for n in range(100, 110) for run in (0, 1)} == {2, 3}
    assert {counts[f"{n}-{run}"] for n in range(60) for run in (0, 1)} == {0, 1}
    assert (counts["200-0"], counts["200-1"]) == (1, 1)
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row["sample_id"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())  # no copy of a sample in another split
    much, little = (manifest["curation"]["sources"][name] for name in ("much", "little"))
    assert (much["weight"], much["n_samples"]) == (0.25, 120)
    assert much["n_samples_written"] == much["n_rows"] == sum(counts[f"{n}-{r}"] for n in range(60) for r in (0, 1))
    assert much["n_samples_written"] == pytest.approx(30, abs=12)
    assert little["n_samples"] == 20 and little["n_rows"] == len(rows) - much["n_rows"] - 2
    assert manifest["records"] == {"read": 142, "written": 22 + much["n_rows"], "rejected": 120 - much["n_rows"]}
    assert manifest["curation"]["remarks"] == [
        f"{120 - much['n_rows']} samples left out: not drawn (--mix)",
        "source 'little' weighs 2.5: its samples stand in the set 2 or 3 times (--mix)",
    ]
    assert "left out: it is not drawn: source 'much' weighs 0.25 (--mix)" in rejects_of(tmp_path / "out")[0][2]
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| little | 2.5 | 20 | {little['n_samples_written']} | {little['n_tokens']:,} |" in card
    talks_manifest = built([beside], tmp_path / "talks", "conversations", mix=str(tmp_path / "mix.toml"))
    assert talks_manifest["writer"]["n_rows"] == len(rows)  # a writer of conversations writes each copy too


def test_packed_rows_hold_all_rows_and_their_boundaries(tmp_path: Path):
    a = put(tmp_path / "a.jsonl", [*chats(*range(30)), {**loop(3, 10), "id": "loop"}])
    alone = built([a], tmp_path / "alone", max_length=400)
    rows = {(row["source_line"], row["sample"]): row for row in rows_of(tmp_path / "alone")}
    for name in ("parquet", "hf"):
        manifest = built([a], tmp_path / name, name, pack=400)
        packs = writers()[name].read(tmp_path / name / "data")
        assert manifest["rows"] == alone["rows"] and manifest["writer"]["n_rows"] == len(packs) < len(rows) / 4
        assert list(packs[0]) == [column["name"] for column in manifest["writer"]["columns"]]
        seen: list[tuple[int, int]] = []
        for pack in packs:
            ids, labels, positions = (pack[column] for column in ("input_ids", "labels", "position_ids"))
            assert len(ids) == len(labels) == len(positions) == sum(pack["seq_lengths"]) == pack["n_tokens"] <= 400
            start = 0
            places = zip(pack["source_lines"], pack["samples"], pack["seq_lengths"], pack["sample_ids"], strict=True)
            for line, number, length, sample_id in places:
                row = rows[line, number]
                assert ids[start : start + length] == row["input_ids"]
                assert labels[start : start + length] == row["labels"]
                assert positions[start : start + length] == list(range(length))
                assert sample_id == row["sample_id"]
                seen.append((line, number))
                start += length
            assert pack["n_trained_tokens"] == sum(label != -100 for label in labels)
        assert sorted(seen) == sorted(rows)
        told = manifest["curation"]["packs"]
        assert (told["length"], told["n_packs"], told["n_rows"]) == (400, len(packs), len(rows))
        assert told["filled"] == pytest.approx(sum(pack["n_tokens"] for pack in packs) / (400 * len(packs)), abs=1e-4)
        (remark,) = manifest["curation"]["remarks"]
        assert remark.startswith("rows are packed: TRL keeps the samples of one apart by `seq_lengths`, and only with ")
        assert f"- {remark}\n" in (tmp_path / name / "README.md").read_text()
    assert sum(pack["n_calls"] for pack in packs) == 3 and max(pack["depth"] for pack in packs) == 3
    short = built([a], tmp_path / "short", pack=100)  # a row that fits into no pack is too long
    assert short["rejected_by_code"] == {"TOK006": 1}
    with pytest.raises(
        UsageError, match="the writer 'trl' cannot write packed rows; leave --pack out, or name one of hf"
    ):
        built([a], tmp_path / "trl", "trl", pack=400)


def test_several_samples_of_a_record_are_left_out_one_by_one(tmp_path: Path):
    raw = Path(__file__).parents[1] / "examples" / "formats" / "tau2" / "raw.jsonl"
    line = raw.read_bytes().splitlines(keepends=True)[0]
    raw = tmp_path / "raw.jsonl"
    raw.write_bytes(line)
    (tmp_path / "a.jsonl").write_bytes(line * 2)
    whole = built([str(raw)], tmp_path / "whole")
    samples = built([str(tmp_path / "a.jsonl")], tmp_path / "out", dedup="exact", split={"train": 0.5, "eval": 0.5})
    assert samples["curation"]["left_out"] == {"has an earlier twin (--dedup exact)": 2}
    assert samples["records"] == {"read": 2, "written": 1, "rejected": 1}
    events = samples["events"]
    assert events["kept"] == whole["events"]["kept"] and events["dropped"] >= events["kept"]
    seeds = [built([str(raw)], tmp_path / "one", sample=0.5, seed=seed) for seed in range(8)]
    halves = [one for one in seeds if one["rows"]["n_rows"] == 1]
    assert halves and all(one["records"]["written"] == 1 for one in halves)
    assert all(one["events"]["kept"] < whole["events"]["kept"] for one in halves)


def test_turns_that_are_left_out_are_counted_and_told(tmp_path: Path):
    turns = [m for n in range(6) for m in asked(f"And {n}?", f"It is {n}.")["messages"]]
    a = put(tmp_path / "a.jsonl", [{"messages": turns}])
    manifest = built([a], tmp_path / "out", max_length=60, on_too_long="drop-turns")
    assert manifest["curation"]["too_long"] == {
        "n_samples": 1,
        "n_samples_made": 1,
        "n_results_replaced": 0,
        "n_turns_left_out": 4,
    }
    assert manifest["curation"]["remarks"] == [
        "4 turns of samples that are too long left out: no row has room (--on-too-long drop-turns)"
    ]
    manifest = built([a], tmp_path / "out", max_length=60, on_too_long="split-at-user")
    assert manifest["curation"]["remarks"] == [
        "1 sample with rows that are too long became 3; what was said before a part's first turn is not shown in it "
        "(--on-too-long split-at-user)"
    ]
    manifest = built(
        [put(tmp_path / "b.jsonl", [loop(8)])], tmp_path / "out", max_length=500, on_too_long="drop-oldest-results"
    )
    told = manifest["curation"]["too_long"]
    assert (told["n_samples"], told["n_turns_left_out"]) == (1, 0)
    assert manifest["curation"]["remarks"] == [
        f"1 sample with rows that are too long became {told['n_samples_made']}, in which the model is shown "
        f"'[older result left out]' in place of {told['n_results_replaced']} results: serve it by a harness that does "
        "the same (--on-too-long drop-oldest-results)"
    ]


@pytest.fixture
def qwen_sft(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["qwen-sft", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


# -- settings and flags -----------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "dedup": ({"dedup": "fuzzy"}, "dedup is 'fuzzy'; it can be none, exact, near"),
    "no mix": ({"mix": ""}, "mix is ''; name a file with sources and their weights"),
    "no sample": ({"sample": 0}, "sample is 0; it takes a number of samples such as 1000, or a share such as 0.1"),
    "share above 1": ({"sample": 1.5}, "sample is 1.5; it takes a number of samples such as 1000, or a share such as"),
    "true": ({"sample": True}, "sample is True; it takes a number of samples"),
    "name": ({"split": {"a b": 1.0}}, "split names 'a b'; a split is named by letters, digits and _"),
    "share": ({"split": {"a": 0}}, "split gives 'a' the share 0; it takes a number up to 1, such as 0.98"),
    "text": ({"split": {"a": "1"}}, "split gives 'a' the share '1'; it takes a number up to 1, such as 0.98"),
    "sum": ({"split": {"a": 0.9, "b": 0.2}}, "the shares of split sum to 1.1; they must sum to 1"),
    "one row": (
        {"on_too_long": "split-at-user", "rewritten_history": "last"},
        "on-too-long is 'split-at-user', which makes several rows of a sample, and rewritten-history 'last' wants one; "
        "set rewritten-history to 'expand'",
    ),
    "pack": ({"pack": 0}, "pack is 0; it counts tokens and must be 1 or more"),
    "longer": (
        {"pack": 10, "max_length": 11},
        "max-length is 11 and pack 10; no row may be longer than its pack",
    ),
}


@pytest.mark.parametrize(("given", "says"), WRONG.values(), ids=list(WRONG))
def test_setting_that_cannot_be_is_refused(given: dict[str, Any], says: str):
    with pytest.raises(UsageError) as raised:
        Settings(**given)
    assert str(raised.value).startswith(says)


def test_settings_of_curation_can_stand_in_a_file(tmp_path: Path):
    (tmp_path / "qwen-sft.toml").write_text(
        'dedup = "near"\nsample = 100\nmix = "m.toml"\npack = 512\nsplit = {train = 0.7, eval = 0.2, test = 0.1}\n'
    )
    loaded = load_settings({}, folder=tmp_path)
    split = {"train": 0.7, "eval": 0.2, "test": 0.1}
    assert loaded == Settings(dedup="near", sample=100, mix="m.toml", pack=512, split=split)
    assert list(loaded.split) == list(split)
    for text, says in [("sample = true", "takes a number"), ("split = 1", "takes a table such as {train = 0.98, ")]:
        (tmp_path / "qwen-sft.toml").write_text(text)
        with pytest.raises(UsageError, match=says):
            load_settings({}, folder=tmp_path)


WRONG_FLAGS = {
    "--split train": "--split 'train' gives no share in 'train'; write train=0.98,eval=0.02",
    "--split a=0.5,a=0.5": "--split 'a=0.5,a=0.5' names 'a' twice; give it one share",
    "--sample few": "--sample 'few' is no number; write 1000 for so many, or 0.1 for a share",
    "--sample 0": "sample is 0; it takes a number of samples such as 1000, or a share such as 0.1",
    "": "nothing to read is named; name files, directories or globs, or sources with --mix",
}


@pytest.mark.parametrize(("flags", "says"), WRONG_FLAGS.items(), ids=list(WRONG_FLAGS))
def test_flag_that_says_nothing_possible_stops_the_command(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], qwen_sft: Any, flags: str, says: str
):
    paths = [put(tmp_path / "a.jsonl", chats(1))] if flags else []
    assert qwen_sft("build", *paths, "--model", "qwen3", "--out", str(tmp_path / "out"), *flags.split()) == 2
    assert capfd.readouterr() == ("", f"qwen-sft: {says}\n")
    assert not (tmp_path / "out").exists()


def test_flags_curate_and_the_summary_says_what_was_left_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], qwen_sft: Any
):
    put(tmp_path / "a.jsonl", [*chats(*range(10)), *chats(3)])
    (tmp_path / "mix.toml").write_text('[sources."x\\u001b[31m"]\npaths = ["a.jsonl"]\nweight = 2\n')
    out = str(tmp_path / "out")
    flags = ["--dedup", "exact", "--sample", "15", "--split", "train=0.5,eval=0.5", "--pack", "200", "--seed", "3"]
    assert qwen_sft("build", "--mix", str(tmp_path / "mix.toml"), "--model", "qwen3", "--out", out, *flags) == 0
    printed, told = capfd.readouterr()
    assert printed == f"{out}\n"
    lines = told.splitlines()
    assert lines[0] == "22 records read, 15 written, 7 rejected (SRC009 7)"
    assert lines[2:5] == [
        "2 samples left out: has an earlier twin (--dedup exact)",
        "5 samples left out: not drawn (--sample)",
        "source 'x\\x1b[31m' weighs 2: its samples stand in the set 2 times (--mix)",
    ]
    assert lines[5].startswith("rows are packed: TRL ")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["rows"]["n_rows"] == 30
    assert sum(book["n_samples"] for book in manifest["curation"]["splits"].values()) == 30


@pytest.mark.parametrize("command", ["validate", "show", "convert", "fix"])
def test_commands_that_write_no_set_have_no_such_flags(command: str, capfd: pytest.CaptureFixture[str], qwen_sft: Any):
    assert qwen_sft(command, "--help") == 0
    printed, _ = capfd.readouterr()
    assert not [flag for flag in ("--dedup ", "--mix", "--sample", "--split", "--pack") if flag in printed]
