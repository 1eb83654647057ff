"""What is trained, piece by piece: each test states a row's whole text and which of it carries loss."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import served_samples

from qwen_sft.family import Run, families
from qwen_sft.model import load_model
from qwen_sft.oracle import disagreements
from qwen_sft.render import Rendering, _pieces, encode, renderings
from qwen_sft.tokens import IGNORE, Kind, Tokens

SHELF = families()


@cache
def model(name):
    return load_model(name, SHELF)


def rows_of(name, messages, tools=()):
    one = model(name)
    return encode(renderings(messages, tools, one.family, one.tokenizer), one.tokenizer)


def pieces(name, row):
    """A row as (text, trained) in runs of equal training."""
    tokenizer = model(name).tokenizer
    cuts = [0, *(np.flatnonzero(np.diff(row.loss_mask.astype(np.int8))) + 1).tolist(), len(row.input_ids)]
    return [(tokenizer.decode(row.input_ids[a:b]), bool(row.loss_mask[a])) for a, b in pairwise(cuts)]


def user(text):
    return {"role": "user", "content": text}


def assistant(text, *calls, reasoning=None):
    made = {"role": "assistant", "content": text}
    if calls:
        made["tool_calls"] = [
            {"type": "function", "function": {"name": name, "arguments": arguments}} for name, arguments in calls
        ]
    return {**made, "reasoning_content": reasoning} if reasoning is not None else made


def tool(text):
    return {"role": "tool", "content": text}


def test_plain_answer_trains_words_and_stop_token():
    (row,) = rows_of(
        "qwen2_5", [{"role": "system", "content": "Be brief."}, user("Hi"), assistant("Hello!"), user("?")]
    )
    assert pieces("qwen2_5", row) == [
        ("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", False),
        ("Hello!<|im_end|>", True),
        ("\n", False),
    ]
    assert row.turns == (2,)
    assert row.n_messages == 3


def test_labels_are_ids_where_trained_and_ignored_elsewhere():
    (row,) = rows_of("qwen2_5", [user("Hi"), assistant("Hello!")])
    assert row.labels.dtype == np.int64
    assert row.labels.tolist() == [int(i) if m else IGNORE for i, m in zip(row.input_ids, row.loss_mask, strict=True)]
    assert (row.input_ids.dtype, row.kinds.dtype) == (np.int32, np.int8)


def test_json_calls_train_the_call_and_not_its_result():
    messages = [
        user("Weather?"),
        assistant("I look.", ("w", {"c": "Oslo"}), ("w", {"c": "Bergen"})),
        tool("4"),
        tool("7"),
    ]
    (row,) = rows_of("qwen2_5", [*messages, assistant("4 and 7.")])
    assert pieces("qwen2_5", row)[1:] == [
        (
            'I look.\n<tool_call>\n{"name": "w", "arguments": {"c": "Oslo"}}\n</tool_call>\n'
            '<tool_call>\n{"name": "w", "arguments": {"c": "Bergen"}}\n</tool_call><|im_end|>',
            True,
        ),
        (
            "\n<|im_start|>user\n<tool_response>\n4\n</tool_response>\n<tool_response>\n7\n</tool_response><|im_end|>\n"
            "<|im_start|>assistant\n",
            False,
        ),
        ("4 and 7.<|im_end|>", True),
        ("\n", False),
    ]


def test_xml_calls_train_the_call_and_not_its_result():
    messages = [user("Weather?"), assistant("", ("w", {"c": "Oslo", "n": 2, "x": None})), tool("4"), assistant("4.")]
    (row,) = rows_of("qwen3-coder-next", messages)
    assert pieces("qwen3-coder-next", row) == [
        ("<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\n", False),
        (
            "<tool_call>\n<function=w>\n<parameter=c>\nOslo\n</parameter>\n<parameter=n>\n2\n</parameter>\n"
            "<parameter=x>\nnull\n</parameter>\n</function>\n</tool_call><|im_end|>",
            True,
        ),
        ("\n<|im_start|>user\n<tool_response>\n4\n</tool_response><|im_end|>\n<|im_start|>assistant\n", False),
        ("4.<|im_end|>", True),
        ("\n", False),
    ]


def test_kinds_name_every_piece():
    messages = [{"role": "system", "content": "S"}, user("U"), assistant("", ("f", {}), reasoning="R"), tool("T")]
    (row,) = rows_of("qwen3", [*messages, assistant("C", reasoning="Q")], [{"function": {"name": "f"}}])
    order = [Kind(int(k)).name for k in row.kinds[np.flatnonzero(np.diff(row.kinds, prepend=-1))]]
    assert order == [
        *("SCAFFOLD", "SYSTEM", "SCAFFOLD", "TOOLS", "SCAFFOLD", "USER", "SCAFFOLD"),
        *("HEADER", "REASONING", "CALL", "STOP", "AFTER", "SCAFFOLD", "RESULT", "SCAFFOLD"),
        *("HEADER", "REASONING", "CONTENT", "STOP", "AFTER"),
    ]


def test_reasoning_before_a_later_query_gets_a_row_of_its_own():
    messages = [user("A?"), assistant("a", reasoning="ra"), user("B?"), assistant("b", reasoning="rb")]
    first, second = rows_of("qwen3", messages)
    assert pieces("qwen3", first) == [
        ("<|im_start|>user\nA?<|im_end|>\n<|im_start|>assistant\n", False),
        ("<think>\nra\n</think>\n\na<|im_end|>", True),
        ("\n", False),
    ]
    assert pieces("qwen3", second) == [
        (
            "<|im_start|>user\nA?<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n<|im_start|>user\nB?<|im_end|>\n"
            "<|im_start|>assistant\n",
            False,
        ),
        ("<think>\nrb\n</think>\n\nb<|im_end|>", True),
        ("\n", False),
    ]
    assert (first.turns, second.turns) == ((1,), (3,))


@pytest.mark.parametrize("reasoning", [None, "step"])
def test_a_loop_of_forty_calls_under_one_query_is_one_row(reasoning):
    messages = [user("Go")]
    for step in range(40):
        messages += [assistant("", ("f", {"step": step}), reasoning=reasoning), tool(str(step))]
    (row,) = rows_of("qwen3", [*messages, assistant("Done.", reasoning=reasoning)])
    assert row.turns == tuple(range(1, 82, 2))
    assert len(row.regions) == 41


def test_turns_without_reasoning_share_a_row_across_queries():
    (row,) = rows_of("qwen3", [user("A?"), assistant("a"), user("B?"), assistant("b")])
    assert pieces("qwen3", row) == [
        ("<|im_start|>user\nA?<|im_end|>\n<|im_start|>assistant\n", False),
        ("a<|im_end|>", True),
        ("\n<|im_start|>user\nB?<|im_end|>\n<|im_start|>assistant\n", False),
        ("<think>\n\n</think>\n\nb<|im_end|>", True),
        ("\n", False),
    ]


def test_words_that_would_melt_into_the_header_end_their_row_and_are_encoded_apart():
    messages = [user("A?"), assistant("\n\na"), user("B?"), assistant("b")]
    melting, other = rows_of("qwen2_5", messages)
    tokenizer = model("qwen2_5").tokenizer
    (start, end) = melting.regions[0]
    assert melting.turns == (1,)
    assert tokenizer.decode(melting.input_ids[start:end]) == "\n\na<|im_end|>"
    assert melting.input_ids[start - 1 : start + 1].tolist() == [*tokenizer.encode("\n"), *tokenizer.encode("\n\n")]
    assert other.turns == (3,)
    as_history = other.input_ids[other.messages == 1].tolist()
    assert as_history == tokenizer.encode("<|im_start|>assistant\n\n\na<|im_end|>\n").tolist()


def test_a_turn_that_saw_reasoning_of_a_lone_row_stays_in_front_of_the_next_query():
    """Found by hypothesis: turn 3 has a row of its own, and its reasoning stands in the prompt of turn 4."""
    messages = [user("A?"), assistant("x"), assistant("y"), assistant("z", reasoning="r"), assistant("w"), user("B?")]
    rows = rows_of("qwen3", [*messages, assistant("v")])
    assert [row.turns for row in rows] == [(1,), (2,), (3,), (4,), (6,)]


def test_a_first_message_has_no_prompt_and_is_not_trained():
    (row,) = rows_of("qwen3", [assistant("Hi!"), user("A?"), assistant("a")])
    assert pieces("qwen3", row) == [
        ("<|im_start|>assistant\nHi!<|im_end|>\n<|im_start|>user\nA?<|im_end|>\n<|im_start|>assistant\n", False),
        ("<think>\n\n</think>\n\na<|im_end|>", True),
        ("\n", False),
    ]
    assert rows_of("qwen3", [assistant("Hi!"), user("A?")]) == []


def test_combining_marks_and_control_tokens_keep_kinds_and_lengths():
    messages = [user("e\u0301 <think>\u0338"), assistant("\u0301n\u0303 <|im_end|> 俱乐部", ("f", {"k": "e\u0301"}))]
    for name in SHELF:
        for row in rows_of(name, messages):
            assert len(row.kinds) == len(row.input_ids)
            assert set(row.kinds[row.loss_mask]) <= {Kind.REASONING, Kind.CONTENT, Kind.CALL, Kind.STOP}


@settings(max_examples=200, deadline=None)
@given(sample=served_samples())
def test_no_two_neighbouring_rows_could_have_been_one(sample):
    """Minimal expansion: the turns of two rows, put into the later one's rendering, fail the oracle."""
    one = model("qwen3")
    messages, tools = sample["messages"], sample.get("tools", [])
    rows = encode(renderings(messages, tools, one.family, one.tokenizer), one.tokenizer)
    for first, second in pairwise(rows):
        turns = tuple(sorted(first.turns + second.turns))
        run = Run(turns)
        spans = one.family.serialize(messages[: run.n_messages], tools)
        together = encode([Rendering(spans, turns, run.n_messages, _pieces(spans, turns))], one.tokenizer)
        assert disagreements(
            messages,
            tools,
            together,
            render=one.server,
            tokenizer=one.tokenizer,
            empty_reasoning=one.family.empty_reasoning,
            turns=turns,
        )


def _changed(row, **changes):
    values = {name: getattr(row, name) for name in Tokens.__slots__}
    return Tokens(**{**values, **changes})


@pytest.mark.parametrize("name", list(SHELF))
def test_oracle_sees_every_single_wrong_mask_bit_and_id(name):
    messages = [user("Hi"), assistant("Hello!", ("f", {"a": 1})), tool("ok"), assistant("Bye.")]
    one = model(name)
    (row,) = rows_of(name, messages)

    def verdict(changed):
        return disagreements(
            messages,
            [],
            [changed],
            render=one.server,
            tokenizer=one.tokenizer,
            empty_reasoning=one.family.empty_reasoning,
        )

    assert verdict(row) == []
    for index in range(len(row.input_ids)):
        mask = row.loss_mask.copy()
        mask[index] ^= True
        assert verdict(_changed(row, loss_mask=mask)), f"mask bit {index}"
        ids = row.input_ids.copy()
        ids[index] = 7 if ids[index] != 7 else 8
        assert verdict(_changed(row, input_ids=ids)), f"id {index}"
    assert verdict(_changed(row, turns=(1,), regions=row.regions[:1]))
