"""The lock: fingerprints of all that turns messages into tokens, so that training and serving can be held to the same.

`build` writes it beside a dataset; `validate --locked` and `template check` compare it with what they find.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import msgspec

from qwen_sft import __version__
from qwen_sft.encoding.model import Model, special_tokens
from qwen_sft.errors import ModelError, OutputError, UsageError
from qwen_sft.proving.fingerprint import (
    LockedTemplate,
    LockedToken,
    LockedTokenizer,
    locked_loaded,
    locked_template,
    locked_tokenizer,
)
from qwen_sft.sample import is_object
from qwen_sft.settings import Settings
from qwen_sft.text.quote import quoted
from qwen_sft.tokenizing.tokenizer import Tokenizer

LOCK_FILE = "qwen-sft.lock.json"
SCHEMA_VERSION = 1
_VERSIONED = ("jinja2", "tokenizers", "fastokens")
_COMMAND = f"qwen-sft template lock MODEL --out {LOCK_FILE}"
_AGAIN = f"build the dataset again, or write its lock again with: {_COMMAND}"


@dataclass(frozen=True, slots=True)
class LockedOptions:
    """What requests set beside messages and tools.

    Attributes:
        chat_template_kwargs: options of the template, by name.
        thinking: the setting of that name.
    """

    chat_template_kwargs: dict[str, Any]
    thinking: str


@dataclass(frozen=True, slots=True)
class Lock:
    """What a dataset was rendered and encoded with, or what a server has.

    Attributes:
        schema_version: of the file's shape.
        qwen_sft: the version that made it.
        model: as the user named it.
        template: the chat template.
        tokenizer: None where there is no tokenizer.json.
        added_tokens: all of them, by id; empty without a tokenizer.
        special_tokens: bos, eos and pad by role (`eos_token`), None for one that is not set; None where no
            tokenizer_config.json says, as for a family's name.
        options: what the template is asked with.
        versions: of libraries that render and encode; None for one that is not installed.
    """

    schema_version: int
    qwen_sft: str
    model: str
    template: LockedTemplate
    tokenizer: LockedTokenizer | None
    added_tokens: tuple[LockedToken, ...]
    special_tokens: dict[str, str | None] | None
    options: LockedOptions
    versions: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class LockDifference:
    """One value that is not what was locked.

    Attributes:
        field: which: `template.sha256`, `added_tokens['<think>'].id`.
        locked: its value in the lock.
        found: its value now.
        severity: `error` changes tokens or what a server makes of them; a `note` does not, as far as we know.
        says: what it means, or what to do.
    """

    field: str
    locked: Any
    found: Any
    severity: Literal["error", "note"]
    says: str

    def __str__(self) -> str:
        return f"{self.field}: locked {quoted(self.locked, 80)}, found {quoted(self.found, 80)}; {self.says}"


# -- making one -------------------------------------------------------------------------------------------------------


def lock_of(model: Model, settings: Settings) -> Lock:
    """The lock of a loaded model under the settings of a run.

    Raises:
        ModelError: its tokenizer.json cannot be read.
    """
    file = model.tokenizer.path
    return make_lock(
        name=model.name,
        template=locked_template(model.template.source if model.template else None, model.family),
        tokenizer_file=file,
        special_tokens=_special_tokens_beside(file) if model.template else None,
        settings=settings,
        loaded=model.tokenizer,
    )


def make_lock(
    *,
    name: str,
    template: LockedTemplate,
    tokenizer_file: Path | None,
    special_tokens: Mapping[str, str] | None,
    settings: Settings,
    loaded: Tokenizer | None = None,
) -> Lock:
    """The lock of what was found under a name; without a tokenizer, or without a tokenizer_config.json, in part.

    Args:
        loaded: the tokenizer of that file, where it is loaded.

    Raises:
        ModelError: the tokenizer.json cannot be read.
    """
    tokenizer, added = None, ()
    if loaded is not None:
        tokenizer, added = locked_loaded(loaded)
    elif tokenizer_file is not None:
        tokenizer, added = locked_tokenizer(tokenizer_file)
    roles = ("bos_token", "eos_token", "pad_token")
    return Lock(
        schema_version=SCHEMA_VERSION,
        qwen_sft=__version__,
        model=name,
        template=template,
        tokenizer=tokenizer,
        added_tokens=added,
        special_tokens=None if special_tokens is None else {role: special_tokens.get(role) for role in roles},
        options=LockedOptions(dict(settings.chat_template_kwargs), settings.thinking),
        versions={package: _version(package) for package in _VERSIONED},
    )


def _special_tokens_beside(tokenizer_file: Path) -> Mapping[str, str] | None:
    folder = tokenizer_file.parent
    return special_tokens(folder) if (folder / "tokenizer_config.json").is_file() else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


# -- files ------------------------------------------------------------------------------------------------------------


def lock_json(lock: Lock) -> dict[str, Any]:
    """A lock as `schemas/lock.schema.json` has it."""
    return asdict(lock)


def write_lock(lock: Lock, path: Path) -> Path:
    """Writes a lock to a file, or into a folder under its usual name; gives the file back.

    Raises:
        OutputError: it cannot be written.
    """
    file = path / LOCK_FILE if path.is_dir() else path
    try:
        file.write_text(json.dumps(lock_json(lock), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror}") from error
    return file


def read_lock(path: Path) -> Lock:
    """The lock in a file, or in a folder under its usual name.

    Raises:
        UsageError: there is none.
        ModelError: the file is no lock, or one of a later qwen-sft.
    """
    file = path / LOCK_FILE if path.is_dir() else path
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"no lock {str(file)!r} ({error.strerror}); write one with: {_COMMAND}") from error
    try:
        data: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{file} is not JSON ({error}); {_AGAIN}") from error
    found: Any = data.get("schema_version") if is_object(data) else None
    if found != SCHEMA_VERSION:
        raise ModelError(f"{file} has schema_version {found!r}, and this qwen-sft reads {SCHEMA_VERSION}; {_AGAIN}")
    try:
        return msgspec.convert(data, Lock)
    except msgspec.ValidationError as error:
        raise ModelError(f"{file} is no lock: {error}; {_AGAIN}") from error


# -- comparing --------------------------------------------------------------------------------------------------------


def differences(locked: Lock, found: Lock) -> list[LockDifference]:
    """Where what is found is not what was locked; notes among them. The model's name is not compared."""
    return [
        *_template_differences(locked.template, found.template),
        *tokenizer_differences(locked, found),
        *_option_differences(locked.options, found.options),
        *(
            LockDifference(f"versions.{name}", locked.versions.get(name), found.versions.get(name), "note", _VERSION)
            for name in dict.fromkeys([*locked.versions, *found.versions])
            if locked.versions.get(name) != found.versions.get(name)
        ),
    ]


