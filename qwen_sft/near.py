"""Samples that are nearly alike: the same conversation with some words changed, found without comparing all with all.

A sample's words, without its system turns and tools, which many samples share, are cut into runs of three. Two samples
are as alike as the share of these runs that they have in common (Jaccard similarity). MinHash estimates that share from
128 bytes of each sample, with a standard error of 0.04 or less.

Source: Broder, On the resemblance and containment of documents (1997); Li and König, b-Bit Minwise Hashing (2010).
"""

import re
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from qwen_sft.sample import Sample, is_list, is_object
from qwen_sft.secret import encoded

Key = TypeVar("Key")

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
_FIRST_SIZE = 1024


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
    so that one more sample costs the same however many there are, about 40 µs.

    Memory: 256 to 512 bytes of a signature that is kept, 384 to 768 below a threshold of 0.8, besides its key.

    Args:
        threshold: from which share of common runs of words two samples are near duplicates.

    Raises:
        ValueError: the threshold is below LEAST_ALIKE or above 1.
    """

    def __init__(self, threshold: float = ALIKE) -> None:
        import numpy as np  # as above

        if not LEAST_ALIKE <= threshold <= 1:
            raise ValueError(f"threshold is {threshold!r}; it takes a share from {LEAST_ALIKE} to 1")
        self._np = np
        self._least = N_BYTES * (threshold * (1 - _CHANCE) + _CHANCE) - 1e-9
        self._band: Any = np.uint64 if threshold >= ALIKE else np.uint32
        self._bands = np.arange(N_BYTES // np.dtype(self._band).itemsize)
        self._keys: list[Key] = []
        self._signatures = np.zeros((_FIRST_SIZE, N_BYTES), np.uint8)
        self._firsts = self._empty(_FIRST_SIZE)

    def _empty(self, size: int) -> Any:
        """For each band a table with open addressing, at least half empty: the number of a sample, or -1."""
        return self._np.full((len(self._bands), 2 * size), -1, self._np.int32)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, signature: bytes) -> Key | None:
        """The key of the first sample that this one is nearly like; None if there is none."""
        _, firsts = self._places(signature)
        return self._alike(signature, firsts)

    def add(self, key: Key, signature: bytes) -> Key | None:
        """The key of the first sample that this one is nearly like; where there is none, this one is added."""
        places, firsts = self._places(signature)
        found = self._alike(signature, firsts)
        if found is not None:
            return found
        number = len(self._keys)
        self._keys.append(key)
        if number == len(self._signatures):
            self._grow()
            places, firsts = self._places(signature)
        self._signatures[number] = self._np.frombuffer(signature, self._np.uint8)
        self._enter(number, places, firsts)
        return None

    def _places(self, signature: bytes) -> tuple[Any, Any]:
        """For each band the place of it in its table, and the sample that is there; -1 for a free place."""
        np = self._np
        wanted = np.frombuffer(signature, self._band)
        held = self._signatures.view(self._band)
        size = self._firsts.shape[1]
        mixed = (wanted.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
        places = (mixed % np.uint64(size)).astype(np.int64)
        while True:
            firsts = self._firsts[self._bands, places]
            others = (firsts >= 0) & (held[firsts, self._bands] != wanted)
            if not others.any():
                return places, firsts
            places = (places + others) % size

    def _alike(self, signature: bytes, firsts: Any) -> Key | None:
        np = self._np
        candidates = np.unique(firsts[firsts >= 0])
        if not len(candidates):
            return None
        same = (self._signatures[candidates] == np.frombuffer(signature, np.uint8)).sum(axis=1)
        near = candidates[same >= self._least]
        return self._keys[int(near[0])] if len(near) else None

    def _enter(self, number: int, places: Any, firsts: Any) -> None:
        free = firsts < 0
        self._firsts[self._bands[free], places[free]] = number

    def _grow(self) -> None:
        """Twice the room."""
        np = self._np
        old = self._signatures
        self._signatures = np.zeros((2 * len(old), N_BYTES), np.uint8)
        self._signatures[: len(old)] = old
        self._firsts = self._empty(2 * len(old))
        for number in range(len(old)):
            self._enter(number, *self._places(old[number].tobytes()))
