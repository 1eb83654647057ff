"""A rejected record as it is kept: what stood in the file, where it stood, and why it was rejected."""

import json
from typing import Any

import msgspec
import orjson

from qwen_sft.pipeline import Outcome
from qwen_sft.reporter import finding_json


def rejected(outcome: Outcome) -> bytes:
    """One JSON line for a rejected record: file, line, byte and item, the findings, and `record` as it stood.

    A record that could not be parsed stands as `text`, with escapes for bytes that are no UTF-8. Where secrets are
    replaced (`--redact`), they are here too: `record` is then the JSON that the record comes to, not its bytes.
    """
    where = outcome.record.where
    shown = outcome.hushed.record if outcome.hushed else outcome.record
    record: dict[str, Any]
    if outcome.record.fault is not None:
        record = {"text": shown.raw.decode("utf-8", errors="backslashreplace")}
    elif shown is outcome.record:
        record = {"record": orjson.Fragment(_in_one_line(shown.raw))}
    else:
        record = {"record": orjson.Fragment(json.dumps(shown.data).encode())}
    place = {"file": where.file, "line": where.line, "byte": where.byte, "item": where.item}
    findings = [finding_json(found) for found in outcome.diagnostics]
    return orjson.dumps({**place, "findings": findings, **record}, option=orjson.OPT_APPEND_NEWLINE)


def _in_one_line(raw: bytes) -> bytes:
    """A JSON text without line breaks: as it is, or else without white space. Values stay as spelled."""
    return msgspec.json.format(raw, indent=-1) if b"\n" in raw or b"\r" in raw else raw
