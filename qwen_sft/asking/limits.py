"""How many records may have findings of some rules: `TOL=0/10000`, `SET201<0.05`, `MSG018<=3`.

Apart from `qwen_sft.running.gate`, which counts, so that settings are checked without a rule being loaded.
"""

import re
from dataclasses import dataclass

from qwen_sft.errors import UsageError
from qwen_sft.text.quote import quoted

_LIMIT = re.compile(
    r"([A-Za-z0-9-]+)\s*(<=|<|=)\s*"
    r"(?:(\d{1,15})/(\d{1,15})|(\d{1,15})|(\d{0,3}\.\d{1,15})|(\d{1,3}(?:\.\d{1,12})?)%)",
    re.ASCII,
)
_HOW = (
    "write RULES=N for at most N records, RULES=N/M for at most N in M, RULES<0.05 or RULES<5% for less than that "
    "share of them; RULES is a code, its letters or a rule's name"
)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many records may have findings of some rules.

    Attributes:
        text: as it was written.
        selector: a rule's code, its letters, or its name.
        strict: whether the bound itself is already too many.
        numerator, denominator: the bound: a share of the records; a number of them where the denominator is None.
    """

    text: str
    selector: str
    strict: bool
    numerator: int
    denominator: int | None

    def most(self, n_records: int) -> int:
        """How many of so many records may have such findings."""
        if self.denominator is None:
            return self.numerator - self.strict
        product = self.numerator * n_records
        return -(-product // self.denominator) - 1 if self.strict else product // self.denominator


def limit(text: str) -> Limit:
    """Reads a limit.

    Raises:
        UsageError: it is none, or one that every run keeps or breaks.
    """
    found = _LIMIT.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"limit {quoted(text)} is none; {_HOW}")
    selector, sign, n, of, whole, share, percent = found.groups()
    numerator, denominator = 0, None
    if n is not None:
        numerator, denominator = int(n), int(of)
    elif whole is not None:
        numerator = int(whole)
    else:
        before, _, behind = (share or percent).partition(".")
        numerator, denominator = int(before + behind), 10 ** len(behind) * (1 if share else 100)
    strict = sign == "<"
    if denominator is not None and not 0 <= numerator <= denominator > 0:
        raise UsageError(f"limit {quoted(text)} is more than all records; {_HOW}")
    if strict and not numerator:
        raise UsageError(
            f"limit {quoted(text)} can never be kept: no run has fewer than 0; write {selector}=0 for none"
        )
    return Limit(text.strip(), selector, strict, numerator, denominator)
