"""Both backends give the same ids, and ids give the text back."""

import hashlib
import itertools
import json
import pickle
import re
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import tokenizers as hf
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen_sft.errors import InputError, ModelError
from qwen_sft.tokenizing import tokenizer as tokenizer_module
from qwen_sft.tokenizing.tokenizer import (
    LOADED,
    AddedToken,
    Backend,
    Tokenizer,
    kept_form,
    load_tokenizer,
    tables,
    token_spans,
)
from qwen_sft.tokenizing.vocabulary import BYTE_CHARACTERS, EMBEDDED, tokenizer_json

STRINGS = Path(__file__).parents[2] / "shared" / "data" / "tokenizer_strings.json"

HARD = [
    "",
    " ",
    "\n",
    "  \t \n\n   x\n \n",
    "a\r\nb\r\n\r\nc\rd",
    "    def f(x):\n\treturn  x  \n",
    " " * 300 + "x" + " " * 129,
    "I'll we'VE 'S don't ' s",
    "1234567890 3.14 ١٢٣ Ⅷ ½",
    '{"name": "f", "arguments": {"a\\n": null}}',
    "日本語のテキスト。中文，俱乐部 毛泽东 한국어",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 👍🏽 ☺️",
    "e\u0301 n\u0303 \u1100\u1161\u11a8 \u0915\u093f \u0e19\u0e49\u0e33",
    "q\u0323\u0307 q\u0307\u0323 \u0344",
    "\u212b \u2126 \uf900 \ufb01 \u1fef",
    "\ufeff\u200b\u00a0\u3000\u2028\u0085\x00\x1c\x7f\ufffd\uffff\U0010ffff",
    "العربية עברית ไทย हिन्दी",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "<tool_call>\n{}\n</tool_call><tool_response>x</tool_response>",
    "<|im_end|><|im_end|> <|im_end|>\n<|im_end",
    "<think >< think></think><<think>>",
    "<think>\u0338 <\u0338think> a\u0338<|im_end|>\u0301",
    "<|fim_prefix|>a<|endoftext|>b<|not_a_token|>",
    "lorem ipsum " * 500,
]

ADDED = [content for group in EMBEDDED["qwen3"].added_tokens for content in group.contents]

# Ids are compared on any text; text is compared with Python's NFC only where every release of Unicode agrees with it.
OLD_CHARACTERS = st.characters(exclude_categories=["Cs"]).filter(
    lambda character: unicodedata.ucd_3_2_0.category(character) != "Cn"
)


def texts(characters: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Text in which control tokens, white space and combining marks are frequent."""
    pieces = st.sampled_from(
        ["<|im_start|>", "<|im_end|>", "<think>", "</tool_response>", " ", "\n", "\r\n", "  ", "'s"]
    )
    marks = st.sampled_from(["\u0301", "\u0338", "\u0327", "e", ">", "\u1100", "\u1161"])
    return st.lists(st.one_of(pieces, marks, st.text(characters)), max_size=12).map("".join)


def nfc_between(text: str, tokenizer: Tokenizer) -> str:
    """NFC of the text between added tokens, which stay as they are."""
    added = "|".join(map(re.escape, tokenizer.added_tokens))
    return "".join(
        piece if piece in tokenizer.added_tokens else unicodedata.normalize("NFC", piece)
        for piece in re.split(f"({added})", text)
    )


@pytest.fixture(scope="session")
def tokenizers() -> dict[tuple[str, Backend], Tokenizer]:
    """By vocabulary and backend."""
    return {
        (name, backend): load_tokenizer(tokenizer_json(name), backend)
        for name in EMBEDDED
        for backend in cast(list[Backend], ["fastokens", "tokenizers"])
    }


@pytest.fixture(scope="session")
def qwen3(tokenizers: dict[tuple[str, Backend], Tokenizer]) -> Tokenizer:
    return tokenizers["qwen3", "fastokens"]


@pytest.fixture(scope="session", params=["fastokens", "tokenizers"])
def each(request: pytest.FixtureRequest, tokenizers: dict[tuple[str, Backend], Tokenizer]) -> Tokenizer:
    """Qwen3's tokenizer, under each backend."""
    return tokenizers["qwen3", request.param]


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Path]:
    """Writes a tokenizer.json of 256 bytes, the merge "ab" and the added token <x>, with some keys changed."""

    def write(**changes: Any) -> Path:
        vocab = {character: byte for byte, character in enumerate(BYTE_CHARACTERS)} | {"ab": 256}
        x = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        document = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": 257, "content": "<x>", **x}],
            "normalizer": None,
            "pre_tokenizer": {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": False,
                "use_regex": False,
            },
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
            "model": {"type": "BPE", "vocab": vocab, "merges": ["a b"]},
        }
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(document | changes))
        return path

    return write


