"""The laws of the whole way, on anything: no exception, nothing lost, nothing changed."""

import copy
import hashlib
import json
import pickle
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import broken_samples, json_values, samples, served_samples

from qwen_sft.decoding.jsontext import parse
from qwen_sft.format import Conversation, Event, Reading, unbalanced
from qwen_sft.pipeline import Pipeline, tally
from qwen_sft.record import Record, Where
from qwen_sft.reporter import Totals
from qwen_sft.sample import Path
from qwen_sft.settings import Settings


@cache
def pipeline(**flags):
    return Pipeline(Settings(**flags))


def record(data, line=1):
    return Record(Where("x.jsonl", line), data, json.dumps(data).encode())


def lines():
    """Lines of a file: samples of every quality, any JSON, and bytes that are none."""
    data = samples() | served_samples() | broken_samples() | json_values()
    return st.lists(data.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40), max_size=4)


@settings(max_examples=300, deadline=None)
@given(texts=lines())
def test_any_lines_give_one_outcome_each_and_events_add_up(texts):
    one = pipeline()
    batch = [parse(text, Where("x.jsonl", i + 1)) for i, text in enumerate(texts)]
    before = copy.deepcopy([r.data for r in batch])
    outcomes = one.process(batch)
    totals = Totals()
    for outcome in outcomes:
        tally(totals, outcome)
        if outcome.reading and not outcome.reading.refusal:
            assert not unbalanced(one.formats[outcome.format].events(outcome.record.data), outcome.reading)
        assert outcome.rejected == (
            not outcome.conversations or any(d.severity == "error" for d in outcome.diagnostics)
        )
        assert all(d.says and d.fix and d.where == outcome.record.where for d in outcome.diagnostics)
    assert [o.record.where for o in outcomes] == [r.where for r in batch]
    assert totals.n_records == totals.n_clean + totals.n_rejected == len(texts)
    assert totals.n_events == totals.n_kept + totals.n_merged + totals.n_dropped
    assert [r.data for r in batch] == before


@pytest.mark.parametrize("model", ["qwen2_5", "qwen3", "qwen3_coder_next"])
@settings(max_examples=150, deadline=None)
@given(sample=served_samples() | samples(), drop=st.booleans(), limit=st.sampled_from([None, 16, 60]))
def test_any_sample_gives_verified_rows_or_a_reason(model, sample, drop, limit):
    """With every other rule off, nothing but rows that the oracle agrees with comes out, and nothing is lost."""
    flags = {"trailing_calls": "drop-turn", "on_too_long": "drop-turns"} if drop else {}
    one = pipeline(model=model, verify="all", max_length=limit, ignore=("MSG", "TOL"), **flags)
    given_record = record(sample)
    before = copy.deepcopy(sample)
    (outcome,) = one.process([given_record])
    assert sample == before
    assert bool(outcome.rows) != bool(outcome.rejected)
    assert "TOK005" not in {d.code for d in outcome.diagnostics}
    totals = Totals()
    tally(totals, outcome)
    assert totals.n_events == totals.n_kept + totals.n_merged + totals.n_dropped
    for row in outcome.rows:
        assert row.tokens.n_trained_tokens > 0
        assert limit is None or len(row.tokens.input_ids) <= limit


def weather(*messages, **more):
    return {"messages": [{"role": "user", "content": "Weather?"}, *messages], **more}


def call(identifier, city):
    return {"id": identifier, "type": "function", "function": {"name": "weather", "arguments": {"city": city}}}


TOOLS = [
    {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }
]


def test_parallel_results_are_put_in_the_order_of_their_calls():
    sample = weather(
        {"role": "assistant", "content": "", "tool_calls": [call("a", "Oslo"), call("b", "Rome")]},
        {"role": "tool", "tool_call_id": "b", "content": "20"},
        {"role": "tool", "tool_call_id": "a", "content": "4"},
        {"role": "assistant", "content": "4 and 20."},
        tools=TOOLS,
    )
    (outcome,) = pipeline(model="qwen3", verify="all").process([record(sample)])
    assert [d.code for d in outcome.diagnostics] == ["TOL019"]
    (conversation,) = outcome.conversations
    assert [m["content"] for m in conversation.sample["messages"]] == ["Weather?", "", "4", "20", "4 and 20."]
    assert conversation.origins[2:4] == [("messages", 3), ("messages", 2)]


