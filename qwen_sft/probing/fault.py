"""What can be wrong with a server or with the model behind it: the kinds of faults, and how each is mended."""

from dataclasses import dataclass
from typing import Literal

Blame = Literal["server", "model"]

SERVER: dict[str, str] = {
    "no-tool-parser": "serve with {flags}",
    "wrong-parser": "serve with {flags}",
    "call-as-json": "serve with {flags}",
    "call-lost": "serve with {flags}",
    "call-in-reasoning": "the model must end its reasoning before it calls: serve without --reasoning-parser if "
    "it does not reason, or with the chat template that it was trained on",
    "leaked-text": "look at the server's tool-call parser and its version: it has read some calls and not others",
    "reasoning-in-content": "serve with --reasoning-parser {reasoning}",
    "answer-in-reasoning": "serve without --reasoning-parser, or ask for reasoning in the chat template: the server "
    "takes an answer without '</think>' for reasoning as a whole",
    "arguments-not-text": "the API wants a JSON text there: mend the server, or what stands before it",
    "arguments-not-json": "use a newer version of the server, or another parser that reads the same format",
    "arguments-encoded-twice": "the server encodes what is a JSON text already; so may the chat template",
    "arguments-not-object": "use a newer version of the server, or another parser that reads the same format",
    "arguments-mistyped": "a parser must read values by the tool's schema: use the one that `qwen-sft models` names",
    "id-missing": "without an id no result can be given back: mend the server, or what stands before it",
    "id-repeated": "results are matched to calls by id: use a version of the server that makes each id once",
    "kind-missing": "clients look for type 'function': mend the server, or what stands before it",
    "result-refused": "the server must take back the calls that it made, with their ids, and the results",
    "finish-reason": "agents that look at finish_reason stop here: use a server that says tool_calls",
    "tool-choice-ignored": "do not rely on tool_choice with this server, or use one that constrains what is generated",
    "tool-choice-refused": "ask for what the server takes, or leave it out of --tool-choice",
    "request-refused": "the server's words say what it does not take",
    "server-error": "look into the server's log",
    "timed-out": "wait longer with --timeout, or look whether the server is stuck",
    "no-answer": "--base-url must be that of an OpenAI-compatible API, and nothing on the way may change its answers",
    "stream-ignored": "mend the server, or what stands before it: clients wait for events",
    "stream-cut": "look into the server's log, and for a proxy that ends long answers",
    "stream-error": "look into the server's log",
    "stream-no-index": "clients put pieces together by index: mend the server, or what stands before it",
    "stream-repeats": "clients join all pieces of a call: id and name must come once",
    "stream-broken-arguments": "use a newer version of the server, or do not stream: the whole answer is right",
    "stream-differs": "use a newer version of the server, or do not stream: the whole answer is right",
    "prompt-differs": "serve with the chat template, tokenizer and options that the training set was built with; "
    "compare them with: qwen-sft template check",
}
"""The faults of a server: by kind, how each is mended. `{flags}` and `{reasoning}` stand for what it is served with."""

MODEL: dict[str, str] = {
    "no-call": "the server cannot be blamed for it: the model must learn when to call",
    "broken-call": "no parser that we know reads it: the model must learn to write calls as its template shows them",
    "missing-call": "ask for one call at a time, or train on parallel calls",
    "extra-call": "the model must learn when to call",
    "wrong-call": "the model must learn to copy what it was asked for",
    "no-value": "the model must learn to answer from results; if prompts differ, mend that first",
    "called-again": "the model must learn to answer when it has what it needs",
    "cut-off": "allow more with --max-tokens",
}
"""What the model did not do, likewise."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an answer.

    Attributes:
        kind: a key of SERVER or MODEL.
        says: what was found, in a sentence; what a server sent is quoted without the key.
        in_stream: it was found in a stream, and not in the answer to the same request as a whole.
        wire: how the calls in question are written, as in `qwen_sft.parser`; None where nobody knows.
    """

    kind: str
    says: str
    in_stream: bool = False
    wire: str | None = None

    @property
    def blame(self) -> Blame:
        """Whose fault it is."""
        return "server" if self.kind in SERVER else "model"
