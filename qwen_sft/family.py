"""What a model family is: its serializer, and the facts about its template, tokenizer and parser."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from qwen_sft.asking.request import NO_OPTIONS, Options, OptionsOf
from qwen_sft.sample import Message, Tool
from qwen_sft.shelf import shelf

if TYPE_CHECKING:  # numpy takes 0.1 s, and commands that only list families never need it
    from qwen_sft.tokens import Span


@dataclass(frozen=True, slots=True)
class Run:
    """Assistant turns that one rendering serves.

    Attributes:
        turns: indices of the turns that are trained, ascending; the rendering ends with the last of them.
        options: what it is rendered with: the options of its last turn.
    """

    turns: tuple[int, ...]
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    @property
    def n_messages(self) -> int:
        """How many messages the rendering shows."""
        return self.turns[-1] + 1


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows of one sample, before they are rendered.

    Attributes:
        runs: as few as there can be. Each turn is in one run, or in `untrained`; a first message, which has no prompt,
            in neither.
        untrained: turns that stand behind no prompt that a server could send, with the reason: they are shown as
            history and never trained.
    """

    runs: tuple[Run, ...]
    untrained: Mapping[int, str] = field(default_factory=dict[int, str])


NO_PROMPT = "the template prints no prompt for it"


def mending(why: str) -> str:
    """How to mend a turn that cannot be trained.

    Args:
        why: as in `Plan.untrained`.
    """
    if why.startswith(NO_PROMPT):
        return "put the user's request before it, and a system message nowhere but first"
    return "choose the mode that it was made in with --thinking, and give its reasoning as reasoning_content"


def one_run(messages: Sequence[Message], _tools: Sequence[Tool], options_of: OptionsOf, /) -> Plan:
    """The plan of a template that never rewrites history: all turns share one rendering."""
    turns = tuple(i for i, message in enumerate(messages) if i and message.get("role") == "assistant")
    return Plan((Run(turns, options_of(turns[-1])),) if turns else ())


class Serialize(Protocol):
    """Messages and tools to spans: joined, they are the template's text without a generation prompt.

    Each assistant turn begins with one span of kind HEADER; a think block behind it is REASONING, whole, whether or not
    the prompt already opens it: what the server sends of it is cut off by `render`.

    Raises:
        TemplateError: the template would fail, or print something else.
    """

    def __call__(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Options = NO_OPTIONS, /
    ) -> "list[Span]": ...


class GenerationPrompt(Protocol):
    """What the template appends to a history with add_generation_prompt=True."""

    def __call__(self, messages: Sequence[Message], tools: Sequence[Tool], options: Options, /) -> str: ...


class Planner(Protocol):
    """Which turns share one rendering, minimal in number."""

    def __call__(self, messages: Sequence[Message], tools: Sequence[Tool], options_of: OptionsOf, /) -> Plan: ...


def prompts_with(text: str) -> GenerationPrompt:
    """The generation prompt of a template that always appends the same."""

    def prompt(_messages: Sequence[Message], _tools: Sequence[Tool], _options: Options, /) -> str:
        return text

    return prompt


_PLAIN_PROMPT = prompts_with("<|im_start|>assistant\n")


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share a chat template.

    Attributes:
        name: what `--model` takes; the file's name.
        title: one line for `qwen-sft models`.
        models: hub ids, or patterns of them, that carry this template.
        template_sha256: of the official templates that `serialize` reproduces, as they were published.
        vocabulary: name of the embedded vocabulary.
        parser: how its calls are written, by the name of vLLM's tool-call parser; None where nobody knows.
        serialize: see Serialize.
        generation_prompt: see GenerationPrompt.
        plan: see Planner.
        reasoning_parser: name of vLLM's reasoning parser; None where a server runs none.
        options: names of the template options that change what it prints.
        empty_reasoning: what the template writes into a last turn that has no reasoning; "" if nothing.
        inline_reasoning: the template prints no `reasoning_content`: the trained turn must carry its think block in its
            content, as the model wrote it.
        context: tokens that its models were made to hold, without YaRN, the fewest of any; None where nobody knows.
    """

    name: str
    title: str
    models: tuple[str, ...]
    template_sha256: tuple[str, ...]
    vocabulary: str
    parser: str | None
    serialize: Serialize
    generation_prompt: GenerationPrompt = _PLAIN_PROMPT
    plan: Planner = one_run
    reasoning_parser: str | None = None
    options: tuple[str, ...] = ()
    empty_reasoning: str = ""
    inline_reasoning: bool = False
    context: int | None = None


def families() -> dict[str, Family]:
    """The shelf `families/`, by name."""
    return shelf("families", Family, lambda thing: thing.name)
