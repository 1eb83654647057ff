"""What is trained under a policy: each test says which text of a row carries loss, and how much."""

from functools import cache

import numpy as np
import pytest

from qwen_sft.asking.selection import KINDS, TURNS
from qwen_sft.encoding.model import load_model
from qwen_sft.encoding.render import encode, renderings
from qwen_sft.encoding.train import _SELECTORS, policy, weight_of
from qwen_sft.errors import UsageError
from qwen_sft.family import families
from qwen_sft.settings import Settings
from qwen_sft.tokens import GENERATED


@cache
def model():
    return load_model("qwen3", families())


def call(name):
    return [{"type": "function", "function": {"name": name, "arguments": {}}}]


MESSAGES = [
    {"role": "user", "content": "A?"},
    {"role": "assistant", "content": "", "reasoning_content": "r1", "tool_calls": call("f")},
    {"role": "tool", "content": "t1"},
    {"role": "assistant", "content": "a1", "reasoning_content": "r2"},
    {"role": "user", "content": "B?"},
    {"role": "assistant", "content": "w", "tool_calls": call("g")},
    {"role": "tool", "content": "t2"},
    {"role": "assistant", "content": "a2"},
]
CALL_F = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
CALL_G = '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>'


def trained(messages=MESSAGES, *selectors, **settings):
    """The trained texts of all rows, in order."""
    return [text for row in rows_of(messages, *selectors, **settings) for text in trained_texts(row)]


def rows_of(messages, *selectors, **settings):
    one = model()
    chosen = policy(Settings(train=selectors or ("assistant",), **settings))
    wanted = set(chosen.wanted(messages))
    options_of = one.options_of(messages)
    runs = [run for run in one.family.plan(messages, [], options_of).runs if set(run.turns) & wanted]
    runs = [type(run)(tuple(t for t in run.turns if t in wanted), run.options) for run in runs]
    made = encode(renderings(messages, [], runs, one.family, one.tokenizer, options_of=options_of), one.tokenizer)
    return [chosen.applied(row, messages) for row in made]


def trained_texts(row):
    edges = np.flatnonzero(np.diff(row.loss_mask.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    return [model().tokenizer.decode(row.input_ids[a:b]) for a, b in edges.tolist()]


def test_by_default_every_turn_is_trained_from_reasoning_to_stop_token():
    assert trained() == [
        f"<think>\nr1\n</think>\n\n{CALL_F}<|im_end|>",
        "<think>\nr2\n</think>\n\na1<|im_end|>",
        f"w\n{CALL_G}<|im_end|>",
        "<think>\n\n</think>\n\na2<|im_end|>",
    ]


@pytest.mark.parametrize(
    ("selectors", "turns"),
    [
        (("assistant",), [1, 3, 5, 7]),
        (("last-turn",), [7]),
        (("last-run",), [5, 7]),
        (("calls",), [1, 5]),
        (("final-answers",), [3, 7]),
        (("calls", "last-turn"), [1, 5, 7]),
        (("none-of:reasoning",), [1, 3, 5, 7]),
        (("final-answers", "only:content"), [3, 7]),
    ],
)
def test_selectors_of_turns_add_up(selectors, turns):
    assert policy(Settings(train=selectors)).wanted(MESSAGES) == turns


@pytest.mark.parametrize(
    ("selectors", "texts"),
    [
        (
            ("none-of:reasoning",),
            [f"{CALL_F}<|im_end|>", "a1<|im_end|>", f"w\n{CALL_G}<|im_end|>", "a2<|im_end|>"],
        ),
        (("calls", "only:call"), [CALL_F, f"\n{CALL_G}"]),
        (("only:reasoning",), ["<think>\nr1\n</think>\n\n", "<think>\nr2\n</think>\n\n", "<think>\n\n</think>\n\n"]),
        (("last-turn", "only:content+stop"), ["a2<|im_end|>"]),
        (("none-of:reasoning+stop", "none-of:call"), ["a1", "w", "a2"]),
    ],
)
def test_selectors_of_kinds_narrow_down(selectors, texts):
    assert trained(MESSAGES, *selectors) == texts


def test_stop_tokens_of_all_turns_of_the_last_one_or_of_none():
    assert [text.count("<|im_end|>") for text in trained()] == [1, 1, 1, 1]
    assert [text.count("<|im_end|>") for text in trained(train_eot="last")] == [0, 1, 0, 1]
    assert [text.count("<|im_end|>") for text in trained(train_eot="none")] == [0, 0, 0, 0]


def test_newline_behind_trained_stop_tokens_is_trained_only_when_asked():
    assert [text.endswith("<|im_end|>\n") for text in trained(train_newline=True)] == [True] * 4
    ends = [text.endswith("\n") for text in trained(train_newline=True, train_eot="last")]
    assert ends == [False, True, False, True]
    assert trained(MESSAGES, "none-of:stop", train_newline=True) == trained(MESSAGES, "none-of:stop")


def test_message_can_say_that_it_is_not_trained_or_how_much_it_counts():
    messages = [dict(message) for message in MESSAGES]
    messages[1]["train"] = False
    messages[3]["weight"] = 0
    messages[5]["weight"] = 0.5
    assert trained(messages) == [f"w\n{CALL_G}<|im_end|>", "<think>\n\n</think>\n\na2<|im_end|>"]
    (row,) = rows_of(messages)
    assert row.weights.dtype == np.float32
    assert set(row.weights[row.messages == 5].tolist()) == {0.0, 0.5}
    assert row.weights[row.loss_mask & (row.messages == 5)].tolist().count(0.5) == int(
        (row.loss_mask & (row.messages == 5)).sum()
    )
    assert set(row.weights[row.loss_mask & (row.messages == 7)].tolist()) == {1.0}
    assert not row.weights[~row.loss_mask].any()


def test_row_without_a_weight_has_no_array_of_them_and_keeps_its_mask():
    for row in rows_of(MESSAGES):
        assert row.weights is None
    assert [weight_of(message) for message in ({}, {"train": False, "weight": 3}, {"train": True, "weight": 2})] == [
        1,
        0,
        2,
    ]


@pytest.mark.parametrize("selector", ["", "user", "only:", "only:header", "none-of:reasoning,call", "calls:x"])
def test_selector_that_there_is_not_stops_us(selector):
    with pytest.raises(
        UsageError, match=r"it can be assistant, last-turn, last-run, calls, final-answers, none-of:KINDS"
    ):
        Settings(train=(selector,))


@pytest.mark.parametrize(
    "settings",
    [
        {"train": ("only:call", "none-of:call")},
        {"train": ("only:stop",), "train_eot": "none"},
    ],
)
def test_selectors_that_leave_no_kind_stop_us(settings):
    with pytest.raises(UsageError, match=r"leaves no kind of token to train$"):
        Settings(**settings)


def test_every_selector_that_is_known_without_numpy_has_its_turns_and_kinds():
    assert tuple(_SELECTORS) == TURNS
    assert {kind.name.lower() for kind in GENERATED} == set(KINDS)
    assert Settings().train == policy(Settings()).turns == TURNS[:1]
