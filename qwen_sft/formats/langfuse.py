"""Langfuse exports: observations one a line, pages of them from the API, and traces with their observations.

Rows are spelled in camelCase (API, UI) or snake_case (blob storage). Input and output are whatever the program gave:
messages of any API, LangChain's, one message, text; the blob storage writes them as JSON in a text. Only a GENERATION
carries what a model saw and said; all other observations repeat it or stand around it. Scores are labels.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from qwen_sft.format import Event, Format, Reading
from qwen_sft.reading.generations import Generation, reading, told
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.recorded import answered, asked, decoded
from qwen_sft.sample import Path, is_list, is_object

_TYPES = frozenset(
    {"GENERATION", "SPAN", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING", "GUARDRAIL"}
)
_LISTS = ("observations", "data")
_TRACE = ("traceId", "trace_id")
_SILENT = "an observation that is no generation"


def _is_observation(value: Any) -> bool:
    if not is_object(value) or value.get("type") not in _TYPES or not any(key in value for key in _TRACE):
        return False
    return "input" in value or "output" in value or "startTime" in value or "start_time" in value


def recognises(record: Any) -> bool:
    """An observation, a list of them, or an object that holds such a list."""
    if is_list(record):
        return bool(record) and _is_row(record[0])
    return _is_row(record)


def _is_row(value: Any) -> bool:
    return _is_hashable_type(value) and (_is_observation(value) or _rows(value) is not None)


def _is_hashable_type(value: Any) -> bool:
    return is_object(value) and isinstance(value.get("type", ""), str)


def _rows(value: dict[str, Any]) -> tuple[str, list[Any]] | None:
    """The field of an object that holds observations, and what it holds."""
    for key in _LISTS:
        listed: Any = value.get(key)
        if is_list(listed) and listed and _is_hashable_type(listed[0]) and _is_observation(listed[0]):
            return key, listed
    return None


def _observations(record: Any) -> Iterator[tuple[Path, Any, dict[str, Any]]]:
    """The place of each observation in a record, the observation, and the labels of its trace."""
    given: list[tuple[Path, Any]] = [((i,), one) for i, one in enumerate(record)] if is_list(record) else [((), record)]
    for at, one in given:
        found = _rows(one) if is_object(one) else None
        if found is None:
            yield at, one, {}
            continue
        key, rows = found
        labels = _trace_labels(one)
        for i, row in enumerate(rows):
            yield (*at, key, i), row, labels


def events(record: Any) -> list[Path]:
    """Each observation is an event."""
    return [place for place, _, _ in _observations(record)]


def read(record: Any) -> Reading:
    """A sample for each generation that no other one repeats, named after it."""
    found = [_generations(place, row, labels) for place, row, labels in _observations(record)]
    return reading(
        found,
        _SILENT,
        "no generation holds the messages of a chat",
        "export the observations of type GENERATION, with their input and output",
    )


def _generations(place: Path, row: Any, labels: dict[str, Any]) -> list[Generation] | Event:
    if not _is_hashable_type(row) or row.get("type") != "GENERATION":
        return Event(place, "dropped", _SILENT)
    parameters, extra = decoded(_field(row, "modelParameters", "model_parameters")), decoded(row.get("metadata"))
    declared = next((one["tools"] for one in (parameters, extra) if is_object(one) and one.get("tools")), None)
    failed: Any = _field(row, "statusMessage", "status_message") or ""
    return told(
        place,
        asked(row.get("input")),
        answered(row.get("output")),
        declared=declared,
        name=row["id"] if isinstance(row.get("id"), str) and row["id"] else None,
        labels={**labels, **_labels(row, extra)},
        failed=str(failed) if row.get("level") == "ERROR" else None,
    )


def _field(row: dict[str, Any], *names: str) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _labels(row: dict[str, Any], extra: Any) -> dict[str, Any]:
    usage, costs = (decoded(_field(row, *names)) for names in (("usageDetails", "usage_details", "usage"), _COSTS))
    usage, costs = (one if is_object(one) else {} for one in (usage, costs))
    own = {
        "trace_id": _field(row, *_TRACE),
        "model": _field(row, "model", "provided_model_name", "providedModelName"),
        "cost": costs.get("total", _field(row, "calculatedTotalCost", "totalCost", "total_cost")),
        "input_tokens": usage.get("input"),
        "output_tokens": usage.get("output"),
        "name": row.get("name"),
        "environment": row.get("environment"),
        "session_id": _field(row, "sessionId", "session_id"),
    }
    return metadata(own, _scores(row.get("scores")), extra)


_COSTS = ("costDetails", "cost_details")


def _trace_labels(holder: dict[str, Any]) -> dict[str, Any]:
    """What a trace says of all of its observations: its scores, its own metadata, its session."""
    trace: Any = decoded(holder.get("trace"))
    trace = trace if is_object(trace) else holder if "data" not in holder else {}
    session = {"session_id": _field(trace, "sessionId", "session_id")}
    return metadata(
        _scores(holder.get("scores")), _scores(trace.get("scores")), session, decoded(trace.get("metadata"))
    )


def _scores(listed: Any) -> dict[str, Any]:
    """Each score by its name; a category's name comes before the number that stands for it."""
    made: dict[str, Any] = {}
    for score in listed if is_list(listed) else ():
        if is_object(score) and isinstance(score.get("name"), str):
            made.setdefault(score["name"], _field(score, "stringValue", "string_value", "value"))
    return made


def _trace_of(row: Any) -> str | None:
    found = _field(row, *_TRACE) if is_object(row) else None
    return found if isinstance(found, str) and found else None


def joins(gathered: Sequence[Any], line: Any) -> bool:
    """Observations of one trace follow each other in one record."""
    if not _is_hashable_type(line) or not _is_observation(line) or _trace_of(line) is None:
        return False
    return not gathered or _trace_of(gathered[0]) == _trace_of(line)


FORMAT = Format(
    name="langfuse",
    title="Langfuse exports: observations by line, traces with their observations",
    recognises=recognises,
    events=events,
    read=read,
    joins=joins,
    fields=frozenset({*_TRACE, *_LISTS}),
)
