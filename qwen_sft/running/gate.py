"""Whether a run passes: severities, limits, and a baseline that may get better and not worse.

A finding fails a run if it is at or above `fail_on` of its file. But one that the baseline holds is known and fails
nothing; and one of a rule with a limit counts for that limit instead, and fails only with it. A run fails as well if
checks did not run that ran for the baseline: a gate that quietly checks less is no gate.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from qwen_sft.asking.limits import limit
from qwen_sft.errors import UsageError
from qwen_sft.finding import Diagnostic, Severity
from qwen_sft.ingesting.ingest import Input, records
from qwen_sft.inspecting.census import Census
from qwen_sft.pipeline import THE_SET, Outcome, Pipeline, Survey, fails_on, outcomes, tally
from qwen_sft.record import Record, Where
from qwen_sft.reporter import Totals, in_checkout
from qwen_sft.rule import Rule, is_named, rules
from qwen_sft.running.baseline import Baseline, Known, read_baseline, writable, write_baseline
from qwen_sft.running.workers import Plan, is_alone, worked
from qwen_sft.settings import FailOn

_MOST_NAMED = 8  # rules in a sentence


class Gate:
    """Judges the outcomes of a run, one after the other.

    Args:
        pipeline: what makes them.
        inputs: what is read.
        baseline: the file to write a baseline to at the end; what it holds passes, so an older one of that name is not
            read.

    Raises:
        UsageError: a limit is about rules that do not run; there is no baseline, or no room for one.
        InputError: the baseline's file holds something else.
    """

    def __init__(self, pipeline: Pipeline, inputs: Sequence[Input], *, baseline: Path | None = None) -> None:
        self._pipeline = pipeline
        self._settings = pipeline.settings
        self._inputs = inputs
        self._limits = [limit(text) for text in self._settings.limit]
        self._target = None if baseline is None else writable(baseline, inputs)
        self._check_limits()
        named = None if self._settings.baseline is None else Path(self._settings.baseline)
        replaced = named is not None and baseline is not None and named.resolve() == baseline.resolve()
        self._baseline = None if named is None or replaced else read_baseline(named)
        self._left = Counter[str]()  # known findings that were not seen yet, by fingerprint
        for known, n in self._baseline.findings.items() if self._baseline else ():
            self._left[known.fingerprint] += n
        self._found = Counter[Known]()
        self._n_over = [0 for _ in self._limits]  # records that count for each limit
        self._last_over: list[int | None] = [None for _ in self._limits]  # the last of them: findings come in order
        self._of_codes: dict[str, list[int]] = {}
        self._fail_on: dict[str, FailOn] = {}
        self._known = Counter[str]()
        self._files = {_named(source.name) for source in inputs}
        self._n_without_tools = 0
        self._n_failing = 0

    def _check_limits(self) -> None:
        for one in self._limits:
            named = [rule for rule in rules().values() if rule.is_named([one.selector])]
            if not named:
                raise UsageError(f"limit {one.text!r}: no rule {one.selector!r}; see: qwen-sft rule")
            if not any(rule.code in self.running for rule in named):
                how = self._how_to_run(named) or "take it out, or let them run with --select"
                raise UsageError(f"limit {one.text!r} is about rules that do not run; {how}")
            if one.numerator and all(rule.stage == "set" for rule in named):
                code = named[0].code
                raise UsageError(
                    f"limit {one.text!r} is about the set as a whole, of which {code} finds something once or not "
                    f"at all; write {one.selector}=0 to fail on it, and how much it allows as "
                    f"thresholds = {{{code} = 0.05}}"
                )

    def _how_to_run(self, named: Sequence[Rule]) -> str:
        """What rules need that do not run, if it is one thing for all of them."""
        if self._settings.model is None and all(rule.needs_model for rule in named):
            return "name a model with --model"
        needs = {rule.needs for rule in named}
        if len(needs) == 1 and (needed := needs.pop()) and not getattr(self._settings, needed):
            return f"add --{needed.replace('_', '-')}"
        return ""

    @cached_property
    def running(self) -> frozenset[str]:
        """Codes of the rules that run on some file."""
        stages = [self._pipeline.rules, *(self._pipeline.rules_of(source.name) for source in self._inputs)]
        return frozenset(
            rule.code
            for one in stages
            for chosen in one.values()
            for rule in chosen
            if self._settings.model is not None or not rule.needs_model
        )

    def judge(self, outcome: Outcome) -> list[Diagnostic]:
        """The findings of an outcome that are to be reported: those that the baseline does not hold."""
        self._n_without_tools += outcome.n_without_tools
        if self._baseline is not None:
            self._files.add(_named(outcome.record.where.file))
        return self.news(outcome.diagnostics)

    def judge_all(self, fold: "Fold") -> list[Diagnostic]:
        """The same for many outcomes."""
        self._n_without_tools += fold.n_without_tools
        if self._baseline is not None:
            self._files.update(_named(file) for file in fold.files)
        return self.news(fold.findings)

    def news(self, findings: Sequence[Diagnostic]) -> list[Diagnostic]:
        """Those of some findings that the baseline does not hold; all are judged."""
        new: list[Diagnostic] = []
        for found in findings:
            if self._target is not None:
                self._found[Known(_named(found.where.file), found.code, found.fingerprint)] += 1
            if self._left and self._left.get(found.fingerprint, 0) > 0:  # hashed only where somebody asks
                self._left[found.fingerprint] -= 1
                self._known[found.code] += 1
            elif self._target is not None and self._baseline is None:
                self._known[found.code] += 1
            else:
                new.append(found)
                self._count(found)
        return new

    def _count(self, found: Diagnostic) -> None:
        if found.code not in self._of_codes:
            self._of_codes[found.code] = [
                k for k, one in enumerate(self._limits) if is_named(found.code, found.name, [one.selector])
            ]
        held = self._of_codes[found.code]
        record = _hashed(found.where)
        for k in held:
            self._n_over[k] += record != self._last_over[k]
            self._last_over[k] = record
        fail_on = self._fails_on(found.where.file)
        self._n_failing += not held and fail_on != "never" and found.severity.rank >= Severity(fail_on).rank

    def _fails_on(self, file: str) -> FailOn:
        if file not in self._fail_on:
            self._fail_on[file] = fails_on(self._settings, file)
        return self._fail_on[file]

    def close(self, totals: Totals) -> int:
        """Tells the totals what the gate has to say of the whole run, writes the baseline, and gives the exit code.

        Returns:
            0 passed, 1 failed, 3 nothing was checked; then no baseline is written.

        Raises:
            OutputError: the baseline cannot be written.
        """
        if not totals.n_records:
            return 3
        totals.known_by_code = dict(sorted(self._known.items()))
        totals.n_fixed = self._n_fixed()
        totals.not_checked = {
            "no_model": 0 if self._settings.model is not None else totals.n_samples,
            "no_tools": self._n_without_tools,
        }
        totals.failures = [*self._exceeded(totals.n_records), *self._unchecked()]
        if self._target is not None:
            chosen = (rule for some in self._pipeline.rules.values() for rule in some)
            lacking = frozenset(rule.code for rule in chosen if rule.needs_model) - self.running
            write_baseline(Baseline(self._found, self.running, lacking, self._n_without_tools), self._target)
        return int(bool(self._n_failing or totals.failures))

    def _n_fixed(self) -> int:
        """Findings of the baseline that are no more, where we looked: the rule ran, the file was read or is gone."""
        if self._baseline is None:
            return 0
        left = self._left.copy()
        n_fixed = 0
        for known, n in self._baseline.findings.items():
            if known.code in self.running and self._looked_into(known.file):
                gone = min(n, left[known.fingerprint])
                left[known.fingerprint] -= gone
                n_fixed += gone
        return n_fixed

    def _looked_into(self, file: str) -> bool:
        container = file.partition("!")[0]
        if file in self._files or container in self._files:
            return True
        return "://" not in file and "\\" not in file and file != "<stdin>" and not Path(container).exists()

    def _exceeded(self, n_records: int) -> list[str]:
        failures: list[str] = []
        for one, n_over, last in zip(self._limits, self._n_over, self._last_over, strict=True):
            most = one.most(n_records)
            if n_over > most:
                may = f"at most {most:,} may" if most else "none may"
                says = f"{n_over:,} of {n_records:,} records have such findings, {may}"
                if n_over == 1 and last == _THE_SET:
                    says = "the set as a whole has such a finding"
                failures.append(f"limit {one.text} is exceeded: {says}")
        return failures

    def _unchecked(self) -> list[str]:
        """What was checked for the baseline, and is not now."""
        if self._baseline is None:
            return []
        failures: list[str] = []
        shelf = rules()
        lost = sorted(code for code in self._baseline.rules & shelf.keys() if code not in self.running)
        anew = "or write the baseline anew with --write-baseline"
        if lost:
            needed = self._how_to_run([shelf[code] for code in lost])
            more = f" and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else ""
            how = needed or "let them run again (--select, --ignore, --model)"
            failures.append(
                f"rules that ran for the baseline do not run now: {', '.join(lost[:_MOST_NAMED])}{more}; {how}, {anew}"
            )
        before = self._baseline.n_without_tools
        if self._n_without_tools > before:
            failures.append(
                f"the arguments of the calls of {self._n_without_tools:,} samples could not be checked, "
                f"for the baseline of {before:,}: they declare no tools; give them with --tools, {anew}"
            )
        return failures


def _hashed(where: Where) -> int:
    return hash((where.file, where.line, where.item))


_THE_SET = _hashed(THE_SET)


def _named(file: str) -> str:
    """A file's name as a baseline has it: one that is no UTF-8 is escaped."""
    return in_checkout(file).encode("utf-8", "backslashreplace").decode()


