"""What a model family is: its serializer, and the facts about its template, tokenizer and parser."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen_sft.sample import Message, Tool
from qwen_sft.shelf import shelf

if TYPE_CHECKING:  # numpy takes 0.1 s, and commands that only list families never need it
    from qwen_sft.tokens import Span


@dataclass(frozen=True, slots=True)
class Run:
    """Assistant turns that one rendering serves.

    Attributes:
        turns: indices of the turns that are trained, ascending; the rendering ends with the last of them.
    """

    turns: tuple[int, ...]

    @property
    def n_messages(self) -> int:
        """How many messages the rendering shows."""
        return self.turns[-1] + 1


def one_run(messages: Sequence[Message]) -> list[Run]:
    """The runs of a template that never rewrites history: all turns share one rendering."""
    turns = tuple(i for i, message in enumerate(messages) if message.get("role") == "assistant")
    return [Run(turns)] if turns else []


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share a chat template.

    Attributes:
        name: what `--model` takes; the file's name.
        title: one line for `qwen-sft models`.
        models: hub ids, or patterns of them, that carry this template.
        template_sha256: of the official templates that `serialize` reproduces, as they were published.
        vocabulary: name of the embedded vocabulary.
        parser: name of the server's tool-call parser, as in `qwen_sft.parse`.
        generation_prompt: what the template appends with add_generation_prompt=True.
        empty_reasoning: what the template writes into a last turn that has no reasoning; "" if nothing.
        serialize: messages and tools to spans: joined, they are the official template's text.
            Raises TemplateError where the template would fail.
        runs: which turns share one rendering, minimal in number.
    """

    name: str
    title: str
    models: tuple[str, ...]
    template_sha256: tuple[str, ...]
    vocabulary: str
    parser: str
    serialize: Callable[[Sequence[Message], Sequence[Tool]], "list[Span]"]
    generation_prompt: str = "<|im_start|>assistant\n"
    empty_reasoning: str = ""
    runs: Callable[[Sequence[Message]], list[Run]] = one_run

    @property
    def opens_reasoning(self) -> bool:
        """True if the prompt itself opens a think block, so that the model starts inside its reasoning."""
        return self.generation_prompt.endswith("<think>\n")

    @property
    def thinking(self) -> bool | None:
        """`enable_thinking` as the server's reasoning parser knows it; None where a server runs no such parser."""
        if self.opens_reasoning or self.empty_reasoning:
            return True
        return False if self.generation_prompt.endswith("</think>\n\n") else None


def families() -> dict[str, Family]:
    """The shelf `families/`, by name."""
    return shelf("families", Family, lambda thing: thing.name)
