"""Flags, `qwen-sft.toml` or `[tool.qwen-sft]` in pyproject.toml, and defaults, as one frozen value.

An unknown key is an error: a misspelled setting would otherwise be a check that silently never runs.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, get_args

from qwen_sft.asking.limits import limit
from qwen_sft.asking.pathglob import is_matched
from qwen_sft.asking.selection import selection
from qwen_sft.errors import UsageError
from qwen_sft.sample import MOST_NESTED, is_list, is_object, is_too_deep, value_at
from qwen_sft.text.quote import quoted

FailOn = Literal["error", "warning", "info", "never"]
TrailingCalls = Literal["error", "drop-turn", "keep"]
OnTooLong = Literal["reject", "drop-turns", "drop-oldest-results", "split-at-user"]
Verify = Literal["all", "sample", "none"]
Backend = Literal["auto", "fastokens", "tokenizers"]
Thinking = Literal["auto", "on", "off", "as-is"]
Boundary = Literal["inference", "text"]
RewrittenHistory = Literal["expand", "last", "error"]
TrainEot = Literal["turn", "last", "none"]
ControlTokens = Literal["error", "as-text", "keep"]
Media = Literal["error", "placeholder", "drop"]
LiftCalls = Literal["auto", "never"]
Dedup = Literal["none", "exact", "near"]
Jobs = int | Literal["auto"]
Engine = Literal["local", "ray"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "fail_on": get_args(FailOn),
    "trailing_calls": get_args(TrailingCalls),
    "on_too_long": get_args(OnTooLong),
    "verify": get_args(Verify),
    "tokenizer_backend": get_args(Backend),
    "thinking": get_args(Thinking),
    "boundary": get_args(Boundary),
    "rewritten_history": get_args(RewrittenHistory),
    "train_eot": get_args(TrainEot),
    "control_tokens": get_args(ControlTokens),
    "media": get_args(Media),
    "lift_calls": get_args(LiftCalls),
    "dedup": get_args(Dedup),
    "engine": get_args(Engine),
}


@dataclass(frozen=True, slots=True)
class Override:
    """What is different for some files. In a settings file it is a table `[[overrides]]`.

    Attributes:
        paths: patterns of the files that it is about (see `qwen_sft.asking.pathglob`).
        select: the rules to run on them, in place of those of the settings; empty for these.
        ignore: rules not to run on them either.
        fail_on: the lowest severity that fails there; None for that of the settings.
    """

    paths: tuple[str, ...]
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    fail_on: FailOn | None = None

    def __post_init__(self) -> None:
        if not self.paths:
            raise UsageError("an override names no paths; write for example paths = ['tests/**']")
        is_matched("", self.paths)
        if self.fail_on is not None and self.fail_on not in _CHOICES["fail_on"]:
            raise UsageError(f"fail-on of an override is {self.fail_on!r}; it can be {', '.join(_CHOICES['fail_on'])}")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is told. In a settings file the keys are spelled with dashes: `fail-on = "warning"`.

    Attributes:
        format: name of the format to read every record as; None to recognise each by its shape.
        model: family name, folder or hub id; None to check structure only.
        fail_on: the lowest severity that makes the exit code 1.
        select: rule codes or their letters to run, such as "TOL" or "TOL003"; empty for all.
        ignore: rule codes or their letters not to run.
        overrides: what is different for some files; where several are about one, their `ignore` add up, and of the
            rest the last one counts.
        inline_ignore: whether records may say which rules they are not held to (see `qwen_sft.inspecting.inline`).
        limit: how many records may have findings of some rules (see `qwen_sft.asking.limits`): these fail a run if
        there are
            more, and only then.
        baseline: file of the findings that are known, which do not fail a run; None for no such file.
        thresholds: numbers from which rules about the whole set speak, by their codes; `samples`: how many samples a
            share must be of; `context`: how many tokens the model's context holds.
        near_duplicates: whether samples are looked for that are nearly alike (see `qwen_sft.inspecting.near`).
        where: a condition on a sample's metadata (see `qwen_sft.asking.where`); None to keep all.
        skip_failed: whether runs that the trace says have failed are left out.
        dedup_prefixes: whether conversations that a later record of the file repeats are left out.
        tools: file with the tools of samples that declare none, or not all that they call; None for no such file.
        infer_tools: whether tools that no one declares are derived from the calls.
        lift_calls: whether calls that stand as text become real ones, where the sample declares their tools and makes
            no real call (see `qwen_sft.shaping.lift`).
        merge_user: whether a user's consecutive turns become one.
        regenerate_ids: whether calls get ids of their own, unique in the sample.
        redact: whether secrets and personal data are replaced (see `qwen_sft.shaping.redact`).
        media: what to do with images, audio, video and files: reject the sample, put a word such as `[image]` in their
            place, or leave them out. One that a trained turn would have to say is never replaced but by its own words.
        trailing_calls: what to do with a last assistant turn whose calls have no results.
        max_length: most tokens in a row; None for no limit.
        on_too_long: what to do with a longer row: reject its sample, drop the last turns, or make several samples of it
            (see `qwen_sft.encoding.shorten`).
        mix: file of sources with weights (see `qwen_sft.curating.mix`); None for none.
        dedup: whether samples are left out that are alike word for word, or nearly, to an earlier one.
        sample: how many samples are drawn, as a whole number, or a share of them between 0 and 1; None for all.
        split: the share of each split, by its name; empty for one split, `train`.
        pack: most tokens of rows that are put together into one; None to leave each row by itself.
        verify: how many samples are shown to the second computation of what is trained (see `qwen_sft.serving.oracle`).
        seed: chooses the samples of `verify`, and what is drawn for `mix`, `sample` and `split`.
        writer: how `build` writes the set: `parquet`, or another name of `qwen_sft.writers`.
        shard_size: bytes of row data after which a new shard starts.
        license: identifier of the licence that the dataset card names, such as `apache-2.0`.
        tokenizer_backend: who turns text into ids; the ids are the same. "auto" is fastokens where it is installed, and
            in a build of less than 1 MB of JSON tokenizers, which loads three times as fast.
        chat_template_kwargs: options of the chat template, such as `enable_thinking`, for every request.
        thinking: whether a turn is prompted with thinking on or off, where the template can do both. `auto`: off for a
            turn without reasoning where the prompt would open a think block, on for one with reasoning where it would
            close it. `off` also takes the reasoning out. `as-is`: as the template does by itself.
        boundary: where a token of the whole text would straddle prompt and answer: `inference` encodes the two apart,
            as a server does; `text` encodes the whole, and the straddling token is not trained.
        rewritten_history: a sample that needs several rows because the template rewrites earlier turns: write them
            all, only the last, or reject it.
        train: which turns are trained, and which kinds of their tokens; see `qwen_sft.encoding.train`.
        train_eot: whose stop tokens are trained: those of every trained turn, of a row's last one, or none.
        train_newline: whether the newline behind a trained stop token is trained too, though no model generates it.
        control_tokens: what to do with a text that holds a control token: reject the sample, encode it as the ordinary
            text that it is, or let it become the control token.
        serve: the server whose parsers read the calls back: `vllm` or `sglang`, with a version behind a colon if it is
            not the newest known.
        jobs: processes that read and check at the same time; `auto`: one for each core where there is much to read.
            What comes out is the same, so no manifest names it.
        engine: who starts them: this process, on this machine, or Ray (see `qwen_sft.running.cluster`). The same holds
            for it.
        address: of the running cluster that engine `ray` joins, as `HOST:PORT`, or `auto` for that of this machine;
            None to start a Ray of this machine's, or join the one that RAY_ADDRESS in the environment names.
    """

    format: str | None = None
    model: str | None = None
    fail_on: FailOn = "error"
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    overrides: tuple[Override, ...] = ()
    inline_ignore: bool = True
    limit: tuple[str, ...] = ()
    baseline: str | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict[str, float], hash=False)
    near_duplicates: bool = False
    where: str | None = None
    skip_failed: bool = False
    dedup_prefixes: bool = False
    tools: str | None = None
    infer_tools: bool = False
    lift_calls: LiftCalls = "auto"
    merge_user: bool = False
    regenerate_ids: bool = False
    redact: bool = False
    media: Media = "error"
    trailing_calls: TrailingCalls = "error"
    max_length: int | None = None
    on_too_long: OnTooLong = "reject"
    mix: str | None = None
    dedup: Dedup = "none"
    sample: float | None = None
    split: Mapping[str, float] = field(default_factory=dict[str, float], hash=False)
    pack: int | None = None
    verify: Verify = "sample"
    seed: int = 0
    writer: str = "parquet"
    shard_size: int = 500_000_000
    license: str = "unknown"
    tokenizer_backend: Backend = "auto"
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)
    thinking: Thinking = "auto"
    boundary: Boundary = "inference"
    rewritten_history: RewrittenHistory = "expand"
    train: tuple[str, ...] = ("assistant",)
    train_eot: TrainEot = "turn"
    train_newline: bool = False
    control_tokens: ControlTokens = "error"
    serve: str = "vllm"
    jobs: Jobs = "auto"
    engine: Engine = "local"
    address: str | None = None

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise UsageError(f"{_dashed(name)} is {getattr(self, name)!r}; it can be {', '.join(choices)}")
        if self.max_length is not None and self.max_length < 1:
            raise UsageError(f"max-length is {self.max_length}; it counts tokens and must be 1 or more")
        self._check_curation()
        if self.shard_size < 1:
            raise UsageError(f"shard-size is {self.shard_size}; it counts bytes and must be 1 or more")
        if self.jobs != "auto" and (isinstance(self.jobs, str | bool) or self.jobs < 1):
            raise UsageError(f"jobs is {quoted(self.jobs)}; it is a number of processes, 1 or more, or 'auto'")
        if self.address == "":
            raise UsageError("address is ''; name HOST:PORT of a Ray cluster, or 'auto'")
        if not _LICENCE.fullmatch(self.license):
            raise UsageError(f"license is {quoted(self.license)}; name an identifier such as 'apache-2.0' or 'unknown'")
        if self.model == "":
            raise UsageError("model is ''; name a family, a folder or a hub id, see: qwen-sft models")
        if self.baseline == "":
            raise UsageError("baseline is ''; name its file, and write it with --write-baseline")
        for text in self.limit:
            limit(text)
        for key, number in self.thresholds.items():
            if not _is_threshold(number):
                raise UsageError(f"thresholds set {key!r} to {quoted(number)}; it takes a number of 0 or more")
        selection(self.train, trains_stops=self.train_eot != "none")
        for key, value in self.chat_template_kwargs.items():
            _check_option(key, value)
        if "enable_thinking" in self.chat_template_kwargs and self.thinking in ("on", "off"):
            raise UsageError(
                f"thinking is {self.thinking!r} and chat-template-kwargs set enable_thinking; set one of them"
            )

    def _check_curation(self) -> None:
        if self.mix == "":
            raise UsageError("mix is ''; name a file with sources and their weights")
        if self.sample is not None and not _is_draw(self.sample):
            raise UsageError(
                f"sample is {quoted(self.sample)}; it takes a number of samples such as 1000, or a share such as 0.1"
            )
        shares: Mapping[str, Any] = self.split
        for name, share in shares.items():
            if not _SPLIT_NAME.fullmatch(name):
                raise UsageError(f"split names {quoted(name)}; a split is named by letters, digits and _")
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
                raise UsageError(
                    f"split gives {name!r} the share {quoted(share)}; it takes a number up to 1, such as 0.98"
                )
        if self.split and not math.isclose(sum(self.split.values()), 1, abs_tol=1e-9):
            raise UsageError(f"the shares of split sum to {sum(self.split.values()):g}; they must sum to 1")
        if self.on_too_long in ("drop-oldest-results", "split-at-user") and self.rewritten_history != "expand":
            raise UsageError(
                f"on-too-long is {self.on_too_long!r}, which makes several rows of a sample, and rewritten-history "
                f"{self.rewritten_history!r} wants one; set rewritten-history to 'expand'"
            )
        if self.pack is not None and self.pack < 1:
            raise UsageError(f"pack is {self.pack}; it counts tokens and must be 1 or more")
        if self.pack is not None and self.max_length is not None and self.max_length > self.pack:
            raise UsageError(
                f"max-length is {self.max_length} and pack {self.pack}; no row may be longer than its pack"
            )

    @property
    def row_limit(self) -> int | None:
        """Most tokens in a row of one sample; None for no limit."""
        return self.pack if self.max_length is None else self.max_length

    @property
    def is_curated(self) -> bool:
        """True if samples are left out, repeated or put into splits by what `qwen_sft.inspecting.keys` tells of
        them."""
        return bool(self.mix is not None or self.dedup != "none" or self.sample is not None or self.split)


