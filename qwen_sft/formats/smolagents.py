"""smolagents memory: the steps of a run (`agent.memory.get_full_steps()`), alone or under `steps`.

A ToolCallingAgent's step has the model's calls. A CodeAgent's step has the model's text, which ends in code: the code
is lifted into a call of `python_interpreter` where the text ends in it exactly, else the text stays, and what was
observed is a user's turn. All results of a step are one text. The system prompt stands in `model_input_messages` of the
first step; the rest of these repeats the steps before and is not read. What the harness wrote around results and after
a plan is not in the steps.

Source: smolagents, src/smolagents/memory.py (dict, to_messages) and agents.py.
"""

import re
from typing import Any

from qwen_sft.format import Format, Reading
from qwen_sft.reading.chat import calls, keys_of, message
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Message, Path, is_list, is_object, value_at
from qwen_sft.text.normalize import call, sample_id

_PYTHON = "python_interpreter"
_OPENS = re.compile(r"(?:```(?:py|python)?|<code>|Code:)\s*\Z")
_CLOSES = re.compile(r"\s*(?:```|</code>)?\s*(?:<end_code>|</code>)?\s*")
_TOOL = {
    "name": _PYTHON,
    "description": "Evaluates Python code",
    "parameters": {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
}


def recognises(record: Any) -> bool:
    """A list of steps, one of which has what a model gave and what was observed."""
    return _root(record) is not None


def _root(record: Any) -> Path | None:
    roots: list[Path] = [("steps",), ("memory", "steps")] if is_object(record) else [()]
    return next((root for root in roots if _is_memory(value_at(record, root))), None)


def _is_memory(value: Any) -> bool:
    first: list[Any] = value[:4] if is_list(value) and "model_output" in keys_of(value) else []
    return any(map(_is_action, first)) and all(map(is_object, first))


def _is_action(step: Any) -> bool:
    return is_object(step) and "model_output" in step and "observations" in step and "tool_calls" in step


def _system(record: Any, root: Path) -> Path | None:
    """The place of the system message that the model was first shown, where no step holds the prompt."""
    steps: list[Any] = value_at(record, root)
    if any(is_object(step) and "system_prompt" in step for step in steps):
        return None
    for i in range(len(steps)):
        place: Path = (*root, i, "model_input_messages", 0)
        if value_at(record, (*place, "role")) == "system":
            return place
    return None


def events(record: Any) -> list[Path]:
    """Each step, and the system message in the input of the first."""
    root = _root(record)
    if root is None:
        return []
    system = _system(record, root)
    return [*([system] if system else []), *((*root, i) for i in range(len(value_at(record, root))))]


def read(record: Any) -> Reading:
    """One sample; `lifted_commands` in its metadata counts the code that stood as text."""
    root = _root(record)
    if root is None:
        return refused((), "it has no steps of an agent", "dump agent.memory.get_full_steps()")
    story = Story()
    system = _system(record, root)
    if system:
        story.keep(system, message(value_at(record, system)))
    lifted, success = 0, False
    for i, step in enumerate(value_at(record, root)):
        place: Path = (*root, i)
        if not is_object(step):
            return refused(place, "a step is not an object", "dump agent.memory.get_full_steps()")
        success = success or step.get("is_final_answer") is True
        if _is_action(step):
            lifted += _act(story, place, step)
        elif "system_prompt" in step:
            story.keep(place, message({"role": "system", "content": step["system_prompt"]}))
        elif "task" in step:
            story.keep(place, {"role": "user", "content": _task(step)})
        elif "plan" in step:
            story.keep(place, message({"role": "assistant", "content": step["plan"]}))
        elif set(step) == {"output"}:
            story.drop(place, "the final answer, which the last step gives")
        else:
            story.drop(place, "a step of no known kind", loses=True)
    fields: Any = record if is_object(record) else {}
    labels = metadata(fields, without=("id", "output")) | {"answered": success}
    return story.reading(
        [_TOOL] if lifted else None, sample_id(fields), labels | ({"lifted_commands": lifted} if lifted else {})
    )


def _task(step: dict[str, Any]) -> Any:
    images: Any = step.get("task_images")
    if not images:
        return step["task"]
    return [{"type": "text", "text": step["task"]}, {"type": "image", "image": images}]


def _act(story: Story, place: Path, step: dict[str, Any]) -> bool:
    """Tells a step as the model's turn and the result of its calls; True where the call stood as text."""
    turn: Message = message({"role": "assistant", "content": step.get("model_output")})
    thought: Any = step.get("model_output_message")
    if is_object(thought):
        turn = message({**thought, "role": "assistant", "content": step.get("model_output"), "tool_calls": None})
    made: Any = calls({"tool_calls": step.get("tool_calls")})
    ran = _code(step)
    if ran is not None:
        words = _before(turn.get("content"), ran)
        made = [] if words is None else [call(_PYTHON, {"code": ran}, value_at(step, ("tool_calls", 0, "id")))]
        turn["content"] = turn.get("content") if words is None else words
    if made:
        turn["tool_calls"] = made
    if made or turn.get("content") or "reasoning_content" in turn:
        story.keep(place, turn)
    told = _told(step)
    if told is not None:
        only: Any = value_at(made, (0, "id")) if is_list(made) and len(made) == 1 else None
        story.keep(place, message({"role": "tool" if made else "user", "content": told, "tool_call_id": only}))
    elif not (made or turn.get("content") or "reasoning_content" in turn):
        story.drop(place, "a step in which nothing was said")
    return ran is not None and bool(made)


def _code(step: dict[str, Any]) -> str | None:
    """The code of a CodeAgent's step."""
    listed: Any = step.get("tool_calls")
    function: Any = value_at(listed, (0, "function"))
    if not is_list(listed) or len(listed) != 1 or value_at(function, ("name",)) != _PYTHON:
        return None
    given: Any = value_at(function, ("arguments",))
    return given if isinstance(given, str) and given.strip() else None


def _before(content: Any, code: str) -> str | None:
    """The text before the code with which a turn ends; None where it does not end so."""
    at = content.rfind(code.strip()) if isinstance(content, str) else -1
    if at < 0:
        return None
    opened = _OPENS.search(content[:at])
    closed = _CLOSES.fullmatch(content[at + len(code.strip()) :])
    if opened is None or closed is None:
        return None
    return _OPENS.sub("", content[: opened.start()].rstrip()).rstrip()


def _told(step: dict[str, Any]) -> Any:
    """What the model was told: what was observed, then the error."""
    error: Any = value_at(step, ("error", "message"))
    texts = [step["observations"]] if step.get("observations") is not None else []
    texts += [f"Error:\n{error}"] if isinstance(error, str) else []
    images: Any = step.get("observations_images")
    if images:
        return [*({"type": "text", "text": text} for text in texts), {"type": "image", "image": images}]
    if not texts:
        return None
    return "\n".join(texts) if all(isinstance(text, str) for text in texts) else texts[0]


FORMAT = Format(
    name="smolagents",
    title="smolagents memory: task, planning and action steps of a code or tool-calling agent",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"steps", "memory"}),
)
