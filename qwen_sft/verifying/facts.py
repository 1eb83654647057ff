# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyarrow has no types; what leaves this file is typed by its functions.
"""What is known of a folder of rows: read once, file by file, whoever wrote them."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qwen_sft.asking.request import Options
from qwen_sft.encoding.model import Model
from qwen_sft.errors import InputError, TemplateError
from qwen_sft.family import families, one_run
from qwen_sft.ingesting.ingest import Input, expand, records
from qwen_sft.sample import is_list, is_object
from qwen_sft.tokens import IGNORE
from qwen_sft.trainer import Facts, Kind, Spotted, Trait

MANIFEST = "manifest.json"

MASKS = ("labels", "assistant_masks", "completion_mask", "loss_mask")
"""Columns that may say what is trained; the first that is there counts."""

_TOKENS = ("input_ids", *MASKS, "attention_mask", "weights", "seq_lengths", "position_ids")
_TALKS = ("messages", "conversations", "prompt", "completion")
_BESIDE = ("tools", "chat_template_kwargs", "enable_thinking", "trained_turns", "system")
_COLUMNS = (*_TOKENS, *_TALKS, *_BESIDE, "text")
_FLAGS = ("train", "training", "loss")
"""Fields of a message that say whether its turn is trained: ours, axolotl's and ms-swift's."""

_SAID = frozenset({"assistant", "gpt", "function_call", "tool_call", "bot"})
_HEARD_FROM_TOOL = frozenset({"tool", "observation", "tool_response", "function_response"})
_BATCH = 512

Ints = npt.NDArray[np.int64]


def manifest_of(folder: Path) -> dict[str, Any]:
    """The manifest of a build of ours; {} for any other folder."""
    try:
        told: Any = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return told if is_object(told) and "qwen_sft" in told else {}


def inputs_of(folder: Path, manifest: Mapping[str, Any]) -> list[Input]:
    """The files that hold rows: those that the manifest lists, else all of the folder that can hold records.

    Raises:
        InputError: there are none, or one that the manifest lists is missing.
    """
    listed: Any = manifest.get("files")
    named = [one for one in listed if is_object(one) and one.get("split")] if is_list(listed) else []
    if not named:
        return expand([str(folder)])
    found: list[Input] = []
    for one in named:
        path = folder / str(one.get("file"))
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{MANIFEST} lists {one.get('file')!r}, and {str(folder)!r} has no such file; build again")
        found.append(Input(str(path), path, n_bytes=path.stat().st_size))
    return found


def facts_of(
    folder: Path,
    inputs: Sequence[Input],
    manifest: Mapping[str, Any],
    model: Model | None,
    costly: frozenset[Trait] = frozenset(),
    each: Callable[[int, str], None] = lambda _n_rows, _file: None,
) -> Facts:
    """Reads a folder.

    Args:
        inputs: its files, as `inputs_of` gives them.
        model: by whose template and tokenizer conversations are measured; None leaves their lengths unknown.
        costly: as in Trainer.
        each: is told how many more rows of which file were read.

    Raises:
        InputError: a file cannot be read.
    """
    facts = Facts(folder)
    _told(facts, manifest, model)
    reader = _Reader(facts, model, costly)
    for source in inputs:
        name = _short(source, folder)
        reader.file, reader.n_in_file = name, 0
        for columns, rows in _tables(source):
            reader.see(columns, rows)
            each(len(rows), source.name)
        facts.files.append((name, reader.n_in_file))
    reader.finish()
    return facts


def _short(source: Input, folder: Path) -> str:
    if source.path is None:
        return source.name
    try:
        return source.path.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return source.name


def _told(facts: Facts, manifest: Mapping[str, Any], model: Model | None) -> None:
    """What the manifest says of a build, and what is known of the model."""
    writer: Any = manifest.get("writer")
    if is_object(writer):
        facts.writer = str(writer.get("name", ""))
        masked: Any = writer.get("n_turns_masked")
        facts.n_turns_masked = masked if isinstance(masked, int) else 0
    made_for: Any = manifest.get("model")
    if model is not None:
        facts.model, facts.family, facts.template_sha256 = model.name, model.family.name, model.template_sha256
    elif is_object(made_for):
        facts.model = str(made_for.get("name", ""))
        facts.family = str(made_for.get("family", ""))
        facts.template_sha256 = str(made_for.get("template_sha256", ""))
    known = model.family if model is not None else families().get(facts.family)
    if known is not None:
        facts.rewrites = known.plan is not one_run


# -- files to rows -----------------------------------------------------------------------------------------------------


def _tables(source: Input) -> Iterator[tuple[dict[str, str], list[Any]]]:
    """The rows of a file, some at a time, with the types of its columns."""
    name = source.name.lower()
    if source.path is not None and name.endswith((".parquet", ".arrow", ".feather")):
        from qwen_sft.decoding.columnar import tables

        with tables(source.name, source.path, _BATCH, lambda one: one in _COLUMNS) as (schema, found):
            yield from _arrow_rows(schema, found)
    else:
        yield from _json_rows(source)


def _json_rows(source: Input) -> Iterator[tuple[dict[str, str], list[Any]]]:
    held: list[Any] = []
    types: dict[str, str] = {}
    for record in records(source):
        data: Any = record.data
        if not is_object(data) or record.fault is not None:
            data = None
        else:
            for key, value in data.items():
                if value is not None or key not in types:
                    types[key] = _json_type(value)
        held.append(data)
        if len(held) == _BATCH:
            yield types, held
            held = []
    if held:
        yield types, held


def _json_type(value: Any) -> str:
    names = {str: "string", bool: "bool", int: "int64", float: "double", list: "list", dict: "object"}
    return names.get(type(value), "null")


def _arrow_rows(schema: Any, found: Iterator[Any]) -> Iterator[tuple[dict[str, str], list[Any]]]:
    """Record batches as rows; numbers of tokens stay arrays."""
    types = {one.name: _arrow_type(one.type, _feature(schema, one.name)) for one in schema}
    for batch in found:
        columns: dict[str, list[Any]] = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name in _TOKENS:
                columns[name] = _arrays(column)
            elif name in _COLUMNS:
                columns[name] = (
                    [_decoded(value) for value in column.to_pylist()]
                    if _may_be_json(types[name], name)
                    else column.to_pylist()
                )
        yield types, [{name: values[i] for name, values in columns.items()} for i in range(batch.num_rows)]


def _arrays(column: Any) -> list[Any]:
    """A column of lists as arrays; None for a null."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(column.type):
        column = column.cast(pa.list_(column.type.value_type))
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        return column.to_pylist()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    sizes = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(sizes)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    rows = zip(sizes, ends, valid, strict=True)
    return [flat[end - size : end] if there else None for size, end, there in rows]