_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BOOLEAN_OPTIONS = ("enable_thinking", "preserve_thinking")  # a template takes the string "false" for true


_SPLIT_NAME = re.compile(r"[A-Za-z0-9_]+")


def _is_draw(wanted: Any) -> bool:
    if isinstance(wanted, bool):
        return False
    return wanted >= 1 if isinstance(wanted, int) else isinstance(wanted, float) and 0 < wanted <= 1


def _is_threshold(number: Any) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number) and number >= 0


def _check_option(key: Any, value: Any) -> None:
    """Holds a template option to what a request and a lock can carry.

    Raises:
        UsageError: it is no JSON value, or not of the option's type.
    """
    if not isinstance(key, str):
        raise UsageError(f"chat-template-kwargs set {quoted(key)}; options are named by strings")
    if is_too_deep(value):
        raise UsageError(f"chat-template-kwargs set {quoted(key)} to a value of more than {MOST_NESTED} levels")
    fault = next(filter(None, map(_no_json, _parts({key: value}))), None)
    if fault is not None:
        raise UsageError(f"chat-template-kwargs set {quoted(key)} to {quoted(value)}; {fault}")
    if key in _BOOLEAN_OPTIONS and not isinstance(value, bool):
        raise UsageError(f"chat-template-kwargs set {key!r} to {quoted(value)}; it takes true or false")


