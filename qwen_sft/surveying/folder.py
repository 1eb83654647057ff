# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyarrow has no types; what leaves this file is typed by its functions.
"""The numbers of a set that was built: its manifest, and its rows read column by column, some at a time."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from heapq import nsmallest
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from qwen_sft.building.outfolder import REJECTS
from qwen_sft.errors import InputError
from qwen_sft.finding import Severity
from qwen_sft.ingesting.ingest import Watched, unwatched
from qwen_sft.inspecting.scratch import Scratch
from qwen_sft.rule import rules
from qwen_sft.sample import is_list, is_object
from qwen_sft.surveying.cost import Assumed
from qwen_sft.surveying.gather import MOST_FILES, N_EXAMPLES, PATTERNS, limit, samples_named, shortened
from qwen_sft.surveying.numbers import Example, Found, KindOfTokens, Numbers, Origin, Split
from qwen_sft.surveying.spoken import Spoken
from qwen_sft.surveying.spread import Spread
from qwen_sft.tokens import IGNORE, Kind
from qwen_sft.verifying.facts import inputs_of, manifest_of

_BATCH = 512
_COLUMNS = ("input_ids", "labels", "kinds", "n_calls", "depth", "turns", "source_file", "source_line")


def is_built(path: Path) -> bool:
    """True for a folder that `build` wrote."""
    return path.is_dir() and bool(manifest_of(path))


def survey_folder(folder: Path, assumed: Assumed, model: str | None = None, watched: Watched = unwatched) -> Numbers:
    """The numbers of a set that `build` wrote.

    Args:
        model: the one that is to be trained: its template and tokenizer are held to the set's lock.
        watched: for people who wait while the rows are read.

    Raises:
        ModelError: the model cannot be loaded, or the lock is none.
        UsageError: a model is named, and the set has no lock.
        InputError: a file that the manifest lists is missing or damaged, or the manifest is none of ours.
    """
    manifest = manifest_of(folder)
    try:
        numbers = _told(folder, manifest, assumed)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{str(folder / 'manifest.json')!r} is no manifest of a build: {error!r}; build again"
        ) from error
    listed: list[Any] = manifest["files"]
    split_of = {str(folder / str(one.get("file"))): str(one.get("split") or "") for one in listed if is_object(one)}
    spoken, why = _spoken(manifest)
    rows = _Rows(spoken)
    readable = manifest["writer"].get("writes") == "tokens"
    inputs = inputs_of(folder, manifest) if readable else []
    readable = readable and all(source.name.endswith((".parquet", ".arrow")) for source in inputs)
    with watched(inputs) if readable else unwatched(inputs) as each:
        for source in inputs if readable else ():
            for batch in _batches(source.name):
                rows.see(batch, split_of.get(source.name, ""))
                each(batch.num_rows, source.name)
    if readable:
        rows.tell(numbers)
        if why:
            numbers.untold |= {"tools": why, "patterns": why, "samples": why}
    else:
        name = manifest["writer"]["name"]
        why = f"The rows are as the writer {name} has them; to measure them: qwen-sft report {folder}/data --model …"
        numbers.untold |= dict.fromkeys(("lengths", "trained", "repeated", "tools", "patterns", "samples"), why)
    _verdict(numbers, manifest)
    if model is not None:
        _hold_to(numbers, folder, manifest["settings"], model)
    return numbers


def _spoken(manifest: dict[str, Any]) -> tuple[Spoken | None, str]:
    """What reads the set's tokens, or why nothing can."""
    from qwen_sft.encoding.model import load_model
    from qwen_sft.errors import ModelError, UsageError
    from qwen_sft.family import families
    from qwen_sft.serving.server import serving

    told, settings = manifest["model"], manifest["settings"]
    if manifest["writer"].get("writes") != "tokens":
        return None, "The rows are conversations."
    try:
        model = load_model(str(told["name"]), families())
        wire = model.family.parser
        parser = None if wire is None else serving(str(settings["serve"])).parser(wire)
    except (ModelError, UsageError) as error:
        return None, f"The tokens cannot be read back: {error}."
    if model.tokenizer.fingerprint != told["tokenizer_sha256"]:
        return None, f"The tokens cannot be read back: {told['name']} has another tokenizer now."
    return Spoken(model, parser), ""


