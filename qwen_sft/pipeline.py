"""The one place where the stages meet: records in, outcomes out.

    record -format-> samples -rules-> findings -shape-> samples -render-> tokens -token rules-> findings, rows

`Pipeline.process` takes a batch and gives one outcome for each of its records, so the same function can run in this
process, in a pool or on a cluster: a pipeline pickles as its settings. A bad record is an outcome like any other.
"""

import hashlib
import json
import operator
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from msgspec import structs

from qwen_sft.asking.pathglob import is_matched
from qwen_sft.errors import UsageError
from qwen_sft.finding import Diagnostic, Finding, Marked, Severity
from qwen_sft.format import Candidates, Conversation, Event, Format, Reading, formats, recognising, unbalanced
from qwen_sft.ingesting.ingest import Input, records
from qwen_sft.inspecting.census import CONTEXT_NAME, LEAST_NAME, Census, Facts, facts_of
from qwen_sft.inspecting.inline import ignored
from qwen_sft.inspecting.keys import Keys, keys_of
from qwen_sft.inspecting.secret import MARKS, kinds_of
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.reading.dedup import marked
from qwen_sft.reading.gather import apart, gathered
from qwen_sft.reading.locate import declaration, located
from qwen_sft.record import Record, Where
from qwen_sft.reporter import Totals, in_checkout
from qwen_sft.rule import Encoded, Rule, Source, Stage, is_named, rules
from qwen_sft.sample import Path, is_object, json_path, value_at
from qwen_sft.settings import FailOn, Settings
from qwen_sft.shaping.adjust import MERGED_USER, adjuster, carried
from qwen_sft.shaping.media import attached
from qwen_sft.shaping.nullfill import repaired, without_fillers
from qwen_sft.shaping.redact import Hushed, hushed
from qwen_sft.text.excerpt import excerpt
from qwen_sft.text.glance import ONE_RECORD
from qwen_sft.text.sieve import Sieve, sieving
from qwen_sft.writer import DEFAULT, Row, writer_named

if TYPE_CHECKING:
    from qwen_sft.encoding.encoder import Encoder

ALWAYS = ("SRC", "SCH")
"""Letters of the rules that say what could not be checked: no setting switches them off."""

FILTERED = "SRC009"
"""The rule that says that settings leave a sample out."""

_SCHEMA_RULES = "SCH"
_SECRET_RULES = "SEC"  # what they find must stand in no report
_VERIFIED_SHARE = 20  # one record in so many is shown to the oracle, and the first ones of each file
_VERIFIED_FIRST = 8
_MOST_ASKED = 4000  # combinations of traits and marks for which the rules to ask are remembered
_LITTLE_BYTES = 1_000_000  # of input: `tokenizers` has encoded it before fastokens is loaded (0.3 s and 0.9 s)
_BATCH = (512, 8_000_000)  # records and bytes
_SMALL_BATCH = (16, 250_000)  # where no tokenizer wants many at once: what was just read is still in the cache