def _parts(value: Any) -> Iterator[Any]:
    """Each key, and each value that is no object or list."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if is_object(item):
            yield from item
            waiting += item.values()
        elif is_list(item):
            waiting += item
        else:
            yield item


def _no_json(value: Any) -> str | None:
    """Why a key or a single value is none that JSON carries everywhere; None if it is one."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if -(1 << 63) <= value < 1 << 63 else "an integer must fit into 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value!r} is no JSON number"
    if isinstance(value, str):
        return "half a surrogate pair is no character" if _SURROGATE.search(value) else None
    return f"a {type(value).__name__} is no JSON value"


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def load_settings(flags: dict[str, Any], folder: Path | None = None, file: Path | None = None) -> Settings:
    """The settings of a run: a flag that is not None wins over the settings file, that over the default.

    Args:
        flags: by the attribute names of Settings; None stands for "not given".
        folder: where to look for `qwen-sft.toml`, then for `[tool.qwen-sft]` in `pyproject.toml`; default: here.
        file: the settings file to read instead.

    Raises:
        UsageError: a key that no setting has, or a value that it cannot take.
    """
    given = _from_file(folder or Path(), file)
    given.update({key: value for key, value in flags.items() if value is not None})
    return replace(Settings(), **given)


def _from_file(folder: Path, file: Path | None) -> dict[str, Any]:
    if file is not None and not file.is_file():
        raise UsageError(f"no settings file {str(file)!r}")
    for path in [file] if file else [folder / "qwen-sft.toml", folder / "pyproject.toml"]:
        if not path.is_file():
            continue
        import tomllib  # only where there is something to read

        try:
            table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} is not TOML: {error}") from error
        except RecursionError as error:
            raise UsageError(f"{path} nests a value too deep to be read") from error
        if path.name == "pyproject.toml":
            table = value_at(table, ("tool", "qwen-sft"))
            if table is None and file is None:
                continue
        if not is_object(table):
            raise UsageError(f"{path} has no table [tool.qwen-sft]; it holds the settings, such as fail-on = 'warning'")
        return checked(table, path)
    return {}


