"""Text to ids and back: the one place that knows fastokens and tokenizers.

Both read the same tokenizer.json and give the same ids (tests/test_tokenizer.py holds them to it). fastokens encodes
more than ten times faster; tokenizers has a wheel everywhere. What each id stands for we read from the file ourselves:
neither of the two tells bytes, and both decode an unknown id to nothing without a word.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import import_module
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import orjson

from qwen_sft.errors import InputError, ModelError
from qwen_sft.tokenizing.vocabulary import BYTE_CHARACTERS, EMBEDDED, kept

Backend: TypeAlias = Literal["fastokens", "tokenizers"]
Ids: TypeAlias = npt.NDArray[np.int32]
Offsets: TypeAlias = npt.NDArray[np.int64]
_Encode: TypeAlias = Callable[[list[str]], tuple[Ids, Offsets]]

# For text between added tokens that comes again, such as one system prompt in every row. A build of 83 MB took
# as long with 0, 1, 8 and 64 MB (9.5, 9.7, 9.5 and 9.9 s of CPU); of 21 MB with `verify=all`, which encodes each prompt
# again, 4.1 s with 0, 4.0 with 8 and 3.8 with 64. All of it is filled sooner or later.
_SEGMENT_CACHE_BYTES = 8 << 20
_SEGMENT_CACHE_CHARACTERS = 4_000_000  # the same for `tokenizers`, where we keep it: with the ids some 16 MB
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that is found in text before BPE, such as `<|im_end|>`; `special` is what the file says, no more."""

    id: int
    content: str
    special: bool


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """A tokenizer.json, loaded; made by `load_tokenizer`.

    Pickles as its path: the other process loads the file once, however often it is handed one, and refuses a file that
    has changed since.

    Attributes:
        path: the tokenizer.json, absolute.
        backend: who encodes.
        fingerprint: sha256 of the file; 64 hex digits.
        n_ids: one more than the highest id.
        added_tokens: by content.
        normalizes_nfc: text is put into NFC before it is encoded, so decoding gives NFC back.
        byte_lengths: how many bytes each id stands for (int32, n_ids); 0 where the file has no such id.
    """

    path: Path
    backend: Backend
    fingerprint: str
    n_ids: int
    added_tokens: Mapping[str, AddedToken] = field(repr=False)
    normalizes_nfc: bool
    byte_lengths: Ids = field(repr=False)
    _bytes: npt.NDArray[np.uint8] = field(repr=False)
    """The bytes of all ids, one behind the other."""
    _starts: Offsets = field(repr=False)
    """Where those of each id start (n_ids)."""
    _engine: Callable[[], _Encode] = field(repr=False)
    """Makes who encodes."""

    @cached_property
    def _encode(self) -> _Encode:
        """Who encodes; of an official file loaded when it is first asked, which takes up to a second."""
        return self._engine()

    @cached_property
    def _encode_plain(self) -> _Encode:
        """Who encodes without looking for added tokens; loaded when it is first asked, which takes up to a second."""
        data: Any = msgspec.json.decode(self.path.read_bytes())
        return _BACKENDS[self.backend](orjson.dumps({**data, "added_tokens": []}).decode())

    def encode_plain_batch(self, texts: Sequence[str]) -> tuple[Ids, Offsets]:
        """The ids of many texts, as `encode_batch` gives them, where every character is ordinary text.

        An added token that is written out in a text is encoded like any other words.
        """
        return self._encode_plain(list(texts))

    def encode_batch(self, texts: Sequence[str]) -> tuple[Ids, Offsets]:
        """The ids of many texts, as one array.

        An added token that is written out in a text becomes its control id, as it does in the server; nothing is put
        before or after a text. Both arrays are read-only.

        Returns:
            ids (int32) and offsets (int64, one more than texts): text i is ids[offsets[i]:offsets[i + 1]].

        Raises:
            InputError: a text holds a lone surrogate, which has no UTF-8.
        """
        try:
            return self._encode(list(texts))
        except (UnicodeEncodeError, TypeError):  # of fastokens and of tokenizers; neither says which text it was
            for index, text in enumerate(texts):
                if found := _SURROGATE.search(text):
                    raise InputError(
                        f"text {index} cannot be encoded: lone surrogate {found[0]!r} at character {found.start()}; "
                        "replace it (half an emoji, as a rule: the text was cut between two UTF-16 units)"
                    ) from None
            raise

    def encode(self, text: str) -> Ids:
        """The ids of one text (int32); see `encode_batch`, which is faster for more than one."""
        return self.encode_batch([text])[0]

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The text that ids stand for, added tokens included; U+FFFD where their bytes are not UTF-8.

        Raises:
            InputError: an id stands for nothing.
        """
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Sequence[int] | Ids) -> bytes:
        """The bytes that ids stand for: exact also where ids end inside a character.

        Raises:
            InputError: an id stands for nothing.
        """
        chosen = np.asarray(ids, dtype=np.int64)
        unknown = (chosen < 0) | (chosen >= self.n_ids)
        unknown |= self.byte_lengths[np.where(unknown, 0, chosen)] == 0
        if unknown.any():
            index = int(unknown.argmax())
            raise InputError(
                f"id {int(chosen[index])} at index {index} is not in {self.path} (ids below {self.n_ids}); "
                "decode with the tokenizer that encoded"
            )
        lengths = self.byte_lengths[chosen]
        ends = np.cumsum(lengths, dtype=np.int64)
        shift = np.repeat(self._starts[chosen] - ends + lengths, lengths)
        return self._bytes[shift + np.arange(len(shift))].tobytes()

    def __reduce__(self) -> tuple[Callable[..., "Tokenizer"], tuple[Path, Backend, str]]:
        return _load_same, (self.path, self.backend, self.fingerprint)


def token_spans(tokenizer: Tokenizer, text: str, ids: Ids) -> Offsets | None:
    """Where each id starts in the text, in bytes of its UTF-8.

    The text is the one that BPE sees: NFC of `text` where the tokenizer normalizes, else `text` as it is.

    Returns:
        One start per id (int64); None where the ids do not spell that text exactly, so a caller has to find the places
        another way. Beside ids of some other text there are two causes. A combining mark follows an added token: the
        tokenizer normalizes between added tokens, so `<think>` + U+0338 stays, where NFC of the whole has U+226F. Or
        combining marks stand in a row and one is newer than the backends' tables: both know those of Unicode 9.
    """
    seen = unicodedata.normalize("NFC", text) if tokenizer.normalizes_nfc else text
    # Equal lengths would not do: '>' + U+0338 and the U+226F that NFC makes of them both have three bytes, and marks in
    # another order have as many as before.
    if tokenizer.decode_bytes(ids) != seen.encode():
        return None
    lengths = tokenizer.byte_lengths[ids]
    return np.cumsum(lengths, dtype=np.int64) - lengths


def load_tokenizer(path: Path, backend: Literal["auto"] | Backend = "auto") -> Tokenizer:
    """The tokenizer of a tokenizer.json.

    Args:
        path: the file; any byte-level BPE, which all of Qwen's are.
        backend: who encodes. "auto" is fastokens where it is installed and takes the file, else tokenizers.

    Returns:
        The same object for the same path, bytes and backend: a load takes up to a second (LOADED keeps the last few).

    Raises:
        ModelError: the file cannot be read, is not such a tokenizer, or no backend takes it.
    """
    path = path.absolute()
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise ModelError(f"cannot read {path} ({fault.strerror}); name the tokenizer.json of a model") from fault
    key = (path, backend, hashlib.sha256(content).hexdigest())
    if key not in LOADED:
        made = _load(path, content, key[2], backend)
        while len(LOADED) >= _MOST_LOADED:
            del LOADED[next(iter(LOADED))]
        LOADED[key] = made
    return LOADED[key]


LOADED: dict[tuple[Path, str, str], Tokenizer] = {}
"""Tokenizers of this process by path, asked backend and sha256, oldest first; clear it to load anew."""
_MOST_LOADED = 8


def _load(path: Path, content: bytes, fingerprint: str, backend: Literal["auto"] | Backend) -> Tokenizer:
    names: Sequence[Backend] = ("fastokens", "tokenizers") if backend == "auto" else (backend,)
    if fingerprint in TABLES:
        told = _kept_tables(path, fingerprint)
        # Both backends take each official file, as tests say, so what takes up to a second can wait until it is asked.
        used = _installed(path, names)
        engine: Callable[[], _Encode] = partial(_official, path, fingerprint, used)
    else:
        told = tables(path, content)
        used, encode = _backend(path, told.text, names)
        engine = partial(_as_made, encode)
    lengths = np.frombuffer(told.lengths, dtype="<i4").astype(np.int32, copy=False)
    return Tokenizer(
        path=path,
        backend=used,
        fingerprint=fingerprint,
        n_ids=len(lengths),
        added_tokens=MappingProxyType({token.content: token for token in map(_added_token, told.added_tokens)}),
        normalizes_nfc=told.normalizes_nfc,
        byte_lengths=lengths,
        _bytes=np.frombuffer(told.token_bytes, dtype=np.uint8),
        _starts=np.cumsum(lengths, dtype=np.int64) - lengths,
        _engine=engine,
    )


def _load_same(path: Path, backend: Backend, fingerprint: str) -> Tokenizer:
    tokenizer = load_tokenizer(path, backend)
    if tokenizer.fingerprint != fingerprint:
        raise ModelError(
            f"{path} has changed while it was in use: sha256 {tokenizer.fingerprint!r}, was {fingerprint!r}; run again"
        )
    return tokenizer


# -- what the file says -----------------------------------------------------------------------------------------------

# Bounded, since a list is as long as the highest id: a stray huge one has to be an error, not a full memory.
_Id: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=1 << 24)]


class _AddedToken(msgspec.Struct):
    id: _Id
    content: Annotated[str, msgspec.Meta(min_length=1)]
    special: bool


class _Normalizer(msgspec.Struct):
    type: Literal["NFC"]


class _Decoder(msgspec.Struct):
    type: Literal["ByteLevel"]


class _Model(msgspec.Struct):
    vocab: dict[str, _Id]
    type: Literal["BPE"] = "BPE"


class _File(msgspec.Struct):
    """The keys that decide what an id stands for; the merges, two thirds of the file, are skipped."""

    model: _Model
    decoder: _Decoder
    normalizer: _Normalizer | None = None
    added_tokens: list[_AddedToken] = msgspec.field(default_factory=list[_AddedToken])


class Tables(msgspec.Struct):
    """What a tokenizer.json says, as it is asked for.

    Attributes:
        lengths: how many bytes each id stands for; int32, little-endian.
        token_bytes: those of all ids, one behind the other.
        text: the JSON, for a backend.
    """

    added_tokens: list[_AddedToken]
    normalizes_nfc: bool
    lengths: bytes
    token_bytes: bytes
    text: str


TABLES: Mapping[str, str] = {one.sha256: one.tables_sha256 for one in EMBEDDED.values()}
"""For each official tokenizer.json (by sha256) the sha256 of its tables as they are kept.

