"""What is trained, piece by piece: each test states a row's whole text and which of it carries loss."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import served_samples

from qwen_sft.encoding.model import load_model
from qwen_sft.encoding.render import encode, renderings
from qwen_sft.errors import TemplateError
from qwen_sft.family import Run, families
from qwen_sft.serving.oracle import disagreements
from qwen_sft.tokens import IGNORE, Kind, Tokens

SHELF = families()


@cache
def model(name, thinking="as-is", **options):
    return load_model(name, SHELF, options=options, thinking=thinking)


def rendered(name, messages, tools=(), boundary="inference", **mode):
    one = model(name, **mode)
    options_of = one.options_of(messages)
    runs = one.family.plan(messages, tools, options_of).runs
    return renderings(messages, tools, runs, one.family, one.tokenizer, options_of=options_of, boundary=boundary)


def rows_of(name, messages, tools=(), **mode):
    return encode(rendered(name, messages, tools, **mode), model(name).tokenizer)


def verdict(name, messages, tools, rows, boundary="inference", **mode):
    """What the oracle says to rows."""
    one = model(name, **mode)
    return disagreements(
        messages,
        tools,
        rows,
        render=one.server,
        options_of=one.options_of(messages),
        tokenizer=one.tokenizer,
        stops=one.stops,
        empty_reasoning=one.family.empty_reasoning,
        boundary=boundary,
    )


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
    """Found by hypothesis: turn 3 has a row of its own, and its reasoning stands in the prompt of turn 4.

    Turns 1 and 6 see none of it and share a row, though others lie between them.
    """
    messages = [user("A?"), assistant("x"), assistant("y"), assistant("z", reasoning="r"), assistant("w"), user("B?")]
    rows = rows_of("qwen3", [*messages, assistant("v")])
    assert [row.turns for row in rows] == [(1, 6), (2,), (3,), (4,)]


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


MODES = [
    ("qwen3", "as-is"),
    ("qwen3", "off"),
    ("qwen3_5", "auto"),
    ("qwen3_5", "as-is"),
    ("qwen3_5_nothink", "auto"),
    ("qwen3_6", "on"),
    ("qwen3_8", "auto"),
    ("qwen3_8", "as-is"),
    ("qwen3_thinking_2507", "as-is"),
    ("qwq", "as-is"),
]


@pytest.mark.parametrize(("name", "thinking"), MODES)
@settings(max_examples=100, deadline=None)
@given(sample=served_samples())
def test_no_two_neighbouring_rows_could_have_been_one(name, thinking, sample):
    """Minimal expansion: the turns of two rows, put into the later one's rendering, fail the oracle."""
    one = model(name, thinking=thinking)
    messages, tools = one.prepared(sample["messages"]), sample.get("tools", [])
    options_of = one.options_of(messages)
    try:
        rows = rows_of(name, messages, tools, thinking=thinking)
    except TemplateError:
        return
    for first, second in pairwise(rows):
        turns = tuple(sorted(first.turns + second.turns))
        run = Run(turns, options_of(turns[-1]))
        try:
            merged = renderings(messages, tools, [run], one.family, one.tokenizer, options_of=options_of)
        except TemplateError:
            continue  # a turn does not even begin with its prompt
        if len(merged) == 1:
            together = encode(merged, one.tokenizer)
            assert disagreements(
                messages,
                tools,
                together,
                render=one.server,
                options_of=options_of,
                tokenizer=one.tokenizer,
                stops=one.stops,
                empty_reasoning=one.family.empty_reasoning,
                turns=turns,
            )


def _changed(row, **changes):
    values = {name: getattr(row, name) for name in Tokens.__slots__}
    return Tokens(**{**values, **changes})


def short_sample(name):
    # Where the prompt opens the think block, a turn that thinks nothing would have a row of its own.
    one = model(name)
    thought = "Hm." if one.opens_reasoning(one.bare) else None
    messages = [user("Hi"), assistant("Hello!", ("f", {"a": 1}), ("f", {"a": 2}), reasoning=thought), tool("ok")]
    return [*messages, tool("no"), assistant("Bye.", reasoning=thought)]


