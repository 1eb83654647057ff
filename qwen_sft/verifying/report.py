"""What a trainer will do with a folder, in words and as JSON; what rows hold is escaped."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from qwen_sft import __version__
from qwen_sft.finding import Severity
from qwen_sft.text.quote import quoted
from qwen_sft.text.terminal import one_line, styled
from qwen_sft.trainer import Claim, Facts
from qwen_sft.verifying.compare import Comparison, Stretch
from qwen_sft.verifying.verify import Verification

_KINDS = {
    "tokens": "tokenized rows",
    "messages": "conversations",
    "prompt-completion": "prompts with completions",
    "sharegpt": "conversations as {from, value}",
    "text": "texts",
    "nothing": "rows of no known kind",
}


def text_report(result: Verification, colour: bool) -> Iterator[str]:
    """The lines of a report."""
    facts, trainer = result.facts, result.trainer
    files = "1 file" if len(facts.files) == 1 else f"{len(facts.files):,} files"
    by = f", by qwen-sft's writer {one_line(facts.writer)}" if facts.writer else ""
    made_for = f", for {one_line(facts.model)}" if facts.model else ""
    yield f"{one_line(str(facts.folder))}: {facts.n_rows:,} {_KINDS[facts.kind]} in {files}{by}{made_for}"
    yield f"{trainer.name} {result.version} (read in its code{_installed(result)}) with {_settings(result)}"
    for claim in result.claims:
        yield ""
        yield from _claim(claim, facts, colour)
    yield ""
    if result.comparison is not None:
        yield from _compared(result, result.comparison)
    elif trainer.prepare is not None:
        yield f"not run: the preparation of {trainer.name} itself (--run; it takes half a minute and more)"
    if result.note:
        yield f"not measured: {one_line(result.note)}"
    if facts.unread.n_rows:
        yield f"not read: {facts.unread.n_rows:,} rows, first {one_line(facts.unread.first)}"
    counts = Counter(claim.severity for claim in result.claims)
    told = (f"{counts[one]} {one}{'' if counts[one] == 1 else 's'}" for one in reversed(Severity))
    yield ", ".join(told)


def _installed(result: Verification) -> str:
    installed = result.installed
    if installed is None or installed == result.version or installed.startswith(f"{result.version}."):
        return ""
    return f"; installed here is {one_line(installed)}"


def _settings(result: Verification) -> str:
    setup = result.setup
    shown = [
        f"{name}={quoted(value)}" if not isinstance(value, bool | int) else f"{name}={value}"
        for name, value in setup.values.items()
        if name in setup.told or name == result.trainer.length
    ]
    return one_line(", ".join(shown))


def _claim(claim: Claim, facts: Facts, colour: bool) -> Iterator[str]:
    head = styled(f"{claim.severity} {claim.name}", claim.severity, colour)
    yield f"{head}: {one_line(_rows(claim, facts))}"
    yield f"    {one_line(claim.says)}"
    if claim.fix:
        yield f"    {styled('fix:', 'fix', colour)} {one_line(claim.fix)}"
    yield f"    {styled(f'source: {claim.source}', 'dim', colour)}"


def _rows(claim: Claim, facts: Facts) -> str:
    n = claim.rows.n_rows
    if not n:
        return claim.rows.first
    if n == facts.n_rows:
        return "every row" if n > 1 else "the only row"
    return f"{n:,} of {facts.n_rows:,} rows, first {claim.rows.first}"


def _compared(result: Verification, made: Comparison) -> Iterator[str]:
    behind = f" ({made.n_left:,} rows behind them were not prepared; see --run-rows)" if made.n_left else ""
    counts = [f"{made.n_same:,} come out with exactly our labels"]
    if made.n_labels:
        counts.append(
            f"{made.n_labels:,} with other labels ({made.n_more:,} tokens more are trained, {made.n_fewer:,} fewer)"
        )
    if made.n_text:
        counts.append(f"{made.n_text:,} with another text")
    if made.n_dropped:
        counts.append(f"{made.n_dropped:,} are dropped")
    if made.n_rejected:
        counts.append(f"{made.n_rejected:,} have no labels of ours")
    trainer = f"{result.trainer.name} {result.installed or result.version}"
    yield f"run: of {made.n_rows:,} rows that {trainer} itself has prepared{behind} {', '.join(counts)}"
    if made.first is not None:
        yield f"    first at token {made.first.start:,} of {one_line(made.first.place)}; [trained]:"
        yield f"    ours   {_tokens(made.first.ours)}"
        yield f"    {result.trainer.name:<6} {_tokens(made.first.theirs)}"


def _tokens(tokens: tuple[tuple[str, bool], ...]) -> str:
    return " ".join(f"[{_token(text)}]" if trained else _token(text) for text, trained in tokens) or "(ends)"


def _token(text: str) -> str:
    return one_line(text.replace("\n", "⏎").replace("\t", "⇥"))


def json_report(result: Verification) -> dict[str, Any]:
    """The result as JSON values."""
    facts = result.facts
    return {
        "qwen_sft": __version__,
        "trainer": result.trainer.name,
        "version": result.version,
        "installed": result.installed,
        "exit_code": result.exit_code,
        "folder": str(facts.folder),
        "kind": facts.kind,
        "files": [{"file": file, "n_rows": n} for file, n in facts.files],
        "n_rows": facts.n_rows,
        "n_unread": facts.unread.n_rows,
        "columns": facts.columns,
        "writer": facts.writer or None,
        "model": facts.model or None,
        "settings": dict(result.setup.values),
        "note": result.note or None,
        "claims": [
            {
                "name": claim.name,
                "severity": str(claim.severity),
                "says": claim.says,
                "fix": claim.fix or None,
                "n_rows": claim.rows.n_rows,
                "first": claim.rows.first or None,
                "source": claim.source,
            }
            for claim in result.claims
        ],
        "run": None if result.comparison is None else _run(result.comparison),
    }


def _run(made: Comparison) -> dict[str, Any]:
    return {
        "n_rows": made.n_rows,
        "n_rows_not_prepared": made.n_left,
        "n_same": made.n_same,
        "n_other_labels": made.n_labels,
        "n_other_text": made.n_text,
        "n_dropped": made.n_dropped,
        "n_without_our_labels": made.n_rejected,
        "n_tokens_more": made.n_more,
        "n_tokens_fewer": made.n_fewer,
        "first": None if made.first is None else _stretch(made.first),
    }


def _stretch(one: Stretch) -> dict[str, Any]:
    return {
        "place": one.place,
        "start": one.start,
        "ours": [{"text": text, "trained": trained} for text, trained in one.ours],
        "theirs": [{"text": text, "trained": trained} for text, trained in one.theirs],
    }
