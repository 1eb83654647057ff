"""Secrets and personal data in text: credentials of known form, assigned ones, card numbers, e-mail addresses.

Nothing is sent anywhere to be verified. What a form allows is checked instead: checksums (GitHub, npm, cards), the
header of a web token, the first bytes of a private key, the variety of characters. Examples from manuals, and what
stands in the place of a secret (`xxxx`, `AKIA...EXAMPLE`), are none.

Most text holds no secret. `may_hold` says so for a whole sample in one pass over its JSON, at about 0.7 GB a second;
only what it lets through is looked at closely. It may let through too much, and never too little: the tests hold it
to that.

Considered on 2026-11-21: detect-secrets 1.5.0 (Apache-2.0, last release 2024-05) gives no places in the text, knows of
the keys for models only OpenAI's, and asks the network unless told otherwise. The tests use it as a second opinion.
"""

import base64
import binascii
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from qwen_sft.sample import Path, Sample, is_list, is_object
from qwen_sft.text import sieve
from qwen_sft.text.sieve import Sieve

Kind = Literal["private key", "service key", "web token", "assigned secret", "card number", "e-mail address"]


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret in a text: what it is, whose, and where it begins and ends."""

    kind: Kind
    of: str
    start: int
    end: int
    text: str

    @property
    def shown(self) -> str:
        """What a finding may say of it: its first four characters and its length."""
        return f"{self.text[:4]!r}… ({len(self.text)} characters)"


def times(n: int) -> str:
    """How often a secret stands in its sample, as the end of a sentence; nothing for once."""
    return "" if n == 1 else f", {n} times in this sample"


# -- characters --------------------------------------------------------------------------------------------------------

# A word begins here; `\n` in front is the end of a line, in JSON that is itself a string.
_BEGIN = r"(?:(?<![A-Za-z0-9_+\\-])|(?<=\\[nrt]))"
_END = r"(?![A-Za-z0-9_-])"
_FILLER = re.compile(
    r"example|x{4}|\.{3}|\*{3}|placeholder|redacted|dummy|changeme|change_me|your[_-]|fake|1234567|abcdefg|0{8}", re.I
)


def _varied(text: str, bits: float) -> bool:
    """True if a text is as mixed as a random one, and no one's filler."""
    return _entropy(text) >= bits and not _FILLER.search(text)


def _entropy(text: str) -> float:
    """Bits a character, by how often each one stands in the text."""
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts)


# -- keys of known form ------------------------------------------------------------------------------------------------

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _has_checksum(token: str) -> bool:
    """True if the last six characters of a GitHub or npm token are the CRC-32 of the 30 before, in base 62."""
    body = token.partition("_")[2]
    value = 0
    for c in body[-6:]:
        value = value * 62 + _BASE62.index(c)
    return zlib.crc32(body[:-6].encode()) == value


def _is_random(token: str) -> bool:
    return _varied(token, 3.0)


@dataclass(frozen=True, slots=True)
class _Form:
    of: str
    pattern: str
    holds: Callable[[str], bool] = _is_random


