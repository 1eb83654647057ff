"""What a server would load from a name: a chat template and, where there is one, the tokenizer beside it.

The template tools look at less than a training run needs, so they take more: a file that holds nothing but a template,
a folder without a tokenizer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qwen_sft.encoding.model import model_folder, special_tokens, template_source
from qwen_sft.errors import ModelError, TemplateError
from qwen_sft.family import Family
from qwen_sft.proving.probe import Encode, Refused
from qwen_sft.sample import Message
from qwen_sft.templating.reasoning import inlined
from qwen_sft.templating.template import Template
from qwen_sft.text.normalize import REASONING_KEYS
from qwen_sft.tokenizing.tokenizer import Tokenizer, load_tokenizer
from qwen_sft.tokenizing.vocabulary import tokenizer_json

_NOTHING: Message = {"role": "user", "content": ""}


@dataclass(frozen=True)
class Served:
    """A template as a server has it.

    Attributes:
        name: as the user wrote it.
        folder: where its files lie; None for a family, and for a lone file.
        family: the one whose official template it is; None if it is nobody's.
        template: None for a family, whose serializer stands in for the template.
        special_tokens: by role (`eos_token`); None where no tokenizer_config.json says.
        tokenizer_file: its tokenizer.json; None where there is none.
    """

    name: str
    folder: Path | None
    family: Family | None
    template: Template | None
    special_tokens: Mapping[str, str] | None
    tokenizer_file: Path | None

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """Its tokenizer, loaded when it is first asked for."""
        return None if self.tokenizer_file is None else load_tokenizer(self.tokenizer_file)

    @property
    def encode(self) -> Encode | None:
        """Text to ids, where there is a tokenizer."""
        tokenizer = self.tokenizer
        return None if tokenizer is None else lambda text: tokenizer.encode(text).tolist()

    def render(
        self, messages: Sequence[Any], tools: Sequence[Any], add_generation_prompt: bool, options: Mapping[str, Any]
    ) -> str:
        """The text of a request.

        Raises:
            TemplateError: the template fails; Refused where our serializer stands in for it and does not take this.
        """
        if self.template is not None:
            return self.template.render(messages, tools, add_generation_prompt=add_generation_prompt, **options)
        assert self.family is not None
        if not messages:
            raise Refused("there are no messages")
        try:
            given = [_with_reasoning(message) for message in messages]
            # Such a serializer gives a last turn the think block that the model has to write. A turn with no block of
            # its own is printed bare as history, and as a last turn the template would print it the same.
            bare = self.family.inline_reasoning and inlined(given) is not given
            spans = self.family.serialize([*given, _NOTHING] if bare else given, tools, options)
            spans = [span for span in spans if span.message < len(given)]
            text = "".join(span.text for span in spans)
            return text + self.family.generation_prompt(given, tools, options) if add_generation_prompt else text
        except TemplateError as error:
            raise Refused(str(error)) from error
        except (TypeError, LookupError, AttributeError) as error:  # raw shapes that no sample of ours can have
            raise Refused(f"{type(error).__name__}: {error}") from error


def _with_reasoning(message: Mapping[str, Any]) -> Any:
    """The message with its reasoning under the key of our samples, as transformers hands it to templates."""
    found = next((message[key] for key in REASONING_KEYS if message.get(key) is not None), None)
    return message if found is None else {**message, "reasoning_content": found}


def load_served(name: str, families: Mapping[str, Family]) -> Served:
    """What a family's name, a folder, a hub id or a lone template file stands for.

    Raises:
        ModelError: nothing has that name, or it has no chat template.
    """
    family = families.get(name.replace("-", "_").replace(".", "_").lower())
    if family is not None:
        return Served(name, None, family, None, None, tokenizer_json(family.vocabulary))
    path = Path(name)
    if path.is_file():
        return _served(name, None, _text(path), None, families)
    folder = model_folder(name, families)
    special = special_tokens(folder) if (folder / "tokenizer_config.json").is_file() else None
    return _served(name, folder, template_source(folder), special, families)


def _served(
    name: str, folder: Path | None, source: str, special: Mapping[str, str] | None, families: Mapping[str, Family]
) -> Served:
    template = Template(source, special or {})
    family = next((f for f in families.values() if template.fingerprints.intersection(f.template_sha256)), None)
    file = None if folder is None else folder / "tokenizer.json"
    return Served(name, folder, family, template, special, file if file is not None and file.is_file() else None)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read {file}: {error}") from error
