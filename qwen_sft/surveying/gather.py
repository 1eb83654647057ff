"""The numbers of traces: one pass through the pipeline, as the gate makes it.

Memory holds a few counts for each file, format, tool and rule, and what a census holds.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from heapq import nsmallest
from pathlib import Path
from typing import Any

from qwen_sft.finding import Diagnostic, Severity
from qwen_sft.ingesting.ingest import Input
from qwen_sft.ingesting.remote import masked
from qwen_sft.inspecting.census import Census, facts_of
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.pipeline import ALWAYS, Outcome, Pipeline
from qwen_sft.reporter import NOT_CHECKED, Totals
from qwen_sft.rule import rules
from qwen_sft.running.baseline import read_baseline
from qwen_sft.running.gate import Gate, judged
from qwen_sft.sample import Sample, is_list, is_object
from qwen_sft.surveying.cost import Assumed
from qwen_sft.surveying.numbers import (
    Example,
    Found,
    KindOfTokens,
    Numbers,
    Origin,
    Parameter,
    Split,
    ToolUse,
)
from qwen_sft.surveying.spread import Spread
from qwen_sft.text.excerpt import Excerpt
from qwen_sft.text.terminal import one_line
from qwen_sft.viewing.record import sheet_of

N_EXAMPLES = 3
N_SAMPLES = 5
MOST_FILES = 200
MOST_TOOLS = 20_000
"""Different tools that are counted one by one; a set with more has tools that differ from sample to sample."""

_MOST_PARAMETERS = 200

PATTERNS = (
    "no tools offered",
    "tools offered, none called",
    "one call",
    "several behind each other",
    "several side by side",
    "side by side and behind each other",
    "several, with a user's turn between",
)
"""In which way a sample calls tools."""


def survey(
    inputs: Sequence[Input],
    pipeline: Pipeline,
    name: str,
    assumed: Assumed,
    *,
    each: Callable[[Outcome], None] = lambda _: None,
) -> Numbers:
    """The numbers of some traces.

    Args:
        name: what was named, for people.
        each: is told of every record, in order.

    Raises:
        InputError: an input cannot be opened.
    """
    settings = pipeline.settings
    gate, totals, seen = Gate(pipeline, inputs), Totals(n_files=len(inputs)), _Seen(pipeline)
    new = Counter[str]()
    severities: dict[str, Severity] = {}
    examples: dict[str, list[tuple[str, Diagnostic]]] = {}
    n_errors = 0

    def both(outcome: Outcome) -> None:
        seen.see(outcome)
        each(outcome)

    for found in judged(inputs, pipeline, gate, totals, each=both):
        new[found.code] += 1
        if found.severity.rank >= severities.get(found.code, Severity.INFO).rank:
            severities[found.code] = found.severity
        n_errors += found.severity is Severity.ERROR
        held = examples.setdefault(found.code, [])
        held.append((f"{found.fingerprint} {found.where.file}:{found.where.line:020d}", found))
        if len(held) > N_EXAMPLES:  # the smallest hashes: the same ones whatever the order of the files
            held[:] = nsmallest(N_EXAMPLES, held, key=lambda one: one[0])
    code = gate.close(totals)

    numbers = seen.numbers(name, assumed)
    numbers.code, numbers.n_errors, numbers.failures = code, n_errors, totals.failures
    numbers.n_files = len(inputs)
    numbers.n_findings = sum(new.values())
    numbers.dropped_reasons = dict(sorted(totals.dropped_reasons.items(), key=lambda item: -item[1]))
    known = None if settings.baseline is None else Counter[str]()
    if known is not None and settings.baseline is not None:
        numbers.n_fixed = totals.n_fixed
        for one, n in read_baseline(Path(settings.baseline)).findings.items():
            known[one.code] += n
    shelf = rules()
    codes = {*totals.by_code, *(known or ())}
    for one in codes:
        rule = shelf.get(one)
        severity = severities.get(one) or (rule.severity if rule else Severity.INFO)
        kept = sorted(examples.get(one, ()), key=lambda pair: pair[0])
        numbers.findings.append(
            Found(
                one,
                rule.name if rule else "",
                severity.value,
                totals.by_code.get(one, 0),
                new[one],
                None if known is None else known[one],
                [_example(found) for _, found in kept],
            )
        )
    numbers.findings.sort(key=lambda one: (-Severity(one.severity).rank, -one.n_new, -one.n, one.code))
    _reach(numbers, pipeline, gate, totals, seen.n_verified)
    _verdict(numbers)
    return numbers


def _example(found: Diagnostic) -> Example:
    shown: Excerpt | None = found.excerpt
    place = "the whole set" if found.where.file == "<set>" else f"{found.where.file}:{found.where.line}"
    pieces = None if shown is None else (shown.before, shown.culprit, shown.after)
    return Example(place, found.json_path, shortened(found.says, 600), shortened(found.fix, 600), pieces)


def shortened(text: str, most: int) -> str:
    """The beginning of a long text, and a note how long it is."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters, {most:,} are shown)"


