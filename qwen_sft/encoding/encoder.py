"""Samples to training rows for one model: shaped, rendered, encoded, cut to length, read back and verified."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from qwen_sft.asking.request import NO_OPTIONS, Options, OptionsOf
from qwen_sft.encoding.losses import unparsed, unreasoned, unshown
from qwen_sft.encoding.model import load_model
from qwen_sft.encoding.render import Rendering, encode, renderings
from qwen_sft.encoding.shorten import SHORTEN
from qwen_sft.encoding.train import policy
from qwen_sft.errors import ModelError, TemplateError
from qwen_sft.family import Family, Plan, Run
from qwen_sft.format import Conversation, Event
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import Encoded, Expansion, Shortened
from qwen_sft.sample import Message, Tool
from qwen_sft.serving.oracle import disagreements
from qwen_sft.serving.server import serving
from qwen_sft.settings import Settings
from qwen_sft.shaping.shape import shaped
from qwen_sft.tokenizing.control import marked, unmarked
from qwen_sft.tokens import Kind, Tokens


@dataclass(slots=True)
class _Draft:
    """A sample on its way to rows; `rows` and `renderings` belong together one to one.

    `messages` and `tools` are what is rendered: `plain` and the transcript's tools, with marks where control tokens are
    data.
    """

    conversation: Conversation
    transcript: Transcript
    dropped: list[Event]
    verify: bool
    plain: Sequence[Message] = ()
    messages: Sequence[Message] = ()
    tools: Sequence[Tool] = ()
    options_of: OptionsOf = lambda _turn: NO_OPTIONS
    wanted: list[int] = field(default_factory=list[int])
    untrained: dict[int, str] = field(default_factory=dict[int, str])
    rewritten: int = 0
    left_out: tuple[int, ...] = ()
    renderings: list[Rendering] = field(default_factory=list[Rendering])
    rows: list[Tokens] = field(default_factory=list[Tokens])
    refusal: str | None = None
    too_long: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])


class Encoder:
    """Makes training rows of samples.

    Args:
        settings: must name a model.
        families: by name, from the shelf.
        sooner: whether the tokenizer backend that loads sooner is preferred to the one that encodes faster, if the
            settings name none.

    Raises:
        ModelError: the model cannot be loaded, or has no such mode.
        UsageError: the settings select tokens that there are not.
    """

    def __init__(self, settings: Settings, families: Mapping[str, Family], *, sooner: bool = False) -> None:
        if settings.model is None:
            raise ModelError("no model is named; name one with --model, see: qwen-sft models")
        self.settings = settings
        self.policy = policy(settings)
        self.model = load_model(
            settings.model,
            families,
            "tokenizers" if sooner and settings.tokenizer_backend == "auto" else settings.tokenizer_backend,
            options=settings.chat_template_kwargs,
            thinking=settings.thinking,
        )
        wire = self.model.family.parser
        self.parser = None if wire is None else serving(settings.serve).parser(wire)

    def encode(
        self, inputs: Sequence[tuple[Conversation, bool]], transcripts: Sequence[Transcript] | None = None
    ) -> list[Encoded]:
        """The rows of many samples, in one call of the tokenizer.

        Args:
            inputs: samples that the rules found no error in, and whether the oracle is to be asked about them.
            transcripts: theirs, where somebody has paired their calls and results already.

        Returns:
            One Encoded for each sample, in order.
        """
        if transcripts is None:
            transcripts = [Transcript(conversation.sample, self.settings) for conversation, _ in inputs]
        drafts = [self._draft(*one, seen) for one, seen in zip(inputs, transcripts, strict=True)]
        tokens = iter(encode([r for draft in drafts for r in draft.renderings], self.model.tokenizer))
        for draft in drafts:
            draft.rows = [next(tokens) for _ in draft.renderings]
            self._fit(draft)
        return [self._encoded(draft) for draft in drafts]

    def fitting(self, encoded: Encoded, verify: bool) -> list[Encoded]:
        """A sample with rows over the limit as samples that fit, where settings want several; else as it is.

        Args:
            encoded: as `encode` gave it.
            verify: whether the oracle is to be asked about what it becomes.
        """
        limit, shorten = self.settings.row_limit, SHORTEN.get(self.settings.on_too_long)
        if limit is None or shorten is None or not encoded.too_long or encoded.refusal:
            return [encoded]
        wanted = self.policy.wanted(encoded.transcript.messages)
        parts = shorten(encoded.conversation, self.settings, wanted, limit, self._lengths)
        if not parts.conversations:
            return [encoded]
        made = self.encode([(part, verify) for part in parts.conversations])
        longest = max(n_tokens for _, n_tokens, _ in encoded.too_long)
        n_made, n_lost = len(made), len(parts.turns)
        says = Shortened(self.settings.on_too_long, longest, n_made, parts.n_results, n_lost)
        events = (*encoded.dropped, *made[0].dropped, *parts.lost)
        return [replace(made[0], dropped=events, shortened=says), *made[1:]]

    def _lengths(self, conversation: Conversation) -> dict[int, int]:
        """For each turn that would be trained the tokens of its row up to the turn's end; empty if it is refused."""
        draft = self._draft(conversation, False, Transcript(conversation.sample, self.settings))
        lengths: dict[int, int] = {}
        for row in encode(draft.renderings, self.model.tokenizer) if draft.refusal is None else ():
            for turn, (_, end) in zip(row.turns, row.regions, strict=True):
                after = (row.messages == turn) & (row.kinds == Kind.AFTER)
                lengths[turn] = end + int(after.sum())
            lengths[row.turns[-1]] = len(row.input_ids)
        return lengths

    # -- what is rendered, and into how many rows ---------------------------------------------------------------------

    def _draft(self, conversation: Conversation, verify: bool, before: Transcript) -> _Draft:
        after, dropped = shaped(conversation, before, self.settings)
        transcript = before if after is conversation else Transcript(after.sample, self.settings)
        draft = _Draft(after, transcript, dropped, verify)
        draft.wanted = self.policy.wanted(transcript.messages)
        try:
            self._prepare(draft)
            runs, draft.untrained = self._runs(draft, len(draft.messages))
            if len(runs) > 1 and self.settings.rewritten_history != "expand":
                draft.rewritten = len(runs)
                draft.left_out = tuple(turn for run in runs[:-1] for turn in run.turns)
                runs = runs[-1:] if self.settings.rewritten_history == "last" else []
            draft.renderings = self._renderings(draft, runs)
        except TemplateError as error:
            draft.refusal = str(error)
        return draft

    def _prepare(self, draft: _Draft) -> None:
        """Sets what is rendered.

        Raises:
            TemplateError: the sample holds the mark of control tokens itself.
        """
        model = self.model
        plain = model.prepared(draft.transcript.messages)
        draft.options_of = model.options_of(plain)
        draft.messages, draft.tools = plain, draft.transcript.tools
        draft.plain = plain
        if self.settings.control_tokens == "as-text":
            draft.messages, draft.tools = marked(plain, draft.tools, model.tokenizer)

    def _hold_to_plain(self, draft: _Draft, run: Run) -> None:
        """Holds a row to what the template prints of the same messages without marks in their control tokens.

        Raises:
            TemplateError: it prints something else.
        """
        if draft.messages is draft.plain and draft.tools is draft.transcript.tools:
            return
        n = run.n_messages
        text = unmarked(self.model.server(draft.messages[:n], draft.tools, False, run.options))
        try:
            same = text == self.model.server(draft.plain[:n], draft.transcript.tools, False, run.options)
        except TemplateError:
            same = False
        if not same:
            raise TemplateError("it reads a control token in the data as its own, which cannot be encoded as text")

    def _runs(self, draft: _Draft, n_messages: int) -> tuple[list[Run], dict[int, str]]:
        """The runs of the first messages and the turns that cannot be trained, as far as their turns are wanted."""
        plan: Plan = self.model.family.plan(draft.messages[:n_messages], draft.tools, draft.options_of)
        wanted = set(draft.wanted)
        runs: list[Run] = []
        for run in plan.runs:
            turns = tuple(turn for turn in run.turns if turn in wanted)
            if turns:
                runs.append(run if turns == run.turns else Run(turns, draft.options_of(turns[-1])))
        untrained = {turn: why for turn, why in plan.untrained.items() if turn in wanted}
        return sorted(runs, key=lambda run: run.turns[-1]), untrained

    def _renderings(self, draft: _Draft, runs: Sequence[Run]) -> list[Rendering]:
        for run in runs:
            self._hold_to_plain(draft, run)
        return renderings(
            draft.messages,
            draft.tools,
            runs,
            self.model.family,
            self.model.tokenizer,
            options_of=draft.options_of,
            boundary=self.settings.boundary,
        )

    # -- length -------------------------------------------------------------------------------------------------------

    def _fit(self, draft: _Draft) -> None:
        """Takes out rows that are too long; where settings say so, they lose turns at their end instead."""
        limit = self.settings.row_limit
        if limit is None or all(len(row.input_ids) <= limit for row in draft.rows):
            return
        fitting: list[tuple[Rendering, Tokens]] = []
        for rendering, row in zip(draft.renderings, draft.rows, strict=True):
            if len(row.input_ids) <= limit:
                fitting.append((rendering, row))
                continue
            shorter = self._shorter(draft, row, limit) if self.settings.on_too_long == "drop-turns" else []
            n_kept = sum(len(tokens.turns) for _, tokens in shorter)
            draft.too_long.append((row.turns[-1], len(row.input_ids), len(row.turns) - n_kept if n_kept else 0))
            fitting += shorter
        draft.renderings = [rendering for rendering, _ in fitting]
        draft.rows = [row for _, row in fitting]

    def _shorter(self, draft: _Draft, row: Tokens, limit: int) -> list[tuple[Rendering, Tokens]]:
        """The first turns of a row, as many as fit; rendered anew, since a template may print a last turn otherwise."""
        for n_turns in range(sum(end <= limit for _, end in row.regions), 0, -1):
            wanted = row.turns[:n_turns]
            runs, _ = self._runs(draft, wanted[-1] + 1)
            again = self._renderings(draft, [run for run in runs if set(run.turns) <= set(wanted)])
            fitting = [
                (rendering, tokens)
                for rendering, tokens in zip(again, encode(again, self.model.tokenizer), strict=True)
                if len(tokens.input_ids) <= limit
            ]
            if fitting:
                return fitting
        return []

    # -- what became of it --------------------------------------------------------------------------------------------

    def _encoded(self, draft: _Draft) -> Encoded:
        transcript, model = draft.transcript, self.model
        encoded = Encoded(
            draft.conversation,
            transcript,
            dropped=tuple(draft.dropped),
            refusal=draft.refusal,
            too_long=tuple(draft.too_long),
            untrained=tuple(draft.untrained.items()),
            rewritten=draft.rewritten,
            left_out=draft.left_out,
            unselected=draft.refusal is None and not draft.wanted and bool(transcript.turns),
        )
        if draft.refusal is not None or not draft.rows:
            return encoded
        rows = [self.policy.applied(row, transcript.messages) for row in draft.rows]
        rows = [row for row in rows if row.loss_mask.any()]
        encoded = replace(
            encoded,
            rows=tuple(rows),
            unselected=not rows,
            unshown=tuple(unshown(transcript, draft.renderings, draft.plain)),
            unparsed=tuple(unparsed(transcript, draft.renderings, model, draft.options_of, self.parser)),
            unreasoned=tuple(self._unreasoned(draft)),
            expansion=_expansion(rows),
            requests=tuple(_spelled(draft.options_of(turn)) for row in rows for turn in row.turns),
        )
        return self._verified(draft, encoded) if draft.verify else encoded

    def _unreasoned(self, draft: _Draft) -> Iterator[int]:
        """Trained turns without reasoning whose prompt opens a think block."""
        if self.model.opens_reasoning(self.model.bare):
            for rendering in draft.renderings:
                yield from unreasoned(rendering)

    def _verified(self, draft: _Draft, encoded: Encoded) -> Encoded:
        """The same, with what the oracle says to the rows as the definition has them, before any policy."""
        left_out = set(draft.left_out)
        try:
            differing = disagreements(
                draft.messages,
                draft.tools,
                draft.rows,
                render=self.model.server,
                options_of=draft.options_of,
                tokenizer=self.model.tokenizer,
                stops=self.model.stops,
                empty_reasoning=self.model.family.empty_reasoning,
                turns=[turn for row in draft.rows for turn in row.turns]
                if draft.too_long
                else [turn for turn in draft.wanted if turn not in left_out],
                boundary=self.settings.boundary,
            )
        except TemplateError as error:
            return replace(encoded, refusal=str(error), verified=True)
        found = tuple((d.turn, f"{d.what}: {d.ours}", d.theirs) for d in differing)
        return replace(encoded, verified=True, disagreements=found)


def _expansion(rows: Sequence[Tokens]) -> Expansion | None:
    """What it costs that one row cannot serve all turns, and what it saves; None where one can."""
    if len(rows) < 2:
        return None
    earlier = rows[:-1]
    n_reasoning = sum(int((row.loss_mask & (row.kinds == Kind.REASONING)).sum()) for row in earlier)
    return Expansion(len(earlier), sum(len(row.input_ids) for row in earlier), n_reasoning)


def _spelled(options: Options) -> str:
    return json.dumps(dict(options), ensure_ascii=False, sort_keys=True)
