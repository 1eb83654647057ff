"""SARIF 2.1.0, for GitHub code scanning and other viewers; each rule's help is its page.

Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0, and GitHub's "SARIF support for code
scanning", which takes `primaryLocationLineHash` for the identity of a finding.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, TextIO
from urllib.parse import quote

from qwen_sft import __version__
from qwen_sft.finding import Diagnostic, Severity
from qwen_sft.reporter import Reporter, Totals, in_checkout, numbered
from qwen_sft.rule import Rule, rules
from qwen_sft.text.terminal import one_line, printable

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_LINK = re.compile(r"\](?=\()")


def report(findings: Iterable[Diagnostic], totals: Totals, stream: TextIO, limit: int | None) -> None:
    """Writes the log as the findings come, a result a line; in ASCII, as `json` does."""
    shelf = rules()
    places = {code: index for index, code in enumerate(shelf)}
    driver = {"name": "qwen-sft", "semanticVersion": __version__, "rules": [_rule(one) for one in shelf.values()]}
    stream.write('{"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [{\n')
    stream.write(f'"tool": {{"driver": {json.dumps(driver)}}},\n"results": [')
    remaining = iter(findings)
    separator = "\n"
    for found, fingerprint in numbered(islice(remaining, limit)):
        stream.write(separator + json.dumps(_result(found, fingerprint, places.get(found.code))))
        separator = ",\n"
    n_hidden = sum(1 for _ in remaining)
    told = {"n_hidden": n_hidden, "totals": asdict(totals)}
    stream.write(f'\n],\n"invocations": [{{"executionSuccessful": true}}],\n"properties": {json.dumps(told)}\n}}]}}\n')


def _rule(one: Rule) -> dict[str, Any]:
    page = one.page
    sections = [("What it catches", page.catches), ("Why it matters", page.matters), ("Fix", page.fix)]
    examples = [(title, one.text) for title, group in (("Bad", page.bad), ("Good", page.good)) for one in group]
    plain = [f"{title}: {text}" for title, text in [*sections, *examples, ("Source", page.source)]]
    marked = [f"**{title}.** {text}" for title, text in sections]
    marked += [f"**{title}.**\n\n~~~~json\n{text}\n~~~~" for title, text in examples]
    marked.append(f"**Source.** {page.source}")
    return {
        "id": one.code,
        "name": "".join(word.capitalize() for word in one.name.split("-")),
        "shortDescription": {"text": page.summary},
        "fullDescription": {"text": page.catches},
        "help": {"text": "\n\n".join(plain), "markdown": "\n\n".join(marked)},
        "defaultConfiguration": {"level": _LEVELS[one.severity]},
        "properties": {"since": one.since, "stage": one.stage},
    }


def _result(found: Diagnostic, fingerprint: str, index: int | None) -> dict[str, Any]:
    place = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(in_checkout(found.where.file))},
            "region": {"startLine": found.where.line},
        },
        "logicalLocations": [{"fullyQualifiedName": one_line(found.json_path)}],
    }
    return {
        "ruleId": found.code,
        **({} if index is None else {"ruleIndex": index}),
        "level": _LEVELS[found.severity],
        "message": {"text": _plain(f"{found.says}\nFix: {found.fix}")},
        "locations": [place],
        "partialFingerprints": {"primaryLocationLineHash": fingerprint, "qwenSft/v1": found.fingerprint},
        "properties": {
            "name": found.name,
            "byte": found.where.byte,
            "item": found.where.item,
            "sample_id": None if found.sample_id is None else one_line(found.sample_id),
        },
    }


def _plain(text: str) -> str:
    """The text of a message in which nothing is a link: `[words](target)` is one even in plain text (3.11.6)."""
    return _LINK.sub(r"\\]", printable(text))


def _uri(file: str) -> str:
    if "://" in file:
        return quote(_bytes(file), safe="/:?&=%#@+!~,;")
    return ("file://" if PurePosixPath(file).is_absolute() else "") + quote(_bytes(file), safe="/!")


def _bytes(name: str) -> bytes:
    """A file's name as the file system has it; one that no file can have, as near as can be."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogatepass")


REPORTER = Reporter("sarif", "SARIF 2.1.0, for code scanning", report)