@dataclass(slots=True)
class Outcome:
    """What became of one record.

    Attributes:
        format: the name of the format that read it; None where none did.
        reading: what that format made of it.
        conversations: its samples as they were rendered; as they were read where nothing was rendered.
        numbers: for each of them which of the record's conversations it was, before settings left some out.
        transcripts: for each of them its transcript, from the rules to the encoder; empty before and after.
        rows: its training rows; empty without a model, and for a rejected record.
        aside: events that were merged or dropped, by the format or on the way.
        events: the places of the record's events; empty where nothing could be read.
        n_verified: how many of its samples the oracle has seen.
        encoded: what the encoder made of each sample; None where it was not asked.
        left_out: whether settings, or a later record, leave some of its events out.
        ignores: the rules that the record asks not to be held to, as it names them.
        silenced: the findings that are left out for that.
        keys: what curation asks of each of them that passed the rules, by its number; empty where nothing is curated.
        facts: what a census asks of each of its samples; empty where no rule looks at the whole set.
        n_without_tools: how many of its samples make calls whose arguments no declared tool can be held to.
        hushed: the record without its secrets, where settings replace them: what reports and rejects may show of it.
        n_bytes: of the record, where it was left behind in another process; else None.
    """

    record: Record
    diagnostics: list[Diagnostic] = field(default_factory=list[Diagnostic])
    format: str | None = None
    reading: Reading | None = None
    conversations: list[Conversation] = field(default_factory=list[Conversation])
    numbers: list[int] = field(default_factory=list[int])
    transcripts: list[Transcript] = field(default_factory=list[Transcript])
    rows: list[Row] = field(default_factory=list[Row])
    aside: list[Event] = field(default_factory=list[Event])
    events: list[Path] = field(default_factory=list[Path])
    n_verified: int = 0
    encoded: list[Encoded] | None = None
    left_out: bool = False
    ignores: tuple[str, ...] = ()
    silenced: list[Diagnostic] = field(default_factory=list[Diagnostic])
    keys: dict[int, Keys] = field(default_factory=dict[int, Keys])
    facts: list[Facts] = field(default_factory=list[Facts])
    n_without_tools: int = 0
    hushed: Hushed | None = None
    n_bytes: int | None = None

    @property
    def n_events(self) -> int:
        """How many events the record has."""
        return len(self.events)

    @property
    def n_kept(self) -> int:
        """How many of the events are the origin of a message."""
        read = self.conversations or (self.reading.conversations if self.reading and not self.left_out else [])
        gone = {event.path for event in self.aside}  # a message may stay with a placeholder for its words
        return len({origin for conversation in read for origin in conversation.origins} - gone)

    @property
    def rejected(self) -> bool:
        """True if the record must stay out of a training set, or gives nothing to put into it."""
        if not self.conversations or any(d.severity is Severity.ERROR for d in self.diagnostics):
            return True
        return self.encoded is not None and not any(one.rows for one in self.encoded)