def _hold_to(numbers: Numbers, folder: Path, told: dict[str, Any], name: str) -> None:
    """Tells whether a model turns messages into the tokens of the set, as its lock says."""
    from qwen_sft.encoding.model import load_model
    from qwen_sft.family import families
    from qwen_sft.proving.lock import differences, lock_of, read_lock
    from qwen_sft.settings import Settings

    lock = read_lock(folder)
    settings = Settings(model=name, chat_template_kwargs=told["chat_template_kwargs"], thinking=told["thinking"])
    model = load_model(name, families(), options=settings.chat_template_kwargs, thinking=settings.thinking)
    errors = [str(one) for one in differences(lock, lock_of(model, settings)) if one.severity == "error"]
    numbers.facts.append((f"the model {name} against the lock", "; ".join(errors) or "no difference"))
    numbers.checked.append(f"template and tokenizer of {name}, against the lock of the set")
    if errors:
        numbers.code = numbers.code or 1
        numbers.verdict = f"This set was not made for {name}"
        numbers.sense.append(f"Its lock differs from the model: {errors[0]}.")


def _batches(name: str) -> Iterator[Any]:
    """Some rows of a file at a time, of the columns that are asked for."""
    import pyarrow as pa

    from qwen_sft.decoding.columnar import tables

    with tables(name, Path(name), _BATCH, lambda column: column in _COLUMNS) as (_, found):
        while True:
            try:
                batch = next(found, None)
            except (OSError, pa.ArrowException) as error:
                raise InputError(f"{name!r} is damaged: {error}; build again") from error
            if batch is None:
                return
            yield batch


class _Rows:
    """What was counted of the rows so far."""

    def __init__(self, spoken: Spoken | None) -> None:
        self.spoken = spoken
        self.lengths, self.turns, self.depth, self.calls = Spread(), Spread(), Spread(), Spread()
        self.by_kind, self.trained_by_kind = np.zeros((2, len(Kind)), dtype=np.int64)
        self.splits: dict[str, Split] = {}
        self.files: dict[str, Origin] = {}
        self.hashes = Scratch("seen (hash BLOB)")
        self.columns = set[str]()

    def see(self, batch: Any, split_name: str) -> None:
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        self.columns |= columns.keys()
        sizes = columns["input_ids"].value_lengths().to_numpy(zero_copy_only=False)
        ids = columns["input_ids"].flatten().to_numpy(zero_copy_only=False)
        self.lengths.see_all(sizes.tolist())
        ends = np.cumsum(sizes)
        digests: list[bytes] = []
        for size, end in zip(sizes, ends, strict=True):
            digests.append(hashlib.blake2b(ids[end - size : end].tobytes(), digest_size=8).digest())
        self.hashes.put("seen", ((digest,) for digest in digests), 1)
        trained = columns["labels"].flatten().to_numpy(zero_copy_only=False) != IGNORE
        if "kinds" in columns:
            kinds = columns["kinds"].flatten().to_numpy(zero_copy_only=False)
            self.by_kind += np.bincount(kinds, minlength=len(Kind))[: len(Kind)]
            self.trained_by_kind += np.bincount(kinds[trained], minlength=len(Kind))[: len(Kind)]
            if self.spoken is not None and "depth" in columns:
                depths = columns["depth"].to_pylist()
                places = self._places(columns, batch.num_rows)
                for row, (size, end) in enumerate(zip(sizes, ends, strict=True)):
                    here = slice(end - size, end)
                    self.spoken.see(ids[here], kinds[here], trained[here], depths[row], digests[row], places[row])
        if "turns" in columns:
            self.turns.see_all(columns["turns"].value_lengths().to_pylist())
        for name, spread in (("n_calls", self.calls), ("depth", self.depth)):
            if name in columns:
                spread.see_all(columns[name].to_pylist())
        split = self.splits.setdefault(split_name, Split(split_name))
        split.n_samples += batch.num_rows
        split.n_calls += sum(columns["n_calls"].to_pylist()) if "n_calls" in columns else 0
        split.n_tokens += len(ids)
        split.n_trained += int(trained.sum())
        if "source_file" not in columns:
            return
        for file, size in zip(columns["source_file"].to_pylist(), sizes.tolist(), strict=True):
            origin = self.files.setdefault(file, Origin(file))
            origin.n_rows += 1
            origin.n_tokens += size

    def _places(self, columns: dict[str, Any], n_rows: int) -> list[str]:
        """Where each row came from, for people."""
        if not {"source_file", "source_line"} <= columns.keys():
            return [f"row {self.lengths.n - n_rows + k + 1:,}" for k in range(n_rows)]
        pairs = zip(columns["source_file"].to_pylist(), columns["source_line"].to_pylist(), strict=True)
        return [f"{file}:{line}" for file, line in pairs]

    def tell(self, numbers: Numbers) -> None:
        if self.spoken is not None and {"kinds", "depth"} <= self.columns:
            self.spoken.counted.tell(numbers)
            numbers.patterns = {one: self.spoken.patterns[one] for one in PATTERNS if self.spoken.patterns[one]}
            numbers.samples = self.spoken.shown()
        else:
            why = "The rows do not say of what kind each token is; run the report on the traces."
            numbers.untold |= {"tools": why, "patterns": why, "samples": why}
        numbers.lengths = self.lengths
        numbers.n_rows, numbers.n_tokens = self.lengths.n, self.lengths.total
        numbers.n_trained = sum(one.n_trained for one in self.splits.values())
        (numbers.n_repeated,) = next(self.hashes.ask("SELECT COUNT(*) - COUNT(DISTINCT hash) FROM seen"))
        wanted = {one.name: one.wanted for one in numbers.splits}
        numbers.splits = sorted(self.splits.values(), key=lambda one: (-one.n_samples, one.name))
        for one in numbers.splits:
            one.wanted = wanted.get(one.name)
        numbers.turns = self.turns if "turns" in self.columns else None
        if "n_calls" in self.columns:
            numbers.calls, numbers.n_calls = self.calls, self.calls.total
        if "depth" in self.columns:
            numbers.depth = self.depth
        if "kinds" in self.columns:
            pairs = zip(Kind, self.by_kind.tolist(), self.trained_by_kind.tolist(), strict=True)
            numbers.kinds = [KindOfTokens(kind.name.lower(), n, trained) for kind, n, trained in pairs if n]
        else:
            numbers.untold["trained"] = "The rows do not say of what kind each token is."
        for one in numbers.files:
            found = self.files.get(one.name)
            if found is not None:
                one.n_rows, one.n_tokens = found.n_rows, found.n_tokens