def samples_named(n: int) -> str:
    """So many samples, in words."""
    return f"{n:,} {'sample' if n == 1 else 'samples'}"


def _reach(numbers: Numbers, pipeline: Pipeline, gate: Gate, totals: Totals, n_verified: int) -> None:
    """What was checked, and what was not."""
    settings = pipeline.settings
    shelf = rules()
    n_running = len(gate.running)
    if numbers.n_records:
        numbers.checked.append(
            f"structure of {numbers.n_records:,} {'record' if numbers.n_records == 1 else 'records'}: turns, calls, "
            f"results, schemas, secrets ({n_running} of {len(shelf)} rules ran)"
        )
    if settings.model is not None and numbers.n_rows is not None:
        encoder = pipeline.encoder
        numbers.checked.append(
            f"chat template, tokens, mask, and what the server's parser ({encoder.model.family.parser}) reads back, of "
            f"{numbers.n_rows:,} training rows"
        )
        left = (numbers.n_samples or 0) - n_verified
        if n_verified:
            numbers.checked.append(
                f"which tokens are trained, by a second computation ({encoder.model.oracle}), of "
                f"{samples_named(n_verified)}"
            )
        if settings.verify != "all" and left > 0:
            which = f"the other {left:,}" if n_verified else "any sample"
            numbers.not_checked.append(f"the second computation, of {which} (--verify all asks it of all)")
    for reason, n in totals.not_checked.items():
        if n:
            numbers.not_checked.append(NOT_CHECKED[reason].format(n=samples_named(n)))
    off = sorted(one for one in shelf if one not in gate.running and not one.startswith(ALWAYS))
    off = [one for one in off if settings.model is not None or not shelf[one].needs_model]
    near = [one for one in off if shelf[one].needs == "near_duplicates"]
    others = [one for one in off if one not in near]
    if near:
        numbers.not_checked.append("samples that nearly repeat another (--near-duplicates)")
    if others:
        numbers.not_checked.append(f"what these rules look for, which do not run: {', '.join(others)}")
    if totals.silenced_by_code:
        told = ", ".join(f"{code} {n:,}" for code, n in sorted(totals.silenced_by_code.items()))
        numbers.not_checked.append(f"findings that records silence: {told}")


def _verdict(numbers: Numbers) -> None:
    if numbers.code == 3:
        numbers.verdict = "Nothing was checked"
        numbers.sense = ["There was no record to read."]
        return
    n, kept = numbers.n_records, numbers.n_written
    numbers.verdict = "These traces pass" if numbers.code == 0 else "These traces do not pass"
    if numbers.n_rejected:
        what = "record" if n == 1 else "records"
        holds = "has an error and stays" if numbers.n_rejected == 1 else "have errors and stay"
        numbers.sense.append(f"{numbers.n_rejected:,} of {n:,} {what} {holds} out of a training set.")
    else:
        numbers.sense.append(f"All {n:,} records can be trained on." if n > 1 else "The record can be trained on.")
    if numbers.code == 0 and numbers.n_rejected and kept:
        numbers.sense.append("The settings let these findings pass.")
    numbers.sense += [f"It fails: {one_line(why)}." for why in numbers.failures]
    if numbers.n_fixed is not None:
        numbers.sense.append(f"Against the baseline: {numbers.n_findings:,} new findings, {numbers.n_fixed:,} fixed.")
    if numbers.n_rows is None:
        numbers.sense.append("Template, tokens and mask were not checked, for no model was named.")


# -- one record after the other ----------------------------------------------------------------------------------------