class Pipeline:
    """All stages under one setting.

    Args:
        settings: what to read, check and render.
        excerpts: whether findings are shown with the line of the record around them, which takes time for each.
        n_bytes: how much there is to read, where that is known: it decides who encodes, if the settings do not.

    Raises:
        UsageError: settings that name a format or a rule that is on no shelf.
        ModelError: the model cannot be loaded.
    """

    def __init__(self, settings: Settings, *, excerpts: bool = True, n_bytes: int | None = None) -> None:
        self.settings = settings
        self.excerpts = excerpts
        self._n_bytes = n_bytes
        self.formats = formats()
        self._candidates = Candidates(self.formats.values())
        self.rules = _selected(settings)
        self._of_files: dict[str, dict[Stage, list[Rule]]] = {}
        self._of_overrides: dict[tuple[bool, ...], dict[Stage, list[Rule]]] = {}
        self._asked_of: dict[object, list[Rule]] = {}
        for number in range(len(settings.overrides)):  # a rule that does not exist must stop us before the first record
            self._overridden(tuple(k == number for k in range(len(settings.overrides))))
        if settings.format is not None and settings.format not in self.formats:
            raise UsageError(f"no format {settings.format!r}; formats are {', '.join(self.formats)}")
        if settings.writer != DEFAULT:
            writer_named(settings.writer)
        self.adjust = adjuster(settings)
        if settings.model is not None:
            self.encoder  # noqa: B018  # loads it now: a missing model must stop us before the first record does

    def rules_of(self, file: str) -> dict[Stage, list[Rule]]:
        """The rules that run on a file, by stage: those of the settings, but where overrides are about it."""
        if not self.settings.overrides:
            return self.rules
        if file not in self._of_files:
            name = in_checkout(file)
            self._of_files[file] = self._overridden(
                tuple(is_matched(name, one.paths) for one in self.settings.overrides)
            )
        return self._of_files[file]

    def _overridden(self, holds: tuple[bool, ...]) -> dict[Stage, list[Rule]]:
        if holds not in self._of_overrides:
            settings = self.settings
            these = [one for one, is_here in zip(settings.overrides, holds, strict=True) if is_here]
            select = next((one.select for one in reversed(these) if one.select), settings.select)
            ignore = (*settings.ignore, *(code for one in these for code in one.ignore))
            self._of_overrides[holds] = _selected(replace(settings, select=select, ignore=ignore))
        return self._of_overrides[holds]

    def __reduce__(self) -> tuple[Callable[[Settings], "Pipeline"], tuple[Settings]]:
        return partial(Pipeline, excerpts=self.excerpts, n_bytes=self._n_bytes), (self.settings,)

    @cached_property
    def encoder(self) -> "Encoder":
        """Samples to rows for the model of the settings, which must name one."""
        from qwen_sft.encoding.encoder import Encoder  # numpy, jinja2 and the tokenizer: 0.3 s that others need not pay
        from qwen_sft.family import families  # numpy too

        is_little = self._n_bytes is not None and self._n_bytes < _LITTLE_BYTES
        return Encoder(self.settings, families(), sooner=is_little)

    def process(self, batch: Sequence[Record]) -> list[Outcome]:
        """One outcome for each record, in order."""
        outcomes: list[Outcome] = []
        for record in batch:
            with _named_in_crash(record):
                outcomes.append(self._read(record))
        if self.settings.model is not None:
            self._encode(outcomes)
        return outcomes

    # -- record to sample ---------------------------------------------------------------------------------------------

    def _read(self, record: Record) -> Outcome:
        outcome = Outcome(record, ignores=ignored(record) if self.settings.inline_ignore else ())
        if self.settings.redact:
            outcome.hushed = hushed(record)
        if record.fault is None:
            source = self._adjusted(self._recognise(record, outcome), outcome)
        else:
            source = Source(record, self.settings)
        for rule in self.rules_of(record.where.file)["record"]:
            for finding in rule.check(source):
                outcome.diagnostics.append(self._stamp(rule, finding, outcome, path=finding.path))
        _silence(outcome)
        if any(d.severity is Severity.ERROR for d in outcome.diagnostics):
            outcome.conversations = []
        for conversation in outcome.conversations:
            self._check_sample(conversation, outcome)
        _silence(outcome)
        if outcome.rejected:
            outcome.transcripts = []
        return outcome

    def _recognise(self, record: Record, outcome: Outcome) -> Source:
        wanted = self.settings.format
        data = without_fillers(record.data, record.structs) if record.structs else record.data
        with ONE_RECORD:
            recognised = recognising([self.formats[wanted]] if wanted else self._candidates.of(data), data)
            names = tuple(format.name for format in recognised)
            if len(recognised) != 1:
                return Source(record, self.settings, names)
            (format,) = recognised
            events = format.events(data)
            reading = format.read(data)
        if record.structs:
            read = [replace(one, sample=repaired(one.sample, record.structs)) for one in reading.conversations]
            reading = replace(reading, conversations=read)
        reading = _attached(data, reading)
        outcome.format = format.name
        outcome.reading = reading
        outcome.aside = list(reading.aside)
        outcome.events = [] if reading.refusal else events
        imbalance = () if reading.refusal else tuple(unbalanced(events, reading))
        return Source(record, self.settings, names, reading, imbalance)

    @cached_property
    def joining(self) -> list[Format]:
        """The formats that put lines together which may be here."""
        return [one for one in self.formats.values() if one.joins and self.settings.format in (None, one.name)]

    def whole(self, lines: Iterator[Record]) -> Iterator[Record]:
        """The records of one input: pieces of one put together, those marked that a later one repeats."""
        found = gathered(lines, self.joining)
        return marked(found, self.conversations, self.staying) if self.settings.dedup_prefixes else found

    def apart(self, values: Sequence[Any], following: Any) -> bool:
        """True for lines and the one behind them, by their values, that seem to be of several records."""
        return apart(self.joining, values, following)

    def conversations(self, record: Record) -> list[Conversation]:
        """What a record holds, before any check; nothing where no format, or more than one, reads it."""
        found = Outcome(record)
        self._recognise(record, found)
        return found.reading.conversations if found.reading else []

    @cached_property
    def _judge(self) -> "Pipeline":
        """This pipeline; one with all rules where only those that read are selected, as a later step will have them."""
        reads_only = bool(self.settings.select) and set(self.settings.select) <= set(ALWAYS)
        return Pipeline(replace(self.settings, select=())) if reads_only else self

    def staying(self, record: Record) -> frozenset[int]:
        """The conversations of a record, by number, that come into a training set; none if the record is rejected."""
        (outcome,) = self._judge.process([record])
        if outcome.rejected:
            return frozenset()
        if outcome.encoded is None:
            return frozenset(outcome.numbers)
        return frozenset(n for n, one in zip(outcome.numbers, outcome.encoded, strict=True) if one.rows)

    def _adjusted(self, source: Source, outcome: Outcome) -> Source:
        """Makes the changes that settings ask for, and tells of the conversations that they leave out."""
        if source.reading is None or source.imbalance:
            return source
        marks = source.record.marks
        repeated: list[str] = []
        filtered: list[str] = []
        reasons: dict[Path, Event] = {}
        for index, read in enumerate(source.reading.conversations):
            if index in marks.repeated:
                where = marks.repeated[index]
                repeated.append(f"{where.file}:{where.line}")
                gone = [Event(place, "merged", "repeated by a later record") for place in read.origins]
            else:
                done = self.adjust(carried(read, marks.carried.get(index, {})))
                if done.conversation is not None:
                    outcome.conversations.append(done.conversation)
                    outcome.numbers.append(index)
                    merged = set(read.origins).difference(done.conversation.origins)
                    gone = [Event(place, "merged", MERGED_USER) for place in merged]
                else:
                    filtered.append(done.reason)
                    gone = [Event(place, "dropped", done.reason) for place in read.origins]
            reasons.update({event.path: event for event in gone})
        if reasons:
            outcome.left_out = True
            kept = {place for one in outcome.conversations for place in one.origins}
            outcome.aside += [event for place, event in reasons.items() if place not in kept]
        return (
            structs.replace(source, repeated=tuple(repeated), filtered=tuple(filtered))
            if repeated or filtered
            else source
        )

    def _check_sample(self, conversation: Conversation, outcome: Outcome) -> None:
        transcript = Transcript(conversation.sample, self.settings, outcome.record.structs)
        if self.settings.model is not None:
            outcome.transcripts.append(transcript)
        rules = self.rules_of(outcome.record.where.file)["sample"]
        for rule in rules:  # those about the shape come first: the others may take it for granted
            if not rule.code.startswith(_SCHEMA_RULES):
                break
            found = [self._place(rule, f, conversation, outcome) for f in rule.check(transcript)]
            if found:
                outcome.diagnostics += found
                return
        for rule in self._asked(rules, transcript):
            for finding in rule.check(transcript):
                outcome.diagnostics.append(self._place(rule, finding, conversation, outcome))
        if self.rules["set"]:
            facts = facts_of(transcript, outcome.record.where, near=self.settings.near_duplicates)
            outcome.facts.append(facts)
        outcome.n_without_tools += not transcript.tools and bool(transcript.exchanges)

    def _asked(self, rules: Sequence[Rule], transcript: Transcript) -> Sequence[Rule]:
        """Those of the rules of the stage `sample`, but for those about the shape, that may find something in it."""
        data = transcript.json
        if data is not None:
            marks = frozenset(self._sieve(data))
            transcript.kinds, transcript.marks = kinds_of(marks, data), marks
        has = (transcript.traits, transcript.marks, id(rules))  # the lists of rules live as long as the pipeline
        asked = self._asked_of.get(has)
        if asked is None:
            if len(self._asked_of) >= _MOST_ASKED:
                self._asked_of.clear()
            asked = [rule for rule in rules if not rule.code.startswith(_SCHEMA_RULES) and _may_find(rule, transcript)]
            self._asked_of[has] = asked
        return asked

    @cached_property
    def _sieve(self) -> Sieve:
        """Tells which marks of any rule, and of secrets, stand in the JSON of a sample."""
        marks = dict.fromkeys(mark for rule in rules().values() for mark in rule.marks)
        return sieving((*MARKS, *((mark, mark) for mark in marks)))

    def _place(self, rule: Rule, finding: Finding, conversation: Conversation, outcome: Outcome) -> Diagnostic:
        """The diagnostic of a finding in a sample, at the place in the record that it came from."""
        path: Path = finding.path
        data = outcome.record.data
        keeps_fields = outcome.format is not None and self.formats[outcome.format].keeps_fields
        keeps_fields = keeps_fields and not conversation.rebuilt
        match finding.path:
            case ("messages", int() as index, *rest) if index < len(conversation.origins):
                if keeps_fields:
                    path = (*conversation.origins[index], *rest)
                else:
                    message = value_at(conversation.sample, ("messages", index))
                    path = located(data, outcome.events, conversation.origins, message, finding.path)
            case (str() as part, *_) if keeps_fields and is_object(data) and part in data:
                pass
            case ("tools", int() as index, *rest):
                tool = value_at(conversation.sample, ("tools", index))
                path = declaration(data, tool, rest)
            case _:
                path = ()
        return self._stamp(rule, finding, outcome, path=path, sample_id=conversation.sample.get("id"))

    def _stamp(
        self, rule: Rule, finding: Finding, outcome: Outcome, *, path: Path, sample_id: str | None = None
    ) -> Diagnostic:
        record = outcome.record
        where = record.where
        says, fix, shown_record = finding.says, finding.fix, record
        if outcome.hushed is not None and outcome.hushed.record is not record:
            shown_record = outcome.hushed.record
            says, fix = outcome.hushed.text(says), outcome.hushed.text(fix)
        shows = self.excerpts and not rule.code.startswith(_SECRET_RULES)
        shown = excerpt(shown_record, path, says) if shows else None
        if record.parts and path and isinstance(path[0], int):  # it was put together from lines: name the line
            where, path = record.parts[path[0]], path[1:]
        return Diagnostic(
            code=rule.code,
            name=rule.name,
            severity=finding.severity or rule.severity,
            where=where,
            path=path,
            sample_path=finding.path,
            says=says,
            fix=fix,
            marked=Marked(f"{rule.code}{json_path(path)}", record.raw),
            sample_id=sample_id,
            excerpt=shown,
        )

    # -- sample to tokens ---------------------------------------------------------------------------------------------

    def _encode(self, outcomes: Sequence[Outcome]) -> None:
        """Renders and encodes all samples of all clean records; one call of the tokenizer does the batch."""
        clean = [outcome for outcome in outcomes if not outcome.rejected]
        inputs = [self._to_encode(outcome) for outcome in clean]
        transcripts = [one for outcome in clean for one in outcome.transcripts]
        try:
            encoded = iter(self.encoder.encode([one for each in inputs for one in each], transcripts))
        except Exception:
            for outcome, each in zip(clean, inputs, strict=True):  # one by one, to say which record it was
                with _named_in_crash(outcome.record):
                    self.encoder.encode(each)
            raise
        for outcome in clean:
            outcome.transcripts = []
            numbers = outcome.numbers
            if self.settings.is_curated:
                near = self.settings.dedup == "near"
                samples = zip(numbers, outcome.conversations, strict=True)
                outcome.keys = {number: keys_of(one.sample, near=near) for number, one in samples}
            made = self._fitting([next(encoded) for _ in outcome.conversations], outcome)
            outcome.encoded = made
            token_rules = self.rules_of(outcome.record.where.file)["tokens"]
            for index, one in enumerate(made):
                with _named_in_crash(outcome.record):
                    for rule in token_rules:
                        found = rule.check(one)
                        outcome.diagnostics += [self._place(rule, f, one.conversation, outcome) for f in found]
                    name = one.conversation.sample.get("id", "")
                    outcome.rows += _rows(one, outcome.record.where, name, index)
                told = {event.path for event in outcome.aside}
                outcome.aside += [event for event in one.dropped if event.path not in told]
                outcome.n_verified += one.verified
            outcome.conversations = [one.conversation for one in made]
            if outcome.facts:
                outcome.facts = _with_rows(dict(zip(numbers, outcome.facts, strict=True)), outcome.numbers, made)
            _silence(outcome)
            if outcome.rejected:
                outcome.rows = []

    def _to_encode(self, outcome: Outcome) -> list[tuple[Conversation, bool]]:
        """The samples of a record, and whether the oracle is to be asked about them."""
        verify = is_verified(outcome.record, self.settings)
        return [(one, verify) for one in outcome.conversations]

    def _fitting(self, encoded: Sequence[Encoded], outcome: Outcome) -> list[Encoded]:
        """The samples of a record, those with rows over the limit as several where settings want that."""
        verify = is_verified(outcome.record, self.settings)
        with _named_in_crash(outcome.record):
            made = [self.encoder.fitting(one, verify) for one in encoded]
        outcome.numbers = [number for number, ones in zip(outcome.numbers, made, strict=True) for _ in ones]
        return [one for ones in made for one in ones]

    def leave_out(self, outcome: Outcome, reasons: Mapping[int, tuple[str, str]]) -> None:
        """Takes samples out of a record, when that is known only from other records.

        Args:
            reasons: by the number of the sample: why, in words that many samples share, and in its own.
        """
        if not reasons:
            return
        (rule,) = (one for one in self.rules["record"] if one.code == FILTERED)
        seen = list(dict.fromkeys(outcome.numbers))
        if outcome.facts:
            facts = zip(seen, outcome.facts, strict=True)
            outcome.facts = [one for number, one in facts if number not in reasons]
        staying = [index for index, number in enumerate(outcome.numbers) if number not in reasons]
        going = [index for index, number in enumerate(outcome.numbers) if number in reasons]
        for number in seen:
            if number in reasons:
                name = outcome.conversations[outcome.numbers.index(number)].sample.get("id")
                source = Source(outcome.record, self.settings, filtered=(reasons[number][1],))
                found = [self._stamp(rule, one, outcome, path=(), sample_id=name) for one in rule.check(source)]
                outcome.diagnostics += found
        named = {place for index in staying for place in outcome.conversations[index].origins}
        named |= {event.path for event in outcome.aside}
        for index in going:
            reason, _ = reasons[outcome.numbers[index]]
            for place in outcome.conversations[index].origins:
                if place not in named:
                    named.add(place)
                    outcome.aside.append(Event(place, "dropped", reason))
        outcome.left_out = True
        outcome.rows = [row for row in outcome.rows if row.sample in staying]
        outcome.encoded = [outcome.encoded[index] for index in staying] if outcome.encoded is not None else None
        outcome.conversations = [outcome.conversations[index] for index in staying]
        outcome.numbers = [outcome.numbers[index] for index in staying]