def _told(folder: Path, manifest: dict[str, Any], assumed: Assumed) -> Numbers:
    """What the manifest says."""
    numbers = Numbers("set", str(folder), assumed=assumed)
    records, rows, events, writer = (manifest[key] for key in ("records", "rows", "events", "writer"))
    settings: dict[str, Any] = manifest["settings"]
    model: dict[str, Any] = manifest["model"]
    numbers.n_records, numbers.n_rejected, numbers.n_written = (
        int(records[key]) for key in ("read", "rejected", "written")
    )
    numbers.n_rows, numbers.n_tokens = int(rows["n_rows"]), int(rows["n_tokens"])
    numbers.n_trained = int(rows["n_trained_tokens"])
    numbers.kinds = []
    numbers.dropped_reasons = dict(
        sorted(((str(why), int(n)) for why, n in events["dropped_reasons"].items()), key=lambda item: -item[1])
    )
    numbers.formats = sorted(
        (Origin(name, n_records=int(n)) for name, n in manifest["records_by_format"].items()),
        key=lambda one: (-one.n_records, one.name),
    )
    files = [Origin(str(one["file"]), n_records=int(one["n_records"])) for one in manifest["inputs"]]
    files.sort(key=lambda one: (-one.n_records, one.name))
    numbers.n_files = len(files)
    numbers.files, numbers.n_files_more = files[:MOST_FILES], max(0, len(files) - MOST_FILES)
    by_format: dict[str, dict[str, int]] = events["by_format"]
    for one in numbers.formats:
        of = by_format.get(one.name)  # what no format read has no events
        if of is not None:
            one.n_events, one.n_kept, one.n_merged, one.n_dropped = (int(of[fate]) for fate in _FATES)
    if len(numbers.formats) == 1:
        (only,) = numbers.formats
        only.n_rejected, only.n_rows, only.n_tokens = numbers.n_rejected, numbers.n_rows, numbers.n_tokens
    numbers.limit, numbers.limit_of = _limit(settings, model)
    wanted: dict[str, float] = settings["split"]
    numbers.splits = [Split(name, int(n), wanted=wanted.get(name)) for name, n in writer["n_rows_by_split"].items()]
    curated: dict[str, Any] = manifest["curation"]
    by_calls, by_depth = (Counter({int(k): n for k, n in curated[key].items()}) for key in _BY)
    numbers.calls, numbers.depth = Spread(by_calls), Spread(by_depth)
    numbers.n_calls = numbers.calls.total
    _add_findings(numbers, folder, manifest)
    verified: dict[str, Any] = manifest["verified"]
    numbers.checked = [
        f"records: {numbers.n_records:,} read = {numbers.n_written:,} written + {numbers.n_rejected:,} rejected",
        f"chat template, tokens, mask, and what the server's parser ({model['parser']}) reads back, when the "
        f"{numbers.n_rows:,} rows were made",
        f"which tokens are trained, by a second computation ({verified['against']}), of "
        f"{samples_named(int(verified['n_samples']))}, with {int(verified['n_disagreements']):,} disagreements",
    ]
    numbers.not_checked = [
        "whether the files still are what was written, and what a trainer makes of them (qwen-sft audit)"
    ]
    if verified["policy"] != "all":
        numbers.not_checked.append(f"the second computation of the other samples (--verify {verified['policy']})")
    if manifest["silenced_by_code"]:
        told = ", ".join(f"{code} {n:,}" for code, n in manifest["silenced_by_code"].items())
        numbers.not_checked.append(f"findings that records silence: {told}")
    lock = folder / "qwen-sft.lock.json"
    numbers.facts = [
        ("model", str(model["name"])),
        ("family", str(model["family"])),
        ("chat template, sha256", str(model["template_sha256"])),
        ("template options", f"{settings['chat_template_kwargs']}, thinking {settings['thinking']}"),
        ("tokenizer, sha256", str(model["tokenizer_sha256"])),
        ("tokenizer backend", str(model["tokenizer_backend"])),
        ("tool-call parser", f"{model['parser']}, as {settings['serve']} has it"),
        ("second computation", str(verified["against"])),
        ("writer", str(writer["name"])),
        ("built by", f"qwen-sft {manifest['qwen_sft']}"),
        ("lock", _sha256(lock) if lock.is_file() else "missing: build again"),
    ]
    return numbers