def test_attributes_of_qwen3(each: Tokenizer) -> None:
    assert each.path == tokenizer_json("qwen3")
    assert each.backend in ("fastokens", "tokenizers")
    assert each.fingerprint == EMBEDDED["qwen3"].sha256
    assert each.n_ids == len(each.byte_lengths) == 151_669
    assert each.normalizes_nfc
    assert len(each.added_tokens) == 26
    assert each.added_tokens["<|im_end|>"] == AddedToken(id=151645, content="<|im_end|>", special=True)
    assert each.added_tokens["</think>"] == AddedToken(id=151668, content="</think>", special=False)


@pytest.mark.parametrize("name", sorted(EMBEDDED))
def test_backends_agree_on_hard_strings(name: str, tokenizers: dict[tuple[str, Backend], Tokenizer]) -> None:
    for _ in range(2):  # the second time, fastokens answers from its segment cache
        for text in HARD:
            fast, slow = (tokenizers[name, backend].encode(text) for backend in ("fastokens", "tokenizers"))
            assert fast.tolist() == slow.tolist(), text


@pytest.mark.skipif(not STRINGS.is_file(), reason=f"the collected strings are not beside this checkout: {STRINGS}")
@pytest.mark.parametrize("name", sorted(EMBEDDED))
def test_backends_agree_on_collected_strings(name: str, tokenizers: dict[tuple[str, Backend], Tokenizer]) -> None:
    strings = json.loads(STRINGS.read_bytes())
    assert len(strings) == 2952
    (fast, fast_offsets), (slow, slow_offsets) = (
        tokenizers[name, backend].encode_batch(strings) for backend in ("fastokens", "tokenizers")
    )
    np.testing.assert_array_equal(fast_offsets, slow_offsets)
    np.testing.assert_array_equal(fast, slow)
    tokenizer = tokenizers[name, "fastokens"]
    for text, start, end in zip(strings, fast_offsets, fast_offsets[1:], strict=False):
        assert tokenizer.decode(fast[start:end]) == unicodedata.normalize("NFC", text)


@settings(deadline=None)
@given(text=texts(st.characters(exclude_categories=["Cs"])))
def test_backends_agree_on_any_text(tokenizers: dict[tuple[str, Backend], Tokenizer], text: str) -> None:
    for name in EMBEDDED:
        fast, slow = (tokenizers[name, backend].encode(text) for backend in ("fastokens", "tokenizers"))
        assert fast.tolist() == slow.tolist()


@settings(deadline=None)
@given(text=texts(OLD_CHARACTERS))
def test_decoding_gives_nfc_back(qwen3: Tokenizer, text: str) -> None:
    assert qwen3.decode(qwen3.encode(text)) == nfc_between(text, qwen3)


@settings(deadline=None)
@given(text=texts(OLD_CHARACTERS))
def test_spans_cut_the_text_where_the_ids_do(qwen3: Tokenizer, text: str) -> None:
    ids = qwen3.encode(text)
    spans = token_spans(qwen3, text, ids)
    seen = unicodedata.normalize("NFC", text)
    if spans is None:  # only ever where NFC of the whole joins an added token to what follows
        assert nfc_between(text, qwen3) != seen
        return
    edges = [*spans, len(seen.encode())]
    assert edges[0] == 0
    pieces = [seen.encode()[start:end] for start, end in itertools.pairwise(edges)]
    assert pieces == [qwen3.decode_bytes([token_id]) for token_id in ids]