@pytest.mark.parametrize(
    ("policy", "rejected", "trained", "dropped"),
    [("error", True, 0, 0), ("drop-turn", False, 1, 1), ("keep", False, 2, 0)],
)
def test_trailing_call_is_rejected_dropped_or_kept(policy, rejected, trained, dropped):
    sample = weather(
        {"role": "assistant", "content": "Which city?"},
        {"role": "user", "content": "Oslo"},
        {"role": "assistant", "content": "", "tool_calls": [call("a", "Oslo")]},
        tools=TOOLS,
    )
    (outcome,) = pipeline(model="qwen3", trailing_calls=policy).process([record(sample)])
    assert [d.code for d in outcome.diagnostics] == ["TOL002"]
    assert outcome.rejected is rejected
    assert sum(len(row.tokens.turns) for row in outcome.rows) == trained
    assert [event.reason for event in outcome.aside] == ["trailing call without result"] * dropped
    assert outcome.n_events == outcome.n_kept + len(outcome.aside)


def test_long_row_loses_its_last_turns_and_is_verified_anew():
    turns = [
        {"role": role, "content": f"{role} {i} " + "word " * 20} for i in range(6) for role in ("user", "assistant")
    ]
    one = pipeline(model="qwen3", verify="all", max_length=150, on_too_long="drop-turns")
    (outcome,) = one.process([record({"messages": turns})])
    assert [(d.code, d.severity) for d in outcome.diagnostics] == [("TOK006", "warning")]
    (row,) = outcome.rows
    assert row.tokens.turns == (1, 3)
    assert len(row.tokens.input_ids) <= 150


def test_tool_schemas_reach_the_template_as_json_schema():
    odd = {"type": "function", "function": {"name": "weather", "parameters": {"type": "dict", "properties": {}}}}
    sample = weather({"role": "assistant", "content": "Where?"}, tools=[odd])
    (outcome,) = pipeline(model="qwen3").process([record(sample)])
    assert [d.code for d in outcome.diagnostics] == ["TOL012"]
    tokenizer = pipeline(model="qwen3").encoder.model.tokenizer
    assert '{"type": "object", "properties": {}}' in tokenizer.decode(outcome.rows[0].tokens.input_ids)


def test_findings_point_into_the_users_own_record():
    sample = {"traj": [{"role": "user", "content": "Hi"}, {"role": "tool", "tool_call_id": "c", "content": "x"}]}
    sample["traj"].append({"role": "assistant", "content": "y"})
    (outcome,) = pipeline().process([record({"task_id": 1, **sample})])
    (found,) = [d for d in outcome.diagnostics if d.code == "TOL003"]
    assert found.json_path == "$.traj[1].tool_call_id"


def test_pipeline_pickles_as_its_settings():
    one = pickle.loads(pickle.dumps(pipeline(model="qwen2_5")))
    assert one.settings == Settings(model="qwen2_5")


def test_fingerprint_is_of_code_path_and_bytes_and_hashed_when_somebody_asks():
    raw = b'{"messages": [{"role": "user", "content": "hunter2"}]}'
    pipeline = Pipeline(Settings(select=("MSG006",)), excerpts=False)
    (outcome,) = pipeline.process([parse(raw, Where("a.jsonl", 1))])
    (found,) = outcome.diagnostics
    expected = hashlib.blake2b(b"MSG006$.messages" + raw, digest_size=8).hexdigest()
    assert (found.code, found.json_path, found.fingerprint) == ("MSG006", "$.messages", expected)
    assert pickle.loads(pickle.dumps(found)).fingerprint == expected
    assert "hunter2" not in repr(found)  # nor in a log that prints it


def test_settled_finding_is_the_same_and_holds_on_to_no_record():
    raw = b'{"messages": [{"role": "user", "content": "hunter2"}]}'
    (outcome,) = Pipeline(Settings(select=("MSG006",))).process([parse(raw, Where("a.jsonl", 1))])
    (found,) = outcome.diagnostics
    settled = found.settled()
    assert settled.marked == found.fingerprint == settled.fingerprint
    assert b"hunter2" in pickle.dumps(found.marked)
    assert settled.settled() is settled
    assert replace(settled, marked=found.marked) == found


@pytest.mark.parametrize(
    ("events", "kept", "aside", "told"),
    [
        ([(0,), (1,)], [(0,)], [(1,)], []),
        ([(0,), (1,)], [(0,), (0,)], [(1,)], []),
        ([(0,), (1,)], [(0,)], [], ["event $[1] has no fate"]),
        ([(0,)], [(0,)], [(0,)], ["event $[0] was kept and set aside"]),
        ([(0,), (1,)], [(0,)], [(1,), (1,)], ["event $[1] was set aside twice"]),
        ([(0,)], [(0,), (1,)], [], ["$[1] is no event of the record"]),
    ],
)
def test_reading_that_does_not_balance_is_told_event_for_event(
    events: list[Path], kept: list[Path], aside: list[Path], told: list[str]
):
    reading = Reading([Conversation({"messages": []}, kept)], [Event(place, "merged", "x") for place in aside])
    assert unbalanced(events, reading) == told