def _attached(data: Any, reading: Reading) -> Reading:
    """The reading with the media that a record keeps beside its turns; most records keep none."""
    made = [attached(data, one) for one in reading.conversations]
    is_same = all(map(operator.is_, made, reading.conversations))
    return reading if is_same else replace(reading, conversations=made)


def _rows(one: Encoded, where: Where, name: str, index: int) -> Iterator[Row]:
    """The rows of a sample, each with what the template was given for its last turn."""
    end = 0
    for tokens in one.rows:
        end += len(tokens.turns)
        options: dict[str, Any] = json.loads(one.requests[end - 1]) if one.requests else {}
        yield Row(tokens, where, name, index, one.conversation.sample, options)


@contextmanager
def _named_in_crash(record: Record) -> Generator[None, None, None]:
    """Notes on an exception which record was at work."""
    try:
        yield
    except Exception as error:
        error.add_note(f"at {record.where.file}:{record.where.line}")
        raise


def is_verified(record: Record, settings: Settings) -> bool:
    """True if the oracle is to see this record's samples: the first ones of each file, and by hash one in twenty."""
    if settings.verify == "sample":
        where = record.where
        first = (where.line if where.item is None else where.item + 1) <= _VERIFIED_FIRST
        return first or zlib.crc32(record.raw, settings.seed) % _VERIFIED_SHARE == 0
    return settings.verify == "all"