def test_ids_are_exactly_these(each: Tokenizer) -> None:
    ids, offsets = each.encode_batch(["<|im_start|>user\nHi<|im_end|>", "", "e\u0301\U0001f600\U0001f601"])
    assert ids.tolist() == [151644, 872, 198, 13048, 151645, 963, 141334, 144534]
    assert offsets.tolist() == [0, 5, 5, 8]
    assert (ids.dtype, offsets.dtype) == (np.int32, np.int64)
    assert not ids.flags.writeable
    assert not offsets.flags.writeable


def test_no_texts_give_no_ids(each: Tokenizer) -> None:
    ids, offsets = each.encode_batch([])
    assert (ids.tolist(), offsets.tolist()) == ([], [0])
    assert each.decode([]) == ""


def test_byte_lengths_are_those_of_what_each_id_decodes_to(qwen3: Tokenizer) -> None:
    """Qwen's ids are 256 bytes, 151,387 merges of them, and the added tokens; no length depends on the text around."""
    every = np.arange(qwen3.n_ids)
    assert int(qwen3.byte_lengths.sum()) == len(qwen3.decode_bytes(every))
    assert [len(qwen3.decode_bytes([token_id])) for token_id in range(0, qwen3.n_ids, 997)] == (
        qwen3.byte_lengths[::997].tolist()
    )
    assert qwen3.byte_lengths[151645] == len("<|im_end|>")
    assert (qwen3.byte_lengths > 0).all()
    assert sorted(qwen3.decode_bytes([token_id]) for token_id in range(256)) == [bytes([byte]) for byte in range(256)]


def test_our_decoding_is_that_of_the_backends(qwen3: Tokenizer) -> None:
    import fastokens
    from tokenizers import Tokenizer as Peer

    peer, fast = Peer.from_file(str(qwen3.path)), fastokens.Tokenizer.from_file(str(qwen3.path))
    for ids in np.random.default_rng(0).integers(qwen3.n_ids, size=(500, 5)).tolist():  # bytes that are no UTF-8, too
        assert qwen3.decode(ids) == peer.decode(ids, skip_special_tokens=False) == fast.decode(ids)


def test_decoding_half_a_character_shows_a_replacement_and_keeps_its_bytes(each: Tokenizer) -> None:
    ids = each.encode("\U00010437")
    assert len(ids) > 1
    assert each.decode(ids[:1]) == "\ufffd"
    assert b"".join(each.decode_bytes([token_id]) for token_id in ids) == "\U00010437".encode()


@pytest.mark.parametrize(
    ("ids", "token_id", "index"), [([0, 151669], 151669, 1), ([-1], -1, 0), ([5, 1 << 40], 1 << 40, 1)]
)
def test_unknown_id_is_refused(qwen3: Tokenizer, ids: list[int], token_id: int, index: int) -> None:
    with pytest.raises(InputError) as caught:
        qwen3.decode(ids)
    assert str(caught.value) == (
        f"id {token_id} at index {index} is not in {qwen3.path} (ids below 151669); "
        "decode with the tokenizer that encoded"
    )


def test_lone_surrogate_is_refused_with_its_place(each: Tokenizer) -> None:
    with pytest.raises(InputError) as caught:
        each.encode_batch(["fine \U0001f600", "cut \ud83d here"])
    assert str(caught.value) == (
        "text 1 cannot be encoded: lone surrogate '\\ud83d' at character 4; "
        "replace it (half an emoji, as a rule: the text was cut between two UTF-16 units)"
    )


def test_what_is_not_text_is_a_type_error(each: Tokenizer) -> None:
    with pytest.raises(TypeError):
        each.encode(cast(str, 7))


def test_spans_of_text_that_nfc_shortens(qwen3: Tokenizer) -> None:
    text = "cafe\u0301<|im_end|>\U0001f600!"
    ids = qwen3.encode(text)
    spans = token_spans(qwen3, text, ids)
    assert spans is not None
    assert spans.dtype == np.int64
    assert [qwen3.decode([token_id]) for token_id in ids] == ["ca", "f\u00e9", "<|im_end|>", "\U0001f600", "!"]
    assert spans.tolist() == [0, 2, 5, 15, 19]


