"""What a path names, as collections: a set that was built, or traces."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qwen_sft.errors import InputError
from qwen_sft.ingesting.ingest import Input, expand
from qwen_sft.pipeline import Pipeline
from qwen_sft.settings import Settings
from qwen_sft.verifying.facts import inputs_of, manifest_of
from qwen_sft.viewing.collection import Collection
from qwen_sft.viewing.traces import Traces

_REJECTS = "rejects.jsonl"


def is_built(path: str) -> bool:
    """True for a folder that `build` wrote."""
    return Path(path).is_dir() and bool(manifest_of(Path(path)))


def built(folder: Path) -> list[Collection]:
    """The rows of a set that was built, and the records that it rejected.

    Raises:
        InputError: a file that the manifest lists is missing or damaged, or the manifest is none of ours.
        ModelError: the model whose tokens these are cannot be loaded.
    """
    manifest = manifest_of(folder)
    inputs = inputs_of(folder, manifest)
    found: list[Collection] = []
    try:
        writes, told, settings = manifest["writer"].get("writes"), manifest["model"], manifest["settings"]
        name, fingerprint, serve = str(told["name"]), told["tokenizer_sha256"], str(settings["serve"])
        requests: list[str] = list(manifest["requests"])
        sources = [str(one["file"]) for one in manifest["inputs"]]
        splits = {str(folder / str(one["file"])): str(one.get("split") or "") for one in manifest["files"]}
    except (KeyError, TypeError, AttributeError) as error:
        manifest_name = str(folder / "manifest.json")
        raise InputError(f"{manifest_name!r} is no manifest of a build: {error!r}; build again") from error
    if writes == "tokens" and all(one.name.endswith(".parquet") for one in inputs):
        from qwen_sft.viewing.rows import Rows  # numpy, and the model's tokenizer

        reader = _reader(name, fingerprint, serve, requests[0] if len(requests) == 1 else "{}")
        found.append(Rows(inputs, [splits.get(one.name, "") for one in inputs], sources, reader))
    elif writes == "tokens":
        raise InputError(
            f"the rows of {str(folder)!r} are no Parquet files of tokens and kinds; build with --writer parquet"
        )
    else:
        found.append(Traces(inputs, Pipeline(Settings())))
    rejects = folder / _REJECTS
    if rejects.is_file() and not rejects.is_symlink() and rejects.stat().st_size:
        source = Input(str(rejects), rejects, n_bytes=rejects.stat().st_size)
        found.append(Traces([source], Pipeline(Settings()), rejects=True))
    return found


def _reader(name: str, fingerprint: Any, serve: str, request: str) -> Any:
    from qwen_sft.encoding.model import load_model
    from qwen_sft.errors import ModelError
    from qwen_sft.family import families
    from qwen_sft.serving.server import serving
    from qwen_sft.viewing.row import Reader

    model = load_model(name, families())
    if model.tokenizer.fingerprint != fingerprint:
        raise ModelError(f"the tokens cannot be read: {name} has another tokenizer now; build the set again")
    wire = model.family.parser
    return Reader(model, None if wire is None else serving(serve).parser(wire), request)


def traces(paths: Sequence[str], pipeline: Pipeline, told: Callable[[str], None]) -> Traces:
    """The records of some files and folders; of a folder nothing that a link leads out of it.

    Args:
        told: is told, in words, what is left out.

    Raises:
        InputError: a path names nothing.
    """
    found: list[Input] = []
    for path in paths:
        skipped = Counter[str]()
        inputs = expand([path], skipped=skipped)
        if Path(path).is_dir():
            root = Path(path).resolve()
            inside = [one for one in inputs if one.path is not None and one.path.resolve().is_relative_to(root)]
            if len(inside) < len(inputs):
                told(f"{len(inputs) - len(inside):,} files in {path} are links out of it and are not shown")
            inputs = inside
        found += inputs
    if any(one.path is None and one.url is None for one in found):
        raise InputError("stdin can be read only once; name a file")
    return Traces(found, pipeline)