def _may_find(rule: Rule, transcript: Transcript) -> bool:
    """False where a rule says that it finds nothing in such a sample."""
    if transcript.marks is None or not (rule.traits or rule.marks):
        return True
    return not (transcript.traits.isdisjoint(rule.traits) and transcript.marks.isdisjoint(rule.marks))


def _selected(settings: Settings) -> dict[Stage, list[Rule]]:
    """The rules that run, by stage; `select` and `ignore` take codes, letters of codes, or names."""
    shelf = rules()

    for selector in (*settings.select, *settings.ignore):
        hit = [rule for rule in shelf.values() if rule.is_named([selector])]
        if not hit or not selector:
            raise UsageError(f"no rule {selector!r}; see: qwen-sft rule")
        if selector in settings.select and not any(_can_run(rule, settings) for rule in hit):
            raise UsageError(f"{selector!r} does not run by itself; add --{hit[0].needs.replace('_', '-')}")
        if selector in settings.ignore and all(rule.code.startswith(ALWAYS) for rule in hit):
            raise UsageError(f"{selector!r} cannot be ignored: what it names was not checked at all")
    movable = [LEAST_NAME, CONTEXT_NAME, *(rule.code for rule in shelf.values() if rule.stage == "set")]
    for key in settings.thresholds:
        if key not in movable:
            raise UsageError(f"thresholds set {key!r}; they can be set for {', '.join(movable)}")
    chosen: dict[Stage, list[Rule]] = {"record": [], "sample": [], "tokens": [], "set": []}
    for rule in shelf.values():
        wanted = (not settings.select or rule.is_named(settings.select)) and not rule.is_named(settings.ignore)
        if (wanted and _can_run(rule, settings)) or rule.code.startswith(ALWAYS):
            chosen[rule.stage].append(rule)
    chosen["sample"].sort(key=lambda rule: not rule.code.startswith(_SCHEMA_RULES))
    return chosen