def _arrow_type(kind: Any, feature: Any) -> str:
    import pyarrow as pa

    if getattr(kind, "extension_name", "") == "arrow.json" or (is_object(feature) and feature.get("_type") == "Json"):
        return "json"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner: Any = feature.get("feature") if is_object(feature) else None
        if is_list(feature) and feature:
            inner = feature[0]
        return f"list of {_arrow_type(kind.value_type, inner)}"
    if pa.types.is_struct(kind):
        return "struct"
    return "string" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else str(kind)


def _feature(schema: Any, name: str) -> Any:
    """What `datasets` says of a column, in the metadata of the schema."""
    try:
        told: Any = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    except (ValueError, RecursionError):
        return None
    info: Any = told.get("info") if is_object(told) else None
    features: Any = info.get("features") if is_object(info) else None
    return features.get(name) if is_object(features) else None


def _may_be_json(kind: str, name: str) -> bool:
    """True for columns whose text is a value: JSON by its type, or text where a conversation or tools are due."""
    return kind.endswith("json") or (kind in ("string", "list of string") and name in (*_TALKS, *_BESIDE))


def _decoded(value: Any) -> Any:
    """JSON text as its value, in a list too; what is none stays as it is."""
    if is_list(value):
        return [_decoded(one) for one in value]
    if not isinstance(value, str):
        return value
    try:
        made: Any = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return made if is_list(made) or is_object(made) else value


# -- rows to facts -----------------------------------------------------------------------------------------------------


