"""Characters that a text should not hold: control characters, and UTF-8 that was read as another encoding."""

import re
from collections import Counter

_ASCII_PLAIN = bytes(b for b in range(128) if (b >= 0x20 and b != 0x7F) or b in b"\t\n\r")

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

REPLACEMENT = "\ufffd"
"""What a decoder writes for bytes that it cannot read."""


def is_plain(text: str) -> bool:
    """True for printable ASCII with tabs and line breaks, which has no fault of this kind: 2 GB a second."""
    return text.isascii() and not text.encode().translate(None, _ASCII_PLAIN)


def controls(text: str) -> Counter[str]:
    """How often each control character stands in a text: C0 but for tab, line feed and return, DEL, C1.

    Those that are a part of UTF-8 that was misread are left to `misread`.
    """
    found = Counter(_CONTROL.findall(text))
    if found and not text.isascii() and misread(text):
        found = Counter({c: n for c, n in found.items() if c < "\x80"})
    return found


_ESCAPE = re.compile(
    "\x1b(?:"
    "\\[[0-?]*[ -/]*[@-~]"  # a command, such as that for a colour
    "|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)"  # a title or a link
    "|[PX^_][^\x1b]*\x1b\\\\"  # a text for the terminal itself
    "|[ -/]+[0-~]|[0-OQ-WYZ\\\\`-~])"
)


def without_controls(text: str) -> str:
    """A text without the escape sequences of ECMA-48, and without the other characters that `controls` counts."""
    if is_plain(text):
        return text
    text = _ESCAPE.sub("", text)
    gone = dict.fromkeys(map(ord, controls(text)))
    return text.translate(gone) if gone else text


# Windows-1252 has no character for five bytes, which decoders pass on as C1 controls, as Latin-1 does for all of C1.
_BYTE = {chr(byte): byte for byte in range(0x80, 0xC0)} | {
    bytes([byte]).decode("cp1252"): byte for byte in range(0x80, 0xC0) if byte not in b"\x81\x8d\x8f\x90\x9d"
}
_NEXT = f"[{''.join(map(re.escape, sorted(_BYTE)))}]"
_TWO, _THREE, _FOUR = f"[\xc2-\xdf]{_NEXT}", f"[\xe0-\xef]{_NEXT}{{2}}", f"[\xf0-\xf4]{_NEXT}{{3}}"
_MISREAD = re.compile(
    f"\xe2[\u20ac\x80]{_NEXT}"  # a dash or a curly quote
    "|\xef\xbf\xbd"  # a replacement character
    f"|\xf0[\u0178\x9f]{_NEXT}{{2}}"  # an emoji
    f"|(?:{_TWO}){{3,}}|(?:{_THREE}){{2,}}|(?:{_FOUR}){{2,}}"  # a word in another script
    f"|(?<=[a-z])\xc3{_NEXT}|\xc3{_NEXT}(?=[a-z])"  # a letter with an accent, in a word
    "|(?<![A-Z\xc0-\xde])\xc2[\xa0-\xbf]"  # a sign, such as that of a degree
)


def misread(text: str) -> tuple[str, str] | None:
    """The first UTF-8 in a text that was read as Windows-1252 or Latin-1, as it stands and as it was meant.

    Only sequences that no language writes count: `É»` at the end of a French quotation would be UTF-8 too.
    """
    for match in _MISREAD.finditer(text):
        data = bytes(_BYTE.get(c, ord(c)) for c in match[0])
        try:
            return match[0], data.decode()
        except UnicodeDecodeError:
            continue
    return None