_VERSION = "its output is held to be the same"


def _template_differences(locked: LockedTemplate, found: LockedTemplate) -> Iterator[LockDifference]:
    if locked.sha256 == found.sha256:
        return
    if locked.family is not None and locked.family == found.family:
        says = f"both are official templates of {found.family}, which print the same"
        yield LockDifference("template.sha256", locked.sha256, found.sha256, "note", says)
        return
    names = [f"that of {each.family}" if each.family else "nobody's official one" for each in (locked, found)]
    says = f"locked is {names[0]}, found is {names[1]}; see: qwen-sft template diff"
    yield LockDifference("template.sha256", locked.sha256, found.sha256, "error", says)


def tokenizer_differences(locked: Lock, found: Lock) -> Iterator[LockDifference]:
    """Where two tokenizers differ: their files, their parts, added tokens and special tokens."""
    if locked.tokenizer is None or found.tokenizer is None:
        if locked.tokenizer != found.tokenizer:
            which = "found" if found.tokenizer is None else "locked"
            before, after = (each.tokenizer.sha256 if each.tokenizer else None for each in (locked, found))
            says = f"{which} has no tokenizer.json, so nothing could be compared"
            yield LockDifference("tokenizer.sha256", before, after, "error", says)
    else:
        tokens = list(_token_differences(locked.added_tokens, found.added_tokens))
        yield from _structure_differences(locked.tokenizer, found.tokenizer, but="added_tokens" if tokens else None)
        yield from tokens
    yield from _special_differences(locked.special_tokens, found.special_tokens)