def _can_run(rule: Rule, settings: Settings) -> bool:
    """False if a rule needs a setting that is off; without a model its checks are told as not done."""
    return not rule.needs or rule.needs_model or bool(getattr(settings, rule.needs))


def _with_rows(facts: Mapping[int, Facts], numbers: Sequence[int], encoded: Sequence[Encoded]) -> list[Facts]:
    """The facts of a record's samples with the numbers of their tokens.

    Args:
        facts: by the number of the sample.
        numbers: for each of `encoded` that of the sample that it is, or is a part of.
    """
    lengths: dict[int, list[int]] = {number: [] for number in facts}
    trained = dict.fromkeys(facts, 0)
    for number, one in zip(numbers, encoded, strict=True):
        lengths[number] += [len(row.input_ids) for row in one.rows]
        trained[number] += sum(row.n_trained_tokens for row in one.rows)
    return [
        structs.replace(one, longest=max(lengths[n], default=0), n_tokens=sum(lengths[n]), n_trained=trained[n])
        for n, one in facts.items()
    ]


def _silence(outcome: Outcome) -> None:
    """Takes out the findings that the record asks not to be held to, and keeps them aside, to be counted."""
    if not outcome.ignores:
        return
    kept: list[Diagnostic] = []
    for one in outcome.diagnostics:
        silent = not one.code.startswith(ALWAYS) and is_named(one.code, one.name, outcome.ignores)
        (outcome.silenced if silent else kept).append(one)
    outcome.diagnostics = kept