def checked(table: Mapping[str, Any], path: object) -> dict[str, Any]:
    """The settings of a table with dashed keys, by the attribute names of Settings.

    Args:
        path: who says so, for messages.

    Raises:
        UsageError: a key that no setting has, or a value of another type.
    """
    return {_known(key, path): _typed(_known(key, path), value, path) for key, value in table.items()}


def _known(key: str, path: object, of: type[Settings] | type[Override] = Settings) -> str:
    names = {_dashed(f.name): f.name for f in fields(of)}
    if key not in names:
        from difflib import get_close_matches  # only for a message

        near = get_close_matches(key, names, n=1)
        nearest = f" (nearest: {near[0]!r})" if near else ""
        what = "no setting" if of is Settings else "nothing that an override has"
        listed = "settings" if of is Settings else "its keys"
        raise UsageError(f"{path} sets {key!r}, which is {what}{nearest}; {listed} are {', '.join(sorted(names))}")
    return names[key]


def _typed(name: str, value: Any, path: object) -> Any:
    if name in ("select", "ignore", "train", "limit", "paths"):
        if is_list(value) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise UsageError(f"{path} sets {_dashed(name)} to {value!r}; it takes a list of strings")
    if name == "overrides":
        if is_list(value) and all(is_object(item) for item in value):
            return tuple(_override(item, path) for item in value)
        raise UsageError(
            f"{path} sets overrides to {value!r}; it takes tables: [[overrides]] with paths = ['tests/**']"
        )
    wanted, called = _TYPES.get(name, (str, "a string"))
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise UsageError(f"{path} sets {_dashed(name)} to {value!r}; it takes {called}")
    return value


