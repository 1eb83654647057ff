"""A folder and a trainer to what the one will do with the other."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from qwen_sft.encoding.model import Model, load_model
from qwen_sft.errors import InputError, ModelError, UsageError
from qwen_sft.family import families
from qwen_sft.finding import Severity
from qwen_sft.ingesting.ingest import Watched, unwatched
from qwen_sft.sample import is_object
from qwen_sft.text.quote import quoted
from qwen_sft.trainer import Claim, Facts, Setup, Trainer, version_of
from qwen_sft.verifying.compare import Comparison, compare
from qwen_sft.verifying.facts import facts_of, inputs_of, manifest_of


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found.

    Attributes:
        version: of the trainer, whose code the claims were read from.
        installed: the version of its package that is installed here; None for none.
        claims: errors first.
        comparison: of the trainer's own preparation with our labels; None where it was not run.
        note: why something was not looked at; "" where all was.
    """

    trainer: Trainer
    version: str
    installed: str | None
    facts: Facts
    setup: Setup
    claims: tuple[Claim, ...]
    comparison: Comparison | None
    note: str

    @property
    def exit_code(self) -> int:
        """0 clean, 1 an error or a difference, 3 no row was looked at."""
        if not self.facts.n_rows - self.facts.unread.n_rows:
            return 3
        differs = self.comparison is not None and not self.comparison.same
        return int(differs or any(claim.severity is Severity.ERROR for claim in self.claims))


def verify(
    folder: Path,
    trainer: Trainer,
    *,
    asked: str | None = None,
    config: Path | None = None,
    told: Mapping[str, Any] | None = None,
    model: str | None = None,
    run: bool = False,
    n_rows: int = 1000,
    watched: Watched = unwatched,
) -> Verification:
    """What a trainer will do with the files of a folder.

    Args:
        asked: the version of the trainer; None for the newest that was read.
        config: the trainer's own config.
        told: values of its options, which win over the config and over what files in the folder say.
        model: name of the model; None for the one that the folder was built for.
        run: run the trainer's own preparation, and compare the labels that come out of it.
        n_rows: on how many rows, from the first.
        watched: for people who wait while the files are read.

    Raises:
        UsageError: an unknown version, option or value; a preparation that cannot be run.
        InputError: the folder has no rows, or cannot be read.
        ModelError: the model that is named cannot be loaded.
    """
    of = version_of(trainer, asked)
    setup = setup_of(trainer, folder, config, told or {})
    if run and trainer.prepare is None:
        raise UsageError(f"the preparation of {trainer.name} cannot be run here; leave --run out")
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r} is no folder; name what build wrote, or a folder of rows")
    manifest = manifest_of(folder)
    inputs = inputs_of(folder, manifest)
    loaded, note = _model(model, manifest, needed=run)
    with watched(inputs) as each:
        facts = facts_of(folder, inputs, manifest, loaded, trainer.costly, each)
    claims = sorted(trainer.claims(facts, setup), key=lambda claim: -claim.severity.rank)
    comparison = None
    if run and facts.n_rows:
        if loaded is None:
            raise UsageError("no model is known for these rows, and --run needs its tokenizer; name it with --model")
        comparison = compare(trainer, facts, inputs, setup, loaded, n_rows)
    return Verification(trainer, of, _installed(trainer.package), facts, setup, tuple(claims), comparison, note)


def setup_of(trainer: Trainer, folder: Path, config: Path | None, told: Mapping[str, Any]) -> Setup:
    """The trainer's options: its defaults, what files in the folder say, its config, and what is told; the last wins.

    Raises:
        UsageError: an option that it has not, or a config that cannot be read.
    """
    strange = [name for name in told if name not in trainer.options]
    if strange:
        raise UsageError(
            f"{trainer.name} has no option {strange[0]!r} that decides about rows; it has {', '.join(trainer.options)}"
        )
    given: dict[str, Any] = {**trainer.beside(folder)}
    if config is not None:
        given.update(trainer.config(_read(config)))
    given.update(told)
    known = {name: value for name, value in given.items() if name in trainer.options}
    return Setup({**trainer.options, **known}, frozenset(known))


def _read(config: Path) -> Mapping[str, Any]:
    """A config file, as JSON or YAML."""
    try:
        text = config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the config {str(config)!r}: {error}") from error
    import yaml  # pyright: ignore[reportMissingModuleSource]

    try:
        told: Any = json.loads(text) if config.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"the config {str(config)!r} is neither JSON nor YAML: {error}") from error
    if not is_object(told):
        raise UsageError(f"the config {str(config)!r} holds {quoted(told)}, and no options by name")
    return told


def _model(named: str | None, manifest: Mapping[str, Any], *, needed: bool) -> tuple[Model | None, str]:
    """The model, and why there is none where one was named by the folder; tokenized rows need none."""
    if named is not None:
        return load_model(named, families()), ""
    writer: Any = manifest.get("writer")
    tokens = is_object(writer) and writer.get("writes") == "tokens"
    told: Any = manifest.get("model")
    name: Any = told.get("name") if is_object(told) else None
    if not isinstance(name, str) or (tokens and not needed):
        return None, ""
    try:
        return load_model(name, families()), ""
    except ModelError as error:
        return None, f"the model of the build cannot be loaded: {error}; name it with --model"


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def parsed(pairs: Sequence[str]) -> dict[str, Any]:
    """Options that were told as `name=value`; a value is JSON, or else text.

    Raises:
        UsageError: there is no `=`.
    """
    made: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set is {pair!r}; it can be NAME=VALUE, such as assistant_only_loss=true")
        try:
            made[name.strip()] = json.loads(text)
        except ValueError:
            made[name.strip()] = {"True": True, "False": False, "None": None}.get(text, text)
    return made
