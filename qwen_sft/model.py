"""What `--model` names: a family on its embedded vocabulary, a folder, or a hub id; its tokenizer is loaded."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_sft.chatml import START, STOP
from qwen_sft.errors import ModelError
from qwen_sft.family import Family
from qwen_sft.normalize import decode_json
from qwen_sft.sample import Message, Tool, is_list, is_object
from qwen_sft.settings import Backend
from qwen_sft.template import Template
from qwen_sft.tokenizer import Tokenizer, load_tokenizer
from qwen_sft.vocabulary import tokenizer_json

_FILES = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]


@dataclass(frozen=True)
class Model:
    """A model, as far as data for it is concerned.

    Attributes:
        name: as the user wrote it.
        family: how its template writes.
        tokenizer: text to ids.
        template: its own chat template; None for an embedded family, whose serializer our tests hold to the official
            template, but which cannot be compared with it on the user's machine.
        template_sha256: of that template, or of the official one that the family reproduces.
    """

    name: str
    family: Family
    tokenizer: Tokenizer
    template: Template | None
    template_sha256: str

    def server(self, messages: Sequence[Message], tools: Sequence[Tool], add_generation_prompt: bool) -> str:
        """What the server sends: by the model's own template where we have it, else by the serializer.

        Raises:
            TemplateError: the template rejects the messages.
        """
        if self.template is not None:
            return self.template.render(messages, tools, add_generation_prompt=add_generation_prompt)
        text = "".join(span.text for span in self.family.serialize(messages, tools))
        return text + self.family.generation_prompt if add_generation_prompt else text

    @property
    def oracle(self) -> str:
        """What `server` rests on, for the manifest."""
        return "serializer, turn by turn" if self.template is None else "the model's chat template, turn by turn"


def load_model(name: str, families: Mapping[str, Family], backend: Backend = "auto") -> Model:
    """The model that a name stands for.

    Args:
        name: a family's name (dashes or underscores), a folder with tokenizer.json and a chat template, or a hub id.
        families: by name, from the shelf.

    Raises:
        ModelError: nothing has that name, a file is missing, or the template is one that we cannot prove.
    """
    family = families.get(name.replace("-", "_").replace(".", "_").lower())
    if family is not None:
        tokenizer = load_tokenizer(tokenizer_json(family.vocabulary), backend)
        return Model(name, family, tokenizer, None, family.template_sha256[0])
    folder = Path(name)
    if not folder.is_dir():
        if "/" not in name or folder.is_absolute() or name.startswith("."):
            known = ", ".join(families)
            raise ModelError(f"no model {name!r}: it is no folder, no hub id (owner/name) and no family ({known})")
        folder = _from_hub(name)
    source = _template_source(folder)
    template = Template(source)
    for known in families.values():
        if template.fingerprints.intersection(known.template_sha256):
            tokenizer = load_tokenizer(_tokenizer_file(folder), backend)
            _check_controls(tokenizer, folder)
            return Model(name, known, tokenizer, template, hashlib.sha256(source.encode()).hexdigest())
    found = hashlib.sha256(source.encode()).hexdigest()
    raise ModelError(
        f"the chat template of {name} (sha256 {found[:16]}...) is none that qwen-sft can prove yet; "
        f"it knows the official templates of {', '.join(families)}: see qwen-sft models"
    )


def _from_hub(name: str) -> Path:
    # Imported here: it takes 0.4 s, and only hub ids need it.
    from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]  # its tqdm
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder: str = snapshot_download(name, allow_patterns=_FILES)
        return Path(folder)
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"cannot fetch {name!r} from the model hub: {reason}; name a folder instead") from error


def _tokenizer_file(folder: Path) -> Path:
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ModelError(
            f"{folder} has no tokenizer.json; save the tokenizer there with transformers, or name the family"
        )
    return file


def _template_source(folder: Path) -> str:
    """The chat template of a folder: `chat_template.jinja` wins over `tokenizer_config.json`, as in transformers."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        return _text(own)
    config = folder / "tokenizer_config.json"
    if not config.is_file():
        raise ModelError(f"{folder} has neither chat_template.jinja nor tokenizer_config.json")
    try:
        parsed: Any = decode_json(_text(config))
    except ValueError as error:
        raise ModelError(f"{config} is not JSON: {error}") from error
    source: Any = parsed.get("chat_template") if is_object(parsed) else None
    if is_list(source):
        named = {one.get("name"): one.get("template") for one in source if is_object(one)}
        source = named.get("tool_use") or named.get("default")
    if not isinstance(source, str):
        raise ModelError(f"{config} has no chat_template")
    return source


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read {file}: {error}") from error


def _check_controls(tokenizer: Tokenizer, folder: Path) -> None:
    missing = [token for token in (START, STOP) if token not in tokenizer.added_tokens]
    if missing:
        raise ModelError(
            f"the tokenizer in {folder} has no {' and no '.join(missing)}; it does not fit a Qwen template"
        )
