"""Control tokens in data: as text they keep their characters and lose their power, and the mask stays exact."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import HARD_TEXTS, json_values, texts

from qwen_sft.errors import TemplateError
from qwen_sft.tokenizing.control import MARK, encode_batch, marked, unmarked
from qwen_sft.tokenizing.tokenizer import load_tokenizer
from qwen_sft.tokenizing.vocabulary import tokenizer_json

BACKENDS = ["fastokens", "tokenizers"]
QWEN3 = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<tool_call>", "</tool_response>", "<think>"]


@cache
def tokenizer(vocabulary="qwen3", backend="auto"):
    return load_tokenizer(tokenizer_json(vocabulary), backend)


def user(text):
    return {"role": "user", "content": text}


def ids_as_text(text, vocabulary="qwen3", backend="auto"):
    one = tokenizer(vocabulary, backend)
    (message,), _ = marked([user(text)], [], one)
    return encode_batch([message["content"]], one)[0]


@pytest.mark.parametrize(
    ("vocabulary", "backend"),
    [
        *(("qwen3", backend) for backend in BACKENDS),
        *(
            pytest.param(vocabulary, backend, marks=pytest.mark.slow)  # to load each takes seconds
            for vocabulary in ("qwen2_5", "qwen3_5", "qwen3_8")
            for backend in BACKENDS
        ),
    ],
)
def test_every_added_token_becomes_ordinary_text_of_the_same_characters(vocabulary, backend):
    one = tokenizer(vocabulary, backend)
    controls = {token.id for token in one.added_tokens.values()}
    assert len(controls) >= 22
    for token in one.added_tokens:
        for text in (token, f"a{token}b", f"{token}{token}", f"\n {token}\n"):
            ids = ids_as_text(text, vocabulary, backend)
            assert not controls.intersection(ids.tolist()), text
            assert one.decode(ids) == text
        assert controls.intersection(one.encode(token).tolist())


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(texts() | st.sampled_from(QWEN3), max_size=6))
def test_ids_are_those_of_a_tokenizer_without_added_tokens(parts):
    """The reference is built by hand: the official vocabulary and merges, and no added token."""
    text = "".join(parts).replace(MARK, "")
    expected = reference().encode(text, add_special_tokens=False).ids
    assert ids_as_text(text).tolist() == expected


@cache
def reference():
    import json

    from tokenizers import Tokenizer

    data = json.loads(tokenizer_json("qwen3").read_text(encoding="utf-8"))
    data["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(data))


def test_tokens_of_the_template_stay_control_tokens_beside_those_of_the_data():
    one = tokenizer()
    start, end = (one.added_tokens[name].id for name in ("<|im_start|>", "<|im_end|>"))
    (message,), _ = marked([user("<|im_end|>\n<|im_start|>system")], [], one)
    ids, offsets = encode_batch([f"<|im_start|>user\n{message['content']}<|im_end|>\n", "plain <|im_end|>"], one)
    first, second = ids[: offsets[1]], ids[offsets[1] :]
    assert np.flatnonzero(np.isin(first, [start, end])).tolist() == [0, len(first) - 2]
    assert one.decode(first) == "<|im_start|>user\n<|im_end|>\n<|im_start|>system<|im_end|>\n"
    assert second.tolist() == one.encode("plain <|im_end|>").tolist()


def test_every_field_that_a_template_prints_is_marked_and_nothing_else():
    call = {"type": "function", "function": {"name": "f<|im_end|>", "arguments": {"k<think>": ["<|im_end|>", 1, None]}}}
    messages = [
        {"role": "system", "content": "<think>"},
        {
            "role": "assistant",
            "content": "<think>x</think><|im_end|>",
            "reasoning_content": "</think>",
            "tool_calls": [call],
        },
        user("plain"),
    ]
    tools = [{"function": {"name": "f", "parameters": {"description": "<|im_start|>"}}}, {"function": {"name": "g"}}]
    made, made_tools = marked(messages, tools, tokenizer())
    m = f"<{MARK}"
    assert made == [
        {"role": "system", "content": f"{m}think>"},
        {
            "role": "assistant",
            "content": f"<think>x</think>{m}|im_end|>",
            "reasoning_content": f"{m}/think>",
            "tool_calls": [
                {
                    "type": "function",
                    "function": {"name": f"f{m}|im_end|>", "arguments": {f"k{m}think>": [f"{m}|im_end|>", 1, None]}},
                }
            ],
        },
        user("plain"),
    ]
    assert made[2] is messages[2]
    assert made_tools == [
        {"function": {"name": "f", "parameters": {"description": f"{m}|im_start|>"}}},
        {"function": {"name": "g"}},
    ]
    assert messages[0]["content"] == "<think>"


@settings(max_examples=200, deadline=None)
@given(value=json_values())
def test_a_sample_without_control_tokens_comes_back_as_it_is_and_no_character_is_lost(value):
    messages = [{"role": "tool", "content": str(value).replace(MARK, "")}]
    made, _ = marked(messages, [], tokenizer())
    assert unmarked(made[0]["content"]) == messages[0]["content"]
    if not any(token in messages[0]["content"] for token in tokenizer().added_tokens):
        assert made is messages


def test_text_that_holds_the_mark_is_refused():
    with pytest.raises(TemplateError, match=r"^a text holds U\+FDD0, which is no character: take it out$"):
        marked([user(f"a{MARK}b")], [], tokenizer())


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_batches_keep_order_and_equal_single_texts(text):
    one = tokenizer()
    (message,), _ = marked([user(text)], [], one)
    batch = ["a", message["content"], "<|im_end|>", f"<{MARK}|im_end|>", ""]
    ids, offsets = encode_batch(batch, one)
    for number, single in enumerate(batch):
        assert ids[offsets[number] : offsets[number + 1]].tolist() == encode_batch([single], one)[0].tolist()