@pytest.mark.parametrize("boundary", ["inference", "text"])
@pytest.mark.parametrize("name", list(SHELF))
def test_oracle_sees_every_single_wrong_mask_bit_and_id(name, boundary):
    messages = short_sample(name)
    rows = rows_of(name, messages, boundary=boundary)
    assert verdict(name, messages, [], rows, boundary) == []
    for number, row in enumerate(rows):
        others = rows[:number] + rows[number + 1 :]
        for index in range(len(row.input_ids)):
            mask = row.loss_mask.copy()
            mask[index] ^= True
            changed = _changed(row, loss_mask=mask)
            assert verdict(name, messages, [], [*others, changed], boundary), f"mask bit {index}"
            ids = row.input_ids.copy()
            ids[index] = 7 if ids[index] != 7 else 8
            changed = _changed(row, input_ids=ids)
            assert verdict(name, messages, [], [*others, changed], boundary), f"id {index}"
        assert verdict(name, messages, [], others, boundary)
        assert verdict(name, messages, [], [*others, row, row], boundary)


@pytest.mark.parametrize("name", list(SHELF))
def test_oracle_sees_a_shifted_span_a_dropped_stop_token_and_swapped_results(name):
    messages = short_sample(name)
    rows = rows_of(name, messages)
    for number, row in enumerate(rows):
        others = rows[:number] + rows[number + 1 :]
        for start, end in row.regions:
            for shift in (-1, 1):
                mask = row.loss_mask.copy()
                mask[start:end] = False
                mask[start + shift : end + shift] = True
                assert verdict(name, messages, [], [*others, _changed(row, loss_mask=mask)])
            whole = {
                field: np.delete(getattr(row, field), end - 1)
                for field in ("input_ids", "loss_mask", "kinds", "messages")
            }
            assert verdict(name, messages, [], [*others, _changed(row, **whole)])
    swapped = [*messages[:2], messages[3], messages[2], messages[4]]
    assert verdict(name, swapped, [], rows)
    assert verdict(name, messages, [], rows_of(name, swapped))


SYSTEM = {"role": "system", "content": "S"}
TOOLS = [{"type": "function", "function": {"name": "f"}}]
CALL = '<tool_call>\n{"name": "f", "arguments": {"n": 1}}\n</tool_call>'
PREAMBLE = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
    '{"type": "function", "function": {"name": "f"}}\n</tools>\n\n'
    "For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML "
    'tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n'
)


@pytest.mark.parametrize(
    ("name", "late"),
    [("qwen3_instruct_2507", "<|im_start|>system\nLate.<|im_end|>\n"), ("qwen3_vl", "")],
)
def test_models_that_do_not_reason_drop_reasoning_and_share_one_row(name, late):
    """And Qwen3-VL prints no system message but the first."""
    late_system = {"role": "system", "content": "Late."}
    messages = [SYSTEM, user("A?"), assistant("Look.", ("f", {"n": 1}), reasoning="R"), tool("T"), late_system]
    (row,) = rows_of(name, [*messages, tool("U"), assistant("a", reasoning="Q"), user("B?"), assistant("b")], TOOLS)
    assert pieces(name, row) == [
        (
            f"<|im_start|>system\nS\n\n{PREAMBLE}<|im_start|>user\nA?<|im_end|>\n<|im_start|>assistant\n",
            False,
        ),
        (f"Look.\n{CALL}<|im_end|>", True),
        (
            f"\n<|im_start|>user\n<tool_response>\nT\n</tool_response><|im_end|>\n{late}"
            "<|im_start|>user\n<tool_response>\nU\n</tool_response><|im_end|>\n<|im_start|>assistant\n",
            False,
        ),
        ("a<|im_end|>", True),
        ("\n<|im_start|>user\nB?<|im_end|>\n<|im_start|>assistant\n", False),
        ("b<|im_end|>", True),
        ("\n", False),
    ]


def test_first_revision_of_qwen3_trains_what_the_later_one_does():
    messages = [
        SYSTEM,
        user("A?"),
        assistant("", ("f", {"n": 1}), reasoning="R"),
        tool("T"),
        assistant("a"),
        user("B?"),
    ]
    first, second = rows_of("qwen3_first_revision", [*messages, assistant("b", reasoning="Q")], TOOLS)
    preamble = f"<|im_start|>system\nS\n\n{PREAMBLE}<|im_start|>user\nA?<|im_end|>\n<|im_start|>assistant\n"
    result = "\n<|im_start|>user\n<tool_response>\nT\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    assert pieces("qwen3_first_revision", first) == [
        (preamble, False),
        (f"<think>\nR\n</think>\n\n{CALL}<|im_end|>", True),
        (result, False),
        ("<think>\n\n</think>\n\na<|im_end|>", True),
        ("\n", False),
    ]
    assert pieces("qwen3_first_revision", second) == [
        (
            f"{preamble}{CALL}<|im_end|>{result}a<|im_end|>\n<|im_start|>user\nB?<|im_end|>\n<|im_start|>assistant\n",
            False,
        ),
        ("<think>\nQ\n</think>\n\nb<|im_end|>", True),
        ("\n", False),
    ]