def _structure_differences(
    locked: LockedTokenizer, found: LockedTokenizer, *, but: str | None
) -> Iterator[LockDifference]:
    """Parts that differ; `but` for one whose differences are told one by one."""
    if locked.sha256 == found.sha256:
        return
    parts = dict.fromkeys([*locked.structure, *found.structure])
    differ = [part for part in parts if locked.structure.get(part) != found.structure.get(part)]
    if not differ:
        says = "the file was saved again; what it does is the same"
        yield LockDifference("tokenizer.sha256", locked.sha256, found.sha256, "note", says)
    for part in differ:
        if part == but:
            continue
        yield LockDifference(
            f"tokenizer.structure.{part}",
            locked.structure.get(part),
            found.structure.get(part),
            "error",
            "the same text gives other ids",
        )


def _token_differences(locked: tuple[LockedToken, ...], found: tuple[LockedToken, ...]) -> Iterator[LockDifference]:
    before = {token.content: token for token in locked}
    after = {token.content: token for token in found}
    for content in dict.fromkeys([*before, *after]):
        old, new = before.get(content), after.get(content)
        field = f"added_tokens[{content!r}]"
        if old is None or new is None:
            was, now = (token.id if token else None for token in (old, new))
            which = "locked" if old is None else "found"
            yield LockDifference(f"{field}.id", was, now, "error", f"{which} has no such token: there it is several")
            continue
        if old.id != new.id:
            yield LockDifference(f"{field}.id", old.id, new.id, "error", "a model reads it as another token")
        if old.special != new.special:
            says = "servers leave special tokens out of their text, and tool-call parsers then miss them"
            yield LockDifference(f"{field}.special", old.special, new.special, "error", says)


def _special_differences(
    locked: Mapping[str, str | None] | None, found: Mapping[str, str | None] | None
) -> Iterator[LockDifference]:
    if locked is None or found is None:
        if locked is not found:
            which = "found" if found is None else "locked"
            says = f"{which} has no tokenizer_config.json, so these could not be compared"
            yield LockDifference("special_tokens", locked, found, "note", says)
        return
    for role in dict.fromkeys([*locked, *found]):
        if locked.get(role) != found.get(role):
            severity, says = _SPECIAL_SAYS.get(role, ("error", "templates may print it"))
            yield LockDifference(f"special_tokens.{role}", locked.get(role), found.get(role), severity, says)


_SPECIAL_SAYS: Mapping[str, tuple[Literal["error", "note"], str]] = {
    "eos_token": ("error", "a server stops at it, so it must be the trained stop token"),
    "pad_token": ("note", "only a trainer's padding"),
}


def _option_differences(locked: LockedOptions, found: LockedOptions) -> Iterator[LockDifference]:
    before, after = locked.chat_template_kwargs, found.chat_template_kwargs
    for name in dict.fromkeys([*before, *after]):
        if (name in before, before.get(name)) != (name in after, after.get(name)):
            yield LockDifference(
                f"options.chat_template_kwargs.{name}",
                before.get(name),
                after.get(name),
                "error",
                "the template prints something else; give both the same --chat-template-kwargs",
            )
    if locked.thinking != found.thinking:
        says = "turns would be prompted otherwise; give both the same --thinking"
        yield LockDifference("options.thinking", locked.thinking, found.thinking, "error", says)
