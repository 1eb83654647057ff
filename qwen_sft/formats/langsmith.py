"""LangSmith runs: one a line (SDK, bulk export, datasets of runs), lists of them, and trees under `child_runs`.

Only runs of type llm carry what a model saw and said: LangChain's dumps in a batch of one (`inputs.messages[0]`,
`outputs.generations[0]`), or the bodies of OpenAI's and Anthropic's API where the client is wrapped. Bulk exports hold
inputs, outputs and extra as JSON in a text. The tools stand in `extra.invocation_params`. Feedback is labels.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from qwen_sft.format import Event, Format, Reading
from qwen_sft.reading.generations import Generation, reading, told
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.recorded import answered, asked, decoded
from qwen_sft.sample import Path, is_list, is_object

_TYPES = frozenset({"llm", "chat_model", "chain", "tool", "retriever", "embedding", "prompt", "parser", "agent"})
_CALLS = ("llm", "chat_model")
_SILENT = "a run that is no call of a model"
_PROMPT = "a prompt to be completed, not a chat"


def _is_run(value: Any) -> bool:
    if not is_object(value) or not isinstance(value.get("run_type"), str) or value["run_type"] not in _TYPES:
        return False
    return "inputs" in value or "outputs" in value or "child_runs" in value


def recognises(record: Any) -> bool:
    """A run, a list of them, or {runs: [...]}."""
    return _is_run(_listed(record)[1][0]) if _listed(record)[1] else False


def _listed(record: Any) -> tuple[Path, list[Any]]:
    """The runs of a record, and where they stand; a record that is one run stands alone."""
    if is_list(record):
        return (), record
    runs: Any = record.get("runs") if is_object(record) else None
    return (("runs",), runs) if is_list(runs) and not _is_run(record) else ((), [record])


def _runs(record: Any) -> Iterator[tuple[Path, Any]]:
    """The place of each run in a record, and the run; those below a run behind it."""
    root, listed = _listed(record)
    waiting: list[tuple[Path, Any]] = [((*root, i), one) for i, one in enumerate(listed)]
    if not root and not is_list(record):
        waiting = [((), record)]
    waiting.reverse()
    while waiting:
        place, run = waiting.pop()
        yield place, run
        below: Any = run.get("child_runs") if is_object(run) else None
        if is_list(below):
            waiting += [((*place, "child_runs", i), below[i]) for i in reversed(range(len(below)))]


def events(record: Any) -> list[Path]:
    """Each run is an event, at any depth of the tree."""
    return [place for place, _ in _runs(record)]


def read(record: Any) -> Reading:
    """A sample for each call of a model that no other one repeats, named after its run."""
    found = [_generations(place, run) for place, run in _runs(record)]
    return reading(
        found,
        _SILENT,
        "no run of type llm holds the messages of a chat",
        "export the runs of type llm, with their inputs and outputs",
    )


def _generations(place: Path, run: Any) -> list[Generation] | Event:
    if not _is_run(run) or run["run_type"] not in _CALLS:
        return Event(place, "dropped", _SILENT)
    inputs, extra = decoded(run.get("inputs")), decoded(run.get("extra"))
    if is_object(inputs) and "messages" not in inputs and ("prompts" in inputs or "prompt" in inputs):
        return Event(place, "dropped", _PROMPT, loses=True)
    parameters: Any = extra.get("invocation_params") if is_object(extra) else None
    error: Any = run.get("error")
    return told(
        place,
        asked(inputs),
        answered(decoded(run.get("outputs"))),
        declared=_tools(parameters, extra),
        name=run["id"] if isinstance(run.get("id"), str) and run["id"] else None,
        labels=_labels(run, parameters, extra),
        failed=str(error) if error else None,
    )


def _tools(parameters: Any, extra: Any) -> Any:
    for holder in (parameters, extra):
        if is_object(holder):
            for key in ("tools", "functions"):
                if holder.get(key):
                    return holder[key]
    return None


def _labels(run: dict[str, Any], parameters: Any, extra: Any) -> dict[str, Any]:
    given: Any = extra.get("metadata") if is_object(extra) else None
    given = given if is_object(given) else {}
    asked_for: dict[str, Any] = parameters if is_object(parameters) else {}
    own = {
        "trace_id": run.get("trace_id"),
        "model": next(
            (m for m in (asked_for.get("model"), asked_for.get("model_name"), given.get("ls_model_name")) if m), None
        ),
        "cost": run.get("total_cost"),
        "input_tokens": run.get("prompt_tokens"),
        "output_tokens": run.get("completion_tokens"),
        "name": run.get("name"),
        "session_id": given.get("thread_id") or given.get("session_id") or given.get("conversation_id"),
    }
    return metadata(own, _feedback(decoded(run.get("feedback_stats"))), given)


def _feedback(stats: Any) -> dict[str, Any]:
    """The mean of each feedback's scores, by its key."""
    return {key: one.get("avg") for key, one in stats.items() if is_object(one)} if is_object(stats) else {}


def joins(gathered: Sequence[Any], line: Any) -> bool:
    """Runs of one trace follow each other in one record."""
    own = _trace_of(line)
    return own is not None and (not gathered or _trace_of(gathered[0]) == own)


def _trace_of(run: Any) -> str | None:
    found = run.get("trace_id") if _is_run(run) else None
    return found if isinstance(found, str) and found else None


FORMAT = Format(
    name="langsmith",
    title="LangSmith runs: calls of a model by line or in trees of runs",
    recognises=recognises,
    events=events,
    read=read,
    joins=joins,
    fields=frozenset({"run_type", "runs"}),
)