def said(text, *arguments):
    """A call of `f` as XML, behind words."""
    parameters = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in arguments)
    return f"{text}<tool_call>\n<function=f>\n{parameters}</function>\n</tool_call><|im_end|>"


THINK = "<|im_start|>assistant\n<think>\n"


def test_coder_prints_scalars_as_python_does_and_a_newline_behind_each_result():
    messages = [user("A?"), assistant(" Look. ", ("f", {"n": 1, "x": None, "y": True, "z": [None]})), tool("T")]
    (row,) = rows_of("qwen3_coder", [*messages, tool("U"), assistant("a")])
    assert pieces("qwen3_coder", row) == [
        ("<|im_start|>user\nA?<|im_end|>\n<|im_start|>assistant\n", False),
        (said("Look.\n\n", ("n", "1"), ("x", "None"), ("y", "True"), ("z", "[null]")), True),
        (
            "\n<|im_start|>user\n<tool_response>\nT\n</tool_response>\n<tool_response>\nU\n</tool_response>\n<|im_end|>"
            "\n<|im_start|>assistant\n",
            False,
        ),
        ("a<|im_end|>", True),
        ("\n", False),
    ]


@pytest.mark.parametrize(("name", "null"), [("qwen3_5", "None"), ("qwen3_6", "null")])
def test_prefilled_think_tag_is_not_trained_and_a_later_query_takes_the_block_away(name, null):
    messages = [
        user("A?"),
        assistant("Look. ", ("f", {"x": None}), reasoning=" ra\n"),
        tool("T"),
        assistant("a", reasoning="rb"),
    ]
    first, second = rows_of(name, [*messages, user("B?"), assistant("<think>rc</think>\n\nb"), user("C?")])
    call = said("", ("x", null))
    result = "\n<|im_start|>user\n<tool_response>\nT\n</tool_response><|im_end|>\n"
    assert pieces(name, first) == [
        (f"<|im_start|>user\nA?<|im_end|>\n{THINK}", False),
        (f"ra\n</think>\n\nLook.\n\n{call}", True),
        (f"{result}{THINK}", False),
        ("rb\n</think>\n\na<|im_end|>", True),
        ("\n", False),
    ]
    assert pieces(name, second) == [
        (
            f"<|im_start|>user\nA?<|im_end|>\n<|im_start|>assistant\nLook.\n\n{call}{result}"
            f"<|im_start|>assistant\na<|im_end|>\n<|im_start|>user\nB?<|im_end|>\n{THINK}",
            False,
        ),
        ("rc\n</think>\n\nb<|im_end|>", True),
        ("\n", False),
    ]
    assert (first.turns, second.turns) == ((1, 3), (5,))
    order = [Kind(int(k)).name for k in first.kinds[np.flatnonzero(np.diff(first.kinds, prepend=-1))]]
    assert order[3:9] == ["HEADER", "PREFILL", "REASONING", "CONTENT", "CALL", "STOP"]


@pytest.mark.parametrize("name", ["qwen3_5", "qwen3_6", "qwen3_8"])
def test_turn_that_thinks_nothing_ends_its_row_since_its_newline_would_melt_into_the_prompt(name):
    """`<think>` and two newlines are two tokens; behind the prompt the model writes a newline of its own."""
    tokenizer = model(name).tokenizer
    first, second = rows_of(name, [user("A?"), assistant("", ("f", {})), tool("T"), assistant("a")])
    for row, words in ((first, f"\n</think>\n\n{said('')}"), (second, "\n</think>\n\na<|im_end|>")):
        ((start, end),) = row.regions
        assert tokenizer.decode(row.input_ids[start:end]) == words
        assert row.input_ids[start - 1 : start + 1].tolist() == tokenizer.encode("\n").tolist() * 2
    as_history = second.input_ids[second.messages == 1].tolist()
    assert as_history == tokenizer.encode(f"{THINK}\n</think>\n\n{said('')}\n").tolist()