To read them takes a tenth of the time that it takes to make them, and nobody can put others into a cache folder.
"""


def kept_form(path: Path, content: bytes) -> bytes:
    """The tables of an official tokenizer.json as they are kept: with compact text, which both backends read sooner."""
    told = tables(path, content)
    told.text = _compact(told.text)
    return msgspec.msgpack.encode(told)


def _kept_tables(path: Path, fingerprint: str) -> Tables:
    content = kept(f"tables-{fingerprint[:16]}", TABLES[fingerprint], lambda: kept_form(path, path.read_bytes()))
    return msgspec.msgpack.decode(content, type=Tables)


def tables(path: Path, content: bytes) -> Tables:
    """The tables of a tokenizer.json.

    Raises:
        ModelError: it is no byte-level BPE.
    """
    try:
        text = content.decode()
        data = msgspec.json.decode(content, type=_File)
    except (UnicodeDecodeError, msgspec.DecodeError) as fault:
        raise ModelError(
            f"{path} is not a byte-level BPE tokenizer.json ({fault}); fetch it again, or name another"
        ) from fault
    tokens = _tokens(path, data)
    lengths = np.fromiter(map(len, tokens), "<i4", len(tokens))
    found = _token_bytes(path, tokens)
    return Tables(data.added_tokens, data.normalizer is not None, lengths.tobytes(), found.tobytes(), text)


def _added_token(token: _AddedToken) -> AddedToken:
    return AddedToken(id=token.id, content=token.content, special=token.special)


def _tokens(path: Path, data: _File) -> list[str]:
    """The token of each id, a character a byte (BYTE_CHARACTERS); "" where there is no such id."""
    ids = [*data.model.vocab.values(), *(token.id for token in data.added_tokens)]
    if not ids:
        raise ModelError(f"{path} holds no token; fetch it again")
    tokens = [""] * (max(ids) + 1)
    for token, token_id in data.model.vocab.items():
        tokens[token_id] = token
    for added in data.added_tokens:  # written as it is, not byte by byte; some files repeat it in the vocabulary
        tokens[added.id] = added.content.encode().decode("latin-1").translate(BYTE_CHARACTERS)
    return tokens


def _token_bytes(path: Path, tokens: list[str]) -> npt.NDArray[np.uint8]:
    """The bytes of all tokens, one behind the other."""
    byte_of = np.full(0x110000, -1, dtype=np.int16)
    byte_of[[ord(character) for character in BYTE_CHARACTERS]] = np.arange(256)
    found = byte_of[np.frombuffer("".join(tokens).encode("utf-32-le", "surrogatepass"), dtype="<u4")]
    if (found < 0).any():
        known = frozenset(BYTE_CHARACTERS)
        token_id, token = next((at, token) for at, token in enumerate(tokens) if not known.issuperset(token))
        raise ModelError(
            f"{path}: token {token!r} (id {token_id}) is not written byte by byte; only byte-level BPE can be used"
        )
    return found.astype(np.uint8)


# -- who encodes ------------------------------------------------------------------------------------------------------


def _backend(path: Path, text: str, names: Sequence[Backend]) -> tuple[Backend, _Encode]:
    """The first of the named backends that is installed and takes the text of a tokenizer.json."""
    refusals: list[str] = []
    for name in names:
        try:
            return name, _BACKENDS[name](text)
        except ImportError as refusal:
            refusals.append(f"{name} is not installed ({refusal})")
        except ValueError as refusal:
            refusals.append(f"{name}: {refusal}")
    raise ModelError(f"no backend takes {path}: {'; '.join(refusals)}; fetch it again, or choose another backend")


def _installed(path: Path, names: Sequence[Backend]) -> Backend:
    """The first of the named backends that is installed."""
    refusals: list[str] = []
    for name in names:
        try:
            import_module(name)
        except ImportError as refusal:
            refusals.append(f"{name} is not installed ({refusal})")
        else:
            return name
    raise ModelError(f"no backend takes {path}: {'; '.join(refusals)}; choose another backend")


def _official(path: Path, fingerprint: str, name: Backend) -> _Encode:
    return _backend(path, _kept_tables(path, fingerprint).text, (name,))[1]


def _as_made(encode: _Encode) -> _Encode:
    return encode


def _fastokens(text: str) -> _Encode:
    import fastokens  # pyright: ignore[reportMissingTypeStubs]  (it has types, and no py.typed to say so)

    engine = fastokens.Tokenizer.from_json_str(text)
    engine.no_truncation()  # a file may ask for it, and rows would be cut in silence
    engine.enable_segment_cache(_SEGMENT_CACHE_BYTES)

    def encode(texts: list[str]) -> tuple[Ids, Offsets]:
        ids, offsets = engine.encode_batch_flat(texts)
        return np.frombuffer(ids, dtype=np.int32), np.frombuffer(offsets, dtype=np.int64)

    return encode


def _compact(text: str) -> str:
    """The same tokenizer.json without white space, merges in the older spelling: backends read it a tenth sooner."""
    data: Any = msgspec.json.decode(text)
    model: Any = data["model"]
    merges: Any = model.get("merges")
    if merges and isinstance(merges[0], list) and " " not in "".join(model["vocab"]):  # else only pairs tell them apart
        model["merges"] = list(map(" ".join, merges))
    return orjson.dumps(data).decode()


def _tokenizers(text: str) -> _Encode:
    import tokenizers

    try:
        engine = tokenizers.Tokenizer.from_str(text)
    except Exception as refusal:  # it raises no narrower one for a file that it does not take
        raise ValueError(str(refusal)) from refusal
    engine.no_truncation()
    engine.no_padding()

    added = engine.get_added_tokens_decoder().values()
    is_plain = not any(one.single_word or one.lstrip or one.rstrip or one.normalized for one in added)
    # It looks for added tokens first: the leftmost, and of those the longest.
    longest = sorted((one.content for one in added), key=len, reverse=True)
    between = re.compile(f"({'|'.join(map(re.escape, longest))})") if longest and is_plain else None
    known: dict[str, Ids] = {}
    n_known = 0

    def encode(texts: list[str]) -> tuple[Ids, Offsets]:
        """Encodes what lies between two added tokens once: prompts of one conversation begin alike."""
        nonlocal n_known
        parts = [[text] if between is None else between.split(text) for text in texts]
        if n_known > _SEGMENT_CACHE_CHARACTERS:
            known.clear()
            n_known = 0
        new = [part for part in dict.fromkeys(chain.from_iterable(parts)) if part not in known]
        for part, made in zip(new, engine.encode_batch_fast(new, add_special_tokens=False), strict=True):
            known[part] = np.array(made.ids, dtype=np.int32)
        n_known += sum(map(len, new))
        rows = [[known[part] for part in each] for each in parts]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([sum(map(len, row)) for row in rows], out=offsets[1:])
        ids = np.concatenate([np.empty(0, dtype=np.int32), *chain.from_iterable(rows)])
        ids.flags.writeable = offsets.flags.writeable = False
        return ids, offsets

    return encode


# Each takes the text of a tokenizer.json; ImportError where it is not installed, ValueError where it does not take it.
_BACKENDS: Mapping[Backend, Callable[[str], _Encode]] = {"fastokens": _fastokens, "tokenizers": _tokenizers}