@pytest.mark.parametrize("text", ["<think>\u0338", "a<|im_end|>\u0338b"])
def test_no_spans_where_nfc_of_the_whole_text_breaks_an_added_token(qwen3: Tokenizer, text: str) -> None:
    assert token_spans(qwen3, text, qwen3.encode(text)) is None


def test_no_spans_for_ids_of_another_text(qwen3: Tokenizer) -> None:
    assert token_spans(qwen3, "abd", qwen3.encode("abc")) is None
    assert token_spans(qwen3, "", qwen3.encode("")).tolist() == []  # pyright: ignore[reportOptionalMemberAccess]


def test_qwen2_5_reads_think_as_plain_text(tokenizers: dict[tuple[str, Backend], Tokenizer]) -> None:
    text = "<think>"
    lengths = {name: len(tokenizers[name, "fastokens"].encode(text)) for name in EMBEDDED}
    assert lengths == {name: 3 if name == "qwen2_5" else 1 for name in EMBEDDED}


def test_pickle_gives_the_tokenizer_back_and_loads_it_once(each: Tokenizer) -> None:
    pickled = pickle.dumps(each)
    assert len(pickled) < 1000
    first, second = pickle.loads(pickled), pickle.loads(pickled)
    assert first is second
    assert (first.path, first.backend, first.fingerprint) == (each.path, each.backend, each.fingerprint)
    assert first.encode(HARD[3]).tolist() == each.encode(HARD[3]).tolist()


def test_pickle_refuses_a_file_that_has_changed(small: Callable[..., Path]) -> None:
    pickled = pickle.dumps(load_tokenizer(small()))
    path = small(normalizer={"type": "NFC"})
    with pytest.raises(
        ModelError, match=rf"^{path} has changed while it was in use: sha256 '\w+', was '\w+'; run again$"
    ):
        pickle.loads(pickled)


@pytest.mark.parametrize("backend", ["fastokens", "tokenizers"])
def test_small_file_is_read_as_it_says(small: Callable[..., Path], backend: Backend) -> None:
    tokenizer = load_tokenizer(small(), backend)
    assert tokenizer.n_ids == 258
    assert tokenizer.byte_lengths.tolist() == [1] * 256 + [2, 3]
    assert not tokenizer.normalizes_nfc
    assert tokenizer.encode("ab<x>e\u0301").tolist() == [256, 257, 0x65, 0xCC, 0x81]
    assert cast(np.ndarray, token_spans(tokenizer, "ab<x>e\u0301", tokenizer.encode("ab<x>e\u0301"))).tolist() == [
        *(0, 2, 5, 6, 7)
    ]


@pytest.mark.parametrize("backend", ["fastokens", "tokenizers"])
def test_truncation_and_padding_in_the_file_are_ignored(small: Callable[..., Path], backend: Backend) -> None:
    path = small(
        truncation={"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        padding={
            "strategy": {"Fixed": 9},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": BYTE_CHARACTERS[0],
        },
    )
    ids, offsets = load_tokenizer(path, backend).encode_batch(["cdefgh", "c"])
    assert (bytes(ids.tolist()), offsets.tolist()) == (b"cdefghc", [0, 6, 7])


def test_hole_between_ids_stands_for_nothing(small: Callable[..., Path]) -> None:
    x = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": at, "content": content, **x} for at, content in ((257, "<x>"), (258, "<é y>"))]
    vocab = {character: byte for byte, character in enumerate(BYTE_CHARACTERS)} | {"ab": 256, "abab": 300}
    path = small(added_tokens=added, model={"type": "BPE", "vocab": vocab, "merges": ["a b", "ab ab"]})
    tokenizer = load_tokenizer(path, "tokenizers")
    assert tokenizer.n_ids == 301
    assert tokenizer.byte_lengths[255:].tolist() == [1, 2, 3, 6, *[0] * 41, 4]
    assert tokenizer.decode([258, 300]) == "<é y>abab"
    with pytest.raises(InputError, match=r"^id 259 at index 1 is not in "):
        tokenizer.decode([300, 259])