def test_empty_think_block_of_the_prompt_is_not_trained():
    messages = [user("A?"), assistant("", ("f", {})), tool("T"), assistant("a"), user("B?"), assistant("b")]
    first, second = rows_of("qwen3_5_nothink", messages)
    prompt = f"{THINK}\n</think>\n\n"
    result = "\n<|im_start|>user\n<tool_response>\nT\n</tool_response><|im_end|>\n"
    assert pieces("qwen3_5_nothink", first) == [
        (f"<|im_start|>user\nA?<|im_end|>\n{prompt}", False),
        (said(""), True),
        (f"{result}{prompt}", False),
        ("a<|im_end|>", True),
        ("\n", False),
    ]
    assert pieces("qwen3_5_nothink", second) == [
        (
            f"<|im_start|>user\nA?<|im_end|>\n<|im_start|>assistant\n{said('')}{result}<|im_start|>assistant\n"
            f"a<|im_end|>\n<|im_start|>user\nB?<|im_end|>\n{prompt}",
            False,
        ),
        ("b<|im_end|>", True),
        ("\n", False),
    ]


def test_template_that_keeps_reasoning_gives_one_row_and_says_how_hard_to_think():
    messages = [SYSTEM, user("A?"), assistant("a", reasoning="ra"), user("B?"), assistant("<think>b", reasoning="rb")]
    (row,) = rows_of("qwen3_8", messages)
    effort = (
        "Reasoning effort is set to xhigh. Please think carefully through the task, validate key assumptions, consider "
        "plausible alternatives, and prioritize correctness, consistency, and clarity in the final answer."
    )
    assert pieces("qwen3_8", row) == [
        (f"<|im_start|>system\n{effort}\n\nS<|im_end|>\n<|im_start|>user\nA?<|im_end|>\n{THINK}", False),
        ("ra\n</think>\n\na<|im_end|>", True),
        (f"\n<|im_start|>user\nB?<|im_end|>\n{THINK}", False),
        ("rb\n</think>\n\n<think>b<|im_end|>", True),
        ("\n", False),
    ]


@pytest.mark.parametrize(
    ("name", "messages", "says"),
    [
        ("qwen3_5", [SYSTEM], r"^no user message asks anything; this template refuses to print such a conversation$"),
        ("qwen3_5", [user(" <tool_response>x</tool_response>\n")], r"^no user message asks anything;"),
        ("qwen3_6", [user("A?"), SYSTEM], r"^messages\[1\] is a system message; this template prints only a first one"),
        (
            "qwen3_8",
            [user("A?"), {"role": "critic", "content": ""}],
            r"^messages\[1\] has the role 'critic', which this",
        ),
    ],
)
def test_what_the_template_refuses_the_serializer_refuses(name, messages, says):
    with pytest.raises(TemplateError, match=says):
        model(name).family.serialize(messages, [])


@pytest.mark.parametrize("name", ["qwen3_5", "qwen3_5_nothink", "qwen3_8"])
def test_turn_before_the_first_query_has_no_prompt_and_is_shown_untrained(name):
    messages = [SYSTEM, assistant("Hi!"), user("A?"), assistant("a")]
    (row,) = rows_of(name, messages)
    assert row.turns == (3,)
    assert verdict(name, messages, [], [row]) == []
    assert list(model(name).family.plan(messages, [], model(name).options_of(messages)).untrained) == [1]


@pytest.mark.parametrize("turn", [assistant("a", reasoning="r"), assistant("<think>\nr\n</think>\n\na")])
def test_reasoning_behind_a_closed_think_block_is_shown_untrained(turn):
    messages = [user("A?"), turn, user("B?"), assistant("b")]
    (row,) = rows_of("qwen3_5_nothink", messages)
    assert row.turns == (3,)
    assert verdict("qwen3_5_nothink", messages, [], [row]) == []
    assert [row.turns for row in rows_of("qwen3_5_nothink", messages, thinking="auto")] == [(1,), (3,)]


