"""An audit from files to its result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qwen_sft.asking.request import Options
from qwen_sft.auditing.grammar import Grammar, grammar
from qwen_sft.auditing.judge import judge
from qwen_sft.auditing.keys import Hasher
from qwen_sft.auditing.rows import batches
from qwen_sft.auditing.tally import Count, Tally
from qwen_sft.encoding.model import Model
from qwen_sft.ingesting.ingest import Input
from qwen_sft.settings import Thinking


@dataclass(frozen=True, slots=True)
class Audit:
    """The result.

    Attributes:
        model: as it was named.
        files: how many were read.
        tally: what was counted.
        found: the kinds of fault that were found.
        allowed: the names of those that pass.
    """

    model: str
    files: int
    grammar: Grammar
    tally: Tally
    found: tuple[Count, ...]
    allowed: frozenset[str]

    @property
    def failing(self) -> list[Count]:
        """The kinds of fault that do not pass."""
        return [count for count in self.found if count.fault.name not in self.allowed]

    @property
    def exit_code(self) -> int:
        """0 clean, 1 faults, 3 no row could be judged."""
        return 3 if not self.tally.n_rows else int(bool(self.failing))


def audit(
    sources: Sequence[Input],
    model: Model,
    options: Options,
    thinking: Thinking,
    *,
    mask: str | None = None,
    allowed: frozenset[str] = frozenset(),
    each: Callable[[int, str], None] = lambda _n_rows, _file: None,
) -> Audit:
    """Judges the rows of some files.

    Args:
        options: template options of every request, as the model was loaded with.
        mask: as in `batches`.
        allowed: names of kinds of fault that pass.
        each: is told how many more rows of which file were judged.

    Raises:
        ModelError: the model's template writes no turns between `<|im_start|>` and `<|im_end|>`.
        InputError: a file cannot be read.
    """
    spoken = grammar(model, options, thinking)
    hasher = Hasher(spoken.n_ids)
    tally = Tally(len(spoken.prompts))
    for source in sources:
        for batch in batches(source, mask):
            tally.add(judge(batch, spoken, hasher))
            each(len(batch.lines) + len(batch.broken), source.name)
    return Audit(model.name, len(sources), spoken, tally, tuple(tally.counts()), allowed)