def fails_on(settings: Settings, file: str) -> FailOn:
    """From which severity on a finding in a file fails a run: what the last override about the file says, or all do."""
    name = in_checkout(file) if settings.overrides else file
    these: list[FailOn] = [one.fail_on for one in settings.overrides if one.fail_on and is_matched(name, one.paths)]
    return these[-1] if these else settings.fail_on


Process = Callable[[Sequence[Record]], list[Outcome]]
"""What an engine runs: `Pipeline.process`."""


def outcomes(
    inputs: Iterable[Input],
    pipeline: Pipeline,
    process: Process | None = None,
    read: Callable[[Input], Iterator[Record]] = records,
) -> Iterator[Outcome]:
    """The outcomes of all records of some inputs, in order; memory holds one batch.

    Args:
        process: what an engine runs; the pipeline's own `process` by default.
        read: gives the records of an input.

    Raises:
        InputError: an input cannot be opened.
    """
    most_records, most_bytes = _SMALL_BATCH if process is None and pipeline.settings.model is None else _BATCH
    process = process or pipeline.process
    for source in inputs:
        batch: list[Record] = []
        size = 0
        for record in pipeline.whole(read(source)):
            batch.append(record)
            size += len(record.raw)
            if len(batch) >= most_records or size >= most_bytes:
                yield from process(batch)
                batch, size = [], 0
        yield from process(batch)


