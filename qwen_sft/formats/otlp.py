"""OpenTelemetry traces (OTLP as JSON) of calls of a model, one export a line or one file; see qwen_sft.reading.spans.

Exporters' quirks: integers come as strings, older ones write `instrumentationLibrarySpans`, Tempo's API `batches`.
Spans of one trace may stand on several lines, the calls of a model among spans of everything else. What an exporter's
limits cut off is counted in `droppedAttributesCount`: such a span cannot be read exactly. Console and file exporters of
the SDKs print single spans, whose attributes are a plain object; they are read as well.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from qwen_sft.format import Format, Reading
from qwen_sft.reading import spans
from qwen_sft.reading.generations import reading
from qwen_sft.sample import Path, is_list, is_object

_EXPORTS = ("resourceSpans", "resource_spans", "batches")
_SCOPES = ("scopeSpans", "scope_spans", "instrumentationLibrarySpans", "instrumentation_library_spans", "ilSpans")
_PREFIXES = ("gen_ai.", "llm.", "openinference.", "traceloop.")
_CONTEXTS = ("context", "spanContext")
_LOST = ("droppedAttributesCount", "dropped_attributes_count", "droppedEventsCount", "dropped_events_count")


def _holder(export: Any) -> tuple[str, list[Any]] | None:
    """The field of an export that holds its spans by resource, and what it holds."""
    for key in _EXPORTS if is_object(export) else ():
        listed: Any = export.get(key)
        if is_list(listed) and (key != "batches" or any(is_object(one) and _scopes(one) for one in listed)):
            return key, listed
    return None


def _scopes(resource: dict[str, Any]) -> str | None:
    return next((key for key in _SCOPES if is_list(resource.get(key))), None)


def recognises(record: Any) -> bool:
    """Spans by resource, single spans of a model's call, or a list of either."""
    first: Any = record[0] if is_list(record) and record else record
    return _holder(first) is not None or _is_plain(first)


def _is_plain(span: Any) -> bool:
    """True for a span as SDKs print it, with an attribute of one of the conventions; the AI SDK's are Vercel's."""
    attributes: Any = span.get("attributes") if is_object(span) else None
    if not is_object(attributes) or "ai.operationId" in attributes:
        return False
    return _trace(span) is not None and any(key.startswith(_PREFIXES) for key in attributes)


def _spans(record: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The place of each span in a record, and the span."""
    exports: list[tuple[Path, Any]] = (
        [((i,), one) for i, one in enumerate(record)] if is_list(record) else [((), record)]
    )
    for at, export in exports:
        if _holder(export) is None and is_object(export) and is_object(export.get("attributes")):
            yield at, export
            continue
        key, resources = _holder(export) or ("", [])
        for i, resource in enumerate(resources):
            scopes = _scopes(resource) if is_object(resource) else None
            for j, scope in enumerate(resource[scopes]) if scopes else ():
                listed: Any = scope.get("spans") if is_object(scope) else None
                for k, span in enumerate(listed) if is_list(listed) else ():
                    if is_object(span):
                        yield (*at, key, i, scopes or "", j, "spans", k), span


def events(record: Any) -> list[Path]:
    """Each span is an event."""
    return [place for place, _ in _spans(record)]


def read(record: Any) -> Reading:
    """A sample for each call of a model that no other one repeats, named after its span."""
    found = [_generations(place, span) for place, span in _spans(record)]
    return reading(
        found,
        spans.SILENT,
        "no span holds the messages of a chat",
        "record the messages: most instrumentations must be told to capture content",
    )


def _generations(place: Path, span: dict[str, Any]) -> Any:
    listed: Any = span.get("events")
    told = (
        [(str(one.get("name")), _object(one.get("attributes"))) for one in listed or () if is_object(one)]
        if is_list(listed)
        else []
    )
    return spans.generations(
        place,
        _object(span.get("attributes")),
        told,
        name=_id(span, "spanId", "span_id"),
        labels={"trace_id": found} if (found := _trace(span)) else {},
        failed=_failure(span.get("status")),
        incomplete=any(span.get(key) for key in _LOST),
    )


def _failure(status: Any) -> str | None:
    if not is_object(status) or status.get("code", status.get("status_code")) not in (2, "STATUS_CODE_ERROR", "ERROR"):
        return None
    message: Any = status.get("message", status.get("description"))
    return message if isinstance(message, str) else ""


def _object(attributes: Any) -> dict[str, Any]:
    """Attributes as a plain object."""
    if is_object(attributes):
        return attributes
    if not is_list(attributes):
        return {}
    pairs = [one for one in attributes if is_object(one) and isinstance(one.get("key"), str)]
    return {one["key"]: _value(one.get("value")) for one in pairs}


def _value(given: Any) -> Any:
    """The plain value of {stringValue}, {intValue} (a string), {arrayValue: {values}}, {kvlistValue: {values}}, ..."""
    if not is_object(given) or len(given) != 1:
        return None
    ((kind, value),) = given.items()
    kind = kind.replace("_value", "Value")
    inner: Any = value.get("values", []) if is_object(value) else None
    if kind == "arrayValue":
        return [_value(one) for one in inner] if is_list(inner) else []
    if kind == "kvlistValue":
        return _object(inner)
    if kind == "intValue" and isinstance(value, str):
        digits = value.removeprefix("-")
        return int(value) if digits.isascii() and digits.isdigit() and len(digits) < 20 else value
    return value if kind in ("stringValue", "boolValue", "intValue", "doubleValue", "bytesValue") else None


def _trace(span: dict[str, Any]) -> str | None:
    return _id(span, "traceId", "trace_id")


def _id(span: dict[str, Any], *names: str) -> str | None:
    """An id of a span, which SDKs print in a context of its own."""
    holders: list[Any] = [span, *(span.get(key) for key in _CONTEXTS)]
    found = (holder.get(name) for holder in holders if is_object(holder) for name in names)
    return next((one for one in found if isinstance(one, str) and one), None)


def joins(gathered: Sequence[Any], line: Any) -> bool:
    """Exports, or single spans, follow each other in one record where all of their spans are of one trace."""
    if not is_object(line) or not (_holder(line) or _is_plain(line)):
        return False
    traces = {_trace(span) for _, span in _spans(line)}
    first = next((_trace(span) for _, span in _spans(gathered[0])), None) if gathered else None
    return len(traces) == 1 and None not in traces and (not gathered or first in traces)


FORMAT = Format(
    name="otlp",
    title="OpenTelemetry traces (OTLP JSON, single spans): GenAI conventions, OpenLLMetry, OpenInference, AI SDK",
    recognises=recognises,
    events=events,
    read=read,
    joins=joins,
    fields=frozenset({*_EXPORTS, "attributes"}),
)
