"""A request to a server, as far as the chat template sees it: what an assistant's turn is asked for with."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from qwen_sft.sample import Message, Tool

Options = Mapping[str, Any]
"""Template options by name (`chat_template_kwargs`): what a request may set beside messages and tools."""

NO_OPTIONS: Options = MappingProxyType({})

OptionsOf = Callable[[int], Options]
"""The options of the request that asks for the assistant turn at an index."""

Render = Callable[[Sequence[Message], Sequence[Tool], bool, Options], str]
"""messages, tools, add_generation_prompt and options to text: a chat template."""