THE_SET = Where("<set>", 1)
"""The place of a finding about the whole set: it has no file and no line, and reports need one."""


class Survey:
    """What the rules about the whole set say of it, when all of its outcomes were seen.

    Rejected records are no part of the set.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        has_model = pipeline.settings.model is not None
        self._rules = [rule for rule in pipeline.rules["set"] if has_model or not rule.needs_model]
        model = pipeline.encoder.model if has_model else None
        self.census = Census(pipeline.settings.thresholds, model.context if model else None)

    def see(self, outcome: Outcome) -> None:
        """Adds the samples of a record."""
        if outcome.facts and not outcome.rejected:
            for facts in outcome.facts:
                self.census.see(facts, outcome.record.where)

    def conclude(self, totals: Totals) -> list[Diagnostic]:
        """The findings about the set, which the totals count from now on."""
        found: list[Diagnostic] = []
        for rule in self._rules if self.census.n_samples else ():
            for finding in rule.check(self.census):
                digest = hashlib.blake2b(rule.code.encode(), digest_size=8).hexdigest()
                severity = finding.severity or rule.severity
                says = (finding.says, finding.fix)
                found.append(Diagnostic(rule.code, rule.name, severity, THE_SET, (), (), *says, digest))
        for diagnostic in found:
            _add(totals, diagnostic)
        return found


def _add(totals: Totals, diagnostic: Diagnostic) -> None:
    totals.by_code[diagnostic.code] = totals.by_code.get(diagnostic.code, 0) + 1
    severity = diagnostic.severity.value
    totals.by_severity[severity] = totals.by_severity.get(severity, 0) + 1


def tally(totals: Totals, outcome: Outcome) -> None:
    """Counts one outcome."""
    totals.n_records += 1
    totals.n_rejected += outcome.rejected
    totals.n_clean += not outcome.rejected
    totals.n_samples += len(outcome.conversations)
    name = outcome.format or "none"
    totals.by_format[name] = totals.by_format.get(name, 0) + 1
    totals.n_events += outcome.n_events
    if outcome.n_events:
        merged = sum(event.fate == "merged" for event in outcome.aside)
        dropped = len(outcome.aside) - merged
        totals.n_merged += merged
        totals.n_dropped += dropped
        totals.n_kept += outcome.n_kept
        totals.kept_by_format[name] = totals.kept_by_format.get(name, 0) + outcome.n_kept
        totals.merged_by_format[name] = totals.merged_by_format.get(name, 0) + merged
        totals.dropped_by_format[name] = totals.dropped_by_format.get(name, 0) + dropped
    for event in outcome.aside:
        if event.fate == "dropped":
            totals.dropped_reasons[event.reason] = totals.dropped_reasons.get(event.reason, 0) + 1
    for diagnostic in outcome.silenced:
        totals.silenced_by_code[diagnostic.code] = totals.silenced_by_code.get(diagnostic.code, 0) + 1
    for diagnostic in outcome.diagnostics:
        _add(totals, diagnostic)