# The prefix of each is published by its issuer, most of them for scanners like this one.
_FORMS = (
    _Form("AWS", r"(?:AKIA|ASIA)[A-Z2-7]{16}"),
    _Form("GitHub", r"gh[pousr]_[A-Za-z0-9]{36}", _has_checksum),
    _Form("GitHub", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    _Form("npm", r"npm_[A-Za-z0-9]{36}", _has_checksum),
    _Form("GitLab", r"glpat-[A-Za-z0-9_-]{20}"),
    _Form("OpenAI", r"sk-(?:[A-Za-z0-9]+-)?[A-Za-z0-9_-]{20,200}T3BlbkFJ[A-Za-z0-9_-]{20,200}"),
    _Form("Anthropic", r"sk-ant-[a-z]{3,5}[0-9]{2}-[A-Za-z0-9_-]{80,200}"),
    _Form("OpenRouter", r"sk-or-v1-[0-9a-f]{64}"),
    _Form("DashScope or DeepSeek", r"sk-[0-9a-f]{32}"),
    _Form("OpenAI or the like", r"sk-[A-Za-z0-9]{40,80}"),
    _Form("Hugging Face", r"hf_[A-Za-z0-9]{34}"),
    _Form("Groq", r"gsk_[A-Za-z0-9]{52}"),
    _Form("xAI", r"xai-[A-Za-z0-9]{80}"),
    _Form("Google", r"AIza[A-Za-z0-9_-]{35}"),
    _Form("Google", r"GOCSPX-[A-Za-z0-9_-]{28}"),
    _Form("Slack", r"xox[abeprs]-[0-9]{8,14}-[A-Za-z0-9-]{16,200}"),
    _Form("Stripe", r"[rs]k_live_[A-Za-z0-9]{24,120}"),
    _Form("SendGrid", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _Form("PyPI", r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,500}"),
)
_KEY = re.compile(_BEGIN + "(?:" + "|".join(f"({form.pattern})" for form in _FORMS) + ")" + _END)


def _keys(text: str) -> Iterator[Secret]:
    for match in _KEY.finditer(text):
        form = _FORMS[(match.lastindex or 1) - 1]
        if form.holds(match[0]):
            yield Secret("service key", form.of, match.start(), match.end(), match[0])


# -- private keys ------------------------------------------------------------------------------------------------------

_KEY_BLOCK = re.compile(r"-----BEGIN (?:([A-Z]{2,9}) )?PRIVATE KEY(?: BLOCK)?-----")
_KEY_END = re.compile(r"-----END (?:[A-Z]{2,9} )?PRIVATE KEY(?: BLOCK)?-----")
_KEY_LINES = re.compile(r"(?:[^A-Za-z0-9+/=-]{0,12}(?:[0-9]{1,6}[^A-Za-z0-9+/=-]{1,4})?[A-Za-z0-9+/=]{16,})+")
_KEY_LINE = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")
_LONGEST_KEY = 20_000
_BER = b"\x30"  # a sequence in ASN.1, which every key of PKCS #1 and #8 is
_OPENSSH = b"openssh-key-v1\0"


def _private_keys(text: str) -> Iterator[Secret]:
    at = 0
    while begin := _KEY_BLOCK.search(text, at):
        at = begin.end()
        end = _KEY_END.search(text, at, at + _LONGEST_KEY)
        lines = None if end else _KEY_LINES.match(text, at)
        stop = end.start() if end else lines.end() if lines else at
        if not _is_key_body(text[at:stop], begin[1]):
            continue
        at = end.end() if end else stop
        of = {None: "PKCS #8", "RSA": "RSA", "EC": "EC"}.get(begin[1], begin[1] or "")
        yield Secret("private key", of, begin.start(), at, text[begin.start() : at])


def _is_key_body(body: str, label: str | None) -> bool:
    """True if what stands between the marks is a key: base64 of its first bytes, and not three dots."""
    line = _KEY_LINE.search(body.replace("\\n", "\n").replace("\\r", "\r"))
    if line is None or _entropy(line[0]) < 3.5:
        return False
    try:
        data = base64.b64decode(line[0][: len(line[0]) // 4 * 4], validate=True)
    except binascii.Error:
        return False
    return label == "PGP" or "DEK-Info" in body or data.startswith((_BER, _OPENSSH))


# -- web tokens --------------------------------------------------------------------------------------------------------

_WEB_TOKEN = re.compile(_BEGIN + r"(eyJ[A-Za-z0-9_-]{8,2000})\.(eyJ[A-Za-z0-9_-]{8,20000})\.([A-Za-z0-9_-]{16,2000})")


def _web_tokens(text: str) -> Iterator[Secret]:
    for match in _WEB_TOKEN.finditer(text):
        head, claims = _decoded(match[1]), _decoded(match[2])
        signed = is_object(head) and isinstance(head.get("alg"), str) and head["alg"].lower() != "none"
        # The token on the front page of jwt.io, in its many signatures.
        known = is_object(claims) and (claims.get("sub"), claims.get("name")) == ("1234567890", "John Doe")
        if signed and is_object(claims) and not known:
            yield Secret("web token", f"signed by {head['alg'][:10]!r}", match.start(), match.end(), match[0])


def _decoded(part: str) -> Any:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):  # no base64, no JSON, no UTF-8
        return None


# -- assigned secrets --------------------------------------------------------------------------------------------------

_NAME = (
    r"(?:pass(?:word|wd|phrase)|secret|api[_-]?key|access[_-]?key|auth[_-]?token|access[_-]?token|refresh[_-]?token"
    r"|bearer[_-]?token|(?<![A-Za-z])token|private[_-]?key|encryption[_-]?key|signing[_-]?key)"
)
_NAME_ANY_CASE = re.sub(r"[a-z]", lambda c: f"[{c[0].upper()}{c[0]}]", _NAME.replace("(?<![A-Za-z])", ""))
_VALUE_BEGINS = r"[A-Za-z0-9+/=_.~-]{16}"
_VALUE = r"[A-Za-z0-9+/=_.~-]{16,200}"
_ASSIGNED = re.compile(
    _NAME + r"[A-Za-z0-9_-]{0,30}\\?[\"']?[ \t\r\n]{0,4}(?::=|=>|=|:)[ \t\r\n]{0,4}(?:Bearer )?"
    r"(?:\\?([\"'])(" + _VALUE + r")\\?\1|(" + _VALUE + r")(?=[\s\\;,&\"'}\]]|$))",
    re.I,
)
_BEARER = re.compile(
    r"Authorization\\?[\"']?[ \t]{0,2}:[ \t]{0,2}\\?[\"']?(?:Bearer|Basic|token) (" + _VALUE + r")", re.I
)
_NAMED = re.compile(_NAME + r"[A-Za-z0-9_-]{0,30}\Z", re.I)
_PLAIN_WORDS = re.compile(r"[A-Za-z]+(?:[_./-]+[A-Za-z]+)*[0-9]{0,3}")
_WHOLE_VALUE = re.compile(_VALUE)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)
_DIGITS = re.compile(r"[0-9]+")
_HEX = re.compile(r"[0-9a-fA-F]+")


def _assigned(text: str) -> Iterator[Secret]:
    for pattern in (_ASSIGNED, _BEARER):
        for match in pattern.finditer(text):
            group = match.lastindex or 0
            if _is_assigned(match[group], quoted=group != 3):
                yield Secret("assigned secret", "", match.start(group), match.end(group), match[group])


def _is_assigned(value: str, *, quoted: bool) -> bool:
    """True if a value looks drawn at random: letters and digits, mixed as chance mixes them, no name and no path."""
    if _PLAIN_WORDS.fullmatch(value) or _UUID.fullmatch(value) or value.isdigit() or not re.search(r"\d", value):
        return False
    if len(_DIGITS.findall(value)) < (2 if quoted else 3) and not _HEX.fullmatch(value):
        return False  # MBart50TokenizerFast
    if not quoted and ("_" in value or "." in value):
        return False  # config.t2u_pad_token_id
    return _varied(value, 3.0 if _HEX.fullmatch(value) else 3.5) and not re.search(r"\.\w+\.|[/_.-]{2}", value)


# -- cards -------------------------------------------------------------------------------------------------------------

_CARD = re.compile(
    r"(?:(?<![A-Za-z0-9_.+/=#\\-])|(?<=\\[nrt]))"
    r"(?:[0-9]{13,19}|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}|3[0-9]{3}([ -])[0-9]{6}\2[0-9]{4,5})"
    r"(?![A-Za-z0-9_/+=-]|\.[0-9])"
)
_ISSUERS = (
    ("Visa", re.compile(r"4(?:\d{12}|\d{15})")),
    ("Mastercard", re.compile(r"(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}")),
    ("American Express", re.compile(r"3[47]\d{13}")),
    ("Discover", re.compile(r"6(?:011|5\d\d|4[4-9]\d)\d{12}")),
    ("JCB", re.compile(r"35(?:2[89]|[3-8]\d)\d{12}")),
    ("Diners Club", re.compile(r"3(?:0[0-5]|[68]\d)\d{11}")),
)
# What Stripe, PayPal and Adyen publish for tests: no one's card.
_TEST_CARDS = """
    4242424242424242 4111111111111111 4000056655665556 4012888888881881 4222222222222 4000000000000002
    5555555555554444 5105105105105100 2223003122003222 5200828282828210 378282246310005 371449635398431
    6011111111111117 6011000990139424 3566002020360505 3530111333300000 30569309025904 38520000023237
"""


def _cards(text: str) -> Iterator[Secret]:
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        issuer = next((name for name, form in _ISSUERS if form.fullmatch(digits)), None)
        if issuer and _is_luhn(digits) and len(set(digits)) > 3 and digits not in _TEST_CARDS.split():
            yield Secret("card number", issuer, match.start(), match.end(), match[0])


def _is_luhn(digits: str) -> bool:
    """True if the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    doubled = (int(d) * 2 if i % 2 else int(d) for i, d in enumerate(reversed(digits)))
    return sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0


# -- e-mail addresses --------------------------------------------------------------------------------------------------

_LOCAL = re.compile(r"(?:(?<![\w.+/:%\\-])|(?<=\\[nrt]))[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}\Z", re.ASCII)
_DOMAIN = re.compile(
    r"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}([A-Za-z]{2,24}))(?![\w-]|:[\w/~])", re.ASCII
)
_NOBODY = re.compile(
    r"(?:.*\.)?(?:example\.(?:com|net|org|edu)|example|test|invalid|localhost|local|internal)"
    r"|(?:your|my|a)?-?(?:company|domain|email|website|site|organization)\.(?:com|org|net)",
    re.IGNORECASE,
)
_TOP = re.compile(  # of the top-level domains: all of countries, and of the others those with most addresses
    r"[a-z]{2}|com|net|org|edu|gov|mil|int|info|biz|name|pro|coop|aero|jobs|mobi|app|dev|cloud|online|site|store|tech"
    r"|shop|xyz|email|agency|digital|studio|design|group|live|life|team|work|works|world|today|solutions|company",
    re.IGNORECASE,
)
_NOT_TOP = ("js", "ts", "md", "py")  # in traces, the end of a file's name
_ROLES = ("git", "noreply", "no-reply", "donotreply", "do-not-reply")
_AROUND = 330


def _emails(text: str) -> Iterator[Secret]:
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at, at + _AROUND)
        before = _LOCAL.search(text[max(0, at - 66) : at]) if domain else None
        if domain and before and _is_of_someone(before[0].lower(), domain[1].lower(), domain[2].lower()):
            start = at - len(before[0])
            yield Secret("e-mail address", "", start, domain.end(), text[start : domain.end()])
        at = text.find("@", at + 1)


def _is_of_someone(local: str, domain: str, top: str) -> bool:
    """True if an address can be a person's or an office's: not one for examples, and not one that no one reads."""
    if top in _NOT_TOP or not _TOP.fullmatch(top) or _NOBODY.fullmatch(domain):
        return False
    return local not in _ROLES and "noreply" not in domain


# -- all of them -------------------------------------------------------------------------------------------------------

_FINDERS: dict[Kind, Callable[[str], Iterator[Secret]]] = {
    "private key": _private_keys,
    "service key": _keys,
    "web token": _web_tokens,
    "assigned secret": _assigned,
    "card number": _cards,
    "e-mail address": _emails,
}
KINDS = frozenset(_FINDERS)

_LONG = 300  # characters of a text that is passed through the sieve alone before it is looked at closely


def secrets_in(text: str, key: str = "", kinds: Collection[Kind] = KINDS) -> list[Secret]:
    """The secrets of a text in the order in which they stand; of two that overlap, the more certain one.

    Args:
        key: under which the text stands, which may say that it is one as a whole.
        kinds: what to look for.
    """
    found: list[Secret] = []
    for kind, finder in _FINDERS.items():
        if kind in kinds:
            found += [one for one in finder(text) if not _overlaps(one, found)]
    named = not found and 16 <= len(text) <= 200 and "assigned secret" in kinds and _NAMED.search(key)
    if named and _WHOLE_VALUE.fullmatch(text) and _is_assigned(text, quoted=True):
        found.append(Secret("assigned secret", "", 0, len(text), text))
    return sorted(found, key=lambda one: one.start)


def _overlaps(one: Secret, others: list[Secret]) -> bool:
    return any(one.start < other.end and other.start < one.end for other in others)


def secrets_of(
    sample: Sample, data: bytes | None = None, kinds: Collection[Kind] | None = None
) -> list[tuple[Path, Secret]]:
    """The secrets in all that a model reads or writes of a sample, in order: messages, and the tools' declarations.

    In whole numbers there are only card numbers. Names of arguments are not looked at.

    Args:
        data: the JSON of messages and tools, where someone has made it already.
        kinds: what may stand in it, where someone has asked `kinds_of` already.
    """
    if kinds is None:
        kinds = may_hold(sample) if data is None else _sieving(data)
    if not kinds:
        return []
    found: list[tuple[Path, Secret]] = []
    for name in ("messages", "tools"):
        for path, value in leaves(sample.get(name, []), (name,)):
            here: Collection[Kind] = kinds
            if isinstance(value, str) and len(value) >= _LONG:  # of a sample's texts few hold what it holds
                data = encoded({_key_of(path): value})
                marks = set[str](kinds) if data is None else _sieve()(data)
                here = {kind for kind in KINDS.intersection(kinds) if kind in marks}
            if here:
                found += [(path, one) for one in secrets_at(path, value, here)]
    return found


def _key_of(path: Path) -> str:
    """The key under which a value stands, or the list that it is in."""
    return next((step for step in reversed(path) if isinstance(step, str)), "")


def secrets_at(path: Path, value: Any, kinds: Collection[Kind] = KINDS) -> list[Secret]:
    """The secrets in one text or whole number of a sample."""
    if isinstance(value, str):
        return secrets_in(value, _key_of(path), kinds)
    if isinstance(value, int) and not isinstance(value, bool) and 10**12 <= value < 10**19:
        return list(_cards(str(value)))
    return []


def leaves(value: Any, place: Path) -> Iterator[tuple[Path, Any]]:
    """What is no object and no list in a JSON value, with its place, in order; deeper than Python's stack, too."""
    rest: list[tuple[Path, Any]] = [(place, value)]
    while rest:
        path, item = rest.pop()
        if is_object(item):
            rest += [((*path, key), item[key]) for key in reversed(item)]
        elif is_list(item):
            rest += [((*path, k), item[k]) for k in reversed(range(len(item)))]
        else:
            yield path, item


# -- the one pass ------------------------------------------------------------------------------------------------------

# In the JSON of a sample, where a quote is `\"` and a line break `\n`: each of the patterns above has one here that
# matches at least where it does. Without lookaround, and with few repetitions, so that an automaton can run them.
MARKS: tuple[tuple[Kind, str], ...] = (
    ("private key", r"-----BEGIN [A-Z ]{0,10}PRIVATE KEY"),
    *(("service key", re.sub(r"\{(\d+),\d+\}$", r"{\1}", form.pattern)) for form in _FORMS),
    ("web token", r"eyJ[A-Za-z0-9_-]{8,2000}\.eyJ"),
    (
        "assigned secret",
        _NAME_ANY_CASE
        + r"[A-Za-z0-9_-]{0,30}[\\\"' \tnrt:=>\[]{1,32}(?:[Bb][Ee][Aa][Rr][Ee][Rr] )?[\\\"']{0,8}"
        + _VALUE_BEGINS,
    ),
    (
        "assigned secret",
        r"[Aa][Uu][Tt][Hh][Oo][Rr][Ii][Zz][Aa][Tt][Ii][Oo][Nn][\\\"': \tnrt]{1,24}[A-Za-z]{5,6} " + _VALUE_BEGINS,
    ),
    (
        "card number",
        r"(?:[^A-Za-z0-9_.+/=#\\-]|\\[nrt])(?:4(?:[0-9]{12}|[0-9]{15})|5[1-5][0-9]{14}|2[2-7][0-9]{14}|3[47][0-9]{13}"
        r"|6[045][0-9]{14}|35[0-9]{14}|3[068][0-9]{12})[^0-9]",
    ),
    (
        "card number",
        r"[2-6][0-9]{3}(?:-[0-9]{4}-[0-9]{4}-| [0-9]{4} [0-9]{4} )[0-9]{4}|3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4}",
    ),
    ("e-mail address", r"[A-Za-z0-9_.+-]@[A-Za-z0-9-]{1,63}\.[A-Za-z0-9]"),
)


def by_expressions() -> Sieve:
    """Which kinds of secrets may stand in a text, by `re`."""
    return sieve.by_expressions(MARKS)


def by_automaton() -> Sieve:
    """Which kinds of secrets may stand in a text, by an automaton."""
    return sieve.by_automaton(MARKS)


def kinds_of(marks: Collection[str], data: bytes) -> Collection[Kind]:
    """The kinds of secrets that may stand in a text, by the MARKS in it; an address must be one that can be read."""
    return {
        kind
        for kind in _FINDERS
        if kind in marks and (kind != "e-mail address" or next(_emails(data.decode()), None) is not None)
    }


def _sieve() -> Sieve:
    return sieve.sieving(MARKS)


def _sieving(data: bytes) -> Collection[Kind]:
    return kinds_of(_sieve()(data), data)


def may_hold(value: Any) -> Collection[Kind]:
    """The kinds of secrets that may stand in the texts and numbers of a JSON value; empty for most."""
    data = encoded(value)
    return KINDS if data is None else _sieving(data)


def encoded(value: Any) -> bytes | None:
    """A JSON value in UTF-8; None where it has none: half a surrogate pair, or a value that nests too deep."""
    try:
        return msgspec.json.encode(value)
    except (ValueError, TypeError, RecursionError):
        return None
