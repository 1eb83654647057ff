"""What a rule says of a record, and the same stamped with everything that a reader needs to go there."""

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum

from qwen_sft.record import Where
from qwen_sft.sample import Path, json_path
from qwen_sft.text.excerpt import Excerpt


class Severity(StrEnum):
    """How bad: an `error` keeps the record out of a training set, a `warning` and an `info` do not."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """0 for info, 1 for warning, 2 for error."""
        return ("info", "warning", "error").index(self.value)


@dataclass(frozen=True, slots=True)
class Finding:
    """All that a rule must produce: where in the sample, what was found, how to mend it.

    `severity` is set only where a setting moves this finding away from the rule's own severity.
    """

    path: Path
    says: str
    fix: str
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Marked:
    """What a fingerprint is made of: code and path of a finding, and the bytes of its record."""

    place: str
    raw: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """16 hex digits; a pass over the record."""
        digest = hashlib.blake2b(self.place.encode(), digest_size=8)
        digest.update(self.raw)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A finding, stamped: which rule, how severe, which file, line and place in the user's own record.

    Attributes:
        path: the place in the record as the user wrote it.
        sample_path: the place in the sample that we made of it; equal to `path` for records in our own shape.
        marked: its fingerprint, or what that is made of when somebody asks (most reports do not): then it holds on to
            the bytes of its record.
        excerpt: the line of the record around the place, for people.
    """

    code: str
    name: str
    severity: Severity
    where: Where
    path: Path
    sample_path: Path
    says: str
    fix: str
    marked: str | Marked
    sample_id: str | None = None
    excerpt: Excerpt | None = None

    @property
    def fingerprint(self) -> str:
        """16 hex digits that stay the same when lines move: of code, path and the record's bytes.

        Two findings at one place, or in two records of the same bytes, share one.
        """
        return self.marked if isinstance(self.marked, str) else self.marked.fingerprint

    def settled(self) -> "Diagnostic":
        """The same, which holds on to no record: for findings that are kept."""
        return self if isinstance(self.marked, str) else replace(self, marked=self.marked.fingerprint)

    @property
    def json_path(self) -> str:
        """The place in the user's record, as JSONPath; the index into a list of records comes first."""
        path = self.path if self.where.item is None else (self.where.item, *self.path)
        return json_path(path)