class _Reader:
    """Gathers facts, row by row."""

    def __init__(self, facts: Facts, model: Model | None, costly: frozenset[Trait]) -> None:
        self._facts, self._model, self._costly = facts, model, costly
        self.file = ""
        self.n_in_file = 0
        self._lengths: list[int] = []
        self._first: list[int] = []
        self._last: list[int] = []
        self._waiting: list[tuple[int, str]] = []
        self._names: dict[frozenset[str], Spotted] = {}
        self._present: dict[str, Spotted] = {name: Spotted() for name in ("chat_template_kwargs", "enable_thinking")}
        self._absent: dict[str, Spotted] = {name: Spotted() for name in ("chat_template_kwargs", "enable_thinking")}

    def see(self, types: Mapping[str, str], rows: Iterable[Any]) -> None:
        """Some rows of the file, and the types of its columns."""
        facts = self._facts
        for name, kind in types.items():
            if facts.columns.get(name, "null") == "null":
                facts.columns[name] = kind
        for row in rows:
            self.n_in_file += 1
            place = f"{self.file}:{self.n_in_file}"
            if not is_object(row):
                facts.unread.add(place)
                self._lengths.append(-1)
                self._first.append(0)
                self._last.append(-1)
            elif row.get("input_ids") is not None:
                self._tokens(row, place)
            else:
                self._talk(row, place)
        if len(self._waiting) >= _BATCH:
            self._measure()

    def finish(self) -> None:
        """Concludes what only all rows tell."""
        self._measure()
        facts = self._facts
        facts.kind = self._kind()
        if facts.kind == "tokens" or (facts.converses and self._model is not None):
            facts.lengths = np.array(self._lengths, dtype=np.int64)
        if facts.kind == "tokens":
            facts.first_trained = np.array(self._first, dtype=np.int64)
            facts.last_trained = np.array(self._last, dtype=np.int64)
            facts.mask = next((name for name in MASKS if name in facts.columns), "")
        for name, trait in (("chat_template_kwargs", Trait.NO_OPTIONS), ("enable_thinking", Trait.NO_MODE)):
            if name in facts.columns and self._absent[name].n_rows:
                facts.traits[trait] = self._absent[name]
        every = frozenset(name for names in self._names for name in names)
        for names, spotted in self._names.items():
            if names != every:
                kept = facts.traits.setdefault(Trait.UNEVEN, Spotted())
                kept.n_rows += spotted.n_rows
                kept.first = kept.first or spotted.first

    def _kind(self) -> Kind:
        columns = self._facts.columns
        if "input_ids" in columns:
            return "tokens"
        if "messages" in columns:
            return "messages"
        if "prompt" in columns and "completion" in columns:
            return "prompt-completion"
        if "conversations" in columns:
            return "sharegpt"
        return "text" if "text" in columns else "nothing"

    def _spot(self, trait: Trait, place: str) -> None:
        self._facts.traits.setdefault(trait, Spotted()).add(place)

    # -- tokenized rows ------------------------------------------------------------------------------------------------

    def _tokens(self, row: Mapping[str, Any], place: str) -> None:
        ids = np.asarray(row["input_ids"])
        size = len(ids)
        self._lengths.append(size)
        name = next((one for one in MASKS if row.get(one) is not None), None)
        trained = np.ones(size, dtype=bool)
        fits = all(row.get(one) is None or len(row[one]) == size for one in (*MASKS, "attention_mask", "weights"))
        if name is not None:
            given = np.asarray(row[name])
            is_labels = name == "labels"
            trained = given != (IGNORE if is_labels else 0)
            if not fits:
                self._spot(Trait.MISALIGNED, place)
            elif is_labels and bool((given[trained] != ids[trained]).any()):
                self._spot(Trait.SHIFTED, place)
        elif not fits:
            self._spot(Trait.MISALIGNED, place)
        at = np.flatnonzero(trained)
        self._first.append(int(at[0]) if len(at) else size)
        self._last.append(int(at[-1]) if len(at) else -1)
        weights = row.get("weights")
        if weights is not None and not bool(np.isin(np.asarray(weights), (0, 1)).all()):
            self._spot(Trait.WEIGHTED, place)
        if _n_documents(row) > 1:
            self._spot(Trait.PACKED, place)

    # -- conversations -------------------------------------------------------------------------------------------------

    def _talk(self, row: Mapping[str, Any], place: str) -> None:
        self._lengths.append(-1)
        self._first.append(0)
        self._last.append(-1)
        facts = self._facts
        for name in ("chat_template_kwargs", "enable_thinking"):
            (self._absent if row.get(name) is None else self._present)[name].add(place)
        tools: Any = row.get("tools")
        if tools:
            as_text = facts.columns.get("tools") == "string" or isinstance(tools, str)
            self._spot(Trait.TEXT_TOOLS if as_text else Trait.LISTED_TOOLS, place)
        messages = _messages(row)
        if not messages:
            if any(name in row for name in _TALKS):
                self._spot(Trait.NO_ANSWER, place)
            return
        column = next(name for name in _TALKS if row.get(name) is not None)
        if facts.columns.get(column) == "string" or isinstance(row[column], str):
            self._spot(Trait.TEXT_MESSAGES, place)
        self._turns(messages, row, place, filled=facts.columns.get(column) == "list of struct")
        if self._model is not None and "from" not in messages[0]:
            text = _text(self._model, messages, tools, _options(self._model, row))
            if text is not None:
                self._waiting.append((len(self._lengths) - 1, text))
            if Trait.PIECES in self._costly and text != _pieces(self._model, messages, row):
                self._spot(Trait.PIECES, place)

    def _turns(self, messages: Sequence[dict[str, Any]], row: Mapping[str, Any], place: str, *, filled: bool) -> None:
        facts = self._facts
        roles = [str(message.get("role", message.get("from"))) for message in messages]
        for role in dict.fromkeys(roles):
            facts.roles.setdefault(role, Spotted()).add(place)
        asked = max((i for i, role in enumerate(roles) if role in ("user", "human")), default=-1)
        found: set[Trait] = set()
        if not _SAID.intersection(roles):
            found.add(Trait.NO_ANSWER)
        if _out_of_turn(roles):
            found.add(Trait.OUT_OF_TURN)
        if _decoded(row.get("tools")) and "system" not in roles and not row.get("system"):
            found.add(Trait.TOOLS_ALONE)
        names: set[frozenset[str]] = set()
        for index, message in enumerate(messages):
            content = message.get("content", message.get("value"))
            calls: Any = message.get("tool_calls")
            calls = calls if is_list(calls) else []
            thinks = bool(message.get("reasoning_content"))
            inline = isinstance(content, str) and "</think>" in content
            if thinks:
                found.add(Trait.REASONING)
            if roles[index] in _SAID and (thinks or inline) and index < asked:
                found.add(Trait.OLD_REASONING)
            following = roles[index + 1] if index + 1 < len(roles) else ""
            if content and (calls or (roles[index] == "assistant" and following == "tool_call")):
                found.add(Trait.WORDS_BESIDE_CALLS)
            behind = index and roles[index - 1] == "assistant" and roles[index] == "tool_call"
            if roles[index] in _SAID and index + 1 < len(roles) and not (thinks or inline or behind):
                found.add(Trait.BARE_TURN)
            if content is None and not calls:
                found.add(Trait.NO_CONTENT)
            if index and roles[index] in _HEARD_FROM_TOOL and roles[index - 1] in _HEARD_FROM_TOOL:
                found.add(Trait.SEVERAL_RESULTS)
            for call in calls:
                arguments = _arguments(call)
                if isinstance(arguments, str):
                    found.add(Trait.TEXT_ARGUMENTS)
                elif is_object(arguments):
                    names.add(frozenset(arguments))
                    if filled and None in arguments.values():
                        found.add(Trait.NULLS)
        for trait in found:
            self._spot(trait, place)
        if self._lines:
            for one in names:
                self._names.setdefault(one, Spotted()).add(place)
        self._flags(messages, roles, row, place)

    @property
    def _lines(self) -> bool:
        """True in a file of JSON, whose types `datasets` has to infer."""
        return not self.file.endswith((".parquet", ".arrow", ".feather"))

    def _flags(
        self, messages: Sequence[dict[str, Any]], roles: Sequence[str], row: Mapping[str, Any], place: str
    ) -> None:
        """The marks of turns that are not to be trained."""
        said = [message for message, role in zip(messages, roles, strict=True) if role in _SAID]
        for name in _FLAGS:
            if any(message.get(name) in (False, 0) and message.get(name) is not None for message in said):
                self._facts.untrained.setdefault(name, Spotted()).add(place)
        listed: Any = row.get("trained_turns")
        if listed is not None:
            spoken = {i for i, role in enumerate(roles) if role in _SAID}
            if not spoken <= set(listed):
                self._facts.untrained.setdefault("trained_turns", Spotted()).add(place)

    def _measure(self) -> None:
        """Counts the tokens of the conversations that wait for it, in one call of the tokenizer."""
        if self._model is not None and self._waiting:
            _, offsets = self._model.tokenizer.encode_batch([text for _, text in self._waiting])
            sizes = np.diff(np.asarray(offsets))
            for (number, _), size in zip(self._waiting, sizes.tolist(), strict=True):
                self._lengths[number] = int(size)
        self._waiting = []