class Counted:
    """Tools and their parameters: how often they are offered, called and given."""

    def __init__(self) -> None:
        self.tools: dict[str, ToolUse] = {}
        self.beyond = set[int]()  # hashes of the names of tools past those

    def declare(self, tools: Sequence[Any]) -> None:
        """Counts the tools that a sample offers."""
        for tool in tools:
            self._see_declaration(tool.get("function"))
        for name in {tool.get("function", {}).get("name") for tool in tools}:
            known = self.tools.get(name) if isinstance(name, str) else None
            if known is not None:
                known.n_offered += 1

    def tell(self, numbers: Numbers) -> None:
        """Puts what was counted into the numbers, the most called first."""
        numbers.tools = sorted(self.tools.values(), key=lambda one: (-one.n_called, -one.n_offered, one.name))
        numbers.n_tools, numbers.n_tools_more = len(self.tools) + len(self.beyond), len(self.beyond)

    def _tool(self, name: str) -> ToolUse | None:
        known = self.tools.get(name)
        if known is None and len(self.tools) < MOST_TOOLS:
            known = self.tools[name] = ToolUse(name)
        if known is None:
            self.beyond.add(hash(name))
        return known

    def _see_declaration(self, function: Any) -> None:
        name: Any = function.get("name") if is_object(function) else None
        known = self._tool(name) if isinstance(name, str) else None
        schema: Any = function.get("parameters") if known is not None else None
        if known is None or not is_object(schema):
            return
        properties: Any = schema.get("properties")
        needed: Any = schema.get("required")
        for key in properties if is_object(properties) else ():
            parameter = _parameter(known, key)
            if parameter is not None:
                parameter.declared = True
                parameter.required |= is_list(needed) and key in needed

    def call(self, function: Any) -> None:
        """Counts one call."""
        known = self._tool(function["name"])
        if known is None:
            return
        known.n_called += 1
        arguments = function.get("arguments")
        for key in arguments if is_object(arguments) else ():
            parameter = _parameter(known, key)
            if parameter is not None:
                parameter.n_given += 1


