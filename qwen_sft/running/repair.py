"""Traces to mended samples, one a line: what `qwen-sft fix` writes, and every change that it made.

Which rules are mended, settings say once, for all files. Which findings count as left they say as for `validate`: for
each file, and each record for itself.

Records are read as `convert` reads them. The rules run over each sample, the fixes of what they find replace parts of
it, and the rules run again, until no fix has anything to replace: what is written would not change if it were fixed
again. Safe fixes come first, and anew after each unsafe one.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qwen_sft.finding import Finding, Severity
from qwen_sft.fix import ABSENT, Change, changes, edited, fixes, in_turn
from qwen_sft.ingesting.ingest import Input
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.pipeline import Outcome, Pipeline, fails_on, outcomes, tally
from qwen_sft.reporter import Totals, by_count
from qwen_sft.rule import Rule
from qwen_sft.running.outfile import STDOUT, json_line, opened, refuse_inputs
from qwen_sft.running.rejects import rejected
from qwen_sft.sample import Sample
from qwen_sft.settings import FailOn, Settings

READING = ("SRC", "SCH")
"""Letters of the rules that hold up a record: no sample can be made of it, or one that no other rule looks at."""

_MOST_ROUNDS = 1000
"""Rounds over the fixes of a sample: each makes it better or is the last, so that this only bounds a fault of ours."""


@dataclass(frozen=True, slots=True)
class Mended:
    """One sample after its fixes.

    Attributes:
        given: the sample as it was read.
        sample: as it is written; the same object where nothing was changed.
        changes: in the order in which they were made, each in the sample that the others before it left.
        left: what the rules still find, each finding with its rule.
    """

    given: Sample
    sample: Sample
    changes: list[Change]
    left: list[tuple[Rule, Finding]]


@dataclass(slots=True)
class Repairs:
    """The counts of a run. The findings in `totals` are those that are left, and those of records that gave no sample.

    Attributes:
        n_failing: findings that are left at or above `fail_on` of their file.
        n_changed: samples that were changed.
        by_fix: changes, by the name of the fix.
    """

    totals: Totals
    n_failing: int = 0
    n_changed: int = 0
    by_fix: Counter[str] = field(default_factory=Counter[str])


class Mender:
    """Rules and the fixes of what they find.

    Args:
        rules: of the stage `sample`, the schema rule first.
        unsafe: whether unsafe fixes are made too.
    """

    def __init__(self, settings: Settings, rules: Sequence[Rule], *, unsafe: bool) -> None:
        self.settings = settings
        self.rules = rules
        self.by_code = {rule.code: rule for rule in rules}
        shelf = sorted(fixes().values(), key=lambda fix: not fix.safe)
        self.fixes = [fix for fix in shelf if (fix.safe or unsafe) and set(fix.codes) & set(self.by_code)]

    def mend(
        self,
        sample: Sample,
        structs: frozenset[tuple[str, frozenset[str]]] = frozenset(),
        held_to: Sequence[Rule] | None = None,
    ) -> Mended:
        """The sample after all fixes; the given one stays as it is.

        Args:
            structs: of its record, see Record.
            held_to: the rules that say what is left; by default those whose findings are mended.
        """
        rules = self.rules if held_to is None else held_to
        known = {**{rule.code: rule for rule in rules}, **self.by_code}
        checked = _Checked(Transcript(sample, self.settings, structs), known)
        done: list[Change] = []
        for _ in range(_MOST_ROUNDS):
            n_before = len(done)
            for fix in self.fixes:
                asked = {code: checked.findings(code) for code in fix.codes if code in self.by_code}
                findings = [finding for found in asked.values() for finding in found]
                edits = in_turn(fix.edits(checked.transcript, findings)) if findings else []
                if edits:
                    given = checked.transcript.sample
                    done += changes(given, edits, fix.name, tuple(code for code, found in asked.items() if found))
                    checked = _Checked(Transcript(edited(given, edits), self.settings, structs), known)
                    if not fix.safe:
                        break
            if len(done) == n_before:
                break
        return Mended(sample, checked.transcript.sample, done, list(_left(checked, rules)))


def _left(checked: "_Checked", rules: Sequence[Rule]) -> Iterator[tuple[Rule, Finding]]:
    for rule in rules:
        found = [(rule, finding) for finding in checked.findings(rule.code)]
        yield from found
        if found and rule.code.startswith(READING):
            return


class _Checked:
    """A sample and what the rules find in it, each asked once."""

    def __init__(self, transcript: Transcript, rules: Mapping[str, Rule]) -> None:
        self.transcript = transcript
        self._rules = rules
        self._found: dict[str, list[Finding]] = {}

    def findings(self, code: str) -> list[Finding]:
        if code not in self._found:
            self._found[code] = list(self._rules[code].check(self.transcript))
        return self._found[code]


Told = Callable[[Outcome, Mended], None]


def repair(
    inputs: Sequence[Input],
    settings: Settings,
    out: str,
    rejects: Path | None = None,
    *,
    unsafe: bool = False,
    report: str | None = None,
    each: Callable[[Outcome], None] = lambda _: None,
    mended: Told = lambda _, __: None,
) -> Repairs:
    """Writes the mended samples of some inputs, and beside them the records that gave none.

    Args:
        out, rejects: see `convert`.
        unsafe: whether unsafe fixes are made too.
        report: the file of changes, one JSON object a line.
        each: is told of every record, in order.
        mended: is told of every sample, in order.

    Raises:
        OutputError: a file cannot be written, or is one of the inputs.
        InputError, UsageError: nothing was left behind.
    """
    pipeline = Pipeline(settings)
    mender = Mender(settings, pipeline.rules["sample"], unsafe=unsafe)
    reading = Pipeline(replace(settings, select=READING, ignore=(), overrides=()))
    aside = rejects if rejects is not None or out == STDOUT else Path(f"{out}.rejects.jsonl")
    targets = [Path(name) for name in (out, report) if name not in (None, STDOUT)] + ([aside] if aside else [])
    refuse_inputs(inputs, targets)
    made = Repairs(Totals(n_files=len(inputs)))
    n_written = 0
    with (
        opened(out) as samples,
        opened(str(aside)) if aside else nullcontext() as refused,
        opened(report) if report else nullcontext() as told,
    ):
        for outcome in outcomes(inputs, reading):
            tally(made.totals, outcome)
            file = outcome.record.where.file
            fail_on = fails_on(settings, file)
            made.n_failing += sum(_fails(found.severity, fail_on) for found in outcome.diagnostics)
            each(outcome)
            if outcome.rejected:
                if refused is not None:
                    refused.write(rejected(outcome))
                continue
            for number, conversation in enumerate(outcome.conversations):
                held_to = pipeline.rules_of(file)["sample"]
                one = _heard(mender.mend(conversation.sample, outcome.record.structs, held_to), outcome, made.totals)
                samples.write(json_line(one.sample))
                if told is not None:
                    told.writelines(json_line(change_json(outcome, number, one, change)) for change in one.changes)
                _count(made, one, fail_on)
                mended(outcome, one)
            n_written += len(outcome.conversations)
    made.totals.n_samples = n_written
    if aside is not None and not made.totals.n_rejected:
        aside.unlink(missing_ok=True)
    return made


def _heard(one: Mended, outcome: Outcome, totals: Totals) -> Mended:
    """A mended sample without the findings that its record asks not to be held to; these are counted."""
    if not outcome.ignores:
        return one
    left: list[tuple[Rule, Finding]] = []
    for rule, finding in one.left:
        if rule.code.startswith(READING) or not rule.is_named(outcome.ignores):
            left.append((rule, finding))
        else:
            totals.silenced_by_code[rule.code] = totals.silenced_by_code.get(rule.code, 0) + 1
    return replace(one, left=left)


def _fails(severity: Severity, fail_on: FailOn) -> bool:
    return fail_on != "never" and severity.rank >= Severity(fail_on).rank


def _count(made: Repairs, one: Mended, fail_on: FailOn) -> None:
    made.n_changed += bool(one.changes)
    made.by_fix.update(change.fix for change in one.changes)
    for rule, finding in one.left:
        severity = (finding.severity or rule.severity).value
        made.n_failing += _fails(Severity(severity), fail_on)
        made.totals.by_code[rule.code] = made.totals.by_code.get(rule.code, 0) + 1
        made.totals.by_severity[severity] = made.totals.by_severity.get(severity, 0) + 1


def change_json(outcome: Outcome, number: int, one: Mended, change: Change) -> dict[str, Any]:
    """A change as the report has it: `before` or `after` is absent where there was or is nothing under the key.

    Args:
        number: of the sample in its record, from 0.
    """
    where = outcome.record.where
    told: dict[str, Any] = {
        "file": where.file,
        "line": where.line,
        "item": where.item,
        "sample": number,
        "sample_id": one.given.get("id"),
        "fix": change.fix,
        "codes": list(change.codes),
        "path": change.json_path,
    }
    values = {"before": change.before, "after": change.after}
    return {**told, **{key: value for key, value in values.items() if value is not ABSENT}}


def summary(made: Repairs) -> str:
    """What a run comes to, in a few lines for people."""
    totals = made.totals
    lines = [
        f"{totals.n_records:,} {'record' if totals.n_records == 1 else 'records'} in {totals.n_files:,} "
        f"{'file' if totals.n_files == 1 else 'files'}: "
        f"{totals.n_samples:,} {'sample' if totals.n_samples == 1 else 'samples'} written, "
        f"{made.n_changed:,} changed; {totals.n_rejected:,} rejected"
    ]
    silenced = ("silenced by records", totals.silenced_by_code)
    for told, counts in (("changes", made.by_fix), silenced, ("findings left", totals.by_code)):
        if counts:
            lines.append(f"{told}: {by_count(counts)}")
    return "\n".join(lines) + "\n"