def _n_documents(row: Mapping[str, Any]) -> int:
    """How many conversations a tokenized row holds, as far as its columns tell."""
    lengths = row.get("seq_lengths")
    if lengths is not None:
        return len(lengths)
    positions = row.get("position_ids")
    if positions is not None and len(positions):
        return int((np.asarray(positions) == 0).sum())
    attention = row.get("attention_mask")
    if attention is not None and len(attention):
        return max(1, int(np.asarray(attention).max()))
    return 1


def _messages(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a row in whatever column they are; those of prompt and completion are one list."""
    found: list[Any] = []
    for name in ("messages", "conversations"):
        value: Any = _decoded(row.get(name))
        if is_list(value):
            found = value
            break
    else:
        for name in ("prompt", "completion"):
            value = _decoded(row.get(name))
            found += value if is_list(value) else []
    return [message for message in found if is_object(message)]


def _arguments(call: Any) -> Any:
    if not is_object(call):
        return None
    function: Any = call.get("function", call)
    return function.get("arguments") if is_object(function) else None


def _out_of_turn(roles: Sequence[str]) -> bool:
    """True unless what the model reads and what it says take turns, a system message aside, and it has the last word.

    Results behind each other count as one message, and so do calls and the words before them.
    """
    speaks = False
    heard = [role for i, role in enumerate(roles) if not (role == "system" and i == 0)]
    sides: list[str] = []
    for role in heard:
        side = "said" if role in _SAID else "tool" if role in _HEARD_FROM_TOOL else "heard"
        if sides and side == sides[-1] == "tool":
            continue
        if sides and side == sides[-1] == "said" and role == "tool_call":
            continue
        if (side == "said") is not speaks:
            return True
        sides.append(side)
        speaks = not speaks
    return speaks


def _options(model: Model, row: Mapping[str, Any]) -> Options:
    """The template options of a row."""
    given: Any = _decoded(row.get("chat_template_kwargs"))
    if is_object(given):
        return given
    thinks = row.get("enable_thinking")
    return model.bare if thinks is None else {**model.bare, "enable_thinking": bool(thinks)}


def _text(model: Model, messages: Sequence[Any], tools: Any, options: Options) -> str | None:
    """A conversation as the model's template renders it; None where it refuses."""
    listed: Any = _decoded(tools)
    try:
        return model.server(messages, listed if is_list(listed) else [], False, options)
    except (TemplateError, KeyError, TypeError, AttributeError, ValueError):
        return None  # what the row's shape is, other facts say


def _pieces(model: Model, messages: Sequence[Any], row: Mapping[str, Any]) -> str | None:
    """The messages rendered one by one, without the system's prompt that a template puts before each; None where one
    of them cannot be."""
    options = _options(model, row)
    empty = {"role": "user", "content": ""}
    once, twice = (_text(model, [empty] * n, None, options) for n in (1, 2))
    if once is None or twice is None:
        return None
    before = len(once) - (len(twice) - len(once))
    made: list[str] = []
    for index, message in enumerate(messages):
        text = _text(model, [message], row.get("tools") if index == 0 else None, options)
        if text is None:
            return None
        made.append(text[before:] if index and message.get("role") != "system" else text)
    return "".join(made)


def rows_of(inputs: Sequence[Input]) -> Iterator[Any]:
    """The rows of some files, in order, as `facts_of` reads them: token columns as arrays, JSON text as its value."""
    for source in inputs:
        for _, rows in _tables(source):
            for row in rows:
                yield {name: _decoded(value) for name, value in row.items()} if is_object(row) else None