class _Seen:
    """What was counted of the records so far."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.has_model = pipeline.settings.model is not None
        self.census = Census()
        self.calls_by_split = Counter[str]()
        self.formats: dict[str, Origin] = {}
        self.files: dict[str, Origin] = {}
        self.lengths, self.turns, self.depth, self.calls = Spread(), Spread(), Spread(), Spread()
        self.patterns = Counter[str]()
        self.counted = Counted()
        self.by_kind: Any = None
        self.trained_by_kind: Any = None
        self.shown: list[tuple[bytes, str, Outcome]] = []
        self.n_verified = self.n_trained = self.n_samples = 0

    def see(self, outcome: Outcome) -> None:
        record = outcome.record
        merged = sum(event.fate == "merged" for event in outcome.aside) if outcome.n_events else 0
        rejected = outcome.rejected
        n_tokens = sum(len(row.tokens.input_ids) for row in outcome.rows)
        self.n_verified += outcome.n_verified
        names = ((self.formats, outcome.format or "none"), (self.files, record.where.file.partition("!")[0]))
        for origins, name in names:
            origin = origins.get(name) or origins.setdefault(name, Origin(name))
            origin.n_records += 1
            origin.n_rejected += rejected
            origin.n_rows += len(outcome.rows)
            origin.n_tokens += n_tokens
            if outcome.n_events:
                origin.n_events += outcome.n_events
                origin.n_merged += merged
                origin.n_dropped += len(outcome.aside) - merged
                origin.n_kept += outcome.n_kept
            if not rejected:
                origin.n_samples += len(outcome.conversations)
        if rejected:
            return
        for conversation in outcome.conversations:
            self._see_sample(conversation.sample)
        facts = outcome.facts or [
            facts_of(Transcript(one.sample, self.pipeline.settings), record.where) for one in outcome.conversations
        ]
        for one in facts:
            self.census.see(one, record.where)
            self.calls_by_split[one.split] += len(one.called)
        if outcome.rows:
            self._see_rows(outcome)
        key = hashlib.blake2b(record.raw, digest_size=8).digest()
        place = f"{record.where.file}:{record.where.line}"
        if len(self.shown) < N_SAMPLES or (key, place) < self.shown[-1][:2]:
            self.shown.append((key, place, outcome))
            self.shown.sort(key=lambda one: one[:2])
            del self.shown[N_SAMPLES:]

    def _see_rows(self, outcome: Outcome) -> None:
        import numpy as np  # only where a model is named

        from qwen_sft.tokens import Kind

        if self.by_kind is None:
            self.by_kind, self.trained_by_kind = np.zeros((2, len(Kind)), dtype=np.int64)
        for row in outcome.rows:
            tokens = row.tokens
            self.lengths.see(len(tokens.input_ids))
            self.n_trained += tokens.n_trained_tokens
            self.by_kind += np.bincount(tokens.kinds, minlength=len(Kind))
            self.trained_by_kind += np.bincount(tokens.kinds[tokens.loss_mask], minlength=len(Kind))

    def _see_sample(self, sample: Sample) -> None:
        self.n_samples += 1
        n_turns = n_calls = chain = deepest = widest = 0
        self.counted.declare(sample.get("tools", ()))
        for message in sample.get("messages", ()):
            role = message.get("role")
            if role == "user":
                chain = 0
            elif role == "assistant":
                n_turns += 1
                made = message.get("tool_calls", ())
                if made:
                    chain += 1
                    deepest, widest = max(deepest, chain), max(widest, len(made))
                    n_calls += len(made)
                    for call in made:
                        self.counted.call(call["function"])
        self.turns.see(n_turns)
        self.depth.see(deepest)
        self.calls.see(n_calls)
        self.patterns[pattern(bool(sample.get("tools")), n_calls, deepest, widest)] += 1

    def numbers(self, name: str, assumed: Assumed) -> Numbers:
        """What was counted, without what the gate says."""
        every = list(self.formats.values())
        files = sorted(self.files.values(), key=lambda one: (-one.n_records, one.name))
        numbers = Numbers("traces", name, assumed=assumed)
        numbers.n_records = sum(one.n_records for one in every)
        numbers.n_rejected = sum(one.n_rejected for one in every)
        numbers.n_written = numbers.n_records - numbers.n_rejected
        numbers.n_samples = self.n_samples
        numbers.formats = sorted(every, key=lambda one: (-one.n_records, one.name))
        numbers.files, numbers.n_files_more = files[:MOST_FILES], max(0, len(files) - MOST_FILES)
        numbers.turns, numbers.depth, numbers.calls = self.turns, self.depth, self.calls
        numbers.n_calls = self.calls.total
        numbers.patterns = {one: self.patterns[one] for one in PATTERNS if self.patterns[one]}
        self.counted.tell(numbers)
        numbers.n_repeated = self.census.repeats().n
        if self.pipeline.settings.near_duplicates:
            numbers.n_near = sum(1 for _ in self.census.near_repeats())
        numbers.splits = self._splits()
        if self.has_model:
            self._add_tokens(numbers)
        else:
            why = "No model was named: --model counts tokens."
            numbers.untold |= {"lengths": why, "kinds": why, "cost": why}
        numbers.facts = self._model() if self.has_model else [("model", "none named (--model)")]
        numbers.samples = [sheet_of(one, self.pipeline, safe=True) for _, _, one in self.shown]  # pages are sent around
        return numbers

    def _add_tokens(self, numbers: Numbers) -> None:
        from qwen_sft.tokens import Kind

        numbers.n_rows, numbers.n_tokens, numbers.n_trained = self.lengths.n, self.lengths.total, self.n_trained
        numbers.lengths = self.lengths
        numbers.limit, numbers.limit_of = limit(
            self.pipeline.settings.max_length,
            self.pipeline.settings.thresholds.get("context"),
            self.pipeline.encoder.model.context,
        )
        if self.by_kind is not None:
            pairs = zip(Kind, self.by_kind.tolist(), self.trained_by_kind.tolist(), strict=True)
            numbers.kinds = [KindOfTokens(kind.name.lower(), n, trained) for kind, n, trained in pairs if n]

    def _splits(self) -> list[Split]:
        splits = [
            Split(name, n_samples, self.calls_by_split[name], n_tokens, n_trained)
            for name, n_samples, n_tokens, n_trained in self.census.by_split()
        ]
        return sorted(splits, key=lambda one: (-one.n_samples, one.name))

    def _model(self) -> list[tuple[str, str]]:
        model, settings = self.pipeline.encoder.model, self.pipeline.settings
        return [
            ("model", model.name),
            ("family", model.family.name),
            ("chat template, sha256", model.template_sha256),
            ("template options", str(dict(settings.chat_template_kwargs)) + f", thinking {settings.thinking}"),
            ("tokenizer, sha256", model.tokenizer.fingerprint),
            ("tokenizer backend", model.tokenizer.backend),
            ("tool-call parser", f"{model.family.parser}, as {settings.serve} has it"),
            ("second computation", model.oracle),
            ("context", "unknown" if model.context is None else f"{model.context:,} tokens"),
            ("lock", "none: `qwen-sft build` writes one beside the set"),
        ]


def pattern(offered: bool, n_calls: int, deepest: int, widest: int) -> str:
    """In which of PATTERNS a sample calls tools: so many calls, so many turns behind each other, so many in a turn."""
    if not n_calls:
        return PATTERNS[1 if offered else 0]
    if n_calls == 1:
        return PATTERNS[2]
    if widest > 1:
        return PATTERNS[5 if deepest > 1 else 4]
    return PATTERNS[3 if deepest > 1 else 6]


def _parameter(tool: ToolUse, key: str) -> Parameter | None:
    known = tool.parameters.get(key)
    if known is None and len(tool.parameters) < _MOST_PARAMETERS:
        known = tool.parameters[key] = Parameter(key)
    return known


def limit(max_length: int | None, told: float | None, context: int | None) -> tuple[int | None, str]:
    """The most tokens that a row may have, and who says so."""
    if max_length is not None:
        return max_length, "--max-length"
    if told is not None:
        return int(told), "thresholds.context"
    return context, "" if context is None else "the model's context"


def named(paths: Iterable[str]) -> str:
    """What was named, for people: the first few."""
    every = [masked(path) for path in paths]
    return ", ".join(every[:3]) + (f" and {len(every) - 3:,} more" if len(every) > 3 else "")