def _override(table: Mapping[str, Any], path: object) -> Override:
    known = {key: _known(key, f"{path} [[overrides]]", Override) for key in table}
    given = {name: _typed(name, table[key], f"{path} [[overrides]]") for key, name in known.items()}
    made: dict[str, Any] = {"paths": (), **given}
    return Override(**made)


_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    **dict.fromkeys(("max_length", "seed", "shard_size", "pack"), (int, "a whole number")),
    "sample": ((int, float), "a number"),
    "jobs": ((int, str), "a whole number or 'auto'"),
    "split": (dict, "a table such as {train = 0.98, eval = 0.02}"),
    **dict.fromkeys(
        (
            "train_newline",
            "skip_failed",
            "dedup_prefixes",
            "infer_tools",
            "merge_user",
            "regenerate_ids",
            "redact",
            "near_duplicates",
            "inline_ignore",
        ),
        (bool, "true or false"),
    ),
    "chat_template_kwargs": (dict, "a table"),
    "thresholds": (dict, "a table"),
}


def settings_of(given: Mapping[str, Any], config: "str | PathLike[str] | None", caller: str) -> Settings:
    """The settings of a call: its arguments win over the settings file, and each is held to its type.

    Args:
        given: settings by name, with underscores; a list may be one string, parted by commas; None leaves a setting as
            it is.
        config: the settings file; None for the one of the working directory.
        caller: who messages say was called, such as "validate()".

    Raises:
        UsageError: a setting that does not exist, or cannot have its value.
    """
    table: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, PathLike):
            value = fspath(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # of any path
        elif isinstance(value, str) and name in ("select", "ignore", "train", "limit"):
            value = [part for each in value.split(",") if (part := each.strip())]
        elif isinstance(value, (tuple, set, frozenset)):
            value = list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # of any
        if value is not None:
            table[_dashed(name)] = value
    return load_settings(checked(table, caller), file=None if config is None else Path(config))