def judged(
    inputs: Sequence[Input],
    pipeline: Pipeline,
    gate: Gate,
    totals: Totals,
    *,
    each: Callable[[Outcome], None] = lambda _: None,
    read: Callable[[Input], Iterator[Record]] = records,
    jobs: int = 1,
    many: Callable[[int, int, int, str], None] = lambda _n_records, _n_rejected, _n_bytes, _file: None,
) -> Iterator[Diagnostic]:
    """The findings of a whole run that are news to the gate: those of each record, in order, then those of the set.

    Args:
        totals: counts everything; complete when the findings have been used up; then `gate.close` says the exit code.
        each: is told of every record, in order, where one process does it all.
        read: gives the records of an input.
        jobs: how many processes work.
        many: is told of records, rejected ones, bytes and the file of the last record, where several do.

    Raises:
        InputError: an input cannot be opened.
        WorkerError: a process was ended by somebody else.
    """
    survey = Survey(pipeline)
    if not is_alone(pipeline.settings, jobs):
        for fold in folds(inputs, pipeline, jobs, read):
            totals.add(fold.totals)
            survey.census.merge(fold.census)
            many(fold.totals.n_records, fold.totals.n_rejected, fold.n_bytes, fold.files[-1])
            yield from gate.judge_all(fold)
    else:
        for outcome in outcomes(inputs, pipeline, read=read):
            tally(totals, outcome)
            survey.see(outcome)
            each(outcome)
            yield from gate.judge(outcome)
    yield from gate.news(survey.conclude(totals))


