"""What `--model` names: a family on its embedded vocabulary, a folder, or a hub id; its tokenizer is loaded."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from qwen_sft.asking.request import NO_OPTIONS, Options, OptionsOf
from qwen_sft.errors import ModelError, TemplateError
from qwen_sft.family import Family
from qwen_sft.sample import Message, Tool, is_list, is_object
from qwen_sft.settings import Backend, Thinking
from qwen_sft.templating.chatml import START, STOP
from qwen_sft.templating.reasoning import inline_reasoning, inlined
from qwen_sft.templating.template import Template
from qwen_sft.text.normalize import decode_json
from qwen_sft.text.quote import quoted
from qwen_sft.tokenizing.tokenizer import Tokenizer, load_tokenizer
from qwen_sft.tokenizing.vocabulary import tokenizer_json

_FILES = ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "config.json", "chat_template.jinja"]
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_PROBE: list[Message] = [{"role": "user", "content": "Hi"}]


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
        stops: the tokens that end an assistant's turn.
        bare: the template options of a request for a turn without reasoning.
        reasoned: those of a request for a turn with reasoning.
        strips_reasoning: reasoning is taken out of every message before it is rendered.
        context: how many tokens it holds; None where nothing tells.
    """

    name: str
    family: Family
    tokenizer: Tokenizer
    template: Template | None
    template_sha256: str
    stops: tuple[str, ...] = (STOP,)
    bare: Options = field(default_factory=lambda: NO_OPTIONS)
    reasoned: Options = field(default_factory=lambda: NO_OPTIONS)
    strips_reasoning: bool = False
    context: int | None = None

    def server(
        self, messages: Sequence[Message], tools: Sequence[Tool], add_generation_prompt: bool, options: Options
    ) -> str:
        """What the server sends: by the model's own template where we have it, else by the serializer.

        Raises:
            TemplateError: the template rejects the messages.
        """
        if self.family.inline_reasoning and not add_generation_prompt:
            messages = inlined(messages)
        if self.template is not None:
            return self.template.render(messages, tools, add_generation_prompt=add_generation_prompt, **options)
        text = "".join([span.text for span in self.family.serialize(messages, tools, options)])
        return text + self.family.generation_prompt(messages, tools, options) if add_generation_prompt else text

    def options_of(self, messages: Sequence[Message]) -> OptionsOf:
        """The template options of the request for each assistant turn."""
        if self.bare is self.reasoned:
            return lambda _turn: self.bare
        return lambda turn: self.reasoned if _reasons(messages[turn]) else self.bare

    def prepared(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages as they are rendered: without reasoning where the settings take it out."""
        if not self.strips_reasoning:
            return messages
        made = [_without_reasoning(message) for message in messages]
        return messages if all(new is old for new, old in zip(made, messages, strict=True)) else made

    def thinking(self, options: Options, said: str) -> bool | None:
        """Whether the server's reasoning parser starts inside reasoning; None where a server runs no such parser.

        Where the prompt leaves it to the model, an answer without a think block is one that was asked for with thinking
        off: with thinking on the parser would read all of it as reasoning.
        """
        if self.family.reasoning_parser is None:
            return None
        block = think_block(self.family, options)
        return "</think>" in said if block == "none" else block == "open"

    def opens_reasoning(self, options: Options) -> bool:
        """True if the prompt itself opens a think block, so that the model starts inside its reasoning."""
        return think_block(self.family, options) == "open"

    @property
    def oracle(self) -> str:
        """What `server` rests on, for the manifest."""
        return "serializer, turn by turn" if self.template is None else "the model's chat template, turn by turn"


def think_block(family: Family, options: Options) -> Literal["open", "closed", "none"]:
    """What a generation prompt does about reasoning: it opens a think block, closes it again, or writes none."""
    try:
        prompt = family.generation_prompt(_PROBE, [], options).rstrip()
    except TemplateError:
        return "none"
    return "open" if prompt.endswith("<think>") else "closed" if prompt.endswith("</think>") else "none"


def _reasons(message: Message) -> bool:
    reasoning: Any = message.get("reasoning_content", "")
    content: Any = message.get("content", "")
    return bool(isinstance(reasoning, str) and reasoning.strip()) or (
        isinstance(content, str) and "</think>" in content
    )


def _without_reasoning(message: Message) -> Message:
    """A message without its reasoning, wherever it stands; the same one if it has none."""
    content = message.get("content")
    opens = message.get("role") == "assistant" and isinstance(content, str) and content.lstrip().startswith("<think>")
    inline = inline_reasoning(message) if opens else None
    if inline is None and "reasoning_content" not in message:
        return message
    bare = message.copy()
    bare.pop("reasoning_content", None)
    if inline is not None:
        bare["content"] = inline[1]
    return bare


def load_model(
    name: str,
    families: Mapping[str, Family],
    backend: Backend = "auto",
    *,
    options: Options = NO_OPTIONS,
    thinking: Thinking = "auto",
) -> Model:
    """The model that a name stands for, prompted as the settings say.

    Args:
        name: a family's name (dashes or underscores), a folder with tokenizer.json and a chat template, or a hub id.
        families: by name, from the shelf.
        options: template options of every request.
        thinking: as in Settings.

    Raises:
        ModelError: nothing has that name, a file is missing, the template is one that we cannot prove, or it does not
            know an option or its value.
    """
    model = _prompted(_load_model(name, families, backend), options, thinking)
    for request in (model.bare, model.reasoned):
        _check_request(model, request)
    return model


def _check_request(model: Model, options: Options) -> None:
    """Holds the template to printing a prompt with these options; one that prints none without them is not asked.

    Raises:
        ModelError: it refuses a value.
    """
    try:
        model.server(_PROBE, [], True, options)
    except TemplateError as error:
        try:
            model.server(_PROBE, [], True, NO_OPTIONS)
        except TemplateError:
            return
        raise ModelError(f"the chat template of {model.name} refuses {quoted(dict(options), 200)}: {error}") from error


def _load_model(name: str, families: Mapping[str, Family], backend: Backend) -> Model:
    family = families.get(name.replace("-", "_").replace(".", "_").lower())
    if family is not None:
        tokenizer = load_tokenizer(tokenizer_json(family.vocabulary), backend)
        return Model(name, family, tokenizer, None, family.template_sha256[0], context=family.context)
    folder = model_folder(name, families)
    source = template_source(folder)
    special = special_tokens(folder)
    template = Template(source, special)
    tokenizer = load_tokenizer(_tokenizer_file(folder), backend)
    found = hashlib.sha256(source.encode()).hexdigest()
    for known in families.values():
        if template.fingerprints.intersection(known.template_sha256):
            _check_controls(tokenizer, folder)
            return Model(name, known, tokenizer, template, found, context=_context(folder, known))
    from qwen_sft.tracing.traced import traced_family  # only for templates that no family knows

    stops = _stops(tokenizer, special)
    family = traced_family(template, stops=stops)
    return Model(name, family, tokenizer, template, found, stops, context=_context(folder, family))


def model_folder(name: str, families: Mapping[str, Family]) -> Path:
    """The folder of a model's files: a local one, or what the hub has under that id, without weights.

    Raises:
        ModelError: there is none.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    if "/" not in name or folder.is_absolute() or name.startswith("."):
        known = ", ".join(families)
        raise ModelError(f"no model {name!r}: it is no folder, no hub id (owner/name) and no family ({known})")
    return _from_hub(name)


def _prompted(model: Model, options: Options, thinking: Thinking) -> Model:
    """The model with the options of its requests.

    Raises:
        ModelError: the template does not know an option, or cannot think, or cannot be kept from it.
    """
    family = model.family
    unknown = sorted(set(options) - set(family.options))
    if unknown:
        known = f"it knows {', '.join(family.options)}" if family.options else "it knows none"
        raise ModelError(f"the chat template of {model.name} has no option {unknown[0]!r}: {known}")
    default = think_block(family, options)
    on = off = options
    if "enable_thinking" in family.options and "enable_thinking" not in options:
        on, off = {**options, "enable_thinking": True}, {**options, "enable_thinking": False}
    match thinking:
        case "auto":
            bare = off if default == "open" and think_block(family, off) == "closed" else options
            reasoned = on if default == "closed" and think_block(family, on) != "closed" else options
            return replace(model, bare=bare, reasoned=reasoned)
        case "as-is":
            return replace(model, bare=options, reasoned=options)
        case "on":
            if family.reasoning_parser is None or think_block(family, on) == "closed":
                raise ModelError(f"thinking is 'on', and the chat template of {model.name} has no prompt that thinks")
            return replace(model, bare=on, reasoned=on)
        case "off":
            if family.reasoning_parser is not None and think_block(family, off) != "closed":
                raise ModelError(f"thinking is 'off', and the chat template of {model.name} always thinks")
            return replace(model, bare=off, reasoned=off, strips_reasoning=True)


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


def template_source(folder: Path) -> str:
    """The chat template of a folder: `chat_template.jinja` wins over `tokenizer_config.json`, as in transformers."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        return _text(own)
    config = folder / "tokenizer_config.json"
    if not config.is_file():
        raise ModelError(f"{folder} has neither chat_template.jinja nor tokenizer_config.json")
    source: Any = _config(config).get("chat_template")
    if is_list(source):
        named = {one.get("name"): one.get("template") for one in source if is_object(one)}
        source = named.get("tool_use") or named.get("default")
    if not isinstance(source, str):
        raise ModelError(f"{config} has no chat_template")
    return source


def special_tokens(folder: Path) -> dict[str, str]:
    """The special tokens by role (`eos_token`) that tokenizer_config.json names and transformers hands to templates."""
    config = folder / "tokenizer_config.json"
    given = _config(config) if config.is_file() else {}
    found: dict[str, str] = {}
    for role in _SPECIAL:
        value = given.get(role)
        content: Any = value.get("content") if is_object(value) else value
        if isinstance(content, str):
            found[role] = content
    return found


_MOST_TOKENS = 10**9  # tokenizers say 10**30 where they have no limit


def _context(folder: Path, family: Family) -> int | None:
    """How many tokens a folder's model holds: by its config.json, else by its family, else by its tokenizer.

    A scaling of positions (YaRN) counts, as it does for a server. A tokenizer is asked last: that of Qwen3 allows four
    times what its models were made for.
    """
    config = _config(folder / "config.json") if (folder / "config.json").is_file() else {}
    text: Any = config.get("text_config", config)
    held = _count(text.get("max_position_embeddings")) if is_object(text) else None
    if held is not None:
        scaling: Any = text.get("rope_scaling") or text.get("rope_parameters")
        factor: Any = scaling.get("factor") if is_object(scaling) else None
        if isinstance(factor, int | float) and 1 < factor < _MOST_TOKENS:
            return max(held, int(factor * (_count(scaling.get("original_max_position_embeddings")) or held)))
        return held
    own = folder / "tokenizer_config.json"
    return family.context or (_count(_config(own).get("model_max_length")) if own.is_file() else None)


def _count(value: Any) -> int | None:
    """A number of tokens, if it is one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MOST_TOKENS else None


def _stops(tokenizer: Tokenizer, special: Mapping[str, str]) -> tuple[str, ...]:
    """The tokens of which one ends a turn under a template that we do not know: all that the tokenizer calls special.

    The end of the sequence is one even where the tokenizer does not call it so.
    """
    named = [token.content for token in tokenizer.added_tokens.values() if token.special]
    end = special.get("eos_token")
    return tuple(dict.fromkeys([*named, *([end] if end and end in tokenizer.added_tokens else [])]))


def _config(file: Path) -> dict[str, Any]:
    try:
        parsed: Any = decode_json(_text(file))
    except ValueError as error:
        raise ModelError(f"{file} is not JSON: {error}") from error
    return parsed if is_object(parsed) else {}


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