_FATES = ("read", "kept", "merged", "dropped")
_BY = ("n_rows_by_n_calls", "n_rows_by_depth")


def _sha256(path: Path) -> str:
    return f"{path.name}, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"


def _limit(settings: dict[str, Any], model: dict[str, Any]) -> tuple[int | None, str]:
    from qwen_sft.family import families

    family = families().get(str(model["family"]))
    told: Any = settings.get("thresholds", {}).get("context")
    return limit(settings.get("max_length"), told, None if family is None else family.context)


def _examples(folder: Path) -> dict[str, list[Example]]:
    """Some findings of each code that rejected records have, by their hash: the same ones each time."""
    found: dict[str, list[tuple[str, str, int, Example]]] = {}
    file = folder / REJECTS
    for line in file.open("rb") if file.is_file() else ():
        try:
            reject: Any = orjson.loads(line)
            for one in reject["findings"]:
                example = Example(
                    f"{one['file']}:{one['line']}",
                    one["path"],
                    shortened(one["says"], 600),
                    shortened(one["fix"], 600),
                    None,
                )
                held = found.setdefault(one["code"], [])
                held.append((one["fingerprint"], one["file"], one["line"], example))
                if len(held) > N_EXAMPLES:
                    held[:] = nsmallest(N_EXAMPLES, held, key=lambda each: each[:3])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{str(file)!r} is no file of rejected records: {error!r}; build again") from error
    return {code: [one for *_, one in sorted(held, key=lambda each: each[:3])] for code, held in found.items()}


def _add_findings(numbers: Numbers, folder: Path, manifest: dict[str, Any]) -> None:
    shelf = rules()
    told: list[Any] = manifest["set_findings"]
    of_set = {one["code"]: one for one in told if is_object(one)} if is_list(told) else {}
    for code, told_n in manifest["findings_by_code"].items():
        n = int(told_n)
        rule = shelf.get(code)
        severity = Severity(of_set[code]["severity"]) if code in of_set else rule.severity if rule else Severity.INFO
        found = Found(code, rule.name if rule else "", severity.value, n, n)
        if code in of_set:
            one = of_set[code]
            found.examples = [Example("the whole set", "$", str(one["says"]), str(one["fix"]), None)]
        numbers.findings.append(found)
    examples = _examples(folder)
    for one in numbers.findings:
        one.examples += examples.get(one.code, [])
    numbers.findings.sort(key=lambda one: (-Severity(one.severity).rank, -one.n, one.code))
    numbers.n_findings = sum(one.n for one in numbers.findings)
    numbers.n_errors = sum(one["severity"] == "error" for one in of_set.values())


def _verdict(numbers: Numbers, manifest: dict[str, Any]) -> None:
    disagreed = int(manifest["verified"]["n_disagreements"])
    if not numbers.n_rows:
        numbers.code, numbers.verdict = 3, "This set holds no row"
        numbers.sense = [f"All {numbers.n_records:,} records were rejected or left out."]
        return
    held = numbers.lengths.n if numbers.lengths is not None else None  # packed rows are fewer than those that were made
    wanted = int(manifest["writer"]["n_rows"])
    is_whole = held in (None, wanted)
    numbers.code = int(bool(numbers.n_errors or not is_whole))
    numbers.verdict = "This set can be trained on" if not numbers.code else "This set should not be trained on"
    if not is_whole:
        numbers.sense.append(f"Its files hold {held:,} rows, and its manifest tells of {wanted:,}; build again.")
    were = "was" if numbers.n_rejected == 1 else "were"
    out = f", {numbers.n_rejected:,} {were} kept out" if numbers.n_rejected else ""
    numbers.sense.append(f"{numbers.n_written:,} of {numbers.n_records:,} records are in it{out}.")
    if disagreed:
        numbers.sense.append(
            f"The second computation disagreed on {disagreed:,} turns; their records are not in the set."
        )