@dataclass(slots=True)
class Fold:
    """What many outcomes come to, for a gate: what is left of them on the way from another process.

    Attributes:
        findings: of all of them, in order.
        files: where their records stand.
        n_bytes: of their records.
        n_without_tools: see `Outcome`.
    """

    totals: Totals
    census: Census
    findings: list[Diagnostic] = field(default_factory=list[Diagnostic])
    files: list[str] = field(default_factory=list[str])
    n_bytes: int = 0
    n_without_tools: int = 0


def folded(pipeline: Pipeline, batch: Sequence[Outcome]) -> Fold:
    """The fold of some outcomes."""
    survey = Survey(pipeline)
    survey.census.is_part = True
    fold = Fold(Totals(), survey.census)
    for outcome in batch:
        tally(fold.totals, outcome)
        survey.see(outcome)
        fold.findings += [found.settled() for found in outcome.diagnostics]
        fold.n_bytes += len(outcome.record.raw) + 1
        fold.n_without_tools += outcome.n_without_tools
    fold.files = list(dict.fromkeys(outcome.record.where.file for outcome in batch))
    return fold


def see_again(fold: Fold, outcome: Outcome, *, has_baseline: bool) -> None:
    """Adds what a gate, and people who wait, are to be told of an outcome when a run goes on behind it.

    Args:
        has_baseline: whether the gate asks for fingerprints.
    """
    fold.totals.n_records += 1
    fold.totals.n_rejected += outcome.rejected
    fold.n_bytes += (len(outcome.record.raw) if outcome.n_bytes is None else outcome.n_bytes) + 1
    fold.n_without_tools += outcome.n_without_tools
    for found in outcome.diagnostics:
        mark = found.fingerprint if has_baseline else ""
        fold.findings.append(Diagnostic(found.code, found.name, found.severity, found.where, (), (), "", "", mark))
    file = outcome.record.where.file
    if not fold.files or fold.files[-1] != file:
        fold.files.append(file)


def folds(
    inputs: Sequence[Input], pipeline: Pipeline, jobs: int, read: Callable[[Input], Iterator[Record]]
) -> Iterator[Fold]:
    """The folds of all outcomes of some inputs, in order, made by several processes."""
    for stretch, fold, end in worked(Plan(inputs, pipeline, read=read), pipeline, jobs, folded):
        if end is not None:
            inputs[stretch.number].n_records += end.n_records
        else:
            yield fold