def test_think_tag_of_the_prompt_is_not_trained_and_reasoning_behind_it_is():
    messages = [SYSTEM, user("A?"), assistant("", ("f", {"n": 1}), reasoning="R"), tool("T")]
    messages += [assistant("a", reasoning="Q"), user("B?"), assistant("<think>\nP\n</think>\n\nb"), user("C?")]
    first, second = rows_of("qwen3_thinking_2507", messages, TOOLS)
    prompt = f"<|im_start|>system\nS\n\n{PREAMBLE}<|im_start|>user\nA?<|im_end|>\n<|im_start|>assistant\n"
    result = "\n<|im_start|>user\n<tool_response>\nT\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    assert pieces("qwen3_thinking_2507", first) == [
        (f"{prompt}<think>\n", False),
        (f"R\n</think>\n\n{CALL}<|im_end|>", True),
        (f"{result}<think>\n", False),
        ("Q\n</think>\n\na<|im_end|>", True),
        ("\n", False),
    ]
    assert pieces("qwen3_thinking_2507", second) == [
        (
            f"{prompt}{CALL}<|im_end|>{result}a<|im_end|>\n<|im_start|>user\nB?<|im_end|>\n"
            "<|im_start|>assistant\n<think>\n",
            False,
        ),
        ("P\n</think>\n\nb<|im_end|>", True),
        ("\n", False),
    ]
    kinds = [Kind(int(k)).name for k in first.kinds[np.flatnonzero(np.diff(first.kinds, prepend=-1))]]
    assert kinds[-6:] == ["HEADER", "PREFILL", "REASONING", "CONTENT", "STOP", "AFTER"]


def test_turn_without_reasoning_behind_a_prompt_that_opens_it_closes_the_block_and_ends_its_row():
    """The newline of the prompt and the one that the model writes are two tokens, as served; as one text, one token."""
    name = "qwen3_thinking_2507"
    messages = [user("A?"), assistant("x", reasoning="R"), tool("T"), assistant("a"), tool("U"), assistant("b")]
    last, first = rows_of(name, messages)
    prompt = "<|im_start|>user\nA?<|im_end|>\n<|im_start|>assistant\n<think>\n"
    result = "\n<|im_start|>user\n<tool_response>\n{}\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    assert (first.turns, last.turns) == ((3,), (1, 5))
    assert pieces(name, first) == [
        (f"{prompt}R\n</think>\n\nx<|im_end|>{result.format('T')}<think>\n", False),
        ("\n</think>\n\na<|im_end|>", True),
        ("\n", False),
    ]
    assert pieces(name, last) == [
        (prompt, False),
        ("R\n</think>\n\nx<|im_end|>", True),
        (f"{result.format('T')}a<|im_end|>{result.format('U')}<think>\n", False),
        ("\n</think>\n\nb<|im_end|>", True),
        ("\n", False),
    ]
    tokenizer = model(name).tokenizer
    start = last.regions[-1][0]
    newline = tokenizer.encode("\n").tolist()
    assert last.input_ids[start - 1 : start + 1].tolist() == newline * 2
    assert tokenizer.encode("\n\n").tolist() != newline * 2


def test_turn_before_any_query_is_shown_untrained_where_the_prompt_opens_a_think_block():
    messages = [SYSTEM, assistant("Hi!"), user("A?"), assistant("a", reasoning="R")]
    (row,) = rows_of("qwen3_thinking_2507", messages)
    assert row.turns == (3,)
    assert verdict("qwen3_thinking_2507", messages, [], [row]) == []
    (row,) = rows_of("qwen3_thinking_2507", [assistant("Hi!"), user("A?"), assistant("a", reasoning="R")])
    assert row.turns == (2,)


def test_content_that_opens_the_block_itself_is_served_before_any_query_too():
    opened = assistant("<think>\nP\n</think>\n\nHi!", reasoning="lost")
    (row,) = rows_of("qwen3_thinking_2507", [SYSTEM, opened, user("A?"), user("B?"), assistant("b", reasoning="R")])
    assert pieces("qwen3_thinking_2507", row) == [
        ("<|im_start|>system\nS<|im_end|>\n<|im_start|>assistant\n<think>\n", False),
        ("P\n</think>\n\nHi!<|im_end|>", True),
        (
            "\n<|im_start|>user\nA?<|im_end|>\n<|im_start|>user\nB?<|im_end|>\n<|im_start|>assistant\n<think>\n",
            False,
        ),
        ("R\n</think>\n\nb<|im_end|>", True),
        ("\n", False),
    ]
