"""Which server reads the calls back, in which version, with which parser: the setting `serve`."""

import re
from dataclasses import dataclass
from typing import cast

from qwen_sft.errors import UsageError
from qwen_sft.parser import ServerName, ToolParser, Version, parsers

NEWEST: dict[ServerName, Version] = {"vllm": (0, 33), "sglang": (0, 5, 23)}
"""The newest version of each server whose parsers we know."""

REASONING_FLAGS: dict[ServerName, dict[str, str]] = {
    "vllm": {"qwen3": "qwen3", "deepseek_r1": "deepseek_r1"},
    "sglang": {"qwen3": "qwen3", "deepseek_r1": "deepseek-r1"},
}
"""What `--reasoning-parser` calls each reasoning parser, by vLLM's name for it."""

_SERVE = re.compile(r"(vllm|sglang)(?::(\d+(?:\.\d+)*)(?:\.post\d+)?)?(?:/(\w+))?")


@dataclass(frozen=True, slots=True)
class Server:
    """A server in one version.

    Attributes:
        name: vllm or sglang.
        version: its numbers, as many as were given.
        flag: the `--tool-call-parser` that it runs; None for the one that its documentation names for a model.
    """

    name: ServerName
    version: Version
    flag: str | None = None

    def parser(self, wire: str) -> ToolParser:
        """The parser that reads calls which are written so; `wire` as in `ToolParser`.

        Raises:
            UsageError: the parser that was asked for does not read them.
        """
        for parser in self._parsers():
            if parser.wire == wire and (self.flag in parser.flags if self.flag else parser.recommended):
                return parser
        known = sorted({parser.flags[0] for parser in self._parsers() if parser.wire == wire})
        raise UsageError(
            f"{self} reads no calls of a model that is served with {wire!r}; parsers for it are {', '.join(known)}"
        )

    def flags(self, wire: str, reasoning_parser: str | None) -> str:
        """What to add to the command that serves a model: its tool-call parser and, where it has one, its reasoning's.

        Raises:
            UsageError: as `parser`.
        """
        flags = ["--enable-auto-tool-choice"] if self.name == "vllm" else []
        flags.append(f"--tool-call-parser {self.parser(wire).flags[0]}")
        if reasoning_parser is not None:
            flags.append(f"--reasoning-parser {REASONING_FLAGS[self.name][reasoning_parser]}")
        return " ".join(flags)

    def _parsers(self) -> list[ToolParser]:
        return [each for each in parsers().values() if each.server == self.name and each.runs_in(self.version)]

    def __str__(self) -> str:
        numbers = ".".join(map(str, self.version))
        return f"{self.name} {numbers}" + (f" with {self.flag!r}" if self.flag else "")


def serving(serve: str) -> Server:
    """The server that a setting names: `vllm`, `sglang:0.5.23`, `vllm:0.23/qwen3_xml`.

    Without a version it is the newest that we know; without a parser the one that fits the model.

    Raises:
        UsageError: it names no server, a version whose parsers we do not know, or a parser that this version has not.
    """
    named = _SERVE.fullmatch(serve)
    if named is None:
        raise UsageError(
            f"serve is {serve!r}; it names vllm or sglang, with a version and a parser if need be: "
            "vllm, vllm:0.25.1, sglang:0.5.23, vllm:0.23/qwen3_xml"
        )
    name = cast("ServerName", named[1])  # the pattern lets through no other
    newest = NEWEST[name]
    version = tuple(int(part) for part in named[2].split(".")) if named[2] else newest
    oldest = min(parser.since for parser in parsers().values() if parser.server == name)
    if not oldest <= version or version[: len(newest)] > newest:
        raise UsageError(
            f"serve is {serve!r}; the parsers of {name} are known from {_dotted(oldest)} to {_dotted(newest)}: "
            f"name one of these versions, or {name} alone for the newest"
        )
    server = Server(name, version, named[3])
    flags = sorted(
        {flag for each in parsers().values() if each.server == name and each.runs_in(version) for flag in each.flags}
    )
    if server.flag is not None and server.flag not in flags:
        raise UsageError(f"serve is {serve!r}; the parsers of {name} {_dotted(version)} are {', '.join(flags)}")
    return server


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
