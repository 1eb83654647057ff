"""`--redact`: secrets and personal data of a sample replaced, the same one by the same words everywhere in it.

What comes in their place keeps the shape of what stood there where a schema may ask for it: an address stays an
address (`user1@example.com`), a card number keeps its length and its spaces and begins with a 9, which no issuer has; a
number stays a number. Anything else becomes `[service key 1]`.

What was found once is replaced wherever it stands, also where nothing beside it tells that it is a secret.

Placeholders are counted in each sample from 1, in the order of reading. So a record gives the same sample wherever and
whenever it is read, by however many processes, and what stands in two samples cannot be told to be the same: a hash of
an address or a card number would let anyone who guesses it make sure.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import structs

from qwen_sft.fix import Edit, edited
from qwen_sft.format import Conversation
from qwen_sft.inspecting.secret import Kind, Secret, leaves, may_hold, secrets_at
from qwen_sft.record import Record
from qwen_sft.sample import Path

_PARTS = ("messages", "tools", "metadata")
_MOST_ROUNDS = 8
"""Rounds until nothing is found: a second one where two secrets touch, so that this only bounds a fault of ours."""


def redacted(conversation: Conversation) -> Conversation:
    """The conversation without secrets; the same object where it holds none.

    Messages, tools and metadata are looked through, all their texts and whole numbers; not the names of fields.
    """
    sample = conversation.sample
    for _ in range(_MOST_ROUNDS):
        kinds = may_hold(sample)
        places = [one for part in _PARTS for one in leaves(sample.get(part), (part,))] if kinds else []
        edits, _ = _edits(places, kinds)
        if not edits:
            break
        sample = edited(sample, edits)
    return conversation if sample is conversation.sample else replace(conversation, sample=sample)


@dataclass(frozen=True, slots=True)
class Hushed:
    """A record without its secrets: what may be kept of it, and be shown.

    Attributes:
        record: its data without secrets; the same object where it holds none. `raw` stays as it was, but for a record
            that could not be parsed, of which it is all that there is.
        words: what comes in the place of each secret.
    """

    record: Record
    words: Mapping[str, str] = field(default_factory=dict[str, str])

    def text(self, says: str) -> str:
        """A sentence about the record without its secrets, in Python's spelling too, and without the heads of them."""
        for secret, word in self.words.items():
            for spelled in (secret, repr(secret)[1:-1]):
                says = says.replace(spelled, word)
                if "…" in says:
                    says = _without_head(says, spelled, word)
        return says


_SHORTEST_HEAD = 5
"""Characters of a secret that may stand before an ellipsis: our own findings show four."""


def _without_head(says: str, secret: str, word: str) -> str:
    for n in range(len(secret) - 1, _SHORTEST_HEAD - 1, -1):
        for end in ("…", "'…", '"…'):
            says = says.replace(secret[:n] + end, word + end)
    return says


def hushed(record: Record) -> Hushed:
    """A record, and what is said of it, without secrets; names of fields are not looked at."""
    data: Any = record.raw.decode("utf-8", "backslashreplace") if record.fault is not None else record.data
    given = data
    words: dict[str, str] = {}
    for _ in range(_MOST_ROUNDS):
        kinds = may_hold(data)
        edits, found = _edits(list(leaves(data, ())), kinds) if kinds else ([], {})
        if not edits:
            break
        words.update(found)
        data = edited(data, edits)
    if data is given:
        return Hushed(record)
    if record.fault is not None:
        return Hushed(structs.replace(record, raw=data.encode()), words)
    return Hushed(structs.replace(record, data=data), words)


def _edits(places: list[tuple[Path, Any]], kinds: Collection[Kind]) -> tuple[list[Edit], dict[str, str]]:
    """What to replace at some places, and what comes in the place of each secret."""
    found = [secret for path, value in places for secret in secrets_at(path, value, kinds)]
    if not found:
        return [], {}
    standing = "\n".join(str(value) for _, value in places if isinstance(value, str) or _is_number(value))
    words = _placeholders(found, standing)
    pattern = re.compile("|".join(_spelled(text) for text in sorted(words, key=lambda text: (-len(text), text))))
    made = ((path, value, _without(value, words, pattern)) for path, value in places)
    return [Edit(path, new) for path, value, new in made if new is not value], words


def _without(value: Any, words: dict[str, str], pattern: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        new = pattern.sub(lambda match: words[match[0]], value)
        return value if new == value else new
    if _is_number(value) and (digits := str(value)) in words:
        return int(words[digits])
    return value


def _placeholders(found: list[Secret], standing: str) -> dict[str, str]:
    """What comes in the place of each secret, by its text; none of them stands in the sample yet."""
    numbers: dict[tuple[str, str], int] = {}
    used: dict[str, int] = {}
    words: dict[str, str] = {}
    for secret in found:
        same = (secret.kind, _identity(secret))
        if same not in numbers:
            number = used.get(secret.kind, 0) + 1
            while _placeholder(secret, number) in standing:
                number += 1
            numbers[same] = used[secret.kind] = number
        words.setdefault(secret.text, _placeholder(secret, numbers[same]))
    return words


def _identity(secret: Secret) -> str:
    """Two spellings of one secret have one: a card number with and without spaces, an address in capitals."""
    if secret.kind == "card number":
        return re.sub(r"\D", "", secret.text)
    return secret.text.lower() if secret.kind == "e-mail address" else secret.text


def _placeholder(secret: Secret, number: int) -> str:
    match secret.kind:
        case "e-mail address":
            return f"user{number}@example.com"
        case "card number":
            digits = iter(f"9{number:0{sum(map(str.isdigit, secret.text)) - 1}d}")
            return "".join(next(digits) if c.isdigit() else c for c in secret.text)
        case kind:
            return f"[{kind} {number}]"


def _spelled(text: str) -> str:
    """The pattern of a secret; one of digits does not stand in a longer number."""
    literal = re.escape(text)
    return rf"(?<!\d){literal}(?!\d)" if text[0].isdigit() and text[-1].isdigit() else literal


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
