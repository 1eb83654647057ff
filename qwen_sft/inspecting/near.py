"""Samples that are nearly alike: the same conversation with some words changed, found without comparing all with all.

A sample's words, without its system turns and tools, which many samples share, are cut into runs of three. Two samples
are as alike as the share of these runs that they have in common (Jaccard similarity). MinHash estimates that share from
128 bytes of each sample, with a standard error of 0.04 or less.

Source: Broder, On the resemblance and containment of documents (1997); Li and König, b-Bit Minwise Hashing (2010).
"""

import re
from collections.abc import Callable
from operator import eq
from typing import Any, Generic, Protocol, TypeVar

from qwen_sft.inspecting.scratch import Scratch
from qwen_sft.inspecting.secret import encoded
from qwen_sft.sample import Sample, is_list, is_object

Key = TypeVar("Key", int, str, bytes)

ALIKE = 0.8
"""From this share of common runs of words two samples are near duplicates, where nobody says otherwise."""

LEAST_ALIKE = 0.5
"""The lowest threshold of an Index."""

N_BYTES = 128
"""Of a signature: one for each of so many minima, of which it keeps the lowest eight bits."""

_RUN = 3  # words
_CHANCE = 1 / 256  # that two different minima agree in eight bits
_NO_WORD = bytes(c if chr(c).isalnum() or c >= 128 else 32 for c in range(256))
_WITHOUT_SPACES = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


def signature(sample: Sample, seed: int = 0) -> bytes:
    """128 bytes from which `Index` tells how alike two samples are; the same in every process and on every machine.

    What counts are the roles, contents, reasoning and calls of all messages but system messages; ids do not. Letters'
    case, punctuation and spaces do not count either. It takes 20 to 55 ns per byte of the sample.

    Args:
        seed: chooses the hashes; only signatures of one seed can be compared.
    """
    import rensa  # pyright: ignore[reportMissingTypeStubs]  # it has none; only who looks for near duplicates needs it

    words = _words([_said(one) for one in sample.get("messages", []) if one.get("role") != "system"])
    runs = (
        [" ".join(words)] if len(words) < _RUN else list(map(" ".join, zip(words, words[1:], words[2:], strict=False)))
    )
    made: Callable[..., _MinHash] = getattr(rensa, "RMinHash")  # noqa: B009  # the name is in no stub
    minima = made(num_perm=N_BYTES, seed=seed)
    minima.update(runs)
    return bytes(minimum & 255 for minimum in minima.digest())


class _MinHash(Protocol):
    """What is used of rensa's RMinHash."""

    def update(self, items: list[str], /) -> None: ...

    def digest(self) -> list[int]: ...


def _said(message: Any) -> list[Any]:
    listed: Any = message.get("tool_calls")
    functions: list[Any] = (
        [call.get("function") if is_object(call) else call for call in listed] if is_list(listed) else []
    )
    calls = [[one.get("name"), one.get("arguments")] if is_object(one) else one for one in functions]
    return [message.get("role"), message.get("reasoning_content") or "", message.get("content") or "", calls]


def _words(value: list[Any]) -> list[str]:
    """The words of a JSON value; a character of a script that puts no spaces between words is one."""
    data = encoded(value) or plain(value)
    data = data.replace(b"\\n", b" ").replace(b"\\t", b" ").lower().translate(_NO_WORD)
    text = data.decode(errors="replace")
    return (text if text.isascii() else _WITHOUT_SPACES.sub(r" \g<0> ", text)).split()


def plain(value: Any) -> bytes:
    """A text for a value that is no JSON, such as one with half a surrogate pair; equal for equal ones."""
    rest, parts = [value], list[str]()
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            parts.append("{")
            for key, inner in item.items():  # pyright: ignore[reportUnknownVariableType]  # of any JSON
                rest += [inner, key]
        elif is_list(item):
            parts.append("[")
            rest += item
        else:
            parts.append(ascii(item))
    return "\n".join(parts).encode()


class Index(Generic[Key]):
    """Signatures of samples that are not alike, among which it finds one that is nearly like another.

    Signatures are cut into bands, and only those that share a whole band are compared: of pairs exactly at the
    threshold about one in twenty is missed, of those above it fewer. Each band leads to the first sample that had it,
    so that one more sample costs nearly the same however many there are, about 70 µs. Memory does not grow with them
    (see `qwen_sft.inspecting.scratch`); the temporary file does, by about 450 bytes for each that is kept, 600 below a
    threshold of 0.8.

    Args:
        threshold: from which share of common runs of words two samples are near duplicates.

    Raises:
        ValueError: the threshold is below LEAST_ALIKE or above 1.
    """

    def __init__(self, threshold: float = ALIKE) -> None:
        if not LEAST_ALIKE <= threshold <= 1:
            raise ValueError(f"threshold is {threshold!r}; it takes a share from {LEAST_ALIKE} to 1")
        self._least = N_BYTES * (threshold * (1 - _CHANCE) + _CHANCE) - 1e-9
        self._width = 8 if threshold >= ALIKE else 4
        self._n = 0
        self._kept = Scratch(
            "kept (number INTEGER PRIMARY KEY, key, signature BLOB)",
            "bands (band BLOB PRIMARY KEY, number INTEGER) WITHOUT ROWID",
        )
        some = ", ".join("?" * (N_BYTES // self._width))
        self._sharing = (
            "SELECT key, signature FROM kept "
            f"WHERE number IN (SELECT number FROM bands WHERE band IN ({some})) ORDER BY number"
        )

    def __len__(self) -> int:
        return self._n

    def find(self, signature: bytes) -> Key | None:
        """The key of the first sample that this one is nearly like; None if there is none."""
        return self._find(signature, self._bands(signature))

    def add(self, key: Key, signature: bytes) -> Key | None:
        """The key of the first sample that this one is nearly like; where there is none, this one is added."""
        bands = self._bands(signature)
        found = self._find(signature, bands)
        if found is None:
            self._kept.put("kept", [(self._n, key, signature)], 3)
            self._kept.put("bands", ((band, self._n) for band in bands), 2)
            self._n += 1
        return found

    def _bands(self, signature: bytes) -> list[bytes]:
        """The bands of a signature, each behind its number."""
        width = self._width
        return [bytes([k // width]) + signature[k : k + width] for k in range(0, N_BYTES, width)]

    def _find(self, signature: bytes, bands: list[bytes]) -> Key | None:
        for key, other in self._kept.ask(self._sharing, *bands):
            if sum(map(eq, signature, other)) >= self._least:
                return key
        return None
