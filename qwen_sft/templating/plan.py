"""The fewest renderings that serve every assistant turn, found by asking the template itself.

A turn stands in a rendering if that begins with the turn's prompt, as the server would send it, and goes on with what
the model would have to answer. This works for any template; families whose rules are known have a faster planner of
their own, which tests hold to this one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from qwen_sft.asking.request import Options, OptionsOf, Render
from qwen_sft.errors import TemplateError
from qwen_sft.family import NO_PROMPT, Plan, Run
from qwen_sft.sample import Message, Tool


@dataclass(frozen=True, slots=True)
class _View:
    """A turn as the server sees it.

    Attributes:
        prompt: what it sends.
        answers: what may stand behind that, stop token included; two where a template prints an empty think block only
            into a last turn.
        whole: the rendering that ends with this turn.
        lone: the prompt is no prefix of that rendering, so the turn needs a row of its own.
    """

    turn: int
    options: Options
    prompt: str
    answers: tuple[str, ...]
    whole: str
    lone: bool


def minimal_plan(
    messages: Sequence[Message],
    tools: Sequence[Tool],
    options_of: OptionsOf,
    *,
    render: Render,
    stops: Sequence[str],
    empty_reasoning: str = "",
) -> Plan:
    """The plan of a sample under any template.

    Args:
        render: the template.
        stops: the tokens of which the last one in a turn ends it.
        empty_reasoning: as in Family.

    Raises:
        TemplateError: the template rejects the sample as a whole.
    """
    views: list[_View] = []
    untrained: dict[int, str] = {}
    for turn, message in enumerate(messages):
        if turn and message.get("role") == "assistant":
            view = _view(messages, tools, turn, options_of(turn), render, stops, empty_reasoning)
            if isinstance(view, str):
                untrained[turn] = view
            else:
                views.append(view)
    runs: list[Run] = []
    # From the end: a row ends with its last turn, so the last turn that no row serves yet must end the next one, and
    # whatever else that row can serve it may as well.
    while views:
        last = views.pop()
        shared = [] if last.lone else [view for view in views if not view.lone and _stands_in(view, last.whole)]
        runs.append(Run((*(view.turn for view in shared), last.turn), last.options))
        views = [view for view in views if view not in shared]
    return Plan(tuple(sorted(runs, key=lambda run: run.turns)), untrained)


def _view(
    messages: Sequence[Message],
    tools: Sequence[Tool],
    turn: int,
    options: Options,
    render: Render,
    stops: Sequence[str],
    empty_reasoning: str,
) -> _View | str:
    """The turn's view, or why it has none."""
    try:
        prompt = render(messages[:turn], tools, True, options)
    except TemplateError as error:
        return f"{NO_PROMPT}: {error}"
    whole = render(messages[: turn + 1], tools, False, options)
    lone = not whole.startswith(prompt)
    if lone:
        before = messages[turn - 1].get("role")
        history = render(messages[:turn], tools, False, options)
        opening = prompt.removeprefix(history)
        start = whole.rfind(opening.split("\n")[0])  # where the turn begins, whether or not it goes on as the prompt
        if opening in ("", prompt) or not whole.startswith(opening, max(start, 0)) or before != "assistant":
            return "the template prints it otherwise than behind its own prompt"
        said = whole[start + len(opening) :]
    else:
        said = whole[len(prompt) :]
    end = max((at + len(stop) for stop in stops if (at := said.rfind(stop)) >= 0), default=0)
    if not end:
        return "the template writes no stop token behind it"
    answers = (said[:end],)
    if empty_reasoning and said.startswith(empty_reasoning):
        answers = (said[:end], said[len(empty_reasoning) : end])
    return _View(turn, options, prompt, answers, whole, lone)


def _stands_in(view: _View, text: str) -> bool:
    return text.startswith(view.prompt) and any(text.startswith(said, len(view.prompt)) for said in view.answers)