def test_auto_is_fastokens_else_tokenizers(small: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = small()
    assert load_tokenizer(path).backend == "fastokens"
    monkeypatch.setitem(sys.modules, "fastokens", None)
    LOADED.clear()
    assert load_tokenizer(path).backend == "tokenizers"
    with pytest.raises(
        ModelError, match=rf"^no backend takes {path}: fastokens is not installed \(.*\); fetch it again, or"
    ):
        load_tokenizer(path, "fastokens")


@pytest.mark.parametrize("name", EMBEDDED)
def test_tables_of_an_official_file_are_these(name: str) -> None:
    path = tokenizer_json(name)
    assert hashlib.sha256(kept_form(path, path.read_bytes())).hexdigest() == EMBEDDED[name].tables_sha256


def test_kept_tables_say_what_the_file_says(qwen3: Tokenizer) -> None:
    told = tables(qwen3.path, qwen3.path.read_bytes())
    assert told.lengths == qwen3.byte_lengths.astype("<i4").tobytes()
    assert [(token.id, token.content, token.special) for token in told.added_tokens] == [
        (token.id, token.content, token.special) for token in qwen3.added_tokens.values()
    ]
    assert qwen3.decode(range(qwen3.n_ids)).encode() == told.token_bytes.decode(errors="replace").encode()


@pytest.fixture
def nothing_loaded(monkeypatch: pytest.MonkeyPatch, vocabularies_loaded_once: Callable[..., Tokenizer]) -> None:
    """No tokenizer that another test loaded is taken."""
    monkeypatch.setattr(tokenizer_module, "_load", vocabularies_loaded_once)
    monkeypatch.setattr(tokenizer_module, "LOADED", {})


@pytest.mark.usefixtures("nothing_loaded")
@pytest.mark.parametrize("backend", ["fastokens", "tokenizers"])
def test_who_encodes_an_official_file_is_loaded_when_it_is_asked(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = tokenizer_module._BACKENDS[backend]  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(tokenizer_module, "_BACKENDS", {backend: lambda text: (loaded.append(backend), load(text))[1]})
    tokenizer = load_tokenizer(tokenizer_json("qwen3"), backend)
    assert (tokenizer.backend, tokenizer.decode([9707]), loaded) == (backend, "Hello", [])
    assert [tokenizer.encode("Hello").tolist(), tokenizer.encode("Hello").tolist()] == [[9707], [9707]]
    assert loaded == [backend]


@pytest.mark.usefixtures("nothing_loaded")
def test_official_file_without_its_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastokens", None)
    path = tokenizer_json("qwen3")
    with pytest.raises(
        ModelError, match=rf"^no backend takes {path}: fastokens is not installed \(.*\); choose another backend$"
    ):
        load_tokenizer(path, "fastokens")
    assert load_tokenizer(path).backend == "tokenizers"


# What lies between added tokens is encoded once, so the library itself is asked about each whole text.


@pytest.fixture(scope="module")
def library() -> Any:
    return hf.Tokenizer.from_file(str(tokenizer_json("qwen3")))


@given(parts=st.lists(st.sampled_from([*HARD, *ADDED, "a", " ", "é", "e", "\u0301"]), max_size=8))
def test_tokenizers_gives_the_ids_that_the_library_gives_the_whole_text(library: Any, parts: list[str]) -> None:
    text = "".join(parts)
    expected = library.encode(text, add_special_tokens=False).ids
    ids, offsets = load_tokenizer(tokenizer_json("qwen3"), "tokenizers").encode_batch([text, "between", text])
    assert ids.tolist() == [*expected, *library.encode("between").ids, *expected]
    assert offsets.tolist() == [0, len(expected), len(expected) + 1, 2 * len(expected) + 1]


@pytest.mark.parametrize("flag", ["none", "lstrip", "rstrip", "single_word", "normalized"])
def test_added_tokens_that_overlap_or_take_their_surroundings_are_found_as_the_library_does(
    small: Callable[..., Path], flag: str
) -> None:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    path = small(
        added_tokens=[
            {"id": 257 + k, "content": content, **plain, flag: True}
            for k, content in enumerate(["<x>", "<x><y>", "x>", "<y"])
        ]
    )
    texts = ["<x><y>", "<x> <x><x><y>> x><y", "a <x> a", "a<x>a", "<x", "<<x>", ""] * 2
    ids, offsets = load_tokenizer(path, "tokenizers").encode_batch(texts)
    own = hf.Tokenizer.from_file(str(path))
    found = [ids[a:b].tolist() for a, b in itertools.pairwise(offsets.tolist())]
    assert found == [own.encode(text, add_special_tokens=False).ids for text in texts]


def test_what_was_encoded_is_forgotten_when_it_grows(
    small: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer_module, "_SEGMENT_CACHE_CHARACTERS", 5)
    tokenizer = load_tokenizer(small(), "tokenizers")
    for text in ("ab<x>ab", "abab", "c<x>", "ab<x>ab", "d"):
        expected = {"ab<x>ab": [256, 257, 256], "abab": [256, 256], "c<x>": [0x63, 257], "d": [0x64]}[text]
        assert tokenizer.encode(text).tolist() == expected


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_tokenizer(tmp_path / "tokenizer.json")
    assert str(caught.value) == (
        f"cannot read {tmp_path / 'tokenizer.json'} (No such file or directory); name the tokenizer.json of a model"
    )
    with pytest.raises(ModelError, match=r"^cannot read .* \(Is a directory\); name"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"is not a byte-level BPE tokenizer.json \(Input data was truncated\); fetch it again, or name another$"),
        (b'{"model": {"vocab": {"a"', r"is not a byte-level BPE tokenizer.json \(Input data was truncated\)"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            r"is not a byte-level BPE tokenizer.json \(JSON is malformed: .*\)",
        ),
        (b'{"\xff": 1}', r"is not a byte-level BPE tokenizer.json \('utf-8' codec can't decode .*\)"),
        (b"{}", r"is not a byte-level BPE tokenizer.json \(Object missing required field `model`\)"),
        (
            b'{"model": {"vocab": {}}, "decoder": {"type": "ByteLevel"}}',
            r"tokenizer.json holds no token; fetch it again$",
        ),
    ],
    ids=["empty", "cut off", "a Git LFS pointer", "not UTF-8", "another JSON", "no token"],
)
def test_file_that_is_no_tokenizer_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=says):
        load_tokenizer(path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"model": {"type": "Unigram", "vocab": [["a", 0.0]]}},
            r"tokenizer.json \(Invalid enum value 'Unigram' - at `\$\.model\.type`\)",
        ),
        (
            {"model": {"type": "WordPiece", "vocab": {"a": 0}}},
            r"tokenizer.json \(Invalid enum value 'WordPiece' - at `\$\.model",
        ),
        (
            {"normalizer": {"type": "Lowercase"}},
            r"tokenizer.json \(Invalid enum value 'Lowercase' - at `\$\.normalizer\.type`\)",
        ),
        (
            {"decoder": {"type": "Metaspace"}},
            r"tokenizer.json \(Invalid enum value 'Metaspace' - at `\$\.decoder\.type`\)",
        ),
        ({"model": {"vocab": {"a": 1 << 40}, "merges": []}}, r"tokenizer.json \(Expected `int` <= 16777215 - at"),
        (
            {"model": {"vocab": {"a b": 0}, "merges": []}},
            r"token 'a b' \(id 0\) is not written byte by byte; only byte",
        ),
        (
            {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}},
            r"no backend takes .*: fastokens: .*; tokenizers: ",
        ),
    ],
    ids=["unigram", "wordpiece", "lowercase", "metaspace", "huge id", "not bytes", "merge of unknown tokens"],
)
def test_tokenizer_of_another_kind_is_refused(small: Callable[..., Path], changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        load_tokenizer(small(**changes))
