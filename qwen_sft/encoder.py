"""Samples to training rows for one model: shaped, rendered, encoded, cut to length, read back and verified."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qwen_sft.errors import ModelError, TemplateError
from qwen_sft.family import Family
from qwen_sft.format import Conversation, Event
from qwen_sft.model import load_model
from qwen_sft.oracle import disagreements
from qwen_sft.parse import differences, parse_turn
from qwen_sft.parse_xml import kind
from qwen_sft.render import Rendering, encode, renderings
from qwen_sft.rule import Encoded
from qwen_sft.sample import Path, is_object
from qwen_sft.settings import Settings
from qwen_sft.shape import shaped
from qwen_sft.tokens import GENERATED, Kind, Tokens
from qwen_sft.transcript import Transcript


@dataclass(slots=True)
class _Draft:
    """A sample on its way to rows; `rows` and `renderings` belong together one to one."""

    conversation: Conversation
    transcript: Transcript
    dropped: list[Event]
    verify: bool
    renderings: list[Rendering] = field(default_factory=list[Rendering])
    rows: list[Tokens] = field(default_factory=list[Tokens])
    refusal: str | None = None
    too_long: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])


class Encoder:
    """Makes training rows of samples.

    Args:
        settings: must name a model.
        families: by name, from the shelf.

    Raises:
        ModelError: the model cannot be loaded.
    """

    def __init__(self, settings: Settings, families: Mapping[str, Family]) -> None:
        if settings.model is None:
            raise ModelError("no model is named; name one with --model, see: qwen-sft models")
        self.settings = settings
        self.model = load_model(settings.model, families, settings.tokenizer_backend)

    def encode(self, inputs: Sequence[tuple[Conversation, bool]]) -> list[Encoded]:
        """The rows of many samples, in one call of the tokenizer.

        Args:
            inputs: samples that the rules found no error in, and whether the oracle is to be asked about them.

        Returns:
            One Encoded for each sample, in order.
        """
        drafts = [self._draft(conversation, verify) for conversation, verify in inputs]
        tokens = iter(encode([r for draft in drafts for r in draft.renderings], self.model.tokenizer))
        for draft in drafts:
            draft.rows = [next(tokens) for _ in draft.renderings]
            self._fit(draft)
        return [self._encoded(draft) for draft in drafts]

    def _draft(self, conversation: Conversation, verify: bool) -> _Draft:
        before = Transcript(conversation.sample, self.settings)
        after, dropped = shaped(conversation, before, self.settings)
        transcript = before if after is conversation else Transcript(after.sample, self.settings)
        draft = _Draft(after, transcript, dropped, verify)
        try:
            draft.renderings = self._renderings(draft, len(draft.transcript.messages))
        except TemplateError as error:
            draft.refusal = str(error)
        return draft

    def _renderings(self, draft: _Draft, n_messages: int) -> list[Rendering]:
        transcript, model = draft.transcript, self.model
        return renderings(transcript.messages[:n_messages], transcript.tools, model.family, model.tokenizer)

    def _fit(self, draft: _Draft) -> None:
        """Takes out rows that are too long; where settings say so, they lose turns at their end instead."""
        limit = self.settings.max_length
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
            again = [r for r in self._renderings(draft, wanted[-1] + 1) if set(r.turns) <= set(wanted)]
            fitting = [
                (rendering, tokens)
                for rendering, tokens in zip(again, encode(again, self.model.tokenizer), strict=True)
                if len(tokens.input_ids) <= limit
            ]
            if fitting:
                return fitting
        return []

    def _encoded(self, draft: _Draft) -> Encoded:
        transcript, model = draft.transcript, self.model
        encoded = Encoded(
            draft.conversation,
            transcript,
            dropped=tuple(draft.dropped),
            rows=tuple(draft.rows),
            refusal=draft.refusal,
            too_long=tuple(draft.too_long),
        )
        if draft.refusal is not None or not draft.rows:
            return encoded
        encoded = replace(encoded, unshown=tuple(_unshown(draft)), unparsed=tuple(_unparsed(draft, model.family)))
        if model.family.opens_reasoning:
            encoded = replace(encoded, unreasoned=tuple(_unreasoned(draft)))
        if not draft.verify:
            return encoded
        try:
            differing = disagreements(
                transcript.messages,
                transcript.tools,
                draft.rows,
                render=model.server,
                tokenizer=model.tokenizer,
                empty_reasoning=model.family.empty_reasoning,
                turns=[turn for row in draft.rows for turn in row.turns] if draft.too_long else None,
            )
        except TemplateError as error:
            return replace(encoded, refusal=str(error), verified=True)
        found = tuple((d.turn, f"{d.what}: {d.ours}", d.theirs) for d in differing)
        return replace(encoded, verified=True, disagreements=found)


def _unshown(draft: _Draft) -> Iterator[tuple[Path, str]]:
    """Words of the sample that stand in no row: of a turn that is trained, in the row that trains it."""
    messages = draft.transcript.messages
    trained = {turn for rendering in draft.renderings for turn in rendering.turns}
    shown: dict[int, list[str]] = {}
    for rendering in draft.renderings:
        before = set(shown)
        for span in rendering.spans:
            index = span.message
            if index >= 0 and index not in before and (index not in trained or index in rendering.turns):
                shown.setdefault(index, []).append(span.text)
    end = max((rendering.n_messages for rendering in draft.renderings), default=0)
    for index, message in enumerate(messages[:end]):
        text = "".join(shown.get(index, ()))
        if not _stands_in(message.get("content", ""), text):
            yield ("messages", index, "content"), "content"
        if index in trained and not _stands_in(message.get("reasoning_content", ""), text):
            yield ("messages", index, "reasoning_content"), "reasoning"


def _stands_in(words: Any, text: str) -> bool:
    """True if a text holds some words, white space and think tags aside."""
    if not isinstance(words, str):
        return False
    if words in text:
        return True
    return _squeezed(words) in _squeezed(text)


def _squeezed(text: str) -> str:
    return "".join(text.replace("<think>", "").replace("</think>", "").split())


def _unreasoned(draft: _Draft) -> Iterator[int]:
    """Trained turns in which the model has to close its think block with nothing in it."""
    for rendering in draft.renderings:
        thoughts = dict.fromkeys(rendering.turns, "")
        for span in rendering.spans:
            if span.kind is Kind.REASONING and span.message in thoughts:
                thoughts[span.message] += span.text
        yield from (turn for turn, text in thoughts.items() if not _squeezed(text))


def _unparsed(draft: _Draft, family: Family) -> Iterator[tuple[Path, str]]:
    """Calls that the server's parser would not give back as the sample has them."""
    transcript = draft.transcript
    tools = [*(dict(tool) for tool in transcript.tools), *_undeclared(transcript)]
    for rendering in draft.renderings:
        trained = set(rendering.turns)
        said: dict[int, str] = {}
        for span in rendering.spans:
            if span.message in trained and span.kind in GENERATED and span.kind is not Kind.STOP:
                said[span.message] = said.get(span.message, "") + span.text
        for turn in rendering.turns:
            calls = transcript.messages[turn].get("tool_calls")
            if not calls:
                continue
            declared = [(call["function"]["name"], call["function"]["arguments"]) for call in calls]
            for difference in differences(
                declared, parse_turn(said.get(turn, ""), tools, parser=family.parser, thinking=family.thinking)
            ):
                yield ("messages", turn, "tool_calls"), difference


def _undeclared(transcript: Transcript) -> Iterator[dict[str, Any]]:
    """Declarations for tools that are called and not declared, typed after their calls.

    What types the server will know them by cannot be told (TOL020 says so); names and the values' text can be checked.
    """
    types: dict[str, dict[str, set[str]]] = {}
    for exchange in transcript.exchanges:
        for call in exchange.calls:
            name, given = call["function"]["name"], call["function"]["arguments"]
            if name not in transcript.declared and is_object(given):
                for key, value in given.items():
                    types.setdefault(name, {}).setdefault(key, set()).add(kind(value))
    for name, arguments in types.items():
        properties = {key: {"type": sorted(kinds)} for key, kinds in arguments.items()}
        yield {"type": "function", "function": {"name": name, "parameters": {"properties": properties}}}
