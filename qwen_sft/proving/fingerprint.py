"""Fingerprints: what tells one chat template or tokenizer from another, and nothing that makes no difference.

A template is told by its text without one final newline: Jinja takes that off, and files differ by it. A tokenizer is
told by what each of its parts does: transformers saves the same one in several spellings.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import orjson

from qwen_sft.errors import ModelError
from qwen_sft.family import Family, families
from qwen_sft.proving.official import OFFICIAL
from qwen_sft.sample import is_list, is_object
from qwen_sft.tokenizing.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class LockedToken:
    """An added token; `special` is what the file says, and decides whether servers leave it out of their text."""

    id: int
    content: str
    special: bool


@dataclass(frozen=True, slots=True)
class LockedTemplate:
    """A chat template.

    Attributes:
        sha256: of its text without one final newline; of an official template, as it was published.
        family: the family whose official template it is; None if it is nobody's.
    """

    sha256: str
    family: str | None


@dataclass(frozen=True, slots=True)
class LockedTokenizer:
    """A tokenizer.json.

    Attributes:
        sha256: of the file.
        structure: by part (vocabulary, merges, ...), the sha256 of what that part does. Saving the tokenizer again does
            not change it.
    """

    sha256: str
    structure: dict[str, str]


def locked_template(source: str | None, family: Family | None) -> LockedTemplate:
    """The template of a model.

    Args:
        source: its text; None for a family's name.
        family: what it was loaded as; must be there without a source.
    """
    if source is None:
        assert family is not None
        return LockedTemplate(family.template_sha256[0], family.name)
    bare = source.removesuffix("\n").encode()
    either = [hashlib.sha256(text).hexdigest() for text in (bare, bare + b"\n")]
    for known in families().values():
        for sha256 in known.template_sha256:
            if sha256 in either:
                return LockedTemplate(sha256, known.name)
    return LockedTemplate(either[0], None)


def locked_loaded(tokenizer: Tokenizer) -> tuple[LockedTokenizer, tuple[LockedToken, ...]]:
    """A tokenizer that is loaded, and its added tokens; an official one is not read again.

    Raises:
        ModelError: as `locked_tokenizer`.
    """
    structure = OFFICIAL.get(tokenizer.fingerprint)
    if structure is None:
        return locked_tokenizer(tokenizer.path)
    added = sorted(tokenizer.added_tokens.values(), key=lambda token: token.id)
    tokens = tuple(LockedToken(one.id, one.content, one.special) for one in added)
    return LockedTokenizer(tokenizer.fingerprint, dict(structure)), tokens


def locked_tokenizer(file: Path) -> tuple[LockedTokenizer, tuple[LockedToken, ...]]:
    """A tokenizer.json and its added tokens.

    Raises:
        ModelError: it cannot be read, or is no tokenizer.json.
    """
    try:
        content = file.read_bytes()
        data: Any = msgspec.json.decode(content)
    except OSError as error:
        raise ModelError(f"cannot read {file} ({error.strerror}); name the folder of a model") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{file} is not JSON ({error}); fetch it again") from error
    if not is_object(data) or not is_object(data.get("model")) or not is_object(data["model"].get("vocab")):
        raise ModelError(f"{file} is no tokenizer.json: it has no vocabulary; fetch it again")
    added: list[Any] = list(filter(is_object, data.get("added_tokens") or []))
    added.sort(key=lambda token: token["id"])
    tokens = tuple(LockedToken(one["id"], one["content"], bool(one.get("special"))) for one in added)
    structure = {part: _sha256(value) for part, value in _structure(data, added)}
    return LockedTokenizer(hashlib.sha256(content).hexdigest(), structure), tokens


def _structure(data: dict[str, Any], added: list[Any]) -> Iterator[tuple[str, Any]]:
    """What a tokenizer.json does, part by part, in one spelling."""
    model: dict[str, Any] = dict(data["model"])
    own = {token["content"] for token in added}  # some files repeat them in the vocabulary
    vocabulary: dict[str, int] = model.pop("vocab")
    merges: list[Any] = model.pop("merges", None) or []
    yield "vocabulary", sorted((i, token) for token, i in vocabulary.items() if token not in own)
    yield "merges", [" ".join(pair) if is_list(pair) else pair for pair in merges]
    # An absent key, null, false and "" all switch a thing off.
    yield "model", {key: value for key, value in model.items() if value and (key, value) != ("type", "BPE")}
    yield "normalizer", data.get("normalizer")
    yield "pre_tokenizer", _pre_tokenizer(data.get("pre_tokenizer"))
    yield "post_processor", _without_offsets(data.get("post_processor"))
    yield "decoder", _without_offsets(data.get("decoder"))
    flags = ("single_word", "lstrip", "rstrip", "normalized")
    yield "added_tokens", [[one["id"], one["content"], *(bool(one.get(flag)) for flag in flags)] for one in added]


def _pre_tokenizer(value: Any) -> Any:
    """Without what only moves offsets; a sequence of one is that one."""
    if is_object(value) and value.get("type") == "Sequence":
        steps: list[Any] = list(map(_pre_tokenizer, value.get("pretokenizers") or []))
        return steps[0] if len(steps) == 1 else steps
    return {key: each for key, each in value.items() if key != "trim_offsets"} if is_object(value) else value


def _without_offsets(value: Any) -> Any:
    """ByteLevel's flags say something in a pre-tokenizer only; behind the model they move offsets at most."""
    return "ByteLevel" if is_object(value) and value.get("type") == "ByteLevel" else value


def _sha256(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
